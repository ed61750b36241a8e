"""What a report tells, from the records of a stream: the classes with their drawings, and the numbers of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ltgc_cli.errors import InputError
from ltgc_cli.ports import unpriced, used
from ltgc_cli.records import (
    Class,
    Description,
    Failure,
    Image,
    Made,
    Metric,
    Record,
    Rejected,
    Step,
    Template,
    Verdict,
    kind_of,
)
from ltgc_cli.report import accuracy
from ltgc_cli.text import nearest

T = TypeVar("T")


class JudgedImage(NamedTuple):
    """A drawing as it ended: accepted or rejected, with every round of it."""

    sha256: str
    text: str
    accepted: bool
    score: float | None = None
    bar: float | None = None
    reason: str = ""
    steps: tuple[Step, ...] = ()
    """Its rounds, where it was drawn more than once; the drawing itself is among them."""
    made: Made | None = None
    verdict: str = ""
    """What a person said of it, keep or reject: in the stream, or when filter judged it."""
    id: str = ""

    @property
    def state(self) -> str:
        return "accepted" if self.accepted else "rejected"

    @property
    def below(self) -> bool:
        """Whether it scored below its class's bar."""
        return self.score is not None and self.bar is not None and self.score < self.bar


class Original(NamedTuple):
    """A real training image and the name of its file."""

    sha256: str
    name: str


class ClassStory(NamedTuple):
    """One class: what was there, what was drawn, what became of it."""

    label: int
    name: str
    sense: str = ""
    real: int | None = None
    """Real training images; None where there is no data."""
    shot: str = ""
    tail: bool = False
    template: str = ""
    """C_y, what its drawings are judged by."""
    bar: float | None = None
    originals: tuple[Original, ...] = ()
    drawings: tuple[JudgedImage, ...] = ()
    """Accepted ones first, then the rejected; in the order of the stream."""
    plain: tuple[JudgedImage, ...] = ()
    """From the bare name of the class, to look at beside the others."""
    descriptions: int = 0
    turned_down: tuple[tuple[str, str], ...] = ()
    """Descriptions that reflect rejected, and why."""
    failures: tuple[tuple[str, str, str], ...] = ()
    """Stage, reason and text of what could not be done."""
    method: float | None = None
    """Accuracy in percent with generated images."""
    baseline: float | None = None
    left_out: int = 0
    """Pictures that there was no room for."""
    accepted: int = 0
    rejected: int = 0
    below: int = 0
    """Accepted ones that scored below their bar."""
    redrawn: int = 0
    """Drawings made over and above the first of each description."""
    all_originals: int = 0

    @property
    def gain(self) -> float | None:
        return accuracy.difference(self.method, self.baseline)

    @property
    def rejection(self) -> float | None:
        """The share of its drawings that were rejected, None where nothing was drawn."""
        drawn = self.accepted + self.rejected
        return self.rejected / drawn if drawn else None

    @property
    def pictured(self) -> bool:
        """Whether there is anything to see or to read of it."""
        return bool(self.originals or self.drawings or self.plain or self.turned_down or self.failures or self.template)


class Story(NamedTuple):
    """All that the page tells of a stream."""

    classes: tuple[ClassStory, ...]
    shown: tuple[ClassStory, ...]
    """Those that the page lists: all of them, or the few that somebody wants to see."""
    lines: tuple[accuracy.Line, ...] = ()
    comparison: accuracy.Comparison | None = None
    confusions: tuple[Metric, ...] = ()
    failures: tuple[tuple[str, str, str], ...] = ()
    """Stage, reason and text of what failed and belongs to no class."""
    made: tuple[tuple[str, str, int, int], ...] = ()
    """What the records say of who made them: prompt, model, how many, with a seed."""
    dollars: float = 0.0
    unpriced: int = 0
    """Records of which the price is not known."""
    judged: bool = False
    """Whether filter has looked at the drawings."""

    @property
    def tail(self) -> int:
        return sum(cls.tail for cls in self.classes)

    @property
    def accepted(self) -> int:
        return sum(cls.accepted for cls in self.classes)

    @property
    def rejected(self) -> int:
        return sum(cls.rejected for cls in self.classes)

    @property
    def below(self) -> int:
        return sum(cls.below for cls in self.classes)

    @property
    def redrawn(self) -> int:
        return sum(cls.redrawn for cls in self.classes)

    @property
    def originals(self) -> int:
        return sum(cls.all_originals for cls in self.classes)


def told(rows: Iterable[Record], baseline: str = "") -> Story:
    """Returns what the records of a stream tell. Several streams behind one another are taken as one.

    baseline -- the method that gains are measured against; the strongest without generated images where it is empty
    Raises InputError where one label has two names, or nothing of the baseline's name was measured.
    """
    whole = once(rows)
    found = accuracy.lines(whole)
    compared = accuracy.comparison(found, baseline)
    verdicts = {(row.label, row.sha256): row.verdict for row in whole if isinstance(row, Verdict)}
    by_label = _by_label(whole)
    classes = tuple(_class(label, own, verdicts, compared) for label, own in sorted(by_label.items()))
    best = compared.method if compared else found[0] if found else None
    return Story(
        classes=classes,
        shown=classes,
        lines=tuple(found),
        comparison=compared,
        confusions=tuple(accuracy.confusions(whole, best)) if best else (),
        failures=tuple(_failure(row) for row in whole if isinstance(row, Failure) and row.label < 0),
        made=_made(whole),
        dollars=sum(made.usage.dollars or 0.0 for made in _paid(whole)),
        unpriced=sum(unpriced(made.model, made.usage) for made in _paid(whole)),
        judged=any(drawing.score is not None for cls in classes for drawing in cls.drawings),
    )


def once(rows: Iterable[Record]) -> list[Record]:
    """Returns the records, each once: streams that were put together have their classes and images in common."""
    seen: set[tuple[str, int, str]] = set()
    found = []
    for row in rows:
        key = (kind_of(row), row.label, row.id)
        # What a person says holds until they say otherwise, and they may say the same again.
        if row.id and key in seen and not isinstance(row, Verdict):
            continue
        seen.add(key)
        found.append(row)
    return found


def _by_label(rows: Iterable[Record]) -> dict[int, list[Record]]:
    """Returns the records of each class. Raises InputError where a label has two names."""
    found: dict[int, list[Record]] = {}
    names: dict[int, str] = {}
    for row in rows:
        if row.label < 0 or isinstance(row, Metric | Verdict):
            continue
        if names.setdefault(row.label, row.class_) != row.class_:
            raise InputError(
                f"label {row.label} is {names[row.label]!r} in one line and {row.class_!r} in another; "
                "a report is of one data set"
            )
        found.setdefault(row.label, []).append(row)
    return found


def _class(
    label: int,
    rows: Sequence[Record],
    verdicts: Mapping[tuple[int, str], str],
    compared: accuracy.Comparison | None,
) -> ClassStory:
    own = next((row for row in rows if isinstance(row, Class)), None)
    cls = own or Class(label=label, class_=rows[0].class_, tail=True)
    template = next((row for row in rows if isinstance(row, Template)), None)
    images = [row for row in rows if isinstance(row, Image)]
    rejected = [row for row in rows if isinstance(row, Rejected) and row.of == "image"]
    ends: list[Image | Rejected] = [*(row for row in images if row.origin == "generated"), *rejected]
    drawings = tuple(_drawing(row, verdicts) for row in ends)
    originals = tuple(Original(row.sha256, row.name) for row in images if row.origin == "original")
    return ClassStory(
        label=label,
        name=cls.class_,
        sense=cls.sense,
        real=cls.count,
        shot=cls.shot,
        tail=cls.tail,
        template=template.text if template else "",
        bar=template.bar if template else None,
        originals=originals,
        drawings=drawings,
        plain=tuple(_drawing(row, verdicts) for row in images if row.origin == "plain"),
        descriptions=sum(isinstance(row, Description) for row in rows),
        turned_down=tuple(
            (row.text, row.reason) for row in rows if isinstance(row, Rejected) and row.of == "description"
        ),
        failures=tuple(_failure(row) for row in rows if isinstance(row, Failure)),
        method=compared.method.by_class.get(label) if compared else None,
        baseline=compared.baseline.by_class.get(label) if compared else None,
        accepted=sum(drawing.accepted for drawing in drawings),
        rejected=sum(not drawing.accepted for drawing in drawings),
        below=sum(drawing.accepted and drawing.below for drawing in drawings),
        redrawn=sum(max(0, len(row.history) - 1) for row in ends),
        all_originals=len(originals),
    )


def _drawing(row: Image | Rejected, verdicts: Mapping[tuple[int, str], str]) -> JudgedImage:
    accepted = isinstance(row, Image)
    said = verdicts.get((row.label, row.sha256), "none")
    decided = next((step.verdict for step in reversed(row.history) if step.sha256 == row.sha256), "")
    return JudgedImage(
        sha256=row.sha256,
        text=row.text,
        accepted=accepted,
        score=row.score,
        bar=row.bar,
        reason="" if isinstance(row, Image) else row.reason,
        steps=row.history if len(row.history) > 1 else (),
        made=row.made,
        verdict=decided if said == "none" else said,
        id=row.id,
    )


def _failure(row: Failure) -> tuple[str, str, str]:
    return (row.stage, row.reason, row.text)


def _paid(rows: Iterable[Record]) -> Iterator[Made]:
    for row in rows:
        if row.made and (used(row.made.usage) or unpriced(row.made.model, row.made.usage)):
            yield row.made


def _made(rows: Iterable[Record]) -> tuple[tuple[str, str, int, int], ...]:
    """Returns who made the records, by prompt and model, with how many, and how many of these have a seed."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.made and row.made.model:
            counts = found.setdefault((row.made.prompt, row.made.model), [0, 0])
            counts[0] += 1
            counts[1] += row.made.seed is not None
    return tuple((prompt, model, many, seeds) for (prompt, model), (many, seeds) in found.items())


def only(story: Story, names: Sequence[str]) -> Story:
    """Returns the story with the named classes alone in its list. Raises InputError for a name that no class has."""
    known = {cls.name for cls in story.classes}
    for name in names:
        if name not in known:
            raise InputError(f"--class {name}: no class of the stream{nearest(name, known)}")
    return story._replace(shown=tuple(cls for cls in story.classes if cls.name in names))


def shas(story: Story) -> list[str]:
    """Returns the sha256 of the pictures that the page shows, each once, in its order."""
    return list(dict.fromkeys(sha256 for cls in story.shown for sha256 in _pictured(cls)))


def pictures(cls: ClassStory) -> int:
    """Returns how many pictures are shown of a class, rounds of a drawing counted too."""
    return sum(1 for _ in _pictured(cls))


def _pictured(cls: ClassStory) -> Iterator[str]:
    for original in cls.originals:
        yield original.sha256
    for drawing in (*cls.drawings, *cls.plain):
        yield drawing.sha256
        for step in drawing.steps:
            yield step.sha256


def cut(story: Story, most: int) -> Story:
    """Returns the story with at most about so many pictures of each class shown: a fair choice of each kind.

    Of the drawings those stay that are spread evenly over the accepted, and over the rejected; the rounds of a
    drawing are a third of the room.
    """
    return story._replace(shown=tuple(_cut(cls, most) for cls in story.shown))


def _cut(cls: ClassStory, most: int) -> ClassStory:
    if pictures(cls) <= most:
        return cls
    accepted = [drawing for drawing in cls.drawings if drawing.accepted]
    rejected = [drawing for drawing in cls.drawings if not drawing.accepted]
    refined = any(drawing.steps for drawing in cls.drawings) and most >= _ROOM_FOR_ROUNDS
    sizes = [len(cls.originals), len(accepted), len(rejected), len(cls.plain)]
    shares = _shares(sizes, most - refined * most // 3)
    kept = (*_spread(accepted, shares[1]), *_spread(rejected, shares[2]))
    room = most - sum(shares)
    drawings = []
    for drawing in kept:
        fits = len(drawing.steps) <= room
        room -= len(drawing.steps) if fits else 0
        drawings.append(drawing if fits else drawing._replace(steps=()))
    originals, plain = cls.originals[: shares[0]], cls.plain[: shares[3]]
    shown = len(drawings) + len(originals) + len(plain)
    left = len(cls.drawings) + len(cls.originals) + len(cls.plain) - shown
    return cls._replace(drawings=tuple(drawings), originals=originals, plain=plain, left_out=left)


_ROOM_FOR_ROUNDS = 9
"""Pictures of a class from which on the rounds of drawings get a third of them."""


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """Returns how many of each kind there is room for, given out one at a time in turn.

    >>> _shares([2, 50, 3, 0], 9)
    [2, 4, 3, 0]
    """
    shares = [0] * len(sizes)
    while sum(shares) < min(most, sum(sizes)):
        for place, size in enumerate(sizes):
            if shares[place] < size and sum(shares) < most:
                shares[place] += 1
    return shares


def _spread(items: Sequence[T], many: int) -> list[T]:
    """Returns so many of the items, evenly spread.

    >>> _spread("abcdefgh", 3)
    ['a', 'c', 'f']
    """
    return [items[place * len(items) // many] for place in range(many)]
