"""The contact sheet of a stream, as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ltgc_cli import console, written
from ltgc_cli.errors import InputError
from ltgc_cli.files import temporary
from ltgc_cli.pipeline.dry_run import real
from ltgc_cli.records import Record
from ltgc_cli.report import by_class
from ltgc_cli.report.contact_sheet import drawn, sheet_row
from ltgc_cli.store import Store
from ltgc_cli.text import counted


def write_sheet(given: Iterable[Record], target: written.Target, classes: Sequence[str] = ()) -> None:
    """Writes a stream's contact sheet as a PNG, and says what is not on it.

    classes -- the names of those that are shown, instead of the tail classes
    Raises InputError, before the stream is read, as `written.check`; for a stream without records; where a name is not
    known, and where an image is not in the store.
    """
    written.check(target)
    store = Store(target.store)
    with temporary(store.folder) as path:
        lines, rows = by_class.reduced(real(iter(given)), path, sheet_row)
    if not lines.total:
        raise InputError("sheet found no records in its input; it shows what filter, render or any stage wrote")
    made = drawn((rows[label] for label in lines.places), store.get_object, classes)
    written.write(target, made.png)
    if made.left_out:
        console.notice(f"sheet: {counted(made.left_out, 'class')} did not fit on it, the most frequent; see --class")
    if made.lacking:
        some = made.lacking[:8] + "…" * (len(made.lacking) > 8)
        console.notice(
            f"sheet: no font on this machine has {some}: boxes stand for them; install one, such as fonts-noto-cjk "
            "for Chinese, Japanese and Korean"
        )
