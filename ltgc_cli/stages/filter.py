"""filter, the paper's iterative evaluation: CLIP scores each generated image; what fails is rewritten and regenerated.

The reasons in the records keep the words of their first version: ids are made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from ltgc_cli import copies, trial
from ltgc_cli import prompts as p
from ltgc_cli.answers.read import Parsed, read
from ltgc_cli.engine import in_rounds
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Answer, Ask, Compare, Generate, Question, Score, Tries, Usage
from ltgc_cli.records import Class, Group, Made, Metric, Record, Rejected, Step, Template, evolve
from ltgc_cli.settings import Judging, Style
from ltgc_cli.stages import thresholds as t
from ltgc_cli.stages.candidate import Candidate, candidate, outcome
from ltgc_cli.stages.class_template import Found, class_templates
from ltgc_cli.stages.clip_trial import try_clip
from ltgc_cli.stages.first_round import FirstRound, note, nothing, recall
from ltgc_cli.stages.novelty import Novelty, novelty
from ltgc_cli.stages.overview import overview
from ltgc_cli.stages.render import image_request, style_of
from ltgc_cli.stages.tries import first_useful, once
from ltgc_cli.stages.usage_metric import usage_metric
from ltgc_cli.stages.verdicts import NONE, Verdicts, restored

HELD = 8192
"""Images that are on their way through the later rounds at once, those between them that passed included."""

_USELESS = "a refinement"


class Round(msgspec.Struct, frozen=True):
    """What one round found, for the person who waits."""

    number: int
    scored: int
    passed: int
    regenerated: int


class Judge(msgspec.Struct, frozen=True):
    """What a generated image is judged by: CLIP's scores, the other classes with `--margin`, the class's originals
    with `--novelty`, and a person."""

    scored: t.Scored
    settings: Judging
    others: t.OtherClasses | None
    novelty: Novelty | None
    verdicts: Verdicts


def evaluate(
    groups: Callable[[], Iterable[Group]], *, ask: Ask, generate: Generate, score: Score, llm: str, t2i: str, clip: str,
    settings: Judging, style: Style, compare: Compare | None = None, keep: Callable[[bytes], str] | None = None,
    verdicts: Verdicts = NONE, prompts: p.Prompts = p.PAPER, workers: int = 1, batch: int = 64, held: int = HELD,
    part: Callable[[int], range] = range,
    on_trial: Callable[[Sequence[Metric]], None] = lambda _: None, on_round: Callable[[Round], None] = lambda _: None,
    tries: Tries = once,
) -> Iterator[list[Record]]:  # fmt: skip
    """Returns the lines of each class with each generated image accepted (score and history on it) or rejected.

    Detection: S = cos(image, C_y), on the scale of the settings; S below the threshold fails. Refinement: Prompt 5 on
    the latest text. Regeneration: generated and scored again, up to `rounds` images (paper section 3.3). Where a person
    has decided on an image, in whatever round, the score decides nothing.
    CLIP itself is tried on the originals before anything is asked, and the metrics of that are in the lines too.
    The first round is over before anything is rewritten, so that its pass rate is known before money is spent;
    from then on some texts are rewritten while others are regenerated and scored.
    Raises InputError where the calibrated scale, or the novelty, has no original images to go by.

    groups -- returns the classes from the first one on, each time that it is called: of a class little is held at a
        time, of all of them what `overview` keeps, and the scores of the first round
    compare, keep -- needed for the trial, and for a margin or a novelty in the settings: they find the nearest other
        class, or original, and store the list of the classes' texts, or of a class's originals
    held -- images that are on their way through the later rounds at most
    part -- returns the places of the classes that are judged and returned, of so many; thresholds, trial and margin go
        by all classes whatever it says
    on_trial -- is told what the trial found, of all originals last
    """
    known = overview(restored(group, verdicts) for group in groups())
    mine = t.to_judge(known, calibrated=t.calibrates(settings))
    tried: list[Metric] = []
    if compare and keep:
        photos = {one.cls.label: one.originals for one in mine}
        tried = try_clip([one.cls for one in known], photos, score=score, compare=compare, keep=keep, model=clip)
    if tried:
        on_trial(tried)
    t.check_margin(known, settings)
    new = novelty(mine, settings.novelty, compare=compare, keep=keep, model=clip)
    places = part(len(known))
    done_here = {known[place].cls.label for place in places}
    of_all = t.calibrates(settings) or settings.margin is not None or settings.scale == "margin"
    wanted = [one.group for one in mine if of_all or one.cls.label in done_here]
    asked = class_templates(wanted, ask=ask, model=llm, prompts=prompts, workers=workers, tries=tries)
    templates = {label: found.template for label, found in asked.items()}
    scored = t.scoring(score, clip)
    thresholds: dict[int, float | None] = {}
    try:
        thresholds = t.class_thresholds(mine, templates, scored, settings)
    except Refused as error:  # then no image can be judged, and none is to be paid for
        thresholds, scored = dict.fromkeys(templates), t.refusing(error)
    everything, last = [one.group for one in known], places.stop == len(known)
    asked_for = msgspec.structs.replace(settings, margin=None) if settings.mode == "score" else settings
    others = t.other_classes(everything, templates, asked_for, compare=compare, keep=keep, model=clip)
    judge = Judge(scored, settings, others, new, verdicts)
    del known, mine, wanted, everything  # what was needed to ask for C_y

    def judged() -> Iterator[Any]:
        """Returns the images that are judged, as candidates, and behind those of a class the class."""
        for group in islice((restored(group, verdicts) for group in groups()), places.start, places.stop):
            label, cls = group.cls.label, group.cls
            images = group.generated if cls.tail and label in templates else []
            own = [candidate(image, cls, templates[label], thresholds[label]) for image in images]
            yield from own
            yield _WholeClass(group, own)

    first = _first_round((one for one in judged() if isinstance(one, Candidate)), judge)
    numbers = range(2, 1 + (settings.rounds if settings.mode == "refine" else 1))
    lost, passed = len(first.troubles), sum(first.passed)
    on_round(Round(1, len(first.passed) - lost, passed, len(first.passed) - lost - passed if numbers else 0))
    refine = partial(_refine, ask=ask, model=llm, prompts=prompts, tries=tries)
    regenerate = partial(_regenerate, generate=generate, model=t2i, style=style)
    rounds = partial(in_rounds, numbers=numbers, prepare=refine, workers=workers, batch=batch, held=held)
    of_class = _by_label(tried[:-1])
    for group, own in _refined_and_regenerated(judged(), first, rounds, numbers, judge, regenerate, on_round):
        cls = group.cls
        rows = _rows(group, own, asked.get(cls.label), thresholds.get(cls.label), settings)
        rows += _usage_rows(cls, own, p.name(prompts, "refine"), llm)
        rows = [*copies.without(rows), *_copy_rows(cls, own, new)] if new else rows
        yield [*trial.without(rows), *of_class.get(cls.label, [])] if tried else rows
    if tried and last:
        yield [tried[-1]]  # in the place of an earlier trial's, that of all images last


class _WholeClass(NamedTuple):
    """A class behind its images that are judged."""

    group: Group
    candidates: list[Candidate]


def _by_label(metrics: Iterable[Metric]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for metric in metrics:
        found.setdefault(metric.label, []).append(metric)
    return found


def _first_round(candidates: Iterable[Candidate], judge: Judge) -> FirstRound:
    """Returns what became of each image in the first round, in order. Of the images themselves few are held at once."""
    found = nothing()
    for part in t.parted(candidates):
        _detect(part, judge)
        for c in part:
            note(found, c)
    return found


def _refined_and_regenerated(
    judged: Iterable[Any],
    first: FirstRound,
    rounds: Callable[..., Iterator[Any]],
    numbers: Sequence[int],
    judge: Judge,
    regenerate: Callable[[Sequence[Candidate], int], None],
    on_round: Callable[[Round], None],
) -> Iterator[_WholeClass]:
    """Returns the classes, each when what failed the first round is through the later ones.

    Some texts are rewritten while others are regenerated and scored.
    """
    found = {number: Round(number, 0, 0, 0) for number in numbers}

    def remembered() -> Iterator[Any]:
        place = 0
        for one in judged:
            if isinstance(one, Candidate):
                recall(first, place, one, judge.verdicts)
                place += 1
            yield one

    def judged_again(candidates: list[Candidate], number: int) -> list[Candidate]:
        regenerate(candidates, number)
        pending = [c for c in candidates if not c.trouble]
        _detect(pending, judge)
        again = [c for c in pending if _fails(c)] if number < numbers[-1] else []
        found[number] = _counted(found[number], pending, again)
        return again

    done = rounds(remembered(), begins=_fails, work=judged_again, on_round=lambda number: on_round(found[number]))
    return (one for one in done if isinstance(one, _WholeClass))


def useless(rows: Iterable[Record]) -> int:
    """Returns how many rewritings were of no use, so that an image was regenerated from its old text."""
    return sum(isinstance(row, Rejected) and row.reason.startswith(_USELESS) for row in rows)


def _fails(one: Candidate | _WholeClass) -> bool:
    return isinstance(one, Candidate) and not one.passed and not one.trouble


def _counted(before: Round, judged: Sequence[Candidate], again: Sequence[Candidate]) -> Round:
    """Returns what a round found with these added; what could not be judged is neither scored nor passed."""
    scored, passed = sum(not c.trouble for c in judged), sum(c.passed for c in judged)
    return Round(before.number, before.scored + scored, before.passed + passed, before.regenerated + len(again))


def _detect(candidates: Sequence[Candidate], judge: Judge) -> None:
    """Scores the latest image of each. It passes when it reaches the threshold and, with a margin, is its class's.

    Where a person has decided on the image, that holds.
    """
    pairs = [(c.sha256, t.judged_text(c.template, c.cls, judge.settings.scale)) for c in candidates]
    by_margin = judge.others if judge.settings.scale == "margin" else None
    others = by_margin.closest(pairs) if by_margin else [None] * len(pairs)
    reached: list[tuple[Candidate, float]] = []
    for c, value, other in zip(candidates, judge.scored(pairs), others, strict=True):
        if isinstance(value, Exception):
            c.trouble = f"could not be scored: {value}"
            continue
        if isinstance(other, Exception):
            c.trouble = f"could not be compared with other classes: {other}"
            continue
        score = round(t.scaled(value, judge.settings.scale), 6)
        verdict = judge.verdicts.get((c.cls.label, c.sha256))
        step = Step(text=c.text, sha256=c.sha256, score=score, verdict=verdict or "")
        if other and by_margin:
            score = round(value - other.cosine, 6)
            name = by_margin.names.get(other.text, "")  # of what a dry run imagines
            step = msgspec.structs.replace(step, score=score, nearest=name, margin=score)
        c.steps = [*c.steps, step]
        c.images = [*c.images, (c.format, c.made)]
        c.passed = verdict == "keep" if verdict else c.threshold is None or score >= c.threshold
        reached += [(c, value)] if c.passed and not verdict else []
    if judge.others and judge.settings.margin is not None:
        _compare(reached, judge.others, judge.settings.margin)
    if judge.novelty:
        _find_copies([c for c in candidates if not c.trouble], judge.novelty, reject=judge.settings.mode != "score")


def _compare(reached: Sequence[tuple[Candidate, float]], others: t.OtherClasses, least: float) -> None:
    nearest = others.closest([(c.sha256, t.clip_text(c.template, c.cls)) for c, _ in reached])
    for (c, own), other in zip(reached, nearest, strict=True):
        if isinstance(other, Exception):
            c.passed, c.trouble = False, f"could not be compared with other classes: {other}"
            continue
        margin = round(own - other.cosine, 6)
        name = others.names.get(other.text, "")  # of what a dry run imagines
        c.steps[-1] = msgspec.structs.replace(c.steps[-1], nearest=name, margin=margin)
        c.passed = margin >= least


def _find_copies(candidates: Sequence[Candidate], novelty: Novelty, *, reject: bool) -> None:
    """Says of the latest image of each how near it is to an original; a copy does not pass, unless a person kept it."""
    found = novelty.nearest([(c.cls.label, c.sha256) for c in candidates])
    for c, nearest in zip(candidates, found, strict=True):
        if isinstance(nearest, Exception):
            c.passed, c.trouble = False, f"could not be compared with original images: {nearest}"
        elif nearest:
            copied = novelty.copied(nearest)
            c.steps[-1] = msgspec.structs.replace(c.steps[-1], alike=nearest.cosine, copy_of=copied)
            c.passed = c.passed and not (copied and reject and not c.steps[-1].verdict)


def _refine(c: Candidate, number: int, ask: Ask, model: str, prompts: p.Prompts, tries: Tries) -> None:
    """Has the description rewritten by Prompt 5; where the answer is of no use, the old one stays, and that is said."""
    text = p.refine(prompts, c.cls.subject, c.text, c.template.text)
    question = Question(model=model, task="refine", subject=c.cls.subject, text=text, attempt=number - 1)
    earlier = {step.text for step in c.steps}

    def rewritten(answer: Answer) -> tuple[str, Parsed]:
        found = read(answer.text, c.cls.class_, c.cls.subject, c.cls.synonyms, cut_off=answer.cut_off, one=True)
        return next((text for text in found.texts if text not in earlier), ""), found

    try:
        heard = first_useful(question, ask=ask, tries=tries, read=rewritten, useful=lambda one: one[0])
    except Refused as error:
        c.asked = [*c.asked, error.usage or Usage()]
        c.useless = [*c.useless, ("", f"{_USELESS} was refused, so its text stayed: {error}")]
        return
    c.asked = [*c.asked, heard.usage]
    new, found = heard.found
    if new:
        c.text = new
    else:
        why = found.trouble or "names nothing usable" if not found.texts else "says what was tried before"
        c.useless = [*c.useless, (heard.answer.text, f"{_USELESS} {why}, so its text stayed")]


def _regenerate(candidates: Sequence[Candidate], number: int, generate: Generate, model: str, style: Style) -> None:
    attempt = number - 1
    requests = [
        image_request(c.text, c.image.id, attempt, c.cls, model, style_of(style, c.image), c.image.original or None)
        for c in candidates
    ]
    for c, request, image in zip(candidates, requests, generate(requests), strict=True):
        if isinstance(image, Exception):
            c.trouble = f"could not be redrawn: {image}"
        else:
            c.sha256, c.format = image.sha256, image.format
            c.made = Made(model=model, seed=request.seed, attempt=attempt, usage=image.usage)
            c.paid = [*c.paid, image.usage]


def _usage_rows(cls: Class, candidates: Sequence[Candidate], prompt: str, model: str) -> list[Record]:
    """Returns a record of what a class's refinements used: no image is made of most of them."""
    metric = usage_metric(cls, "filter", prompt, model, [usage for c in candidates for usage in c.asked])
    return [metric] if metric else []


def _copy_rows(cls: Class, candidates: Sequence[Candidate], novelty: Novelty) -> list[Record]:
    """Returns how many of a class's images were copies when they were first drawn."""
    first = [c.steps[0] for c in candidates if c.steps and c.steps[0].alike is not None]
    if not first:
        return []
    many = sum(bool(step.copy_of) for step in first)
    limit, percent, model = novelty.limit, novelty.percent, novelty.model
    return [copies.metric(cls, len(first), many, percent=percent, cosine=limit, model=model)]


def _rows(
    group: Group, own: Sequence[Candidate], asked: Found | None, threshold: float | None, settings: Judging
) -> list[Record]:
    """Returns the lines of a class with what became of its images, then what was dropped of C_y's answer, and C_y."""
    outcomes = {id(c.image): outcome(c, settings) for c in own}
    given = [row for row in group.rows if not (asked and isinstance(row, Template))]
    rows = [new for row in given for new in outcomes.get(id(row), [row])]
    return [*rows, *asked.rows, evolve(asked.template, threshold=threshold)] if asked else rows
