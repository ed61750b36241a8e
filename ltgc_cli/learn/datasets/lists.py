"""List files, as ImageNet-LT, Places-LT and iNaturalist 2018 are published: `relative/path label` on each line."""

from __future__ import annotations

from pathlib import Path

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets.class_table import is_label
from ltgc_cli.learn.datasets.files import numbered, read_text
from ltgc_cli.learn.datasets.listing import ListedImage, Listing, format_of


def _read(file: Path) -> Listing:
    rows = []
    for number, line in numbered(read_text(file)):
        # The label is the last field, so that a path may have spaces in it.
        path, label = ("", *line.rsplit(None, 1))[-2:]
        if not path or not is_label(label):
            raise InputError(f"{file}:{number}: {line[:80]!r} is no path and label; a line is: relative/path.jpg 17")
        rows.append(ListedImage(path, int(label), number))
    return Listing(file, rows, {})


FORMAT = format_of(".txt", _read)
