"""What people install: the source distribution, the wheel built from it, and what both say of themselves."""

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
NAME = f"ltgc-{PROJECT['version']}"


class Built(NamedTuple):
    """The two files, and the tree that they were built from."""

    tree: Path
    sdist: Path
    wheel: Path


class Installed(NamedTuple):
    """A virtual environment with the wheel in it; what the wheel depends on is borrowed from this one."""

    python: Path
    ltgc: Path


def build(kind: str, tree: Path, out: Path) -> Path:
    """Returns the file that the build backend makes, asked as pip and build ask it."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(out)], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.iterdir())


def alone(**variables: str) -> dict[str, str]:
    """Returns an environment in which nothing points to this checkout."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LTGC_", "PYTHON", "MYPY", "VIRTUAL"))
    }
    return {**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "100", **variables}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A copy of the checkout without what git ignores, with a stray cache in it; the wheel comes from the sdist."""
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", *ignored))
    for package in ("ltgc_cli/embedded", "ltgc_cli/embedded/clip", "tests"):
        (tree / package / "__pycache__").mkdir()
        (tree / package / "__pycache__" / "stray.cpython-311.pyc").write_bytes(b"stray")
    sdist = build("sdist", tree, folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    return Built(tree, sdist, build("wheel", folder / "unpacked" / NAME, folder / "wheel"))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "--no-index", "--no-deps", str(built.wheel)], check=True)
    # A path in a .pth file is searched, but its own .pth files, such as that of an editable install, are not read.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return Installed(python, folder / "bin" / "ltgc")


def files_under(folder: Path) -> set[str]:
    """Returns the files of a tree, by their path from the folder that the tree is in; caches left out."""
    found = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder.parent).as_posix() for path in found}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return email.message_from_string(archive.read(f"{NAME}.dist-info/METADATA").decode())


def test_the_wheel_is_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if name.startswith(f"{NAME}.dist-info/")}
    assert names - about == files_under(built.tree / "ltgc_cli")
    assert f"{NAME}.dist-info/licenses/LICENSE" in about


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "embedded/MODEL_CARD.md",
        "embedded/clip/open_clip_model.safetensors",
        "embedded/t2i/unet/diffusion_pytorch_model.safetensors",
        "embedded/published_results.json",
    ],
)
def test_the_wheel_has_what_is_no_python(built, name):
    with zipfile.ZipFile(built.wheel) as archive:
        assert archive.read(f"ltgc_cli/{name}") == (ROOT / "ltgc_cli" / name).read_bytes()


def test_the_source_distribution_has_all_that_tests_docs_examples_and_benchmarks_need(built):
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    folders = set().union(
        *(files_under(built.tree / part) for part in ("ltgc_cli", "tests", "docs", "examples", "benchmarks", "supply"))
    )
    alone = {"README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "Makefile", "constraints.txt", "pyproject.toml"}
    assert (folders | alone) - names == set()
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_the_wheel_has_the_bill_of_materials_that_make_sbom_prints(built):
    made = subprocess.run([sys.executable, "supply/sbom.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(built.wheel) as archive:
        assert archive.read(f"{NAME}.dist-info/sboms/ltgc.cdx.json").decode() == made.stdout


def test_what_the_wheel_says_of_itself(built):
    said = metadata(built.wheel)
    assert (said["Name"], said["Version"], said["Summary"]) == ("ltgc", PROJECT["version"], PROJECT["description"])
    assert (said["Requires-Python"], said["License-Expression"]) == (">=3.11", "MIT")
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    assert [name for name in said.get_all("Requires-Dist") if "pytest" in name and "extra" not in name] == []


def test_installed_it_runs_from_anywhere_and_is_not_this_checkout(installed, tmp_path):
    here = alone(LTGC_CACHE_DIR=str(tmp_path / "store"))

    def said(*command: str | Path) -> str:
        return subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=True).stdout

    imported = Path(said(installed.python, "-c", "import ltgc_cli; print(ltgc_cli.__file__)").strip())
    assert imported.is_relative_to(installed.python.parent.parent)
    assert said(installed.ltgc, "--version") == f"ltgc {PROJECT['version']}\n"
    assert said(installed.ltgc, "extend", "--class", "crane", "-n", "3").count('"kind":"description"') == 3


USER = """
from ltgc_cli.ports import Answer, Question
from ltgc_cli.records import Class, Group, Record
from ltgc_cli.stages.extend import extend


def ask(question: Question) -> Answer:
    return Answer(text="1. A photo of the class crane, at night.")


crane = Class(label=0, class_="crane", tail=True)
rows: list[Record] = extend(Group(crane, [crane]), ask=ask, model="mine", want=2)
wrong: int = extend(Group(crane, [crane]), ask=ask, model="mine", want=2)
"""


@pytest.mark.slow
def test_a_users_own_code_is_checked_against_our_types(installed, tmp_path):
    (tmp_path / "user.py").write_text(USER)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*mypy, "--python-executable", str(installed.python), "user.py"],
        cwd=tmp_path,
        env=alone(),
        capture_output=True,
        text=True,
    )
    errors = done.stdout.splitlines()[:-1]
    assert errors == [
        'user.py:13: error: Incompatible types in assignment (expression has type "list[Record]", variable has type '
        '"int")  [assignment]'
    ]


@pytest.mark.slow
def test_installed_it_does_the_whole_demonstration(installed, tmp_path):
    done = subprocess.run(
        [installed.ltgc, "demo", "-k", "4"],
        cwd=tmp_path,
        env=alone(LTGC_CACHE_DIR=str(tmp_path / "store")),
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: a class fell short, which so few drawings may do
    assert "accuracy, %" in done.stdout + done.stderr
    assert (tmp_path / "ltgc-demo" / "contact-sheet.png").is_file()


def test_the_citation_file_has_what_its_format_wants():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()
    assert (CITATION["title"], CITATION["version"]) == (PROJECT["name"], PROJECT["version"])
    assert CITATION["authors"] == PROJECT["authors"] == [{"name": "the ltgc authors"}]
    assert {"type", "title", "authors"} <= CITATION["preferred-citation"].keys()


def test_the_citation_file_names_the_same_paper_as_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    bibtex = dict(re.findall(r"^  (\w+) += \{(.*)\}", readme, re.MULTILINE))
    paper = CITATION["preferred-citation"]
    authors = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    assert (paper["title"], " and ".join(authors), str(paper["year"])) == (
        bibtex["title"],
        bibtex["author"],
        bibtex["year"],
    )
