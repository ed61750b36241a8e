"""Runs one stage over a stream: where its lines come from, where they go, and the artifact that it leaves.

An artifact is the stage's whole output under a hash of the input lines and of every flag that changes the
output. The note beside it (`.json`) is written last: it marks the artifact as whole, and says what the run said.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from ltgc_cli import console, records
from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.files import hashing, put_in_place, replacing, sha256_file, temporary, write_atomically
from ltgc_cli.pipeline import manifest as notes
from ltgc_cli.pipeline.dry_run import COLUMNS, IMAGINED, rows
from ltgc_cli.pipeline.manifest import Done
from ltgc_cli.pipeline.session import Session
from ltgc_cli.records import Group, Record
from ltgc_cli.text import counted

SCHEMA = 1
"""Part of every artifact's hash: raise it when a stage's output changes for the same input and flags."""


ALONE = "no input"
"""The source of a plan that needs no records and waits for none."""

_SHOWN = 20
"""Failures spelled out in the summary; the records have them all."""


class Plan(NamedTuple):
    """A stage that is ready to run: everything about it that changes its output is in `flags`."""

    stage: str
    flags: dict[str, Any]
    run: Callable[[Iterator[Record]], Iterator[Record]]
    source: str = ""
    """What stands for the input where the stage makes its own records (`--data`, `--class`): a fingerprint."""
    work: Callable[[Group], int] | None = None
    """How much a class asks for, in questions or drawings, so that progress can say what is left."""
    caveats: tuple[str, ...] = ()
    """What a person must know about an estimate of this stage."""
    whole: bool = False
    """Whether the stage needs all of its input before it begins, so that nothing is lost by reading it first."""
    optional: bool = False
    """Whether the stage has something to do without any record: a plain fine-tune, CLIP itself."""
    by_class: bool = True
    """Whether the lines of a class must stay together; eval reads several streams behind one another."""


class Streams(NamedTuple):
    """Where the lines come from and go to. No `input` means stdin; no `output` means stdout."""

    input: Path | None = None
    output: Path | None = None
    json: bool = False
    silent: bool = False
    """Write nothing; the artifact is read by the next stage of the same process."""


class Result(NamedTuple):
    """A finished run: its artifact, and what is said of it."""

    artifact: Path
    done: Done


def execute(plan: Plan, streams: Streams, session: Session) -> Result:
    """Returns the finished run, its lines written. An artifact that is there already is streamed out instead.

    Raises InputError for bad input, before anything is asked where the input is a file.
    """
    folder = session.store.folder / "artifacts" / plan.stage
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        path = None if plan.source else streams.input
        if path and not path.is_file() and path.exists():  # a named pipe can be read only once
            path = stack.enter_context(_spooled(stack.enter_context(path.open("rb")), folder))
        elif not path and not plan.source:
            if streams.silent or sys.stdin.isatty():
                raise InputError(f"{plan.stage} has nothing to read: pipe records into it, or give -i FILE")
            if plan.whole or session.half_price:
                path = stack.enter_context(_spooled(sys.stdin.buffer, folder))
        digest = plan.source or (sha256_file(path) if path else "")
        artifact = folder / f"{_hash(plan, digest)}.jsonl"
        if digest and (done := notes.read(artifact)):
            write = stack.enter_context(writing(streams))
            with artifact.open("rb") as lines:
                while block := lines.read(1 << 20):
                    write(block)
            console.notice(f"{plan.stage}: {_said(done)}; answered by {artifact}")
        else:
            if path:
                session.expect(_check(path, str(streams.input or "stdin"), plan))
            if session.half_price:
                session.ask_in_batch(lambda: _walk(plan, path))
            artifact, done = _run(plan, streams, session, path, digest, folder)
    for text in done.shortfalls[:_SHOWN]:
        console.notice(f"{plan.stage}: {text}")
    if len(done.shortfalls) > _SHOWN:
        console.notice(f"{plan.stage}: and {len(done.shortfalls) - _SHOWN} more")
    return Result(artifact, done)


def follow(plan: Plan, streams: Streams, session: Session) -> None:
    """Runs the plan as a process beside the first one does: for its part of the work. It writes and says nothing."""
    path = None if plan.source else streams.input
    digest = plan.source or (sha256_file(path) if path else "")
    if not notes.read(session.store.folder / "artifacts" / plan.stage / f"{_hash(plan, digest)}.jsonl"):
        _walk(plan, path)


def _walk(plan: Plan, path: Path | None) -> None:
    """Runs the plan for what it asks, and lets its records go."""
    with ExitStack() as stack:
        source = stack.enter_context(path.open("rb")) if path else None
        for _ in plan.run(records.read(source) if source else iter(())):
            pass


@contextmanager
def reading(streams: Streams, stage: str) -> Iterator[Iterator[Record]]:
    """The records of a command's input, a dry run's among them. Raises InputError where a person pipes nothing in."""
    if not streams.input and (streams.silent or sys.stdin.isatty()):
        raise InputError(f"{stage} has nothing to read: pipe records into it, or give -i FILE")
    with streams.input.open("rb") if streams.input else nullcontext(sys.stdin.buffer) as source:
        yield records.read(source, str(streams.input or "stdin"))


def rehearse(plan: Plan, streams: Streams, session: Session) -> None:
    """Runs the plan on what the store has and on stand-ins, and says what the real run would ask. Nothing is kept.

    What it makes is written to a pipe, so that the next stage can be rehearsed on it, each such line marked.
    """
    rehearsal = session.rehearsal
    assert rehearsal is not None
    person = streams.output or (console.is_terminal() and not streams.json)  # nothing is kept, not in -o FILE either
    written = len if person else _prompt_writer(sys.stdout.buffer)
    with ExitStack() as stack:
        given = iter(()) if plan.source else stack.enter_context(reading(streams, plan.stage))
        for record in plan.run(given):
            if not record.line and not rehearsal.complete:
                record = records.evolve(record, rest={**record.rest, IMAGINED: True})
            written((records.dump(record) + "\n").encode())
    sys.stdout.flush()
    lines = rehearsal.lines
    if not lines:
        console.notice(f"{plan.stage}: nothing would be asked")
        return
    console.table("", COLUMNS, rows(lines), stream=None if person else sys.stderr)
    for text in plan.caveats:
        console.notice(f"{plan.stage}: {text}")
    try:
        seconds = rehearsal.seconds_to_draw()
        if seconds is not None:
            console.notice(f"{plan.stage}: drawing takes about {console.duration(seconds)} here")
    except ProviderError as error:
        console.notice(f"{plan.stage}: how long drawing takes cannot be measured: {error}")
    console.notice(f"{plan.stage}: a dry run; nothing was asked, and nothing kept")


def _run(plan: Plan, streams: Streams, session: Session, path: Path | None, digest: str, folder: Path) -> Result:
    running, written = hashlib.sha256(), hashlib.sha256()
    started = time.monotonic()
    kinds: Counter[str] = Counter()
    shortfalls: list[str] = []
    with ExitStack() as stack:
        unfinished = stack.enter_context(temporary(folder))
        write = stack.enter_context(writing(streams))
        given: Iterator[Record] = iter(())
        if not plan.source:
            source = stack.enter_context(path.open("rb")) if path else sys.stdin.buffer
            given = _some(real(records.read(hashing(source, running), str(path or "stdin"))), plan)
        with unfinished.open("wb") as kept, session.watching(plan.stage):
            for record in plan.run(given):
                line = (records.dump(record) + "\n").encode()
                kept.write(line)
                written.update(line)
                write(line)
                if not record.line:  # made or changed here, not passed through
                    kinds[records.kind_of(record)] += 1
                    if isinstance(record, records.Failure):
                        shortfalls.append(f"{record.class_}: {record.reason}" if record.class_ else record.reason)
        digest = digest or running.hexdigest()
        done = Done(
            stage=plan.stage,
            flags=plan.flags,
            input=digest,
            kinds=dict(sorted(kinds.items())),
            shortfalls=shortfalls,
            output=written.hexdigest(),
            answers=notes.answers(session.meter),
            dollars=session.meter.dollars,
            tokens=session.meter.tokens,
            unpriced=session.meter.unpriced,
            seconds=round(time.monotonic() - started, 1),
            versions=notes.versions(),
        )
        why = notes.why(done, folder) if session.meter.asked else ""
        artifact = folder / f"{_hash(plan, digest)}.jsonl"
        put_in_place(unfinished, artifact)
    # What was refused may be answered next time: without its note the artifact is not whole, and is made again.
    if not session.refused:
        write_atomically(artifact.with_suffix(".json"), msgspec.json.encode(done))
    asked = session.meter.summary()
    console.notice(f"{plan.stage}: {_said(done)}{'; ' if asked else ''}{asked}{why}")
    return Result(artifact, done)


def _hash(plan: Plan, digest: str) -> str:
    what = json.dumps([SCHEMA, records.SCHEMA, plan.stage, plan.flags, digest], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(what.encode()).hexdigest()[:32]


def _said(done: Done) -> str:
    return ", ".join(counted(count, kind) for kind, count in done.kinds.items()) or "no new lines"


def _check(path: Path, name: str, plan: Plan) -> int:
    """Returns how much there is to do. Reads the whole file, so that a bad line stops the run before it asks."""
    with path.open("rb") as file:
        given = _some(real(records.read(file, name)), plan)
        if not plan.by_class:
            return sum(0 for _ in given)
        return sum(plan.work(group) if plan.work else 0 for group in records.by_class(given))


def real(given: Iterator[Record]) -> Iterator[Record]:
    """Returns the records. Raises InputError at the first that a rehearsal made up."""
    for number, record in enumerate(given, start=1):
        if IMAGINED in record.rest:
            raise InputError(f"record {number} comes from a --dry-run and stands for an answer that was never asked")
        yield record


def _some(given: Iterator[Record], plan: Plan) -> Iterator[Record]:
    """Returns the records. Raises InputError where there are none and the stage needs some."""
    none = True
    for record in given:
        none = False
        yield record
    if none and not plan.optional:
        raise InputError(
            f"{plan.stage} got no records: the command before it wrote none, or failed (in a script, "
            "set -o pipefail tells)"
        )


@contextmanager
def _spooled(stream: IO[bytes], folder: Path) -> Iterator[Path]:
    with temporary(folder) as path:
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        yield path


@contextmanager
def writing(streams: Streams) -> Iterator[Callable[[bytes], object]]:
    """Where the lines go: a file that appears when it is complete, stdout, or nowhere (a person gets a table)."""
    if streams.output:
        with replacing(streams.output) as file:
            yield file.write
    elif not streams.silent and (streams.json or not console.is_terminal()):
        yield _prompt_writer(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        yield len


def _prompt_writer(stream: IO[bytes]) -> Callable[[bytes], object]:
    """Returns a write that lets slow lines through at once and fast ones in blocks."""
    last = [0.0]

    def write(data: bytes) -> None:
        stream.write(data)
        now = time.monotonic()
        if now - last[0] > 0.05:
            stream.flush()
            last[0] = now

    return write
