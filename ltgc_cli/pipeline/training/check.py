"""What is trained on: what a stream brings, and the one check of all data before any training. Loads no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from ltgc_cli import console, prompts
from ltgc_cli.errors import InputError
from ltgc_cli.files import read_regular, write_atomically
from ltgc_cli.learn import checks, datasets
from ltgc_cli.learn.datasets import ClassInfo, Dataset, Source, Split
from ltgc_cli.pipeline.class_table import agreed
from ltgc_cli.pipeline.data import open_data
from ltgc_cli.pipeline.session import Session
from ltgc_cli.records import Class, Description, Group
from ltgc_cli.stages.verdicts import Verdicts, accepted
from ltgc_cli.text import counted

Key = tuple[Source, Split]
_SHOWN = 3  # images named that are left out
_DROP_BROKEN = "--drop-broken goes on without files that are no image"
_DROP_DUPLICATES = "--drop-duplicates trains without images of another split"


class Dropped(NamedTuple):
    """What is left out of the data in place of stopping at it."""

    broken: bool = False  # files that are no image, or are not there
    duplicates: bool = False  # of the training images those that are there twice, or in another split too


NOTHING = Dropped()


class Looked(NamedTuple):
    """A split, the content hash of each of its images, empty where the file is none, and what is wrong with those."""

    dataset: Dataset
    hashes: tuple[bytes, ...]
    problems: tuple[str, ...] = ()

    @property
    def broken(self) -> list[str]:
        """The names of the files that are no image."""
        return [item.name for hash, item in zip(self.hashes, self.dataset.items, strict=True) if not hash]

    def without(self, places: Collection[int]) -> Looked:
        """Returns the split without some of its images; a training split's counts are without them too."""
        kept = [place for place in range(len(self.hashes)) if place not in places]
        items = tuple(self.dataset.items[place] for place in kept)
        classes = self.dataset.classes
        if self.dataset.split == "train":
            counts = Counter(item.label for item in items)
            classes = tuple(msgspec.structs.replace(info, count=counts[info.label]) for info in classes)
        dataset = msgspec.structs.replace(self.dataset, items=items, classes=classes)
        return self._replace(dataset=dataset, hashes=tuple(self.hashes[place] for place in kept))


class Images(NamedTuple):
    """What is trained on, what is measured on, and what those are compared with; the names of what was left out."""

    train: Looked
    val: Looked | None
    others: tuple[Looked, ...]
    left_out: tuple[str, ...] = ()


class Generated(NamedTuple):
    """What training knows of a generated image: a seventh of the bytes of its record, and there may be a million."""

    label: int
    sha256: str
    id: str


@dataclass
class TrainingInputs:
    """What the lines of a stream say to the training, gathered class by class."""

    table: dict[int, ClassInfo]  # the data's class table by label, with the senses that the stream knows
    generated: list[Generated] = field(default_factory=list)
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
        self.generated += (Generated(one.label, one.sha256, one.id) for one in accepted(group, verdicts))
        if cls.label < 0:
            return
        self.table[cls.label] = agreed(self.table, cls)
        self.stream.append(cls)
        if texts and (found := [row.text for row in group.rows if isinstance(row, Description)]):
            # As an image generator gets them: CLIP, too, takes "the class" for a school class.
            self.texts[cls.label] = [prompts.image_prompt(text, cls.class_, cls.subject) for text in found]


def images(
    session: Session, source: Source, val: Source | None = None, test: Source | None = None, drop: Dropped = NOTHING
) -> Images:
    """Returns the images that are trained and measured on, with what is wrong with them. Says what is left out.

    val -- the data set whose validation images are measured on, where any are; test -- other test images, with which
    the training's are compared, as with all splits of the data itself
    """
    train, measured = look(session, source, "train"), look(session, val, "val") if val else None
    others = _others(session, source, test, {"val"} if val == source else set())
    left: list[str] = []
    if drop.broken:
        train, broken = _whole(train)
        left += broken
        measured, broken = _whole(measured) if measured else (None, [])
        left += broken
    if drop.duplicates:
        elsewhere = {
            hash: f"{other.dataset.split} image {item.name}"
            for other in [*([measured] if measured else []), *others]
            for hash, item in zip(other.hashes, other.dataset.items, strict=True)
        }
        found = checks.duplicates(train.hashes, train.dataset.items, elsewhere)
        left += _said(train, found, "--drop-duplicates")
        train = train.without(found)
    if not train.dataset.items:
        raise InputError(f"{source.spec}: no image is left to train on")
    return Images(train, measured, tuple(others), tuple(left))


def before_training(session: Session, classes: Sequence[Class], generated: Sequence[Generated], found: Images) -> None:
    """Returns nothing where the data can be trained on. Prints the counts per shot.

    classes -- the class records of the stream, which say what a tail class is; generated -- its images
    found -- what is trained and measured on
    Raises InputError for two classes with one name and no senses, a label outside the table, a file that is no image,
    an image that is in training and in another split, or generated images of a class that is no tail class. All
    problems are listed, some ten of each kind. A split that training does not need stops nothing by itself.
    """
    train = found.train.dataset
    _notify_counts(train, Counter(image.label for image in generated))
    senses = {cls.label: cls.sense for cls in classes if cls.sense}
    table = [msgspec.structs.replace(info, sense=senses.get(info.label, info.sense)) for info in train.classes]
    problems = [*checks.check_table(table), *_misplaced(session, train, classes, generated)]
    measured = [found.val] if found.val else []
    broken = [text for one in (found.train, *measured) for text in checks.some(one.problems)]
    others = [*measured, *found.others]
    made = {bytes.fromhex(image.sha256)[: checks.HASH]: image.id for image in generated}
    leaks = _leaks(others, _trained(found.train), "training image")
    _stop([*problems, *_leaks(others, made, "generated image")], broken, leaks, "nothing was trained")
    if twice := checks.two_labels(found.train.hashes, train.items):
        shown = "; ".join(twice[:3])
        times = counted(len(twice), "time")
        console.notice(
            f"data: one image under two labels in training: {times}: {shown}; --drop-duplicates leaves them out"
        )


def before_a_run(session: Session, source: Source, others: Sequence[Key], drop: Dropped = NOTHING) -> None:
    """Returns nothing where no image would stop training or eval, which come when all the rest is paid.

    others -- data sets of test and validation images that the run needs
    Raises InputError for a file that is no image, and for an image that is in training and in another split.
    """
    train = look(session, source, "train")
    needed = [look(session, *key) for key in dict.fromkeys(others) if key != (source, "train")]
    broken = [text for one in (train, *needed) for text in checks.some(one.problems)] if not drop.broken else []
    splits = {split for its, split in others if its == source}
    compared = [*needed, *_others(session, source, None, splits)]
    leaks = _leaks(compared, _trained(train), "training image") if not drop.duplicates else []
    _stop([], broken, leaks, "nothing was asked")


def whole(session: Session, source: Source, split: Split, drop: Dropped) -> Looked:
    """Returns a split of which every file is an image, left out what is none where that is wanted.

    Raises InputError that names the first files that are no image, or are not there: one a line.
    """
    found = look(session, source, split)
    if drop.broken:
        return _whole(found)[0]
    if found.problems:
        raise InputError("\n".join([*checks.some(found.problems), _DROP_BROKEN]))
    return found


def look(session: Session, source: Source, split: Split) -> Looked:
    """Returns a split and its images' hashes, kept in the store by the data's fingerprint: each is decoded once.
    A dry run keeps none.

    What was no image is looked at again each time, for it may have been mended.
    Raises InputError where not one image of a list is there.
    """
    dataset = open_data(source, split)
    path = session.folder / "checked" / datasets.fingerprint(source, split)
    size = checks.HASH
    kept = read_regular(path) if path.is_file() else b""
    if not kept or len(kept) != size * len(dataset.items):
        kept = bytes(size * len(dataset.items))
    hashes = [kept[start : start + size] for start in range(0, len(kept), size)]
    todo = [place for place, hash in enumerate(hashes) if not any(hash)]
    if not todo:
        return Looked(dataset, tuple(hashes))
    with console.progress(f"checking the {split} images", len(todo)) as progress:
        found = checks.check_images(dataset, [dataset.items[place] for place in todo], progress.advance)
    for place, checked in zip(todo, found, strict=True):
        hashes[place] = checked.hash
    if not session.dry:
        write_atomically(path, b"".join(hash or bytes(size) for hash in hashes))
    return Looked(dataset, tuple(hashes), tuple(checked.problem for checked in found if checked.problem))


def _whole(found: Looked) -> tuple[Looked, list[str]]:
    """Returns a split without what is no image, and the names of that, which are said."""
    broken = [place for place, hash in enumerate(found.hashes) if not hash]
    left = _said(found, dict(zip(broken, found.problems, strict=True)), "--drop-broken")
    return found.without(broken)._replace(problems=()), left


def _said(found: Looked, left: Mapping[int, str], flag: str) -> list[str]:
    """Returns the names of images that are left out, and says how many they are, and the first."""
    if left:
        split, count = found.dataset.split, len(found.hashes)
        shown = "; ".join([*left.values()][:_SHOWN]) + ("; …" if len(left) > _SHOWN else "")
        console.notice(f"data: {len(left):,} of {count:,} {split} images left out ({flag}): {shown}")
    return [f"{found.dataset.split} {found.dataset.items[place].name}" for place in left]


def _others(session: Session, source: Source, test: Source | None, known: Collection[Split]) -> list[Looked]:
    """Returns the splits that are not needed, to compare the training images with. What cannot be read stops nothing.

    known -- the splits of the data that are needed, and were looked at
    """
    others: list[Key] = [(source, split) for split in datasets.splits(source) if split not in ("train", *known)]
    found = []
    for its, split in [*others, *([(test, "test")] if test else [])]:
        try:
            one = look(session, its, split)  # type: ignore[arg-type]
        except InputError as error:
            _notice_once(f"data: the {split} images are not compared with the training's: {error}")
            continue
        if one.problems:
            more = f"; so it is with {len(one.problems):,} images" if len(one.problems) > 1 else ""
            _notice_once(f"data: not compared with the training images: {one.problems[0]}{more}")
        found.append(one)
    return found


def _notice_once(text: str) -> None:
    """Says what every training of a run would say again."""
    if console.first(text):
        console.notice(text)


def _leaks(others: Sequence[Looked], known: Mapping[bytes, str], what: str) -> list[str]:
    """Returns the images of other splits that are known by their hash.

    known -- the names of training images, or of generated ones, by their hash; what -- these are
    """
    leaks = []
    for other in others:
        named = zip(other.hashes, other.dataset.items, strict=True)
        found = [f"{item.name} is the {what} {known[hash]}" for hash, item in named if hash in known]
        leaks += checks.some([f"the {other.dataset.split} image {text}" for text in found])
    return leaks


def _trained(train: Looked) -> dict[bytes, str]:
    named = zip(train.hashes, train.dataset.items, strict=True)
    return {hash: item.name for hash, item in named if hash}


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


def _misplaced(session: Session, train: Dataset, classes: Sequence[Class], generated: Sequence[Generated]) -> list[str]:
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
        f"the generated image {image.sha256[:12]}… is not in the store {session.folder}"
        for image in generated
        if not session.store.object_path(image.sha256).is_file()
    ]
    return checks.some(problems) + checks.some(lost)


def _stop(problems: Sequence[str], broken: Sequence[str], leaks: Sequence[str], nothing: str) -> None:
    """Raises InputError where there are problems; several are printed before it, for an error itself is one line.

    broken, leaks -- those which a flag leaves out, which is said with them
    """
    every = [*problems, *broken, *leaks]
    hints = [*([_DROP_BROKEN] if broken else []), *([_DROP_DUPLICATES] if leaks else [])]
    if len(every) == 1:
        raise InputError("; ".join([*every, *hints]))
    for problem in every:
        console.error(problem)
    if every:
        raise InputError("; ".join([f"{nothing}: the data has the problems above", *hints]))
