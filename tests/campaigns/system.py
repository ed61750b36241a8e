"""A system that misleads: locks that cannot be had, or that hold nobody back; a clock that jumps by years.

--only system-locks     the command refuses in one line, or does right
--only system-clock     the same records, exit status and number of questions
"""

from __future__ import annotations

import errno
import shutil
from functools import cache
from pathlib import Path
from random import Random

from campaigns.chain import differences, said_wrong
from campaigns.counts import Counts, Fault, attempted
from campaigns.shim import COMMANDS, SKIPPED, Undisturbed, asked_in, compiled, made, recorded, run

_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, 0)


def attack(variant: str, numbers: range, seed: int, place: Path) -> Counts:
    """Returns what commands came to on such a system."""
    shim = compiled(place)
    if not shim:
        return Counts(skipped=SKIPPED)
    undisturbed = cache(lambda name: recorded(shim, name, place / name.replace(" ", "-")))

    def trial(number: int) -> list[Fault]:
        name = list(COMMANDS)[number % len(COMMANDS)]
        folder = place / f"trial-{number}"
        value = str(_LOCKS[number % len(_LOCKS)] if variant == "locks" else Random(f"{seed} {number}").randrange(10**6))
        try:
            return _trial(shim, variant, value, name, undisturbed(name), folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return attempted(numbers, trial)


def _trial(shim: Path, variant: str, value: str, name: str, wanted: Undisturbed, folder: Path) -> list[Fault]:
    shutil.copytree(wanted.before, folder)
    what = f"{name}, {'locks that end with' if variant == 'locks' else 'a clock that jumps by'} {value}"
    for time in ("", "again, "):  # a second time all is answered, whatever time it is
        ran = run(shim, COMMANDS[name], folder, seconds=240, **{f"SHIM_{variant.upper()}": value})
        if ran.code == -1:
            return [Fault("other", f"{time}{what} did not end")]
        if variant == "locks" and ran.code in (2, 3):
            lines = [line for line in ran.err.splitlines() if line.startswith("ltgc: ")]
            refused = [] if len(lines) == 1 else [Fault("other", f"{time}{what}: {len(lines)} lines: {ran.err[-500:]}")]
            return said_wrong(ran, [2, 3], time + what) + refused
        faults = said_wrong(ran, [wanted.code], time + what) + differences(wanted.made, made(folder), time + what)
        if faults:
            return faults
    if asked_in(folder) != wanted.asked:
        return [Fault("repeat", f"{what}: {asked_in(folder)} questions, not {wanted.asked}")]
    return []
