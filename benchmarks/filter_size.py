"""How much memory and CPU filter takes over a long stream: as a dry run, whole, and as --preview.

python benchmarks/filter_size.py [IMAGES ...]      [5000 20000 80000]; 1000000 takes a quarter of an hour

The stream has classes of 125 generated and 2 to 19 original images, which are a few thousand files in all. They are of
one kind, so one generated image in ten falls below the calibrated threshold; it is rewritten and regenerated. The small
models run; the sums are those of the whole commands. What grows with the images is what memory does from line to line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.t2i.blank import painted
from ltgc_cli.records import Class, Description, Image, Made, Record, dump, identify
from ltgc_cli.store import Store

OF_CLASS = 125
FILES = 4000
SEEN = ("in flight", "wading", "asleep", "at its nest", "in the snow", "at dusk", "from above", "with a red cap")
COMMANDS = {
    "filter --dry-run": ("--dry-run",),
    "filter": (),
    "filter, warm": (),  # every answer is in the store: no model is loaded
    "filter --preview": ("--preview",),
}


class Took(NamedTuple):
    """What a command took."""

    megabytes: float
    seconds: float


def lines(images: int, files: list[str]) -> Iterator[Record]:
    """Returns a stream as render leaves it."""
    for label in range(images // OF_CLASS):
        of: dict[str, Any] = {"label": label, "class_": f"bird {label}"}
        photos, start = 2 + label % 18, label * OF_CLASS
        cls = Class(**of, tail=True, count=photos)
        yield identify(cls, label)
        for number in range(photos):
            yield identify(Image(**of, sha256=files[(7 * start + number) % FILES], origin="original"), number)
        for number in range(OF_CLASS):
            what = f"{SEEN[number % 8]}, {SEEN[number // 8 % 8]}, seen from {number} metres"
            text = f"A photo of the class {cls.class_}, {what}."
            origin: Literal["described", "extended"] = "described" if number < photos else "extended"
            described = identify(
                Description(**of, text=text, origin=origin, made=Made(model="m", prompt="extend")), text
            )
            sha256, made = files[(start + number) % FILES], Made(model="blank", seed=number)
            image = Image(**of, sha256=sha256, origin="generated", text=text, parents=(described.id,), made=made)
            yield described
            yield identify(image, number)


def took(command: list[str], folder: Path) -> Took:
    """Returns what a command took, most memory and all CPU."""
    environment = {**os.environ, "LTGC_CACHE_DIR": str(folder / "store"), "OMP_NUM_THREADS": "1"}
    with (folder / "out").open("wb") as out, (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):  # 1: something fell short
        sys.exit((folder / "said").read_text())
    return Took(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)


def measure(images: int) -> None:
    """Prints a line for each command."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "store")
        drawn = (ImageRequest(model="blank", text="", seed=seed) for seed in range(FILES))
        files = [store.put_object(painted(request)) for request in drawn]
        store.close()
        with (folder / "rendered.jsonl").open("w") as file:
            file.writelines(f"{dump(record)}\n" for record in lines(images, files))
        ltgc = [sys.executable, "-m", "ltgc_cli", "filter", "-i", "rendered.jsonl", "--t2i", "blank", "-q", "--json"]
        for title, flags in COMMANDS.items():
            rmtree(folder / "store" / "artifacts", ignore_errors=True)
            found = took([*ltgc, *flags], folder)
            print(
                f"{images:>9,} images | {title:<17} | {found.megabytes:6.0f} MB | {found.seconds:7.1f} s of CPU, "
                f"{1000 * found.seconds / images:.2f} ms an image",
                flush=True,
            )


if __name__ == "__main__":
    for number in [int(given) for given in sys.argv[1:]] or [5000, 20000, 80000]:
        measure(number)
