"""Which columns of a table of images are meant: that of the images, that of the labels, that of the class names.

CSV, JSONL, parquet and Hugging Face's data sets all ask here. A column is taken by its name where that leaves one;
where it leaves several, or none, the person is asked to name it. Nothing is chosen in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets.class_table import label_of, name_of
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, Source
from ltgc_cli.text import nearest

# Names as `bare` writes them: "Image Path", image_path and ImagePath are one.
IMAGES = ("image", "img")
PATHS = (
    "path", "paths", "file", "files", "filename", "filenames", "filepath", "filepaths", "image", "images", "img",
    "imagepath", "imgpath", "imagefile", "imgfile", "imagefilename", "imagename", "imgname", "imageid",
)  # fmt: skip
_LABELS = (
    "label", "labels", "class", "classes", "category", "categories", "target", "targets", "labelid", "classid",
    "categoryid", "targetid", "labelindex", "classindex", "labelidx", "classidx", "labelname", "classname",
    "categoryname", "finelabel", "coarselabel",
)  # fmt: skip
_SPLITS = ("split", "subset", "partition", "set", "dataset")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)")
_WHOLE = re.compile(r"\A(\d+)\.0*\Z")  # as pandas writes whole numbers of a column that has gaps


class Columns(NamedTuple):
    """Some columns of a table, each with a value for every row, and where the rows are."""

    where: str  # the file, for messages about all of it
    places: Sequence[str]  # of each row: `list.csv:17`
    values: Mapping[str, Sequence[Any]]


class Labels(NamedTuple):
    """What a table says of its classes: a number or a name for each row, and the names that numbers have."""

    column: str
    of_rows: Sequence[int | str]
    names: dict[int, str]


def bare(name: str) -> str:
    """Returns the name of a column without what people write it differently with.

    >>> bare("Class Index"), bare("class_index"), bare("ClassIndex")
    ('classindex', 'classindex', 'classindex')
    """
    return re.sub(r"[\W_]", "", name.casefold())


def image_column(
    where: str, there: Sequence[str], candidates: Sequence[str], source: Source, clear: Sequence[str]
) -> str:
    """Returns the column of the images, or of their paths.

    there -- all columns; candidates -- those that may be it; clear -- names that say it where there are several
    Raises InputError where none or several may be meant, with the columns and both flags.
    """
    if source.image_column:
        return _named(where, there, source.image_column, "--image-column")
    called = [name for name in candidates if bare(name) in clear]
    found = called if len(candidates) > 1 else candidates
    return found[0] if len(found) == 1 else unclear(where, "the images", there, called or candidates)


def label_columns(where: str, there: Sequence[str], source: Source, known: Sequence[str] = ()) -> list[str]:
    """Returns the columns that may have the labels, by their names. Raises InputError where there is none.

    known -- columns that are known to have labels, whatever they are called
    """
    if source.label_column:
        chosen = _named(where, there, source.label_column, "--label-column")
        return [chosen, *(name for name in there if bare(name) in _LABELS and name != chosen)]
    found = known or [name for name in there if bare(name) in _LABELS]
    return list(found) or unclear(where, "the labels", there)


def may_be_splits(names: Iterable[str]) -> list[str]:
    """Returns the columns that may say which split a row is of, by their names."""
    return [name for name in names if bare(name) in _SPLITS]


def split_column(columns: Columns) -> str | None:
    """Returns the column that says which split a row is of: `split`, or the first of them whose words are splits."""
    words = {word for words in SPLIT_WORDS.values() for word in words}
    for name, values in columns.values.items():
        if bare(name) == "split":
            return name if any(values) else None
        if {str(value).strip().lower() for value in values} <= words:
            return name
    return None


def labels(columns: Columns, source: Source) -> Labels:
    """Returns the labels of all rows out of the columns that may have them.

    Numbers are labels, texts are names of classes. Where one column has numbers and one texts, these name the numbers.
    Raises InputError, with its place, for a row without a label; and where it is unclear which column is meant.
    """
    names = list(columns.values)
    if source.label_column:
        label = _named(columns.where, names, source.label_column, "--label-column")
        return _labels(columns, label, _names_of(columns, label))
    filled = [name for name in names if _first(columns.values[name]) is not None] or names[:1]
    numbers = [name for name in filled if _is_number(_first(columns.values[name]))]
    texts = [name for name in filled if name not in numbers]
    called = {bare(name): name for name in filled}
    if called.keys() == {"label", "class"} and called["label"] in numbers:  # as the manual has it, whatever class is
        return _labels(columns, called["label"], called["class"])
    if len(filled) == 1 or (len(numbers), len(texts)) == (1, 1):
        return _labels(columns, *numbers, *texts)
    return unclear(columns.where, "the labels", (), filled)


def unclear(where: str, what: str, there: Sequence[str], may: Sequence[str] = ()) -> NoReturn:
    """Raises InputError that names the columns that may be meant, else all, and the flags that say which one is."""
    why = f"it may be {' or '.join(may)}" if may else f"none is called so of {', '.join(there) or 'none'}"
    raise InputError(
        f"{where}: which column has {what} is unclear: {why}; name them with --image-column and --label-column"
    )


def _named(where: str, there: Sequence[str], name: str, flag: str) -> str:
    found = [one for one in there if one == name] or [one for one in there if one.casefold() == name.casefold()]
    if not found:
        raise InputError(f"{flag} {name}: {where} has no such column, only {', '.join(there)}{nearest(name, there)}")
    return found[0]


def _labels(columns: Columns, label: str, name: str | None = None) -> Labels:
    """Returns the labels of a column, and under a column of numbers the names that another one gives them."""
    values = columns.values[label]
    lacking = [place for place, value in zip(columns.places, values, strict=True) if _is_empty(value)]
    if lacking:
        more = f"; so it is in {len(lacking):,} rows" if len(lacking) > 1 else ""
        raise InputError(f"{lacking[0]}: no label{more}")
    if not _is_number(_first(values)):
        return Labels(label, [_text(place, value) for place, value in zip(columns.places, values, strict=True)], {})
    found = [_number(place, value) for place, value in zip(columns.places, values, strict=True)]
    return Labels(label, found, _class_names(columns, found, columns.values[name]) if name else {})


def _class_names(columns: Columns, found: Sequence[int], given: Sequence[Any]) -> dict[int, str]:
    """Returns the name of each label. Raises InputError where one label has two names, or none as others have."""
    names: dict[int, str] = {}
    for place, label, value in zip(columns.places, found, given, strict=True):
        if _is_empty(value):
            continue
        name = name_of(place, value if isinstance(value, str) else str(value))
        if names.setdefault(label, name) != name:
            raise InputError(f"{place}: label {label} is {name!r} here and {names[label]!r} above")
    unnamed = next((n for n, label in enumerate(found) if names and label not in names), None)
    if unnamed is not None:
        raise InputError(f"{columns.places[unnamed]}: label {found[unnamed]} has no class name, as others have")
    return names


def _names_of(columns: Columns, label: str) -> str | None:
    """Returns the column whose texts go one to one with the numbers of a label column that a person named."""
    if not _is_number(_first(columns.values[label])):
        return None
    for name, values in columns.values.items():
        pairs = set(zip(map(str, columns.values[label]), map(str, values), strict=True))
        one_to_one = len(pairs) == len({number for number, _ in pairs}) == len({text for _, text in pairs})
        if one_to_one and not _is_number(_first(values)):
            return name
    return None


def _first(values: Sequence[Any]) -> Any:
    return next((value for value in values if not _is_empty(value)), None)


def _is_empty(value: object) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())  # NaN is not itself


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and bool(_NUMBER.fullmatch(value.strip())))


def _number(place: str, value: object) -> int:
    return label_of(place, value if isinstance(value, bool) else _WHOLE.sub(r"\1", str(value).strip()))


def _text(place: str, value: object) -> str:
    if _is_number(value):
        raise InputError(f"{place}: {value!r} is a number where other labels are names; labels are one or the other")
    return name_of(place, value)
