"""Runs one stage over a stream, and the artifact that it leaves.

An artifact is the stage's whole output under a hash of the input lines and of every setting that changes the
output. The manifest beside it (`.json`) is written last: it marks the artifact as whole, and says what the run used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from ltgc_cli import console, manifest, records
from ltgc_cli.errors import InputError, LtgcError
from ltgc_cli.files import (
    hashing,
    make_folder,
    named_errors,
    named_file,
    put_in_place,
    regular,
    sha256_file,
    temporary,
    whole_lines,
    write_atomically,
)
from ltgc_cli.manifest import Manifest
from ltgc_cli.pipeline import ahead, shards
from ltgc_cli.pipeline.ahead import Shown
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.shards import Shard, lines
from ltgc_cli.pipeline.streams import Streams, no_folder, nothing_to_read, reading, spooled, writing
from ltgc_cli.records import Group, Record
from ltgc_cli.text import agreeing, counted

if TYPE_CHECKING:
    from ltgc_cli.pipeline.dry_run import DrySession
    from ltgc_cli.usage import UsageSum

SCHEMA = 1
"""Part of every artifact's hash: raise it when a stage's output changes for the same input and settings."""

ALONE = "no input"
"""The source of a stage that needs no records and waits for none."""

_SHOWN, _KEPT = 20, 100
"""Failures spelled out in the summary, and in the manifest; the records have them all."""


class Stage(NamedTuple):
    """A stage that is ready to run: everything about it that changes its output is in `settings`."""

    name: str
    settings: dict[str, Any]
    run: Callable[[Iterator[Record]], Iterator[Record]]
    source: str = ""
    """What stands for the input where the stage makes its own records (`--data`, `--class`): a fingerprint."""
    work: Callable[[Group], int] | None = None
    """How much a class asks for, in questions or images, so that progress can say what is left."""
    caveats: tuple[str, ...] = ()
    """What a person must know about an estimate of this stage."""
    whole: bool = False
    """Whether the stage needs all of its input before it begins, so that nothing is lost by reading it first."""
    optional: bool = False
    """Whether the stage has something to do without any record: a plain fine-tune, CLIP itself."""
    by_class: bool = True
    """Whether the lines of a class must stay together; eval reads several streams behind one another."""
    shard: Shard | None = None
    """Which part of the classes of its input it does, None for all."""
    shown: Shown | None = None
    """The images of a class of its input that models are to see: they are looked for before anything is paid."""
    watch: Callable[[Iterator[Record]], Iterator[Record]] = lambda given: given
    """What looks at the whole input before it is cut to the stage's part."""
    makes_images: bool = False
    """Whether its images lie in the store: where one is gone, the stage makes it again."""
    lasts: Callable[[Path], bool] = lambda artifact: True
    """Whether what an artifact stands for is still there besides its lines: a folder of weights."""
    finish: Callable[[Path], None] | None = None
    """What is done with the artifact at the end."""


class Ran(NamedTuple):
    """What a command did; its exit status is made of it."""

    artifact: Path | None = None
    """The whole output; None after a dry run, and in a process that only helps another."""
    exit_code: int = 0
    dollars: float = 0.0
    """What this run paid."""
    would_ask: Mapping[tuple[str, str], UsageSum] = {}
    """What a dry run found that it would ask, by purpose and model."""
    problem: str = ""
    """What is still wanting where all else is done, in words."""


def execute(
    stage: Stage, streams: Streams, session: Session, ask_first: Callable[[Path | None], None] | None = None
) -> Ran:
    """Returns what the run did, its lines written. An artifact that is there already is streamed out instead.

    ask_first -- asks a provider's batch API what the stage will ask, given the file of its input
    Raises InputError for bad input, before anything is asked where the input is a file.
    """
    folder = session.folder / "artifacts" / stage.name
    with ExitStack() as stack:
        whole = stage.whole or bool(stage.shard) or ask_first is not None or _is_read_only(session.folder)
        path = _input(stage, streams, session, folder, stack, whole=whole)
        digest = stage.source or (sha256_file(path) if path else "")
        artifact = folder / f"{_hash(stage, digest)}.jsonl"
        _check_place(artifact)
        lines = _whole(stage, artifact, digest, session.folder, stack) if digest else None
        done = lines.done if lines else None
        # An answer of no use that cost no line of the result, a rewriting say, is among the rejected.
        if done and session.limits.retry_failures and done.kinds.keys() & {"failure", "rejected"}:
            done = None
        if done and lines:
            write = stack.enter_context(writing(streams))
            while block := lines.file.read(1 << 20):
                write(block)
            console.notice(f"{stage.name}: {_counted(done)}; answered by {artifact}")
        else:
            _open(session, folder)
            works = _works(path, str(streams.input or "stdin"), stage) if path else []
            session.expect(sum(shards.part(works, stage.shard)))
            if path and stage.shown:
                session.look_first(partial(_look_for_images, path, stage.shown, session))
            if ask_first:
                ask_first(path)
            artifact, done = _run(_of_part(stage, len(works)), streams, session, path, digest, folder)
    for text in [*done.remarks, *done.shortfalls[:_SHOWN]]:
        console.notice(f"{stage.name}: {text}")
    if (failures := done.kinds.get("failure", 0)) > _SHOWN:
        console.notice(f"{stage.name}: and {failures - _SHOWN} more")
    if stage.finish:
        stage.finish(artifact)
    return Ran(artifact, done.exit_code, session.meter.dollars)


class _Artifact(NamedTuple):
    """An artifact that answers for a stage: its manifest, and its lines from the first one on."""

    done: Manifest
    file: FileIO


def _whole(stage: Stage, artifact: Path, digest: str, store: Path, stack: ExitStack) -> _Artifact | None:
    """Returns the artifact where it is as its run left it, None where there is none, or it must be made again.

    Its bytes are looked at before the first one is handed on: what went to stdout cannot be taken back.
    """
    if not (done := manifest.read(artifact)):
        if artifact.with_suffix(".json").exists():
            console.notice(
                f"{stage.name}: {artifact}: its manifest is damaged, or its lines are gone: it is made again"
            )
        return None
    if not stage.lasts(artifact):
        return None
    try:
        file = stack.enter_context(regular(artifact))
        found, absent = _looked_at(file, store if stage.makes_images else None)
    except OSError as error:
        console.notice(f"{stage.name}: {artifact}: {error.strerror or error}: it is made again")
        return None
    flags = msgspec.json.decode(msgspec.json.encode(stage.settings))  # as a manifest that was read has them
    # Earlier versions noted no hash.
    if (done.stage, done.flags, done.input) != (stage.name, flags, digest) or done.output not in ("", found):
        console.notice(f"{stage.name}: {artifact} is not as it was left: it is made again")
        return None
    if absent > done.absent:
        gone = f"{counted(absent - done.absent, 'image')} {agreeing(absent - done.absent, 'is', 'are')} gone"
        console.notice(f"{stage.name}: of {artifact} {gone} from the store: it is made again")
        return None
    file.seek(0)
    return _Artifact(done, file)


def _looked_at(file: IO[bytes], store: Path | None) -> tuple[str, int]:
    """Returns the sha256 of a file's bytes, and how many images that its lines name a store lacks, where one is given.

    A name lies in one of two blocks, or across their border, and then in what is kept of the first.
    """
    digest, named, rest = hashlib.sha256(), set[bytes](), b""
    while block := file.read(1 << 20):
        digest.update(block)
        if store:
            named.update(_NAMED.findall(rest + block))
            rest = block[-100:]
    return digest.hexdigest(), _absent(named, store) if store else 0


_NAMED = re.compile(rb'"sha256":"([0-9a-f]{64})"')


def _absent(named: set[bytes], store: Path) -> int:
    """Returns how many objects a store lacks, or has emptied. A checkpoint of that name is there as well."""
    lacking = 0
    for name in map(bytes.decode, named):
        try:
            lacking += not os.stat(f"{store}/objects/{name[:2]}/{name}").st_size
        except OSError:
            lacking += not os.path.isdir(f"{store}/checkpoints/{name}")
    return lacking


def _is_read_only(store: Path) -> bool:
    """Returns whether only an artifact can answer, which is found by the whole input."""
    return store.is_dir() and not os.access(store, os.W_OK)


def _check_place(artifact: Path) -> None:
    """Raises InputError where what lies in an artifact's place is no file, before anything is asked."""
    for path in (artifact, artifact.with_suffix(".json")):
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is no file that ltgc wrote; move it away, and run the same command again")


def follow(stage: Stage, streams: Streams, session: Session) -> None:
    """Runs the stage as a process beside the first one does: for its part of the work. It writes and says nothing."""
    path = None if stage.source else streams.input
    digest = stage.source or (sha256_file(path) if path else "")
    artifact = session.folder / "artifacts" / stage.name / f"{_hash(stage, digest)}.jsonl"
    with ExitStack() as stack:
        if not _whole(stage, artifact, digest, session.folder, stack):
            drain(stage, path)


def drain(stage: Stage, path: Path | None) -> None:
    """Runs the stage for what it asks, and lets its records go."""
    with ExitStack() as stack:
        source = stack.enter_context(path.open("rb")) if path else None
        if path and stage.shard:
            stage = _of_part(stage, len(_works(path, str(path), stage)))
        for _ in stage.run(records.read(source) if source else iter(())):
            pass


def dry_records(stage: Stage, streams: Streams, session: DrySession) -> Iterator[Record]:
    """Returns what the stage makes in a dry run, so that the next stage can be tried on it, each such line marked."""
    from ltgc_cli.pipeline.dry_run import marked

    with ExitStack() as stack:
        if stage.shard and not stage.source:  # its part is known when all is read
            path = _input(stage, streams, session, Path(tempfile.gettempdir()), stack, whole=True)
            streams = streams._replace(input=path)
            with reading(streams, stage.name) as every:
                stage = _of_part(stage, sum(1 for _ in records.by_class(every)))
        given = iter(()) if stage.source else _some(stack.enter_context(reading(streams, stage.name)), stage)
        yield from marked(stage.run(session.watched(given)), session)


def _open(session: Session, folder: Path) -> None:
    """Opens the session's store, which is not needed for what an artifact answers, and makes the artifacts' folder."""
    _ = session.store
    make_folder(folder)


def _input(
    stage: Stage, streams: Streams, session: Session, folder: Path, stack: ExitStack, *, whole: bool
) -> Path | None:
    """Returns the file that the stage reads, None where it reads a pipe as it comes, or nothing."""
    if stage.source:
        return None
    path = streams.input
    no_folder(path)
    if path and not path.is_file() and path.exists():  # a named pipe can be read only once
        return _spooled(stack.enter_context(path.open("rb")), str(path), folder, stack)
    if path:
        return path
    if not streams.piped:
        raise nothing_to_read(stage.name)
    if not whole:
        return None
    return _spooled(sys.stdin.buffer, "stdin", folder, stack)


def _spooled(stream: IO[bytes], name: str, folder: Path, stack: ExitStack) -> Path:
    with suppress(LtgcError):  # a read-only store may have all that is wanted
        make_folder(folder)
    return stack.enter_context(spooled(stream, name, folder))


def _run(
    stage: Stage, streams: Streams, session: Session, path: Path | None, digest: str, folder: Path
) -> tuple[Path, Manifest]:
    from ltgc_cli.pipeline import manifest as making
    from ltgc_cli.pipeline import reasons
    from ltgc_cli.pipeline.dry_run import real

    running, written = hashlib.sha256(), hashlib.sha256()
    started = time.monotonic()
    kinds: Counter[str] = Counter()
    shortfalls: list[str] = []
    with ExitStack() as stack:
        unfinished = stack.enter_context(temporary(folder))
        kept = stack.enter_context(named_file(unfinished, f"an artifact in {folder}"))
        write = stack.enter_context(writing(streams))
        given: Iterator[Record] = iter(())
        if not stage.source:
            source = stack.enter_context(path.open("rb")) if path else sys.stdin.buffer
            name = str(path or "stdin")
            given = _some(real(records.read(hashing(whole_lines(source, name), running), name)), stage)
        with kept, session.watching(stage.name):
            for record in stage.run(session.watched(given)):
                line = (records.dump(record) + "\n").encode()
                kept.write(line)
                written.update(line)
                write(line)
                if not record.line:  # made or changed here, not passed through
                    kinds[records.kind_of(record)] += 1
                    if isinstance(record, records.Failure) and len(shortfalls) < _KEPT:
                        shortfalls.append(f"{record.class_}: {record.reason}" if record.class_ else record.reason)
        digest = digest or running.hexdigest()
        done = Manifest(
            stage=stage.name,
            flags=stage.settings,
            input=digest,
            kinds=dict(sorted(kinds.items())),
            shortfalls=shortfalls,
            remarks=session.remarks,
            absent=_looked_at(stack.enter_context(regular(unfinished)), session.folder)[1] if stage.makes_images else 0,
            output=written.hexdigest(),
            answers=making.answers(session.meter),
            dollars=session.meter.dollars,
            tokens=session.meter.tokens,
            unpriced=session.meter.unpriced,
            seconds=round(time.monotonic() - started, 1),
            prompts=making.prompts_version(),
            versions=making.versions(),
        )
        artifact = folder / f"{_hash(stage, digest)}.jsonl"
        retried = session.limits.retry_failures
        damaged = manifest.read(artifact) is not None and not retried  # it is said already
        told = bool(session.meter.asked) and not damaged
        why = reasons.why(done, artifact, path, unfinished, retried=retried) if told else ""
        with named_errors(artifact, writing=True):
            put_in_place(unfinished, artifact)
    # What was refused may be answered next time: without its manifest the artifact is not whole, and is made again.
    if not session.meter.refused:
        write_atomically(artifact.with_suffix(".json"), msgspec.json.encode(done))
    asked = session.meter.summary()
    console.notice(f"{stage.name}: {_counted(done)}{'; ' if asked else ''}{asked}{why}")
    return artifact, done


def _hash(stage: Stage, digest: str) -> str:
    what = json.dumps(
        [SCHEMA, records.SCHEMA, stage.name, stage.settings, digest], sort_keys=True, ensure_ascii=False, default=str
    )
    return hashlib.sha256(what.encode()).hexdigest()[:32]


def _counted(done: Manifest) -> str:
    return ", ".join(counted(count, kind) for kind, count in done.kinds.items()) or "no new lines"


def _of_part(stage: Stage, total: int) -> Stage:
    """Returns the stage as it does its part of so many classes; one without input has taken its part itself."""
    if not stage.shard or stage.source:
        return stage
    places, run, watch = stage.shard.places(total), stage.run, stage.watch
    shards.say_if_empty(stage.name, stage.shard, total)
    return stage._replace(run=lambda given: run(lines(watch(given), places)))


def _works(path: Path, name: str, stage: Stage) -> list[int]:
    """Returns how much each class asks for. Reads the whole file, so that a bad line stops the run before it asks."""
    from ltgc_cli.pipeline.dry_run import real

    with path.open("rb") as file:
        given = _some(real(records.read(file, name)), stage)
        if not stage.by_class:
            for _ in given:
                pass
            return []
        return [stage.work(group) if stage.work else 0 for group in records.by_class(given)]


def _look_for_images(path: Path, shown: Shown, session: Session) -> None:
    with path.open("rb") as file:
        ahead.check_images(records.by_class(records.read(file)), shown, session.store)


def _some(given: Iterator[Record], stage: Stage) -> Iterator[Record]:
    """Returns the records. Raises InputError where there are none and the stage needs some."""
    none = True
    for record in given:
        none = False
        yield record
    if none and not (stage.optional or stage.shard):  # the shard before may have had no class
        raise InputError(
            f"{stage.name} got no records: the command before it wrote none, or failed (in a script, "
            "set -o pipefail tells)"
        )
