"""What a report shows of a stream: the classes with their images, and the numbers of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from typing import NamedTuple

from ltgc_cli import copies, records, trial
from ltgc_cli.errors import InputError
from ltgc_cli.ports import unpriced
from ltgc_cli.records import Failure, Image, Metric, Record, Rejected, Step, Template, Verdict
from ltgc_cli.report import accuracy
from ltgc_cli.text import nearest


class JudgedImage(NamedTuple):
    """A generated image as it ended: accepted or rejected, with every round of it."""

    sha256: str
    text: str
    accepted: bool
    score: float | None = None
    threshold: float | None = None
    reason: str = ""
    steps: tuple[Step, ...] = ()  # its rounds, where there was more than one; the image itself is among them
    verdict: str = ""  # what a person decided, keep or reject: in the stream, or when filter judged it

    @property
    def below(self) -> bool:
        """Whether it scored below its class's threshold."""
        return self.score is not None and self.threshold is not None and self.score < self.threshold


class ClassContent(NamedTuple):
    """One class: what was there, what was generated, and which of it was accepted."""

    label: int
    name: str
    sense: str = ""
    real: int | None = None  # real training images; None where there is no data
    shot: str = ""
    tail: bool = False
    template: str = ""  # C_y, what its generated images are judged by
    bare: bool = False  # whether that is its bare name, because no features were found
    threshold: float | None = None
    tried: str = ""  # what CLIP took its real images for, where filter tried it
    originals: tuple[Image, ...] = ()
    generated: tuple[JudgedImage, ...] = ()  # accepted ones first, then the rejected; in the order of the stream
    plain: tuple[JudgedImage, ...] = ()  # generated from the bare name of the class, to look at beside the others
    rejected_descriptions: tuple[tuple[str, str], ...] = ()  # what was dropped of answers and lists, and why
    failures: tuple[tuple[str, str, str], ...] = ()  # stage, reason and text of what could not be done
    method: float | None = None  # accuracy in percent with generated images
    baseline: float | None = None  # of the method without any that is best over the class's shot
    left_out: int = 0  # images that there was no room for. The counts below are of all of them.
    texts_left_out: int = 0  # of the dropped texts and failures
    judged: bool = False  # whether any of its generated images has a score
    accepted: int = 0
    rejected: int = 0
    below: int = 0  # accepted ones that scored below their threshold
    regenerated: int = 0  # images generated over and above the first of each description
    original_count: int = 0

    @property
    def gain(self) -> float | None:
        return accuracy.difference(self.method, self.baseline)

    @property
    def rejection_rate(self) -> float | None:
        """The share of its generated images that were rejected, None where there are none."""
        total = self.accepted + self.rejected
        return self.rejected / total if total else None

    @property
    def images(self) -> list[str]:
        """The sha256 of each image that is shown, earlier rounds too."""
        rounds = [(one.sha256, *(step.sha256 for step in one.steps)) for one in (*self.generated, *self.plain)]
        return [*(original.sha256 for original in self.originals), *chain.from_iterable(rounds)]

    @property
    def has_details(self) -> bool:
        """Whether there is anything to see or to read of it."""
        return bool(self.images or self.rejected_descriptions or self.failures or self.template)


class Content(NamedTuple):
    """All that the page shows of a stream."""

    classes: tuple[ClassContent, ...]
    shown: tuple[ClassContent, ...]  # those that the page lists: all of them, or the few that somebody wants to see
    results: tuple[accuracy.MethodResult, ...] = ()
    comparison: accuracy.MethodComparison | None = None
    confusions: tuple[Metric, ...] = ()
    failures: tuple[tuple[str, str, str], ...] = ()  # stage, reason and text of what failed and belongs to no class
    made: tuple[tuple[str, str, int, int], ...] = ()  # who made the records: prompt, model, how many, with a seed
    dollars: float = 0.0
    unpriced: int = 0  # records of which the price is not known
    judged: bool = False  # whether filter has judged the generated images
    copies: str = ""  # how many generated images filter found to be copies, in words
    trial: Metric | None = None  # how well CLIP told the real images' classes apart, where filter tried it

    @property
    def images(self) -> list[str]:
        """The sha256 of the images that the page shows, each once, in its order."""
        return list(dict.fromkeys(sha256 for cls in self.shown for sha256 in cls.images))

    @property
    def tail(self) -> int:
        return sum(cls.tail for cls in self.classes)

    @property
    def accepted(self) -> int:
        return sum(cls.accepted for cls in self.classes)

    @property
    def rejected(self) -> int:
        return sum(cls.rejected for cls in self.classes)


class Origins(NamedTuple):
    """Who made some records, and what that cost."""

    made: Counter[tuple[str, str, bool]]  # records by prompt, model, and whether they have a seed
    dollars: float
    unpriced: int


def content_of(rows: Iterable[Record], baseline: str = "") -> Content:
    """Returns what a report shows of records. Several streams behind one another are taken as one.

    baseline -- the method that gains are measured against; each figure's best without generated images where it is
        empty
    Raises InputError where one label has two names, or nothing of the baseline's name was measured.
    """
    whole = without_repeats(rows)
    verdicts = verdicts_of(whole)
    groups = records.by_class(sorted(filter(is_of_class, whole), key=_label))
    classes = [class_content(group, verdicts) for group in groups]
    return whole_content(classes, [row for row in whole if not is_of_class(row)], origins(whole), baseline)


def whole_content(
    classes: Iterable[ClassContent], others: Sequence[Record], made: Origins, baseline: str = ""
) -> Content:
    """Returns what a report shows of classes, and of the records that belong to none, or measure one.

    Raises InputError where nothing of the baseline's name was measured.
    """
    results = accuracy.results(others)
    compared = accuracy.comparison(results, baseline)
    tried = [row for row in others if isinstance(row, Metric) and row.name in (trial.NAME, trial.CONFUSION)]
    by_label = {label: list(own) for label, own in groupby(sorted(tried, key=_label), key=_label)}
    found = tuple(
        measured(cls, compared)._replace(tried=trial.of_class(by_label.get(cls.label, ()), cls.label))
        for cls in classes
    )
    best = compared.method if compared else accuracy.strongest(result for result in results if not result.source)
    return Content(
        classes=found,
        shown=found,
        results=tuple(results),
        comparison=compared,
        confusions=tuple(accuracy.confusions(others, best)) if best else (),
        failures=tuple(_failure(row) for row in others if isinstance(row, Failure)),
        made=_made(made.made),
        dollars=made.dollars,
        unpriced=made.unpriced,
        copies=copies.words(others),
        trial=trial.of_all(others),
        judged=any(cls.judged for cls in found),
    )


def is_of_class(row: Record) -> bool:
    """Returns whether a record is a line of a class, not one that measures it or decides on its images."""
    return row.label >= 0 and not isinstance(row, Metric | Verdict)


def verdicts_of(rows: Iterable[Record]) -> dict[tuple[int, str], str]:
    """Returns what a person decided last, by label and sha256."""
    return {(row.label, row.sha256): row.verdict for row in rows if isinstance(row, Verdict)}


def origins(rows: Iterable[Record]) -> Origins:
    """Returns who made records, and what that cost."""
    makers = [row.made for row in rows if row.made]
    return Origins(
        made=Counter((made.prompt, made.model, made.seed is not None) for made in makers),
        dollars=sum(made.usage.dollars or 0.0 for made in makers),
        unpriced=sum(unpriced(made.model, made.usage) for made in makers),
    )


def _label(row: Record) -> int:
    return row.label


def without_repeats(rows: Iterable[Record]) -> list[Record]:
    """Returns the records, each once: streams that were put together have their classes and images in common."""
    seen: set[tuple[str, int, str]] = set()
    found = []
    for row in rows:
        key = (records.kind_of(row), row.label, row.id)
        # What a person decides holds until they decide otherwise, and they may decide the same again.
        if row.id and key in seen and not isinstance(row, Verdict):
            continue
        seen.add(key)
        found.append(row)
    return found


def class_content(group: records.Group, verdicts: Mapping[tuple[int, str], str]) -> ClassContent:
    """Returns what is shown of one class, given all of its lines. What was measured of it is not among them."""
    cls = group.cls
    template = next((row for row in group.rows if isinstance(row, Template)), None)
    plain = [row for row in group.rows if isinstance(row, Image) and row.origin == "plain"]
    rejected = [row for row in group.rows if isinstance(row, Rejected)]
    originals, accepted = group.originals, group.generated
    ends: list[Image | Rejected] = [*accepted, *(row for row in rejected if row.of == "image")]
    generated = tuple(_judged(row, verdicts) for row in ends)
    return ClassContent(
        label=cls.label,
        name=cls.class_,
        sense=cls.sense,
        real=cls.count,
        shot=cls.shot,
        tail=cls.tail,
        template=template.text if template else "",
        bare=template is not None and bool(template.marks),
        threshold=template.threshold if template else None,
        originals=tuple(originals),
        generated=generated,
        plain=tuple(_judged(row, verdicts) for row in plain),
        rejected_descriptions=tuple((row.text, row.reason) for row in rejected if row.of == "description"),
        failures=tuple(_failure(row) for row in group.rows if isinstance(row, Failure)),
        judged=any(image.score is not None for image in generated),
        accepted=len(accepted),
        rejected=len(ends) - len(accepted),
        below=sum(image.accepted and image.below for image in generated),
        regenerated=sum(max(0, len(row.history) - 1) for row in ends),
        original_count=len(originals),
    )


def measured(cls: ClassContent, compared: accuracy.MethodComparison | None) -> ClassContent:
    """Returns the class with what the two methods that are compared reach on it."""
    against = compared.baseline_of_class(cls.shot) if compared else None
    return cls._replace(
        method=compared.method.by_class.get(cls.label) if compared else None,
        baseline=against.by_class.get(cls.label) if against else None,
    )


def _judged(row: Image | Rejected, verdicts: Mapping[tuple[int, str], str]) -> JudgedImage:
    now = verdicts.get((row.label, row.sha256), "none")
    before = next((step.verdict for step in reversed(row.history) if step.sha256 == row.sha256), "")
    accepted, reason = (False, row.reason) if isinstance(row, Rejected) else (True, "")
    steps = row.history if len(row.history) > 1 else ()
    verdict = before if now == "none" else now
    return JudgedImage(row.sha256, row.text, accepted, row.score, row.threshold, reason, steps, verdict)


def _failure(row: Failure) -> tuple[str, str, str]:
    return (row.stage, row.reason, row.text)


def _made(many: Counter[tuple[str, str, bool]]) -> tuple[tuple[str, str, int, int], ...]:
    """Returns who made the records, by prompt and model, with how many, and how many of these have a seed."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for (prompt, model, seeded), count in many.items():
        every, with_seed = found.get((prompt, model), (0, 0))
        found[prompt, model] = (every + count, with_seed + count * seeded)
    return tuple((prompt, model, *counts) for (prompt, model), counts in found.items() if model)


def only(content: Content, names: Sequence[str]) -> Content:
    """Returns the content with the named classes alone in its list. Raises InputError for a name that no class has."""
    known = {cls.name for cls in content.classes}
    for name in names:
        if name not in known:
            raise InputError(f"--class {name}: no class of the stream{nearest(name, known)}")
    return content._replace(shown=tuple(cls for cls in content.classes if cls.name in names))
