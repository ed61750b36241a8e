"""The one check of the data before any training: what it counts, and what it stops on. Imported where one trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.files import write_atomically
from ltgc_cli.learn import checks, datasets
from ltgc_cli.learn.datasets import Dataset, Source, Split
from ltgc_cli.pipeline.session import Session
from ltgc_cli.records import Class, Image


class Hashes(NamedTuple):
    """The content hashes of a data set's images, in order."""

    train: tuple[bytes, ...]
    val: tuple[bytes, ...]
    """Empty where there are no validation images."""


def before_training(
    session: Session, source: Source, classes: Sequence[Class], generated: Sequence[Image], val: Source | None = None
) -> Hashes:
    """Returns the content hashes of the images when the data can be trained on.

    Prints the counts per shot. The hashes are kept in the store under the data's fingerprint, so that each
    image is checked once.

    classes -- the class records of the stream, which say what a tail class is; generated -- its images
    val -- validation images that are another data set

    Raises InputError for two classes with one name and no senses, a label outside the table, a file that is no image,
    an image that is in training and in another split, or generated images of a class that is no tail class. All
    problems are listed, some ten of each kind.
    """
    train = datasets.open_data(source, "train")
    _notify_counts(train, Counter(image.label for image in generated))
    senses = {cls.label: cls.sense for cls in classes if cls.sense}
    table = [msgspec.structs.replace(info, sense=senses.get(info.label, info.sense)) for info in train.classes]
    problems = [*checks.check_table(table), *_misplaced(session, train, classes, generated)]
    opened: dict[Split, Dataset] = {"train": train}
    found: dict[Split, tuple[bytes, ...]] = {}
    sources: dict[Split, Source] = dict.fromkeys(datasets.splits(source), source) | ({"val": val} if val else {})
    for split, its in sources.items():
        opened.setdefault(split, datasets.open_data(its, split))
        try:
            found[split] = hashes_of(session, its, opened[split])
        except InputError as error:
            problems += str(error).splitlines()
    for split in [split for split in found if split != "train"]:
        problems += checks.some(_leaks(split, opened, found, generated))
    if problems:
        _stop(problems)
    twice = checks.two_labels(found["train"], train.items)
    if twice:
        console.notice(f"data: one image under two labels in training: {len(twice):,} times: {'; '.join(twice[:3])}")
    return Hashes(found["train"], found.get("val", ()))


def before_a_run(session: Session, source: Source, others: Sequence[tuple[Source, Split]]) -> None:
    """Returns nothing where no image would stop training or eval, which come when all the rest is paid.

    The hashes are kept in the store, so that no image is checked again there.

    others -- data sets of test and validation images besides the splits of the data itself

    Raises InputError for a file that is no image, and for an image that is in training and in another split.
    """
    problems: list[str] = []
    trained: tuple[bytes, ...] = ()
    train = datasets.open_data(source, "train")
    own = [(source, split) for split in datasets.splits(source)]
    for its, split in dict.fromkeys([(source, "train"), *own, *others]):
        dataset = train if (its, split) == (source, "train") else datasets.open_data(its, split)
        try:
            hashes = hashes_of(session, its, dataset)
        except InputError as error:
            problems += str(error).splitlines()
            continue
        if dataset is train:
            trained = hashes
        elif trained:
            found = checks.overlap(trained, hashes, train.items, dataset.items)
            problems += checks.some([f"the {split} image {text}" for text in found])
    if problems:
        _stop(problems, "nothing was asked")


def _notify_counts(train: Dataset, generated: Counter[int]) -> None:
    parts = [
        f"{shot} {members:,} classes, {images:,} images" + (f" (and {more:,} generated)" if more else "")
        for shot, members, images, more in checks.counts_by_shot(train.classes, generated)
    ]
    console.notice(f"data: {train.spec}: {'; '.join(parts)}")
    empty = [info for info in train.classes if not info.count]
    if empty:
        names = ", ".join(info.name for info in empty[:3])
        console.notice(
            f"data: classes without a training image: {len(empty):,} ({names}{', …' if len(empty) > 3 else ''})"
        )


def _misplaced(session: Session, train: Dataset, classes: Sequence[Class], generated: Sequence[Image]) -> list[str]:
    """Returns what is wrong with the generated images: their label, a class that is no tail class, lost bytes."""
    table = {info.label: info.name for info in train.classes}
    heads = {cls.label for cls in classes if not cls.tail}
    counts = Counter(image.label for image in generated)
    problems = []
    for label, count in sorted(counts.items()):
        if label not in table:
            problems.append(
                f"label {label}, of generated images ({count:,}), is not in the class table of {train.spec}"
            )
        elif label in heads:
            problems.append(
                f"generated images ({count:,}) would change {table[label]!r} (label {label}), which is no tail class; "
                "leave them out of the stream"
            )
    lost = [
        f"the generated image {image.sha256[:12]}… is not in the store {session.store.folder}"
        for image in generated
        if not session.store.object_path(image.sha256).is_file()
    ]
    return checks.some(problems) + checks.some(lost)


def _leaks(
    split: Split, opened: dict[Split, Dataset], hashes: dict[Split, tuple[bytes, ...]], generated: Sequence[Image]
) -> list[str]:
    """Returns the images of another split that are trained on as well, generated ones among them."""
    leaks = []
    if "train" in hashes:
        leaks = checks.overlap(hashes["train"], hashes[split], opened["train"].items, opened[split].items)
    known = {bytes.fromhex(image.sha256)[: checks.HASH]: image for image in generated}
    leaks += [
        f"{item.name} is the generated image {known[hash].id}"
        for hash, item in zip(hashes[split], opened[split].items, strict=True)
        if hash in known
    ]
    return [f"the {split} image {text}" for text in leaks]


def hashes_of(session: Session, source: Source, dataset: Dataset) -> tuple[bytes, ...]:
    """Returns the hashes of a split's images: as they were found before, or found now and kept."""
    path = session.store.folder / "checked" / datasets.fingerprint(source, dataset.split)
    size = checks.HASH
    kept = path.read_bytes() if path.is_file() else b""
    if kept and len(kept) == size * len(dataset.items):
        return tuple(kept[start : start + size] for start in range(0, len(kept), size))
    with console.progress(f"checking the {dataset.split} images", len(dataset.items)) as progress:
        found = checks.check_images(dataset, progress.advance)
    write_atomically(path, b"".join(found))
    return found


def _stop(problems: Sequence[str], nothing: str = "nothing was trained") -> None:
    """Raises InputError. Several problems are printed before it, one a line: an error itself is one line."""
    if len(problems) == 1:
        raise InputError(problems[0])
    for problem in problems:
        console.error(problem)
    raise InputError(f"{nothing}: the data has the problems above")
