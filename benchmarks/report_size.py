"""What `ltgc report` takes over a stream as large as people have: CPU, memory, the page's size, the time to open it.

python benchmarks/report_size.py [CLASSES] [IMAGES]     so many classes with so many generated images each [8000 100]

The stream is filter's, with two methods measured behind it: a description and an image of one to three rounds for each
place, five originals a class. Its photos are 1,000 of 512 × 512, each standing for many, so that the disk stays small;
what a page costs depends on how many it shows. The last line opens the page in Chromium, where one is installed.
"""

from __future__ import annotations

import io
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image as PIL

from ltgc_cli import records
from ltgc_cli.ports import Usage
from ltgc_cli.records import Class, Description, Image, Made, Metric, Record, Rejected, Step, Template
from ltgc_cli.store import Store

_PHOTOS, _SIDE = 1000, 512
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def photo(rng: np.random.Generator) -> bytes:
    """Returns a JPEG with about as much in it as a photo has: shapes of every size, and some noise."""
    grid = np.zeros((_SIDE, _SIDE, 3))
    for side in (4, 8, 16, 32, 64, 128):
        noise = PIL.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        grid += np.asarray(noise.resize((_SIDE, _SIDE), PIL.Resampling.BICUBIC), dtype=np.float64) * 2 / side**0.5
    file = io.BytesIO()
    PIL.fromarray((255 * grid / grid.max()).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def stream(classes: int, images: int, photos: list[str]) -> Iterator[Record]:
    """Returns the records, class by class, then what was measured."""
    rng = random.Random(0)
    text = "A photo of the class {}, with long legs, standing in shallow water, in the evening light, seen from the {}."
    made = Made(model="gpt-4o", prompt="extend", usage=Usage(prompt_tokens=60, completion_tokens=30, dollars=0.0004))
    for label in range(classes):
        name = f"{('Grus', 'Ardea', 'Ciconia', 'Larus')[label % 4]} species {label}"
        of = {"label": label, "class_": name}
        count = 2 + int(1000 / (1 + label / 40))
        shot = "many" if count > 100 else "medium" if count >= 20 else "few"
        yield Class(id=f"{label:016x}", count=count, shot=shot, tail=True, **of)
        for n in range(5):
            sha256 = rng.choice(photos)
            yield Image(id=f"o{label:07x}{n:08x}", sha256=sha256, origin="original", name=f"{n}.jpg", **of)
        threshold = round(rng.uniform(0.6, 0.75), 6)
        yield Template(id=f"t{label:015x}", text=text.format(name, "side"), threshold=threshold, made=made, **of)
        for n in range(images):
            said = text.format(name, f"side, from afar and behind reeds number {n}")
            yield Description(id=f"d{label:07x}{n:08x}", text=said, origin="extended", made=made, **of)
            steps = []
            while len(steps) < 3 and not (steps and steps[-1].score >= threshold):
                steps.append(Step(text=said, sha256=rng.choice(photos), score=round(rng.gauss(threshold, 0.1), 6)))
            best = max(steps, key=lambda step: step.score)
            kind = {"sha256": best.sha256, "text": said, "score": best.score, "threshold": threshold}
            kind |= {"scale": "calibrated", "history": tuple(steps), "id": f"i{label:07x}{n:08x}", **of}
            seeded = Made(model="sdxl", seed=n, usage=Usage(dollars=0.0))
            if best.score >= threshold:
                yield Image(origin="generated", parents=(f"d{label:07x}{n:08x}",), made=seeded, **kind)
            else:
                yield Rejected(of="image", reason="scored below the class's threshold", made=seeded, **kind)
    for method, better in (("fine-tuning", 0), ("LTGC", 5)):
        for group in ("many", "medium", "few", "all"):
            yield Metric(id=f"{method} {group}", name="accuracy", group=group, value=60.0 + better, method=method)
        for label in range(classes):
            of = {"label": label, "class_": f"{('Grus', 'Ardea', 'Ciconia', 'Larus')[label % 4]} species {label}"}
            value = round(rng.uniform(20, 90) + better, 2)
            yield Metric(id=f"{method} {label}", name="accuracy", group="class", value=value, method=method, **of)


def write_stream(folder: Path, classes: int, images: int) -> None:
    """Writes run.jsonl, and the store with its photos."""
    store, rng = Store(folder / "store"), np.random.default_rng(0)
    photos = [store.put_object(photo(rng)) for _ in range(_PHOTOS)]
    with (folder / "run.jsonl").open("w", encoding="utf-8") as file:
        for record in stream(classes, images, photos):
            file.write(records.dump(record) + "\n")
    store.close()


def opened(page: Path) -> str:
    """Returns in words how long Chromium takes to open a page: its scripts run, its first screen laid out."""
    path = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        return "no browser here"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.goto("about:blank")
        started = time.monotonic()
        tab.goto(page.as_uri(), wait_until="load", timeout=120_000)
        tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seconds, elements = time.monotonic() - started, tab.evaluate("document.querySelectorAll('*').length")
        browser.close()
    return f"opens in {seconds:.1f} s, {elements:,} elements"


def main(classes: int, images: int) -> None:
    """Prints what the report took, in one line, and how its page opens, in another."""
    with TemporaryDirectory() as name:
        folder = Path(os.environ.get("LTGC_BENCH_FOLDER") or name)  # a folder of one's own is kept
        if not (folder / "run.jsonl").exists():
            write_stream(folder, classes, images)
        command = [sys.executable, "-m", "ltgc_cli", "report", "--force", "-i", "run.jsonl"]
        environment = {**os.environ, "LTGC_CACHE_DIR": str(folder / "store")}
        done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        used, page = resource.getrusage(resource.RUSAGE_CHILDREN), folder / "report.html"
        print(done.stderr.strip())
        shown = len(re.findall(r"<img |\.n-", page.read_text(encoding="utf-8")))
        print(
            f"{classes:,} classes, {classes * images:,} images: {used.ru_utime + used.ru_stime:.1f} s of CPU, "
            f"{used.ru_maxrss / 1024:,.0f} MB of memory at most, a page of {page.stat().st_size:,} bytes with "
            f"{shown:,} pictures"
        )
        print(opened(page))


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*(given + [8000, 100][len(given) :]))
