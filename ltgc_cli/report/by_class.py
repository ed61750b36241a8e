"""A stream's lines by class, on disk: what is looked at twice need not be held."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from ltgc_cli import records
from ltgc_cli.records import Group, Other, Record
from ltgc_cli.report.content import is_of_class, without_repeats

DESCRIPTION, ORIGINAL, IMAGE = b'"kind":"description"', b'"origin":"original"', b'"kind":"image"'
_START = 40  # bytes of a line within which its kind stands, where ltgc wrote it

Reduced = TypeVar("Reduced")
Places = dict[int, list[tuple[int, int]]]


class ClassLines(NamedTuple):
    """Where the lines of each class lie in a file, and the records of no class."""

    path: Path
    places: Places  # from byte to byte, by label, in the order of the stream
    others: list[Record]  # each once: what was measured, checkpoints, verdicts, failures of no class
    sha256: str  # of the whole stream, line by line
    total: int  # of its records


def reduced(
    given: Iterable[Record], path: Path, reduce: Callable[[Group], Reduced]
) -> tuple[ClassLines, dict[int, Reduced]]:
    """Returns where each class's lines lie in a file that is written, and what each class was reduced to, by label.

    reduce -- is given a class whole, its repeated lines left out: one class at a time is held
    Raises InputError where one label has two names.
    """
    digest, others, count, start = hashlib.sha256(), list[Record](), 0, 0
    places: Places = {}
    found: dict[int, Reduced] = {}
    rows: list[Record] = []

    def close(end: int) -> None:
        own = places.setdefault(rows[0].label, [])
        own.append((start, end))
        if len(own) == 1:
            found[rows[0].label] = reduce(_group(rows))
        rows.clear()

    with path.open("wb") as file:
        for row in given:
            count += 1
            line = f"{records.dump(row)}\n".encode(errors="replace")
            digest.update(line)
            if not is_of_class(row):
                others += [] if isinstance(row, Other) else [records.evolve(row)]  # without its line
                continue
            if rows and row.label != rows[0].label:
                close(file.tell())
                start = file.tell()
            rows.append(row)
            file.write(line)
        if rows:
            close(file.tell())
    lines = ClassLines(path, places, without_repeats(others), digest.hexdigest(), count)
    with path.open("rb") as again:  # classes whose lines do not stay together: streams behind one another
        found |= {label: reduce(group_of(lines, label, again)) for label, own in places.items() if len(own) > 1}
    return lines, {label: found[label] for label in sorted(found)}


def group_of(
    lines: ClassLines, label: int, file: IO[bytes], wanted: Callable[[bytes], bool] = lambda line: True
) -> Group:
    """Returns a class as its lines say, without repeated ones.

    wanted -- whether a line is read at all
    """
    found: list[bytes] = []
    for start, end in lines.places[label]:
        file.seek(start)
        found += file.read(end - start).split(b"\n")[:-1]
    # A class of nothing else keeps what it is called.
    return _group(records.parse(line.decode()) for line in [*filter(wanted, found)] or found)


def shown(line: bytes) -> bool:
    """Returns whether a page may show something of a line: descriptions, half of a stream, it does not."""
    return DESCRIPTION not in line[:_START]


def of_originals(line: bytes) -> bool:
    """Returns whether a line says something of the original images of a class: themselves, or what they are called."""
    return ORIGINAL in line if IMAGE in line[:_START] else shown(line) and b'"kind":"rejected"' not in line[:_START]


def _group(rows: Iterable[Record]) -> Group:
    (group,) = records.by_class(without_repeats(rows))
    return group
