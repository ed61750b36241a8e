"""How many durable answers a second the store takes from many threads, and how much memory a long stream takes.

    python benchmarks/store.py                      # answers a second, a minute
    python benchmarks/store.py memory [RECORDS]     # a stream through `extend` and `render`, RECORDS of it [100000]

A thread has its answer once that is on the disk, as in a run. `commits` is what the same disk does with one row for
each commit, measured in turns with the rest. The second table slows each commit down to 300 a second, whatever the disk
does: the store must take 2,000 answers a second there from 64 threads. The memory is the highest of each command while
answers go through a pipe into an empty store, and once more from the store, at half of the records and at all of
them: where it is flat both are the same.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ltgc_cli import database
from ltgc_cli.ports import Answer, Question
from ltgc_cli.records import Class, Description, dump, identify
from ltgc_cli.store import Store, cached

SECONDS, TURNS = 2.0, 3
COMMITS = 300
"""Commits a second of the disk that is slowed down."""
ANSWER = "A photo of the class crane, wading at dusk. " * 18
CHAIN = ("extend", "-n", "4"), ("render", "--t2i", "blank")


def commits(folder: Path) -> float:
    """Returns how often a second the disk syncs one row that is written alone."""
    with closing(sqlite3.connect(folder / "alone.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = full")
        connection.execute("CREATE TABLE IF NOT EXISTS Alone(text TEXT)")
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < SECONDS:
            connection.execute("INSERT INTO Alone VALUES (?)", (ANSWER,))
            done += 1
        return done / (time.perf_counter() - begun)


def answers(folder: Path, threads: int) -> float:
    """Returns how many answers a second so many threads have, each as soon as it is durable."""
    until = 0.0
    done = [0] * threads
    with closing(Store(folder)) as store:
        ask = cached(lambda _: Answer(text=ANSWER), store, Answer)

        def work(number: int) -> None:
            while time.perf_counter() < until:
                text = f"{time.time_ns()} {number}"
                ask(Question(model="m", task="extend", subject="crane", text=text))
                done[number] += 1

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        begun = time.perf_counter()
        until = begun + SECONDS
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(done) / (time.perf_counter() - begun)


def table(title: str, single: Callable[[Path], float]) -> None:
    """Prints the rates by the number of threads, medians of turns, against the commits of the disk."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        turns: dict[int, list[float]] = {threads: [] for threads in (0, 1, 16, 64, 256)}
        for _ in range(TURNS):
            for threads, rates in turns.items():
                rates.append(answers(Path(folder), threads) if threads else single(Path(folder)))
    of = median(turns.pop(0))
    print(f"{title}: {of:.0f} commits a second")
    for threads, rates in turns.items():
        print(f"  {threads:3} threads  {median(rates):6.0f} answers/s  {median(rates) / of:5.1f} a commit", flush=True)


def slowed() -> None:
    """Makes each commit of the store take as long as on a slow disk."""
    run = database._in_transaction

    def slow(connection: sqlite3.Connection, works: list[database.Work[object]]) -> list[object]:
        begun = time.perf_counter()
        results = run(connection, works)
        time.sleep(max(0.0, 1 / COMMITS - (time.perf_counter() - begun)))
        return results

    database._in_transaction = slow


def stream(path: Path, count: int) -> None:
    """Writes descriptions of classes with a hundred each."""
    with path.open("w") as file:
        for label in range(count // 100):
            name = f"bird {label}"
            file.write(dump(identify(Class(label=label, class_=name, tail=True), name)) + "\n")
            for number in range(100):
                text = f"A photo of the class {name}, seen {number} times by {label} people at the river."
                row = Description(label=label, class_=name, text=text, origin="described")
                file.write(dump(identify(row, text)) + "\n")


def piped(command: tuple[str, ...], given: Path, out: Path, store: Path) -> tuple[float, float, float]:
    """Returns the highest memory of a command in MB, its seconds of CPU, and its seconds."""
    line = (sys.executable, "-m", "ltgc_cli", *command, "--llm", "embedded", "-q") if command[0] == "extend" else (
        sys.executable, "-m", "ltgc_cli", *command, "-q"
    )  # fmt: skip
    environment = {**os.environ, "LTGC_CACHE_DIR": str(store), "OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    with given.open("rb") as source, out.open("wb") as written:
        feeding = subprocess.Popen(("cat",), stdin=source, stdout=subprocess.PIPE)
        process = subprocess.Popen(line, stdin=feeding.stdout, stdout=written, env=environment, cwd=store.parent)
        _, status, used = os.wait4(process.pid, 0)
        feeding.communicate()
    assert os.waitstatus_to_exitcode(status) in (0, 1)
    return used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, time.perf_counter() - begun


def memory(count: int) -> None:
    """Prints the memory of each stage over half of a stream and over all of it, first asked and then from the store."""
    for size in (count // 2, count):
        with TemporaryDirectory(dir=Path.cwd()) as folder:
            given, store = Path(folder) / "given.jsonl", Path(folder) / "store"
            stream(given, size)
            for number, command in enumerate(CHAIN):
                out = Path(folder) / f"{number}.jsonl"
                for what in ("asked", "from the store"):
                    for artifacts in (store / "artifacts").glob("*/*"):
                        artifacts.unlink()
                    most, cpu, wall = piped(command, given, out, store)
                    rate = f"{size / cpu:8,.0f} records a second of CPU, {size / wall:8,.0f} of the clock"
                    print(f"{size:9,} records | {command[0]:6} | {what:14} | {most:4.0f} MB | {rate}", flush=True)
                given = out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("rate", "memory"), default="rate")
    parser.add_argument("records", nargs="?", type=int, default=100_000)
    args = parser.parse_args()
    if args.what == "memory":
        memory(args.records)
        return
    table("this disk", commits)
    slowed()
    table("a slow disk", lambda _: float(COMMITS))
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
