"""The only module that prints. stdout is data (records, or a table for a person); stderr is for notices."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import BufferedWriter, TextIOWrapper
from typing import IO, Any, NamedTuple, TypeVar

from ltgc_cli.errors import InputError

T = TypeVar("T")

_quiet = False
_quiet_here: ContextVar[bool] = ContextVar("quiet", default=False)
_PLAIN_EVERY = 15.0  # seconds between progress lines where there is no terminal to redraw
_WINDOW, _TICK = 30.0, 0.25  # seconds that a rate is taken over, and between the times that it is taken from
_ROWS = 12  # of a table beside the progress line
_LONGEST = 2000  # characters of an error: a name in it may be a whole file
_said_once: set[Hashable] = set()  # what a command need not hear again, whichever of its stages would say it
_lives: list[Any] = []  # the displays that are redrawn, the innermost last


def configure(*, quiet: bool) -> None:
    """Sets how much is said on stderr for the rest of the process. A command begins with it: nothing was said yet."""
    global _quiet
    _quiet = quiet
    _said_once.clear()


def prepare_streams() -> None:
    """Gives stdin, stdout and stderr what they lack where a shell has closed them (`>&-`).

    Else the next file that is opened, the store's database say, gets their number, and what a library prints. What is
    written to a stdout that was closed fails, as it should; notices are lost. Whatever fails there says where.
    """
    from ltgc_cli.files import NamedFile

    for number, (name, flags, mode) in enumerate(
        [("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")]
    ):
        if getattr(sys, name) is None:
            held = os.open(os.devnull, flags)
            if held != number:
                os.dup2(held, number)
                os.close(held)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    out = BufferedWriter(NamedFile(sys.stdout.fileno(), "wb", "stdout", closefd=False))
    sys.stdout = TextIOWrapper(out, sys.stdout.encoding, sys.stdout.errors, line_buffering=sys.stdout.isatty())


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Within it nothing but errors is said where `quiet` holds.

    It holds in this thread, and in what it has others do for it by engine.submitted.
    """
    token = _quiet_here.set(quiet)
    try:
        yield
    finally:
        _quiet_here.reset(token)


def _is_quiet() -> bool:
    return _quiet or _quiet_here.get()


def notice(text: str) -> None:
    """Says one line on stderr, but not with -q."""
    if not _is_quiet():
        _say(text)


def first(what: Hashable) -> bool:
    """Returns whether this command has not said something yet; from now on it has."""
    fresh = what not in _said_once
    _said_once.add(what)
    return fresh


def error(text: str) -> None:
    """Says what went wrong on stderr, with -q too; of a very long text its beginning and end."""
    line = " ".join(text.split())
    _say(f"ltgc: {line if len(line) <= _LONGEST else f'{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}'}")


def warning(text: str) -> None:
    """Says, with -q too, what makes a result worth little though nothing went wrong: in colour on a terminal."""
    text = printable(f"WARNING: {' '.join(text.split())}")
    bright = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    _to_stderr(f"\x1b[1;7;33m{text}\x1b[0m" if bright else text)


def is_terminal() -> bool:
    """Returns whether a person reads stdout."""
    return sys.stdout.isatty()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], stream: IO[str] | None = None) -> None:
    """Prints a table, numbers to the right. What came from a model or a file is shown as it is, never as markup.

    On stderr it is a notice, which -q silences.
    """
    if _is_quiet() and stream is sys.stderr:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[str(cell) for cell in row] for row in rows]
    heading = Text(title) if title else None
    grid = Table(title=heading, title_justify="left", box=None, pad_edge=False, show_header=any(columns))
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows if row[number]]
        numeric = bool(cells) and all(_is_number(cell) for cell in cells)
        grid.add_column(Text(column, style="bold"), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    out = stream or sys.stdout
    console = Console(file=out, highlight=False, width=_width(out))
    if out.isatty():
        console.print(grid)
        return
    with console.capture() as text:
        console.print(grid)
    out.writelines(f"{line.rstrip()}\n" for line in text.get().splitlines())


class Branch(NamedTuple):
    """A part of a tree: its lines, and the branches below it."""

    lines: Sequence[str]
    branches: Sequence[Branch]


def tree(root: Branch) -> None:
    """Prints a tree. What came from a model or a file is shown as it is, never as markup."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    def grown(branch: Branch) -> Tree:
        shown = Tree(Text("\n".join(map(printable, branch.lines))))
        shown.children.extend(map(grown, branch.branches))
        return shown

    Console(file=sys.stdout, highlight=False, width=_width(sys.stdout)).print(grown(root))


def _width(out: IO[str]) -> int | None:
    """Returns how wide text is where nobody's terminal says it: wide enough for most lines as they are."""
    return None if out.isatty() else 200


def can_ask() -> bool:
    """Returns whether a person is there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str) -> bool:
    """Returns whether a person says yes. Where nobody can be asked it is no."""
    return can_ask() and _typed(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def answered(about: str, question: str, read: Callable[[str], T]) -> T:
    """Returns what `read` makes of a person's answer. What it refuses (InputError) is said, and the question put again.

    Raises KeyboardInterrupt where the person ends the input, as Ctrl-C does.
    """
    _say(about)
    while True:
        try:
            line = _typed(question)
            if line:
                return read(line.strip())
        except (InputError, UnicodeDecodeError) as refused:
            error(str(refused))
        else:
            _say("")
            raise KeyboardInterrupt


def _typed(question: str) -> str:
    """Returns the line that a person types, with its end; empty at the end of input."""
    print(printable(question), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def printable(text: str) -> str:
    """Returns a text without control characters: a class name must not move a terminal's cursor."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


class ProgressLine:
    """What a long run has done so far; `advance` and `status` are all that its owner calls, from any thread."""

    def __init__(self, title: str, total: int | None, show: Callable[[ProgressLine], None]) -> None:
        self.title, self.total, self.done = title, total, 0
        self.status: str | Callable[[], str] = ""
        self.rows: deque[Mapping[str, str]] = deque(maxlen=_ROWS)
        self._times = deque([(time.monotonic(), 0)])  # when how much was done, for the last _WINDOW seconds
        self._lock, self._show = threading.Lock(), show

    def advance(
        self, count: int = 1, status: str | Callable[[], str] | None = None, row: Mapping[str, str] | None = None
    ) -> None:
        """Counts what is done, and says beside it what it cost; a row is shown in a table above, on a terminal.

        status -- a function where the words are made only when they are shown
        """
        with self._lock:
            self.done += count
            self.status = self.status if status is None else status
            if row:
                self.rows.append(row)
            # The rate is that of the last seconds: a run that begins with a thousand answers from the store goes on at
            # the pace of those that it asks for.
            now = time.monotonic()
            if now - self._times[-1][0] >= _TICK:
                self._times.append((now, self.done))
            while len(self._times) > 2 and now - self._times[1][0] >= _WINDOW:
                self._times.popleft()
            self._show(self)

    def go_on_from(self, done: int) -> None:
        """Takes what is done so far as done before: rate and time left go by what comes now."""
        self.done = done
        self._times = deque([(time.monotonic(), done)])

    def line(self) -> str:
        """Returns done / total, rate, time left and status in one line."""
        started, before = self._times[0]
        rate = (self.done - before) / max(time.monotonic() - started, 1e-6)
        parts = [f"{self.done:,}" + (f"/{self.total:,}" if self.total else ""), f"{rate:.1f}/s"]
        if self.total and rate > 0 and self.done < self.total:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        if status := self.status if isinstance(self.status, str) else self.status():
            parts.append(status)
        return f"{self.title}: {', '.join(parts)}"


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[ProgressLine]:
    """Shows how far a long run is: one line redrawn on a terminal, a plain line now and then elsewhere."""
    if _is_quiet():
        yield ProgressLine(title, total, lambda _: None)
    elif _live():
        yield from _live_progress(title, total)
    else:
        last = [time.monotonic()]

        def show(state: ProgressLine) -> None:
            if time.monotonic() - last[0] > _PLAIN_EVERY:
                last[0] = time.monotonic()
                _say(state.line())

        yield ProgressLine(title, total, show)


def _live_progress(title: str, total: int | None) -> Iterator[ProgressLine]:
    from rich.console import Console
    from rich.live import Live

    state = ProgressLine(title, total, lambda _: None)
    console = Console(stderr=True, highlight=False)
    live = Live(console=console, get_renderable=lambda: _shown(state), refresh_per_second=8, transient=True)
    if _lives:  # one at a time: the outer one waits
        _lives[-1].stop()
    _lives.append(live)
    try:
        with live:
            yield state
    finally:
        _lives.remove(live)
        if _lives:
            _lives[-1].start()


def _shown(state: ProgressLine) -> Any:
    """Returns what a terminal shows of a long run: its latest rows as a table, and the line."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    line = Text(printable(state.line()), overflow="ellipsis", no_wrap=True)
    rows = list(state.rows)
    if not rows:
        return line
    grid = Table(box=None, pad_edge=False)
    for column in rows[-1]:
        grid.add_column(Text(printable(column), style="bold"), justify="right")
    for row in rows:
        grid.add_row(*(Text(printable(row.get(column, ""))) for column in rows[-1]))
    return Group(grid, line)


def _live() -> bool:
    """Returns whether one line of stderr can be redrawn: in a pipeline several commands share the terminal."""
    return sys.stderr.isatty() and not is_pipe(sys.stdin) and not is_pipe(sys.stdout)


def is_pipe(stream: IO[str]) -> bool:
    """Returns whether another command is at the other end of a stream."""
    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):  # closed
        return False


def _say(text: str) -> None:
    _to_stderr(printable(text))


def _to_stderr(text: str) -> None:
    """Prints a line on stderr; where nobody reads it, or its disk is full, it ends nothing."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        with suppress(OSError, ValueError):  # else what is left of it ends the process with a status of Python's own
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "").replace("±", "").replace("–", "0").rstrip("%") or "0")
    except ValueError:
        return False
    return True


def duration(seconds: float) -> str:
    """Returns a time as people say it: 42s, 3m05s, 2h10m."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
