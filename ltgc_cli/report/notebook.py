"""Records as a notebook shows them: what was measured, then a few of each kind. Everything in it is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from ltgc_cli import records
from ltgc_cli.records import Record
from ltgc_cli.report.accuracy import groups, results
from ltgc_cli.report.format import shortened
from ltgc_cli.text import counted

_SHOWN = 3  # records of a kind
_LONG = 120


def table(rows: Iterable[Record]) -> str:
    """Returns HTML: accuracy by method where there is any, and the first records of every kind."""
    whole = list(rows)
    found = results(whole)
    columns = groups(found)
    measured = [(result.title, *map(result.cell, columns)) for result in found]
    accuracy = _html(("accuracy, %", *columns.values()), measured) if measured else ""
    by_kind: dict[str, list[Record]] = {}
    for row in whole:
        by_kind.setdefault(records.kind_of(row), []).append(row)
    return accuracy + (_html(("kind", "class", ""), _first(by_kind)) if whole else "<p>no records</p>")


def _first(by_kind: Mapping[str, Sequence[Record]]) -> Iterator[tuple[str, str, str]]:
    for kind, own in by_kind.items():
        for number, row in enumerate(own[:_SHOWN]):
            yield "" if number else f"{kind} ({len(own):,})", row.class_, _in_one_line(row)
        if len(own) > _SHOWN:
            yield "", "", f"… {len(own) - _SHOWN:,} more"


def _in_one_line(row: Record) -> str:
    """Returns what matters of a record, in one line."""
    match row:
        case records.Class():
            return counted(row.count, "image") + (", tail" if row.tail else "") if row.count is not None else row.sense
        case records.Description():
            return f"{row.origin}: {row.text}"
        case records.Template():
            return row.text + (f" (threshold {row.threshold:.3f})" if row.threshold is not None else "")
        case records.Image():
            return " ".join(part for part in (row.origin, _score(row.score), row.text or row.name) if part)
        case records.Rejected():
            return f"{row.of}: {row.reason} {_score(row.score)}".strip()
        case records.Failure():
            return f"{row.stage}: {row.reason}"
        case records.Checkpoint():
            return f"{row.method} ({row.sha256[:12]}…)"
        case records.Metric():
            value = "–" if row.value is None else f"{row.value:.4g}"
            return f"{row.method} {row.name} {row.group}: {value}".strip()
        case records.Verdict():
            return row.verdict
    return ""


def _score(score: float | None) -> str:
    return "" if score is None else f"(score {score:.3f})"


def _html(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(shortened(cell, _LONG))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
