"""Hostile pictures where pictures are read: in a data folder, in the store, in a folder that is to be classified.

Each ends in a `failure` record or in one line with its name; no program is started, and little memory is taken.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from campaigns.chain import said_wrong
from campaigns.counts import MOST_MEMORY, Counts, Fault, attempted
from campaigns.pictures_hostile import hostile, saved
from campaigns.programs import Start, environment, programs
from PIL import Image

from ltgc_cli.store import Store

_SUFFIXES = (".jpg", ".png", ".gif", ".webp", ".tif", ".bmp")
_STAGES = {
    "describe": ["describe", "--data", "data", "--tail", "few", "-o", "out"],
    "mix-train": ["mix-train", "--data", "data", "--no-generated", "--steps", "1", "--batch", "2", "-o", "out"],
    "filter": ["filter", "-i", "in", "--t2i", "blank", "-o", "out"],
    "sheet": ["sheet", "-i", "in", "-o", "sheet.png"],
    "report": ["report", "-i", "in", "-o", "report.html"],
    "predict": ["predict", "--checkpoint", "good", "shown"],
}
_ENOUGH = 60.0


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns what hostile pictures of these numbers came to."""
    peaks = [0.0]
    with programs(place / "programs") as start:
        good = _checkpoint(start, place / "good")

        def trial(number: int) -> list[Fault]:
            folder = place / f"trial-{number}"
            try:
                return _trial(start, good, number, seed, folder, peaks)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        counts = attempted(numbers, trial)
    counts.peak = max(peaks)
    return counts


def _trial(start: Start, good: Path, number: int, seed: int, folder: Path, peaks: list[float]) -> list[Fault]:
    kind, data = hostile(number // 3, seed)  # each kind meets three stages, others in the next round
    names = list(_STAGES)
    stage = names[(number + number // (3 * len(names))) % len(names)]
    name = f"hostile{_SUFFIXES[number % len(_SUFFIXES)]}"
    given(folder, name, data, good)
    environ = environment(folder / "store", TMPDIR=str(folder / "tmp"))
    environ["PATH"] = f"{folder / 'bin'}:{environ['PATH']}"
    ran = start(_STAGES[stage], folder, environ).wait(_ENOUGH)
    peaks.append(ran.peak)
    what = f"{stage} on {kind} as {name}"
    faults = said_wrong(ran, [0, 1, 2], what)
    if (folder / "gs-ran").exists():
        faults.append(Fault("other", f"{what} starts Ghostscript"))
    if ran.peak > MOST_MEMORY:
        faults.append(Fault("other", f"{what} takes {ran.peak:.0f} MB"))
    if ran.code == 2 and not ("hostile" in ran.err or hashlib.sha256(data).hexdigest()[:12] in ran.err):
        faults.append(Fault("other", f"{what}: no file is named: {ran.err[-400:]}"))
    return faults


def given(folder: Path, name: str, data: bytes, good: Path) -> None:
    """Makes a data folder, a folder of photos, and a store with generated images; in each is the hostile picture."""
    for part in ("tmp", "bin", "shown", "data/crane", "data/seal"):
        (folder / part).mkdir(parents=True)
    (folder / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {folder / 'gs-ran'}\n")
    (folder / "bin" / "gs").chmod(0o755)
    for path in ("data/crane/1.png", "data/crane/2.png", "data/seal/1.png", "data/seal/2.png", "shown/1.png"):
        (folder / path).write_bytes(saved("PNG"))
    for path in ("data/crane", "shown"):
        (folder / path / name).write_bytes(data)
    (folder / "good").symlink_to(good)
    rows = [{"kind": "class", "label": 0, "class": "crane", "count": 3, "tail": True}]
    drawn = saved("PNG", Image.new("RGB", (48, 40), "teal"))
    store = Store(folder / "store")
    for origin, one in (("original", saved("PNG")), ("generated", drawn), ("generated", data)):
        sha256 = store.put_object(one)
        text = "A photo of the class crane, at dusk."
        row = {"kind": "image", "id": sha256[:16], "label": 0, "class": "crane", "sha256": sha256, "origin": origin}
        rows.append(row | ({"name": "crane/1.png"} if origin == "original" else {"text": text}))
    store.close()
    (folder / "in").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _checkpoint(start: Start, folder: Path) -> Path:
    """Returns a checkpoint of two classes."""
    given(folder / "made", "1.png", saved("PNG"), folder)
    command = ["mix-train", "--data", "data", "--no-generated", "--steps", "1", "--batch", "2", "--out", "checkpoint"]
    ran = start(command, folder / "made", environment(folder / "made" / "store", TMPDIR=str(folder))).wait()
    assert ran.code == 0, ran.err
    return folder / "made" / "checkpoint"
