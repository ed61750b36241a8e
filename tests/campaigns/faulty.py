"""A language model of whose answers three in ten are wrong, in one way of tests/faulty_server.py in each trial.

Every stage that asks meets every way. It ends with a status that says so, keeps what was answered, and asks it no
second time; nothing that a server sends takes the memory, or the time, of the machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from campaigns.chain import STAGES, Chain, questions, said_wrong, unfinished
from campaigns.counts import MOST_MEMORY, Counts, Fault, attempted
from campaigns.language import language
from campaigns.programs import programs
from faulty_server import QUICK

_ASKING = [name for name, stage in STAGES.items() if stage.asks in ("llm", "lmm")]
_MODES = sorted(QUICK)
_ENOUGH = 120.0
"""Seconds that a command may take with all its retries."""


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns what wrong answers of these numbers came to. Most of the time is waited, so four trials go on at once."""
    peaks = [0.0]
    with programs(place / "programs") as start, language() as model:
        chain = Chain(place, start, model, {})
        for name in {STAGES[_ASKING[number % len(_ASKING)]].reads for number in numbers} - {""}:
            chain.undisturbed(name)

        def trial(number: int) -> list[Fault]:
            folder = place / f"trial-{number}"
            try:
                with language() as own:
                    return _trial(chain._replace(model=own), number, folder, seed, peaks)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        counts = attempted(numbers, trial, at_once=4)
    counts.peak = max(peaks)
    return counts


def _trial(chain: Chain, number: int, folder: Path, seed: int, peaks: list[float]) -> list[Fault]:
    name, mode = _ASKING[number % len(_ASKING)], _MODES[number * 7 % len(_MODES)]
    chain.prepared(name, folder)
    what = f"{name}, of answers three in ten are: {mode}"
    chain.model.turn_bad(0.3, seed + number, [mode])
    ran = chain.process(name, folder, ["--time-limit", "5"]).wait(_ENOUGH)
    peaks.append(ran.peak)
    faults = said_wrong(ran, [0, 1, 3, 4], what)
    if left := unfinished(folder):
        faults.append(Fault("other", f"{what} leaves {left[0]}"))
    if ran.peak > MOST_MEMORY:
        faults.append(Fault("other", f"{what} takes {ran.peak:.0f} MB"))
    chain.model.get_well()
    kept, asked = questions(folder), chain.model.asked.total()
    again = chain.process(name, folder).wait(_ENOUGH)
    faults += said_wrong(again, [0, 1], f"after {what} the same command with a sound model")
    now = questions(folder)
    if gone := kept - now:
        faults.append(Fault("loss", f"after {what}: {len(gone)} answers are gone"))
    new, came = len(now - kept), chain.model.asked.total() - asked
    if came > new:
        faults.append(Fault("repeat", f"after {what}: {came} questions were asked for {new} new answers"))
    return faults
