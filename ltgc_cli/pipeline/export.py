"""Images of a stream as other programs read them: ImageFolder, a list file, Hugging Face's metadata.jsonl.

Labels cannot shift: a folder's name begins with its label, padded so that names sort as labels do, and there is one for
every label from 0 to the largest; a line has its label written in it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

import msgspec

from ltgc_cli import console, records
from ltgc_cli.errors import InputError, Unreadable
from ltgc_cli.files import new_folder
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Dataset, Source
from ltgc_cli.learn.datasets.class_table import COLUMNS
from ltgc_cli.pipeline import looks
from ltgc_cli.pipeline.class_table import agreed, class_record
from ltgc_cli.ports import ImageFormat
from ltgc_cli.providers.images import shown
from ltgc_cli.records import Class, Image, Record, identify
from ltgc_cli.settings import Export
from ltgc_cli.store import Store

if TYPE_CHECKING:
    from ltgc_cli.learn.harmonise import Change

WIDTH = 4  # digits that a folder's name begins with, so that exports of one data set agree; more where a label needs it
_LONGEST = 100  # bytes of a folder's name: encrypted file systems take 143, and the whole path has an end too
_MOST_FOLDERS = 100_000
_GENERATED = get_args(ImageFormat)


class Exported(NamedTuple):
    """What was written, and what was not."""

    generated: int
    originals: int
    classes: int
    repeated: int  # images whose bytes were there already, in the same class
    unreadable: list[str]  # originals that are no whole images, each with the reason
    elsewhere: int  # originals that the classes have and the stream does not hold, where they were wanted


def export(given: Iterable[Record], store: Store, settings: Export, data: Source | None = None) -> Exported:
    """Writes the images of a stream to a new folder, which appears when it is complete.

    data -- the data set whose training images are the originals, where they are wanted; else those of the stream are
    Raises InputError where the folder is there already or cannot be made, a class has no label, no image is there,
    stream and data set do not mean the same class by a label, or there is no original to harmonise with.
    """
    out = settings.out
    if out is None:
        raise InputError("export needs --out")
    with new_folder(out) as folder:
        wanted = settings.with_originals or settings.harmonise
        originals = datasets.open_data(data, "train") if data and wanted else None
        classes, images = _read(given, originals=wanted and not originals)
        all_classes = _with_those_of(originals, classes) if originals else classes
        changes = _changes(images, store, originals) if settings.harmonise else {}
        if settings.with_originals:
            dataset, classes = originals, all_classes
        else:
            dataset, images = None, [image for image in images if image.origin == "generated"]
        if not images and not dataset:
            raise InputError("export found no generated image in its input; pipe filter (or render) into it")
        places = _places(folder, classes, settings.format)
        named: dict[str, Image] = {}
        seen: set[tuple[int, str]] = set()
        unreadable: list[str] = []
        total = len(images) + (len(dataset.items) if dataset else 0)
        with console.progress("export", total) as progress:
            for image, bytes_ in _with_bytes(images, store, dataset):
                progress.advance()
                if (image.label, image.sha256) in seen:
                    continue
                seen.add((image.label, image.sha256))
                try:
                    image, bytes_ = _harmonised(image, bytes_, changes)
                    image, bytes_ = _as_seen(image, bytes_)
                except Unreadable as error:
                    unreadable.append(f"{image.name or image.sha256[:12]}: {error}")
                    continue
                name = _file(image, places, named)
                (folder / name).write_bytes(bytes_)
                named[name] = image
        _write_lists(folder, settings.format, named, classes, places)
    origins = Counter(image.origin for image in named.values())
    return Exported(
        origins["generated"],
        origins["original"],
        len({image.label for image in named.values()}),
        total - len(seen),
        unreadable,
        _elsewhere(classes, named.values()) if settings.with_originals and not dataset else 0,
    )


def folder_name(label: int, name: str, width: int = WIDTH) -> str:
    """Returns what a class's folder is called: its label, and its name as every file system takes it.

    >>> folder_name(3, "Trogon rufus"), folder_name(7, "../CON.|aux"), folder_name(12, "鶴"), folder_name(1, "?!")
    ('0003_trogon_rufus', '0007_con_aux', '0012_鶴', '0001')
    """
    small = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).lower())
    words = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in small).split()
    whole = "_".join([f"{label:0{width}}", *words])
    return whole.encode()[:_LONGEST].decode(errors="ignore").rstrip("_")


def _read(given: Iterable[Record], *, originals: bool) -> tuple[dict[int, Class], list[Image]]:
    """Returns the classes by label, and the images that are wanted, repeats included."""
    classes: dict[int, Class] = {}
    images: list[Image] = []
    for group in records.by_class(given):
        if group.cls.label >= 0:
            classes[group.cls.label] = group.cls
        for row in [*group.generated, *(group.originals if originals else ())]:
            formats = _GENERATED if row.origin == "generated" else (row.format,)
            if row.label < 0 or row.format not in formats:
                wrong = "no label" if row.label < 0 else f"the format {row.format!r}"
                raise InputError(f"the image {row.id} has {wrong}; export needs a label and {', '.join(_GENERATED)}")
            images.append(records.evolve(row, history=(), parents=(), made=None, rest={}))  # there may be a million
    return classes, images


def _with_those_of(dataset: Dataset, classes: Mapping[int, Class]) -> dict[int, Class]:
    """Returns the classes of the stream, and those that the data set alone has."""
    table = {info.label: info for info in dataset.classes}
    for cls in classes.values():
        agreed(table, cls)
    return {label: classes.get(label) or class_record(info, 0) for label, info in sorted(table.items())}


def _with_bytes(images: Iterable[Image], store: Store, dataset: Dataset | None) -> Iterator[tuple[Image, bytes]]:
    """Returns each image with its bytes as they lie in the store, or in the data set."""
    for image in images:
        yield image, store.get_object(image.sha256)  # it refuses a name that is no hash
    names = {info.label: info.name for info in dataset.classes} if dataset else {}
    for item in dataset.items if dataset else ():
        data = datasets.image_bytes(dataset, item)  # type: ignore[arg-type]
        sha256 = hashlib.sha256(data).hexdigest()
        image = Image(label=item.label, class_=names[item.label], sha256=sha256, origin="original", name=item.name)
        yield identify(image, item.name, sha256), data


def _changes(images: Iterable[Image], store: Store, originals: Dataset | None) -> dict[int, Change]:
    """Returns what harmonises the generated images of each class, by its label.

    originals -- the data set of the originals; None: those among the images are
    Raises InputError where there is none.
    """
    kinds: dict[str, dict[int, list[looks.Bytes]]] = {"generated": {}, "original": {}}
    for image in images:
        kinds[image.origin].setdefault(image.label, []).append(partial(store.get_object, image.sha256))
    for item in originals.items if originals else ():
        read = partial(datasets.image_bytes, originals, item)  # type: ignore[arg-type]
        kinds["original"].setdefault(item.label, []).append(read)
    if not kinds["original"]:
        raise InputError("export --harmonise needs original images, and the stream has none: add --data DATA")
    try:
        return looks.changes(kinds["original"], kinds["generated"]) if kinds["generated"] else {}
    except Unreadable as error:
        broken = (
            (
                item.name
                for item in originals.items
                if not looks.readable(partial(datasets.image_bytes, originals, item))
            )
            if originals
            else iter(())
        )
        named = next(broken, str(error))
        raise InputError(f"export --harmonise measures all images, and one is broken: {named}; take it out") from None


def _harmonised(image: Image, data: bytes, changes: Mapping[int, Change]) -> tuple[Image, bytes]:
    """Returns a generated image as the real ones look, under the hash of what is written; others as they are."""
    if image.origin != "generated" or image.label not in changes:
        return image, data
    data = looks.harmonised(data, changes[image.label], image.format)  # type: ignore[arg-type]
    return msgspec.structs.replace(image, sha256=hashlib.sha256(data).hexdigest()), data


def _as_seen(image: Image, data: bytes) -> tuple[Image, bytes]:
    """Returns an original as a JPEG or PNG that every reader sees as ours does: turned, in 8 bits, on white.

    Most are so already and stay byte by byte what they are. Raises Unreadable for what is no whole image.
    """
    if image.origin == "generated":
        return image, data
    kind, plain = shown(data)
    return msgspec.structs.replace(image, format="jpg" if kind == "image/jpeg" else "png"), plain


def _places(folder: Path, classes: Mapping[int, Class], format: str) -> dict[int, str]:
    """Makes the folders for images, and returns by label which one is the class's."""
    if format != "imagefolder":
        (folder / "images").mkdir()
        return dict.fromkeys(classes, "images")
    largest = max(classes)
    if largest > _MOST_FOLDERS:
        raise InputError(f"labels go up to {largest:,}: too many for a folder each; use --format list or metadata")
    width = max(WIDTH, len(str(largest)))
    places = {
        label: folder_name(label, classes[label].class_ if label in classes else "", width)
        for label in range(largest + 1)
    }
    for place in places.values():
        (folder / place).mkdir()
    return places


def _file(image: Image, places: Mapping[int, str], named: Mapping[str, Image]) -> str:
    """Returns an image's file, relative to the folder; the same bytes of another label get a name of their own."""
    stem = f"{places[image.label]}/{image.sha256}"
    name = f"{stem}.{image.format}"
    return f"{stem}-{image.label:0{WIDTH}}.{image.format}" if name in named else name


def _elsewhere(classes: Mapping[int, Class], images: Iterable[Image]) -> int:
    there = Counter(image.label for image in images if image.origin == "original")
    return sum(max(0, (cls.count or 0) - there[label]) for label, cls in classes.items())


def _metadata(name: str, image: Image) -> str:
    row = {"file_name": name, "label": image.label, "class": image.class_, "text": image.text}
    return json.dumps(row | {"score": image.score, "id": image.id, "origin": image.origin}, ensure_ascii=False)


# The file that names the images, and its lines.
_LISTS: dict[str, tuple[str, Callable[[str, Image], str]]] = {
    "list": ("list.txt", lambda name, image: f"{name} {image.label}"),
    "metadata": ("metadata.jsonl", _metadata),
}


def _write_lists(
    folder: Path, format: str, named: Mapping[str, Image], classes: Mapping[int, Class], places: Mapping[int, str]
) -> None:
    """Writes the class table, in which a class's folder is a synonym of its name, and the list of images."""
    if format in _LISTS:
        file, line = _LISTS[format]
        text = "".join(f"{line(name, image)}\n" for name, image in named.items())
        (folder / file).write_text(text, encoding="utf-8")
    with (folder / "classes.csv").open("w", encoding="utf-8", newline="") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)
        for label, cls in sorted(classes.items()):
            own = [places[label]] if format == "imagefolder" else []
            synonyms = dict.fromkeys([*cls.synonyms, *own])
            rows.writerow((label, cls.class_, cls.sense, ";".join(synonyms), "" if cls.count is None else cls.count))
