"""Kills commands at any moment, goes on by the same command, and compares with what came undisturbed.

Of 25 trials 20 are a SIGKILL, three a SIGTERM, one is a SIGHUP and one a Ctrl-C. Every other SIGKILL strikes as a
temporary file appears: in the write of an image, an artifact, a checkpoint.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from campaigns.chain import CONCURRENCY, STAGES, Chain, differences, made, questions, said_wrong, unfinished
from campaigns.counts import Counts, Fault, attempted
from campaigns.language import language
from campaigns.programs import Process, programs

_STATUS = {signal.SIGKILL: 137, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
_PATIENCE = 20.0
"""Seconds that a command may take to end once it is told to."""


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns what the kills of these numbers found."""
    with programs(place / "programs") as start, language() as model:
        chain = Chain(place, start, model, {})
        peaks: list[float] = []
        counts = attempted(numbers, lambda number: _trial(chain, number, Random(f"{seed} {number}"), peaks))
        counts.peak = max(peaks, default=0)
        return counts


def _trial(chain: Chain, number: int, random: Random, peaks: list[float]) -> list[Fault]:
    name = list(STAGES)[number % len(STAGES)]
    wanted = chain.undisturbed(name)
    sent = _signal(random)
    aimed = sent == signal.SIGKILL and random.random() < 0.5
    folder = chain.place / f"trial-{number}"
    try:
        chain.prepared(name, folder)
        said_before = chain.model.answered.total()
        process = chain.process(name, folder)
        _wait(process, folder, random, wanted.seconds, aimed)
        struck = not process.ended()
        process.send(sent)
        ran = process.wait(_PATIENCE)
        what = f"{name} with {sent.name}{' while a file was written' if aimed else ''}"
        faults = said_wrong(ran, [_STATUS[sent], wanted.code] if struck else [wanted.code], what)
        if sent != signal.SIGKILL and (left := unfinished(folder)):
            faults.append(Fault("other", f"{what} leaves {left[0]}"))
        _settle(chain)
        kept = questions(folder)
        if STAGES[name].asks and (lost := chain.model.answered.total() - said_before - len(kept)) > CONCURRENCY:
            faults.append(Fault("loss", f"{what}: {lost} answers are not kept, and {CONCURRENCY} were under way"))
        asked = chain.model.asked.total()
        again = chain.process(name, folder).wait()
        peaks += [ran.peak, again.peak]
        return faults + list(_gone_on(chain, name, folder, kept, asked, again, what))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gone_on(
    chain: Chain, name: str, folder: Path, kept: set[str], asked: int, again: object, what: str
) -> Iterator[Fault]:
    """Returns the faults of a command that went on where another one was killed."""
    wanted = chain.undisturbed(name)
    yield from said_wrong(again, [wanted.code], f"after {what} the same command")  # type: ignore[arg-type]
    yield from differences(wanted.made, made(folder), f"after {what}")
    now = questions(folder)
    if gone := kept - now:
        yield Fault("loss", f"after {what}: {len(gone)} answers are gone from the store")
    new, came = len(now - kept), chain.model.asked.total() - asked
    if STAGES[name].asks and came != new:
        yield Fault("repeat", f"after {what}: {came} questions were asked for {new} new answers")
    if left := unfinished(folder):
        yield Fault("other", f"after {what}, and going on, {left[0]} is left")


def _signal(random: Random) -> signal.Signals:
    if random.random() < 0.8:
        return signal.SIGKILL
    return random.choice([signal.SIGTERM, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])


def _wait(process: Process, folder: Path, random: Random, seconds: float, aimed: bool) -> None:
    """Waits for the moment to strike: a random one, or when some temporary file is there."""
    if not aimed:
        process.ended(random.uniform(0, seconds))
        return
    seen: set[str] = set()
    wanted, end = random.randint(1, 6), time.monotonic() + seconds * 2
    while time.monotonic() < end and len(seen) < wanted and not process.ended():
        seen.update(unfinished(folder))


def _settle(chain: Chain) -> None:
    """Waits until the server has written down all that it answered to one who is gone."""
    for _ in range(100):
        if chain.model.asked.total() == chain.model.answered.total():
            return
        time.sleep(0.02)
