"""The contact sheet of a stream, as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ltgc_cli import console, written
from ltgc_cli.errors import InputError
from ltgc_cli.files import place_for_scratch, temporary
from ltgc_cli.pipeline.dry_run import real
from ltgc_cli.pipeline.looks import ClassImages, class_images, harmonised_to_see, looks_of
from ltgc_cli.records import Group, Record
from ltgc_cli.report import by_class
from ltgc_cli.report.contact_sheet import MOST_CLASSES, ContactSheet, SheetRow, chosen, drawn, sheet_row
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
    with temporary(place_for_scratch(store.folder)) as path:
        lines, found = by_class.reduced(real(iter(given)), path, reduced)
    if not lines.total:
        raise InputError("sheet found no records in its input; it shows what filter, render or any stage wrote")
    classes_in_order = {label: found[label] for label in lines.places}
    made = drawn_sheet(classes_in_order, lines.others, store.get_object, classes)
    written.write(target, made.png)
    if made.left_out:
        console.notice(f"sheet: {counted(made.left_out, 'class')} did not fit on it, the most frequent; see --class")
    if made.lacking:
        some = made.lacking[:8] + "…" * (len(made.lacking) > 8)
        console.notice(
            f"sheet: no font on this machine has {some}: boxes stand for them; install one, such as fonts-noto-cjk "
            "for Chinese, Japanese and Korean"
        )


def reduced(group: Group) -> tuple[SheetRow, ClassImages]:
    """Returns what the sheet needs of a class."""
    return sheet_row(group), class_images(group)


def drawn_sheet(
    found: Mapping[int, tuple[SheetRow, ClassImages]],
    others: Iterable[Record],
    get: Callable[[str], bytes],
    classes: Sequence[str] = (),
) -> ContactSheet:
    """Returns the sheet of classes by label, with the looks that the records of no class tell of.

    get -- an image's bytes by its sha256; classes -- as `write_sheet`
    """
    looks = looks_of(others)
    rows = chosen((row for row, _ in found.values()), classes)
    if not looks.harmonised:
        return drawn(rows, get, adapted=looks.adapted)
    images = {label: images for label, (_, images) in found.items()}
    harmonised = harmonised_to_see(images, [row.label for row in rows[:MOST_CLASSES]], get)
    return drawn(rows, get, adapted=looks.adapted, harmonised=harmonised)
