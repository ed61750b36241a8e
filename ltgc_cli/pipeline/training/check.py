"""What is trained on: what a stream brings, and the one check of all data before any training. Loads no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from ltgc_cli import console, prompts
from ltgc_cli.errors import InputError
from ltgc_cli.files import write_atomically
from ltgc_cli.learn import checks, datasets
from ltgc_cli.learn.datasets import ClassInfo, Dataset, Source, Split
from ltgc_cli.pipeline.class_table import agreed
from ltgc_cli.pipeline.session import Session
from ltgc_cli.records import Class, Description, Group, Image
from ltgc_cli.stages.verdicts import Verdicts, accepted
from ltgc_cli.text import counted

Key = tuple[Source, Split]


class Hashes(NamedTuple):
    """The content hashes of a data set's images, in order."""

    train: tuple[bytes, ...]
    val: tuple[bytes, ...]  # empty where there are no validation images


@dataclass
class TrainingInputs:
    """What the lines of a stream say to the training, gathered class by class."""

    table: dict[int, ClassInfo]  # the data's class table by label, with the senses that the stream knows
    generated: list[Image] = field(default_factory=list)
    texts: dict[int, list[str]] = field(default_factory=dict)  # descriptions, where the head starts from them
    stream: list[Class] = field(default_factory=list)  # the class records of the stream

    @property
    def classes(self) -> list[ClassInfo]:
        return list(self.table.values())

    def add(self, group: Group, verdicts: Verdicts, *, texts: bool) -> None:
        """Adds the lines of one class. Raises InputError where its label is another class in the data.

        texts -- whether the head starts from descriptions
        """
        cls = group.cls
        self.generated += accepted(group, verdicts)
        if cls.label < 0:
            return
        self.table[cls.label] = agreed(self.table, cls)
        self.stream.append(cls)
        if texts and (found := [row.text for row in group.rows if isinstance(row, Description)]):
            # As an image generator gets them: CLIP, too, takes "the class" for a school class.
            self.texts[cls.label] = [prompts.image_prompt(text, cls.class_, cls.subject) for text in found]


def before_training(
    session: Session, source: Source, classes: Sequence[Class], generated: Sequence[Image], val: Source | None = None
) -> Hashes:
    """Returns the content hashes of the images when the data can be trained on. Prints the counts per shot.

    classes -- the class records of the stream, which say what a tail class is; generated -- its images
    val -- the data set whose validation images are measured on, where any are
    Raises InputError for two classes with one name and no senses, a label outside the table, a file that is no image,
    an image that is in training and in another split, or generated images of a class that is no tail class. All
    problems are listed, some ten of each kind.
    """
    sources = dict.fromkeys(datasets.splits(source), source) | ({"val": val} if val else {})
    opened = _opened(source, [(its, split) for split, its in sources.items()])
    train = opened[source, "train"]
    _notify_counts(train, Counter(image.label for image in generated))
    senses = {cls.label: cls.sense for cls in classes if cls.sense}
    table = [msgspec.structs.replace(info, sense=senses.get(info.label, info.sense)) for info in train.classes]
    problems = [*checks.check_table(table), *_misplaced(session, train, classes, generated)]
    hashes = _checked(session, opened, problems, generated)
    _stop(problems, "nothing was trained")
    if twice := checks.two_labels(hashes[source, "train"], train.items):
        console.notice(
            f"data: one image under two labels in training: {counted(len(twice), 'time')}: {'; '.join(twice[:3])}"
        )
    return Hashes(hashes[source, "train"], hashes[val, "val"] if val else ())


def before_a_run(session: Session, source: Source, others: Sequence[Key]) -> None:
    """Returns nothing where no image would stop training or eval, which come when all the rest is paid.

    others -- data sets of test and validation images besides the splits of the data itself
    Raises InputError for a file that is no image, and for an image that is in training and in another split.
    """
    problems: list[str] = []
    own = [(source, split) for split in datasets.splits(source)]
    _checked(session, _opened(source, [*own, *others]), problems)
    _stop(problems, "nothing was asked")


def _opened(source: Source, others: Sequence[Key]) -> dict[Key, Dataset]:
    """Returns the split that is trained on, and then the others."""
    keys: list[Key] = [(source, "train"), *others]
    return {key: datasets.open_data(*key) for key in dict.fromkeys(keys)}


def _checked(
    session: Session, opened: Mapping[Key, Dataset], problems: list[str], generated: Sequence[Image] = ()
) -> dict[Key, tuple[bytes, ...]]:
    """Returns the hashes of each split, and adds to the problems: broken files, images of training in another split."""
    hashes: dict[Key, tuple[bytes, ...]] = {}
    for key, dataset in opened.items():
        try:
            hashes[key] = hashes_of(session, key[0], dataset)
        except InputError as error:
            problems += str(error).splitlines()
    train = next(iter(opened))  # what is trained on comes first
    known = {bytes.fromhex(image.sha256)[: checks.HASH]: image.id for image in generated}
    for key in [key for key in hashes if key != train]:
        items = opened[key].items
        leaks = checks.overlap(hashes[train], hashes[key], opened[train].items, items) if train in hashes else []
        leaks += [
            f"{item.name} is the generated image {known[hash]}"
            for hash, item in zip(hashes[key], items, strict=True)
            if hash in known
        ]
        problems += checks.some([f"the {key[1]} image {text}" for text in leaks])
    return hashes


def _notify_counts(train: Dataset, generated: Counter[int]) -> None:
    parts = [
        f"{shot} {counted(members, 'class')}, {counted(images, 'image')}"
        + (f" (and {more:,} generated)" if more else "")
        for shot, members, images, more in checks.counts_by_shot(train.classes, generated)
    ]
    console.notice(f"data: {train.spec}: {'; '.join(parts)}")
    if empty := [info.name for info in train.classes if not info.count]:
        names = ", ".join(empty[:3] + ["…"] * (len(empty) > 3))
        console.notice(f"data: classes without a training image: {len(empty):,} ({names})")


def _misplaced(session: Session, train: Dataset, classes: Sequence[Class], generated: Sequence[Image]) -> list[str]:
    """Returns what is wrong with the generated images: their label, a class that is no tail class, lost bytes."""
    table = {info.label: info.name for info in train.classes}
    heads = {cls.label for cls in classes if not cls.tail}
    counts = Counter(image.label for image in generated)
    problems = []
    for label, count in sorted(counts.items()):
        images = f"generated images ({count:,})"
        if label not in table:
            problems.append(f"label {label}, of {images}, is not in the class table of {train.spec}")
        elif label in heads:
            named = f"{table[label]!r} (label {label}), which is no tail class"
            problems.append(f"{images} would change {named}; leave them out of the stream")
    lost = [
        f"the generated image {image.sha256[:12]}… is not in the store {session.store.folder}"
        for image in generated
        if not session.store.object_path(image.sha256).is_file()
    ]
    return checks.some(problems) + checks.some(lost)


def hashes_of(session: Session, source: Source, dataset: Dataset) -> tuple[bytes, ...]:
    """Returns the hashes of a split's images, kept in the store by the data's fingerprint: each is checked once.

    A dry run keeps none.
    """
    path = session.store.folder / "checked" / datasets.fingerprint(source, dataset.split)
    size = checks.HASH
    kept = path.read_bytes() if path.is_file() else b""
    if kept and len(kept) == size * len(dataset.items):
        return tuple(kept[start : start + size] for start in range(0, len(kept), size))
    with console.progress(f"checking the {dataset.split} images", len(dataset.items)) as progress:
        found = checks.check_images(dataset, progress.advance)
    if not session.dry:
        write_atomically(path, b"".join(found))
    return found


def _stop(problems: Sequence[str], nothing: str) -> None:
    """Raises InputError where there are problems; several are printed before it, for an error itself is one line."""
    if len(problems) == 1:
        raise InputError(problems[0])
    for problem in problems:
        console.error(problem)
    if problems:
        raise InputError(f"{nothing}: the data has the problems above")
