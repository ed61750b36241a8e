"""Eight processes ask on one store, each for some classes that others ask for as well.

A trial is an answer. None may be lost, and none asked again that was stored for more than a second.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random

from campaigns.chain import shortened
from campaigns.counts import Counts, Fault, note
from campaigns.programs import environment

_PROCESSES = 8
_PROGRAM = Path(__file__).with_name("asking.py")


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns what became of so many answers."""
    random, store = Random(seed), place / "store"
    classes = [f"bird {number}" for number in numbers]
    running = []
    for process in range(_PROCESSES):
        own = [name for at, name in enumerate(classes) if at % _PROCESSES == process or random.random() < 0.25]
        random.shuffle(own)
        lines = [
            {"kind": "class", "label": int(name.split()[1]), "class": name, "count": 3, "tail": True} for name in own
        ]
        (place / f"{process}.in").write_text("".join(json.dumps(line) + "\n" for line in lines))
        command = [sys.executable, _PROGRAM, place / f"{process}.log", store, "extend", "-i", f"{process}.in"]
        command += ["-n", "2", "--concurrency", "16", "-o", f"{process}.out"]
        with (place / f"{process}.err").open("wb") as err:
            started = subprocess.Popen([*map(str, command)], env=environment(store), cwd=place, stderr=err)
        running.append((started, own))
    counts = Counts(tried=len(classes), held=len(classes))
    for number, (process, own) in enumerate(running):
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        counts.peak = max(counts.peak, used.ru_maxrss / 1024)
        faults = _faults(process.returncode, (place / f"{number}.err").read_text(), place / f"{number}.out", own)
        counts.held -= len(faults)
        note(counts, faults, f"process {number}")
    logged = [line.split() for path in place.glob("*.log") for line in path.read_text().splitlines()]
    late = Counter(key for word, key in logged if word == "late")
    with closing(sqlite3.connect(store / "answers" / "cache.db")) as connection:
        kept = {key for (key,) in connection.execute("SELECT key FROM Cache")}
    lost = {key for _, key in logged} - kept
    faults = [Fault("loss", f"{key} was answered, and is not in the store") for key in sorted(lost)]
    faults += [Fault("repeat", f"{key} was asked, and had been in the store for a second") for key in sorted(late)]
    counts.held -= len(faults)
    note(counts, faults, "all together")
    return counts


def _faults(code: int, err: str, out: Path, own: list[str]) -> list[Fault]:
    if "Traceback" in err:
        return [Fault("traceback", shortened(err))]
    if code:
        return [Fault("other", f"ended with {code}: {shortened(err)}")]
    rows = Counter(json.loads(line)["class"] for line in out.read_text().splitlines() if '"description"' in line)
    return [Fault("loss", f"{name} has {rows[name]} of 2 descriptions") for name in own if rows[name] != 2]
