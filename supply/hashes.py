"""Writes supply/hashed.txt: constraints.txt again, and what it needs elsewhere, with the sha256 of every file.

    pip install uv && python supply/hashes.py

uv resolves for every platform at once: the parts of CUDA that torch asks for on Linux, and small things of macOS, are
in the list too. pip takes a constraint only where something asks for that package.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parent.parent
HASHED = ROOT / "supply" / "hashed.txt"
PYTHONS = ("cp311", "cp312", "cp313")
PLATFORMS = r"any|(manylinux|macosx).*_(x86_64|aarch64|arm64|universal2)"
# Files that no index lists: PyTorch's own build of torch for CPUs, torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.
ALSO = {"torch==2.13.0": ["6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"]}
HEAD = """\
# Made by supply/hashes.py from constraints.txt: what `make` installs, with the sha256 of each file for Python 3.11 to
# 3.13 on Linux (x86_64, aarch64) and macOS. pip refuses what is not in this list.
"""


def runs_here(tag: Tag) -> bool:
    """Returns whether a wheel with this tag is for one of the Pythons and platforms that we list.

    >>> [runs_here(Tag(*tag.split("-"))) for tag in ("py3-none-any", "cp39-abi3-macosx_11_0_arm64")]
    [True, True]
    >>> [runs_here(Tag(*tag.split("-"))) for tag in ("cp313-cp313t-manylinux_2_28_x86_64", "cp311-cp311-win_amd64")]
    [False, False]
    """
    python = tag.interpreter.startswith("py") or tag.abi == "abi3" or tag.abi in (tag.interpreter, "none")
    python = python and (tag.interpreter in PYTHONS or not tag.interpreter.startswith("cp") or tag.abi == "abi3")
    return python and bool(re.fullmatch(PLATFORMS, tag.platform))


def hashes(package: dict[str, Any]) -> Iterator[str]:
    """Yields the sha256 of the wheels for our platforms; of the source distribution only where there is no wheel."""
    wheels = package.get("wheels", [])
    for wheel in wheels:
        name = wheel.get("name") or wheel["url"].rpartition("/")[2].replace("%2B", "+")
        if any(runs_here(tag) for tag in parse_wheel_filename(name)[3]):
            yield wheel["hashes"]["sha256"]
    if not wheels:
        yield package["sdist"]["hashes"]["sha256"]


def lines(packages: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yields a line for each package, in order of name, its hashes on lines of their own."""
    for package in sorted(packages, key=lambda package: canonicalize_name(package["name"])):
        pin = f"{package['name']}=={package['version']}"
        if found := sorted({*hashes(package), *ALSO.get(pin, [])}):
            yield " \\\n".join([pin, *(f"    --hash=sha256:{one}" for one in found)]) + "\n"


def main() -> None:
    asked = [
        "constraints.txt",
        "pyproject.toml",
        "--extra",
        "dev",
        "--extra",
        "campaign",
        "--universal",
        "--python-version",
        "3.11",
    ]
    uv = ["uv", "pip", "compile", "--quiet", "--format", "pylock.toml", "--no-header", *asked]
    try:
        lock = subprocess.run(uv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    except FileNotFoundError:
        sys.exit("hashes.py asks the index through uv: pip install uv")
    except subprocess.CalledProcessError:
        sys.exit("uv found no versions for constraints.txt; what it says is above")
    HASHED.write_text(HEAD + "".join(lines(tomllib.loads(lock)["packages"])), encoding="utf-8")


if __name__ == "__main__":
    main()
