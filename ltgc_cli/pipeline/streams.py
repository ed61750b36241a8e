"""Where a command's lines come from and go to."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedWriter
from pathlib import Path
from typing import IO, NamedTuple

from ltgc_cli import console, records, settings_file, written
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.files import NamedFile, named_errors, named_file, place_for_scratch, temporary, whole_lines
from ltgc_cli.records import Record
from ltgc_cli.settings import Output, Storage


class Streams(NamedTuple):
    """Where lines come from and go to. No `input` means stdin; no `output` means stdout."""

    input: Path | None = None
    output: written.Target | None = None
    json: bool = False
    called: bool = False
    """Whether a program calls, which reads the artifact: stdin is not read, and stdout not written."""

    @property
    def piped(self) -> bool:
        """Whether there is a stream on stdin."""
        return not (self.called or sys.stdin.isatty())

    @property
    def shown(self) -> bool:
        """Whether a person sees a table: whatever -o says, for it only says where the lines go."""
        return console.is_terminal() and not (self.json or self.called)

    @property
    def table(self) -> IO[str]:
        """Where the table of a result goes: beside the lines, which may have stdout."""
        return sys.stdout if console.is_terminal() else sys.stderr


def output_of(config: Config, *inputs: Path) -> written.Target | None:
    """Returns the file that a command's lines go to, None for stdout.

    inputs -- what it reads besides what its settings name
    """
    wanted = config[Output]
    if not wanted.output:
        return None
    reads = (*config.named_paths(), *inputs, settings_file.PATH)
    return written.Target(wanted.output, config[Storage].folder, reads, wanted.force)


@contextmanager
def reading(streams: Streams, stage: str) -> Iterator[Iterator[Record]]:
    """The records of a command's input, a dry run's among them. Raises InputError where there is nothing to read."""
    with opened(streams, stage) as source:
        yield records.read(source, str(streams.input or "stdin"))


@contextmanager
def opened(streams: Streams, stage: str) -> Iterator[IO[bytes]]:
    """A command's input as bytes. Raises InputError where there is none."""
    if not streams.input and not streams.piped:
        raise nothing_to_read(stage)
    no_folder(streams.input)
    with streams.input.open("rb") if streams.input else nullcontext(sys.stdin.buffer) as source:
        yield source


def nothing_to_read(stage: str) -> InputError:
    """Returns what is said where a stage has no input."""
    more = ", or name a data set: --data birds/" if stage == "describe" else ""
    return InputError(f"{stage} has nothing to read: pipe records into it, or give -i FILE{more}")


def no_folder(path: Path | None) -> None:
    """Raises InputError where the input is a folder, which cannot be read as lines."""
    if path and path.is_dir():
        raise InputError(f"{path} is a folder; a data set is named by --data")


@contextmanager
def writing(streams: Streams) -> Iterator[Callable[[bytes], object]]:
    """A function that writes to where the lines go: a file (whole or not at all), stdout, or nowhere."""
    if streams.output:
        with written.writing(streams.output) as write:
            yield write
    elif not streams.called and (streams.json or not console.is_terminal()):
        yield written.prompt_writer(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        yield len


@contextmanager
def spooled(stream: IO[bytes], name: str, folder: Path) -> Iterator[Path]:
    """A stream as a file in a folder, or in TMPDIR where that may not be written to, for as long as it is needed.

    Raises InputError for a line that is too long: what ends nowhere would fill the disk.
    """
    place = place_for_scratch(folder)
    with temporary(place) as path:
        with named_file(path, f"a copy of the input in {place}") as file:
            file.writelines(whole_lines(stream, name))
        yield path


@contextmanager
def read_again(given: Iterable[Record], folder: Path) -> Iterator[Callable[[], Iterator[Record]]]:
    """A function that returns a stream's records from the first one on, each time that it is called.

    The first time they are kept in a file without a name, where `spooled` has its own, and from then on read from it;
    one reading is over before the next one begins.
    """
    whole = False
    place = place_for_scratch(folder)
    named = f"a copy of the input in {place}"
    with _nameless(place, named) as file, BufferedWriter(NamedFile(file.fileno(), "wb", named, closefd=False)) as kept:

        def keeping() -> Iterator[Record]:
            nonlocal whole
            for record in given:
                kept.write(records.dump(record).encode() + b"\n")
                yield record
            whole = True

        def lines() -> Iterator[Record]:
            if not whole:
                return keeping()
            kept.flush()
            file.seek(0)
            return records.read(file)

        yield lines


def _nameless(place: Path, named: str) -> IO[bytes]:
    """Returns a file that nobody sees, and that is gone when the process is. Raises as `named_errors`."""
    with named_errors(named, writing=True):
        return tempfile.TemporaryFile(dir=place)
