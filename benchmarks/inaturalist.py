"""The whole road at the size of iNaturalist 2018, but for drawing and training: CPU, memory, store and questions.

    python benchmarks/inaturalist.py FOLDER                        # 8,142 classes, K_y = 100: hours, 20 GB
    python benchmarks/inaturalist.py FOLDER --classes 500          # a part, in proportion
    python benchmarks/inaturalist.py FOLDER --stages filter report # these again

Each stage is a command in a process of its own, from file to file. A server on loopback, in a process of its own too,
answers for the language models; images are painted by `blank` and judged by the embedded CLIP. What is measured is
added to FOLDER/measured.jsonl, and a stage that stands there is not run again: a run that was stopped goes on.

The numbers of classes and images by shot are published (AlphaNet's table "Statistics of long-tailed datasets"); within
a shot they are spread so that they fall smoothly and sum up to it. Images are files of some hundred bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loopback import serving

SHOTS = ((842, 258_340, 101, 1000), (4_076, 133_061, 21, 100), (3_224, 46_112, 2, 20))
"""Classes, their images, and the fewest and most images of a class: many, medium and few shots."""
STAGES = ("describe", "extend", "reflect", "render", "filter", "report")
MODEL = "openai/loopback"

FEATURES = tuple(
    f"{colour} {part}"
    for colour in ("pale", "dark", "speckled", "glossy", "ragged", "striped", "bright", "mottled", "slender", "broad")
    for part in ("wings", "leaves", "petals", "legs", "eyes", "bark", "plumage", "scales", "antennae", "stems")
)
VIEWS = tuple(
    f"seen {where} {when}"
    for where in ("close up", "from above", "from below", "from behind", "half hidden", "from far away", "in profile")
    for when in ("at dawn", "at noon", "at dusk", "in fog", "in rain", "after snow", "by moonlight", "in hard light")
)
PLACES = tuple(
    f"{how} {place}"
    for how in ("resting on", "among", "beside", "partly covered by", "moving through", "in front of")
    for place in ("wet moss", "dry grass", "gravel", "driftwood", "reeds", "a stone wall", "fallen leaves", "sand")
)


def counts(share: float) -> list[int]:
    """Returns the images of each class, falling, for a share of the classes."""
    found: list[int] = []
    for classes, images, low, high in SHOTS:
        number = max(1, round(classes * share))
        found += _falling(number, round(images * number / classes), low, high)
    return found


def _falling(number: int, total: int, low: int, high: int) -> list[int]:
    def spread(power: float) -> list[int]:
        places = [place / max(1, number - 1) for place in range(number)]
        return [round(low * (high / low) ** ((1 - place) ** power)) for place in places]

    least, most = 0.01, 100.0
    for _ in range(60):
        middle = (least * most) ** 0.5
        least, most = (middle, most) if sum(spread(middle)) > total else (least, middle)
    return spread(most)


def names(number: int) -> list[str]:
    """Returns so many different names of two words, as species have them."""
    draw = random.Random(0)
    syllables = [first + second for first in "bcdfglmnprstv" for second in ("a", "e", "i", "o", "u", "er", "us")]
    found: dict[str, None] = {}
    while len(found) < number:
        genus, species = ("".join(draw.choices(syllables, k=draw.choice((2, 3, 4)))) for _ in range(2))
        found[f"{genus.capitalize()} {species}"] = None
    return list(found)


def make(folder: Path, share: float) -> None:
    """Makes the data set: train2018.json and its images."""
    from io import BytesIO

    from PIL import Image

    sizes = counts(share)
    images, annotations, number = [], [], 0
    for label, size in enumerate(sizes):
        place = folder / "images" / f"{label:04}"
        place.mkdir(parents=True, exist_ok=True)
        for _ in range(size):
            digest = hashlib.sha256(str(number).encode()).digest()
            data = BytesIO()
            Image.frombytes("RGB", (4, 2), digest[:24]).resize((48, 36)).save(data, "JPEG")
            name = f"{label:04}/{number}.jpg"
            (folder / "images" / name).write_bytes(data.getvalue())
            images.append({"id": number, "file_name": name})
            annotations.append({"image_id": number, "category_id": label})
            number += 1
    categories = [{"id": label, "name": name} for label, name in enumerate(names(len(sizes)))]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "train2018.json").write_text(json.dumps(coco))


def answer(question: str) -> str:
    """Returns what the server says: always the same to the same question."""
    draw = random.Random(question)
    name = re.search(r"class ([A-Z]\w+ \w+)", question)
    subject = name[1] if name else "thing"

    def sentence() -> str:
        return f"A photo of the class {subject}, {draw.choice(FEATURES)}, {draw.choice(VIEWS)}, {draw.choice(PLACES)}."

    if wanted := re.search(r"Answer with (\d+) descriptions", question):
        return "\n".join(f"{number}. {sentence()}" for number in range(1, int(wanted[1]) + 1))
    if "Answer only with the numbers" in question:
        return str(draw.randint(1, 20)) if draw.random() < 0.2 else "none"
    if "Template 2" in question:
        return f"A photo of the class {subject} with {', '.join(draw.sample(FEATURES, 3))}."
    return sentence()


def command(stage: str, folder: Path, address: str, k: int, at_once: int) -> list[str]:
    """Returns the command of a stage, from the file of the one before."""
    before = dict(zip(STAGES[1:], STAGES, strict=False))
    given = ["-i", str(folder / f"{before[stage]}.jsonl")] if stage in before else []
    kept = ["-o", str(folder / ("report.html" if stage == "report" else f"{stage}.jsonl")), "--force"]
    asking = ["--api-base", address, "--concurrency", str(at_once)]
    data = ["--data", str(folder / "train2018.json"), "--root", str(folder / "images"), "--tail", "101"]
    more = {
        "describe": [*data, "--lmm", MODEL, *asking],
        "extend": ["-n", "20", "--llm", MODEL, *asking],
        "reflect": ["-k", str(k), "--llm", MODEL, *asking],
        "render": ["--t2i", "blank"],
        "filter": ["--mode", "exclude", "--t2i", "blank", "--llm", MODEL, *asking],
        "report": [],
    }
    return [sys.executable, "-m", "ltgc_cli", stage, *given, *more[stage], *kept]


def measured(stage: str, arguments: Sequence[str], folder: Path) -> dict[str, Any]:
    """Runs a stage; returns its wall and CPU seconds, peak memory, store and summary."""
    environment = {**os.environ, "LTGC_CACHE_DIR": str(folder / "store"), "OPENAI_API_KEY": "loopback"}
    with (folder / f"{stage}.log").open("wb") as log:
        begun = time.monotonic()
        process = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = (folder / f"{stage}.log").read_text(errors="replace").splitlines()
    said = [line for line in lines if line.startswith(f"{stage}: ") and "/s, " not in line]
    return {
        "stage": stage,
        "exit": process.returncode,
        "wall_s": round(wall, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_MB": round(used.ru_maxrss / 1024),
        "store_MB": round(_size(folder / "store") / 1e6),
        "said": next((line for line in said if " asked" in line), lines[-1] if lines else ""),
    }


def _size(folder: Path) -> int:
    """Returns the bytes that a folder takes on its disk."""
    done = subprocess.run(["du", "-s", "-B1", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=int, default=8142)
    parser.add_argument("--k", type=int, default=100, help="K_y, the descriptions of a class")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds to an answer")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--stages", nargs="+", choices=STAGES, help="these alone, also if they are measured already")
    args = parser.parse_args()
    folder: Path = args.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    rows_file = folder / "measured.jsonl"
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()] if rows_file.exists() else []
    if not (folder / "train2018.json").exists():
        shutil.rmtree(folder / "images", ignore_errors=True)
        make(folder, args.classes / 8142)
    with serving(args.latency, answer) as address:
        for stage in args.stages or [stage for stage in STAGES if stage not in {row["stage"] for row in rows}]:
            row = measured(stage, command(stage, folder, address, args.k, args.at_once), folder)
            rows = [*(one for one in rows if one["stage"] != stage), row]
            rows_file.write_text("".join(json.dumps(one) + "\n" for one in rows))
            print(json.dumps(row), flush=True)
            if row["exit"] not in (0, 1):
                sys.exit(f"{stage} ended with {row['exit']}: {row['said']}")
    print(
        "| stage | wall, s | CPU, s | peak memory, MB | store after it, MB | |\n| --- | --- | --- | --- | --- | --- |"
    )
    for row in rows:
        print("| {stage} | {wall_s:,} | {cpu_s:,} | {peak_MB:,} | {store_MB:,} | {said} |".format(**row))
    print(f"all: {sum(row['cpu_s'] for row in rows) / 60:.1f} minutes of CPU", end="; ")
    print(f"this program itself took {resource.getrusage(resource.RUSAGE_SELF).ru_utime:.0f} s")


if __name__ == "__main__":
    main()
