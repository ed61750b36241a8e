"""The contact sheet of a stream, as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.files import write_atomically
from ltgc_cli.pipeline.dry_run import real
from ltgc_cli.records import Record
from ltgc_cli.report.contact_sheet import contact_sheet, is_sheet
from ltgc_cli.report.content import without_repeats
from ltgc_cli.store import Store
from ltgc_cli.text import counted


def write_sheet(given: Iterable[Record], store: Store, output: Path, classes: Sequence[str] = ()) -> None:
    """Writes a stream's contact sheet as a PNG, and says what is not on it.

    classes -- the names of those that are shown, instead of the tail classes
    Raises InputError, before the stream is read, where another file would be overwritten; for a stream without records;
    where a name is not known, and where an image is not in the store.
    """
    check_output(output)
    rows = without_repeats(real(iter(given)))
    if not rows:
        raise InputError("sheet found no records in its input; it shows what filter, render or any stage wrote")
    made = contact_sheet(rows, store.get_object, classes)
    check_output(output)  # again: reading the records may have taken long
    write_atomically(output, made.png)
    if made.left_out:
        console.notice(f"sheet: {counted(made.left_out, 'class')} did not fit on it, the most frequent; see --class")
    if made.lacking:
        some = made.lacking[:8] + "…" * (len(made.lacking) > 8)
        console.notice(
            f"sheet: no font on this machine has {some}: boxes stand for them; install one, such as fonts-noto-cjk "
            "for Chinese, Japanese and Korean"
        )


def check_output(output: Path) -> None:
    """Raises InputError where a file would be overwritten that is no contact sheet, or its folder is not there."""
    if not output.parent.is_dir():
        raise InputError(f"{output}: there is no folder {output.parent}; make it, or name another with -o")
    try:
        with output.open("rb") as file:
            start = file.read(200)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None
    if start and not is_sheet(start):
        raise InputError(f"{output} is there already and is no contact sheet of ltgc; name another file with -o")
