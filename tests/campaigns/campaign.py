"""Attacks all that docs/reliability.md promises, for an hour on two cores, and prints a table of what was found.

    python tests/campaigns/campaign.py [--only NAME]... [--share 0.01] [--seed 0] [--minutes 60] [--json FILE]
        [--keep FOLDER]
    python tests/campaigns/campaign.py --only kills --seed 0 --trial 17     # one trial again, as an example names it

Ends with 1 where a promise was not kept. Each attack is a module beside this one with a function
`attack(numbers, seed, place) -> Counts`: a trial is made of the seed and of its number alone. All happens in temporary
folders, and no process is killed but those that an attack started.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parents[1]
PROCESSES = 2
MOST_MEMORY = 500  # MB, as in counts.py, which this process has not imported


class Attack(NamedTuple):
    """How much of an attack there is, and in how many parts it is done, so that two processes end together."""

    title: str
    count: int
    parts: int = 2
    weight: float = 1.0
    """Minutes of one core that it takes, about: its share of the time. What it does not need, others have."""


ATTACKS = {
    "kills": Attack("killed, ended and hung up", 550, 2, 30),
    "powercut": Attack("power cut", 100, 2, 8),
    "together": Attack("eight processes on one store (answers)", 10_000, 1, 2),
    "faulty": Attack("wrong answers of a provider", 212, 2, 10),
    "images": Attack("hostile pictures", 210, 2, 8),
    "review": Attack("requests to the review server", 1_000, 1, 0.5),
    "keys": Attack("stages with a known key, all searched for it", 26, 2, 4),
    "full": Attack("full and read-only places", 60, 2, 9),
    "system-locks": Attack("locks that do not work", 15, 1, 2),
    "system-clock": Attack("a clock that jumps", 15, 1, 3),
    "fuzz-answers": Attack("mutated answers", 1_000_000, 2, 14),
    "fuzz-records": Attack("mutated records", 1_000_000, 2, 3),
    "fuzz-lists": Attack("mutated lists of images", 1_000_000, 2, 8),
    "fuzz-settings": Attack("mutated settings files", 1_000_000, 2, 6),
    "fuzz-tars": Attack("mutated tars", 1_000_000, 2, 8),
}


class Part(NamedTuple):
    """Some trials of an attack."""

    name: str
    numbers: range


class Done(NamedTuple):
    """What came of a part: its counts, or why there are none."""

    part: Part
    counts: dict[str, Any]
    seconds: float


def main() -> None:
    """Runs the attacks and prints the table."""
    arguments = _arguments()
    names = arguments.only or list(ATTACKS)
    parts = [part for name in names for part in _parts(name, arguments.share, arguments.trial)]
    # The long ones come last, and have what time the others leave.
    parts.sort(key=lambda part: ATTACKS[part.name].weight / ATTACKS[part.name].parts)
    place = Path(tempfile.mkdtemp(prefix="ltgc-campaign-", dir=arguments.place))
    keep = Path(arguments.keep or tempfile.mkdtemp(prefix="ltgc-faults-")).absolute()
    shares = _shares(parts, time.monotonic() + arguments.minutes * 60)
    try:
        with _programs(place), ThreadPoolExecutor(PROCESSES) as pool:
            done = list(pool.map(lambda part: _run(part, arguments.seed, place, keep, shares(part)), parts))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    rows = [_row(name, [one for one in done if one.part.name == name]) for name in names]
    print(_table(rows))
    for row in rows:
        for example in row["examples"]:
            print(f"\n{row['name']}: {example}\n  again: {_again(row['name'], example, arguments.seed)}")
    if not arguments.keep and not any(keep.iterdir()):
        keep.rmdir()
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(any(row["faults"] for row in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=ATTACKS, help="this attack alone; may be given again")
    parser.add_argument("--share", type=float, default=1.0, help="this share of every attack's trials")
    parser.add_argument("--seed", type=int, default=0, help="what the trials are made of, with their numbers")
    parser.add_argument("--minutes", type=float, default=55, help="the most that all of it takes")
    parser.add_argument("--trial", type=int, help="the trial of this number alone")
    parser.add_argument("--json", help="a file for the counts")
    parser.add_argument("--keep", help="a folder for inputs that something is wrong with; else one that is named")
    parser.add_argument("--place", help="a folder for what is made meanwhile, on a disk or in memory")
    return parser.parse_args()


def _parts(name: str, share: float, trial: int | None) -> list[Part]:
    """Returns the parts of an attack, each a run of neighbouring numbers."""
    if trial is not None:
        return [Part(name, range(trial, trial + 1))]
    attack = ATTACKS[name]
    count = max(1, round(attack.count * share))
    parts = min(attack.parts, count)
    ends = [count * at // parts for at in range(parts + 1)]
    return [Part(name, range(first, end)) for first, end in zip(ends, ends[1:], strict=False)]


def _shares(parts: Sequence[Part], end: float) -> Callable[[Part], float]:
    """Returns what says, as a part begins, how long it may take: its share of the time that is left."""
    waiting = list(parts)
    guard = threading.Lock()

    def weight(part: Part) -> float:
        return ATTACKS[part.name].weight / ATTACKS[part.name].parts

    def seconds(part: Part) -> float:
        with guard:
            left, share = end - time.monotonic(), weight(part) / sum(map(weight, waiting))
            waiting.remove(part)
        return min(left, PROCESSES * left * share)

    return seconds


@contextmanager
def _programs(place: Path) -> Iterator[None]:
    """Starts the one process that all attacks fork their commands from: its imports take as long as ten trials."""
    socket = place / "programs"
    command = [sys.executable, "-m", "campaigns.programs", os.path.relpath(socket, place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=place, env=_environment(place)) as server:
        assert server.stdout
        server.stdout.readline()
        try:
            yield
        finally:
            server.terminate()


def _environment(home: Path) -> dict[str, str]:
    """Returns the variables of a process of the campaign: nothing of the user's ltgc."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LTGC_")}
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return kept | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HOME": str(home), "TMPDIR": str(home)}


def _run(part: Part, seed: int, place: Path, keep: Path, seconds: float) -> Done:
    started = time.monotonic()
    own = Path(tempfile.mkdtemp(dir=place))
    (own / "tmp").mkdir()
    (own / "home").mkdir()
    environment = _environment(own / "home") | {
        "TMPDIR": str(own / "tmp"),
        "CAMPAIGN_SECONDS": str(seconds),
        "CAMPAIGN_PROGRAMS": os.path.relpath(place / "programs", own),  # a socket's name must be short
        "CAMPAIGN_KEEP": str(keep),
    }
    command = [sys.executable, "-m", "campaigns.one", part.name, part.numbers.start, part.numbers.stop, seed, own]
    ran = subprocess.run([*map(str, command)], env=environment, cwd=own, capture_output=True, text=True)
    shutil.rmtree(own, ignore_errors=True)
    took = time.monotonic() - started
    try:
        counts = json.loads(ran.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        counts = {"broken": f"{part.numbers}: {ran.stderr[-2000:]}"}
    print(f"{part.name} {part.numbers.start}-{part.numbers.stop}: {took:.0f} s", file=sys.stderr, flush=True)
    return Done(part, counts, took)


def _row(name: str, done: Sequence[Done]) -> dict[str, Any]:
    """Returns an attack's row of the table, with its examples."""
    fields = ("tried", "held", "losses", "repeats", "tracebacks", "others")
    row: dict[str, Any] = {"name": name, "title": ATTACKS[name].title}
    row |= {field: sum(one.counts.get(field, 0) for one in done) for field in fields}
    row["peak"] = max((one.counts.get("peak", 0) for one in done), default=0)
    row["minutes"] = sum(one.seconds for one in done) / 60
    row["skipped"] = next((one.counts["skipped"] for one in done if one.counts.get("skipped")), "")
    row["examples"] = [example for one in done for example in one.counts.get("examples", ())]
    row["examples"] += [f"the attack itself broke: {one.counts['broken']}" for one in done if "broken" in one.counts]
    if row["peak"] > MOST_MEMORY:
        row["examples"].append(f"a process took {row['peak']:.0f} MB")
    row["faults"] = bool(row["tried"] - row["held"] or row["examples"])
    return row


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the rows as Markdown."""
    lines = [
        "| attack | tried | losses | repeats | tracebacks | other faults | peak MB | minutes of one core |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        tried = f"skipped: {row['skipped']}" if row["skipped"] and not row["tried"] else f"{row['tried']:,}"
        counts = " | ".join(str(row[field]) for field in ("losses", "repeats", "tracebacks", "others"))
        lines.append(f"| {row['title']} | {tried} | {counts} | {row['peak']:.0f} | {row['minutes']:.1f} |")
    return "\n".join(lines)


def _again(name: str, example: str, seed: int) -> str:
    """Returns the command that tries an example again.

    >>> _again("fuzz-lists", "input /tmp/f/lists-ab12 (b'x', 1 bytes, sha256 ab12): other: 3.0 s", 0)
    'PYTHONPATH=tests python -m campaigns.fuzz lists /tmp/f/lists-ab12'
    """
    if example.startswith("input "):
        file = example.removeprefix("input ").partition(" (")[0]
        return f"PYTHONPATH=tests python -m campaigns.fuzz {name.removeprefix('fuzz-')} {shlex.quote(file)}"
    number = example.partition(":")[0].removeprefix("trial ") if example.startswith("trial ") else "NUMBER"
    return f"python {__file__} --only {name} --seed {seed} --trial {number}"


if __name__ == "__main__":
    main()
