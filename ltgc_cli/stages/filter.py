"""filter, the paper's iterative evaluation: CLIP looks at each drawing; what fails is rewritten and redrawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from ltgc_cli import prompts as p
from ltgc_cli.engine import in_order
from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Ask, Match, Paint, Picture, Question, Score
from ltgc_cli.records import (
    Class,
    Description,
    Failure,
    Group,
    Image,
    Made,
    Record,
    Rejected,
    Step,
    Template,
    evolve,
    identify,
)
from ltgc_cli.stages import answers
from ltgc_cli.stages.extend import SHOWN
from ltgc_cli.stages.render import drawing
from ltgc_cli.stages.settings import Judging, Scale, Style

_NOTHING_TO_GO_BY = (
    "filter has no original image to calibrate its threshold by; start the stream with "
    "'ltgc describe --data …', or choose a fixed bar: --scale cosine --threshold 0.25"
)

_FEW_ORIGINALS = 5
"""Below this many original images a class's own percentile says little: the tail classes' common one is taken."""


class Round(msgspec.Struct, frozen=True):
    """What one round found, for the person who waits."""

    number: int
    scored: int
    passed: int
    redrawn: int


class Try(msgspec.Struct, kw_only=True):
    """An image on its way through the rounds; the one thing here that changes."""

    image: Image
    cls: Class
    template: Template
    bar: float | None
    text: str
    sha256: str
    format: str
    made: Made | None
    steps: list[Step] = []
    drawn: list[tuple[str, Made | None]] = []
    """The format and the maker of each step's picture."""
    passed: bool = False
    trouble: str = ""


def evaluate(
    groups: Iterable[Group],
    *,
    ask: Ask,
    paint: Paint,
    score: Score,
    llm: str,
    t2i: str,
    clip: str,
    settings: Judging,
    style: Style,
    prompts: p.Prompts = p.PAPER,
    workers: int = 1,
    batch: int = 64,
    on_round: Callable[[Round], None] = lambda _: None,
) -> list[list[Record]]:
    """Returns the lines of every class with each drawing accepted (its score, bar and history on it) or rejected.

    Detection: S = cos(image, C_y), on the scale of the settings; S below the bar fails. Refinement: Prompt 5 on
    the latest text. Regeneration: drawn and scored again, up to `rounds` drawings (paper section 3.3).
    Raises InputError where the calibrated scale has no original image to go by.
    """
    everything = list(groups)
    mine = [group for group in everything if group.cls.tail and _generated(group)]
    if mine and _calibrated(settings) and not any(_originals(group) for group in mine):
        raise InputError(_NOTHING_TO_GO_BY)
    make = partial(class_template, ask=ask, model=llm, prompts=prompts)
    templates = {g.cls.label: t for g, t in zip(mine, in_order(make, mine, workers), strict=True)}
    scored = partial(_scores, score=score, model=clip, batch=batch)
    bars = _bars(mine, templates, scored, settings)
    tries = [
        Try(
            image=image,
            cls=group.cls,
            template=templates[group.cls.label],
            bar=bars[group.cls.label],
            text=image.text,
            sha256=image.sha256,
            format=image.format,
            made=image.made,
        )
        for group in mine
        for image in _generated(group)
    ]
    pending = tries
    last = settings.rounds if settings.mode == "refine" else 1
    for number in range(1, last + 1):
        _detect(pending, scored, settings)
        failed = [t for t in pending if not t.passed and not t.trouble]
        again = failed if number < last else []
        on_round(Round(number, len(pending), len(pending) - len(failed), len(again)))
        if not again:
            break
        rewrite = partial(_refined, attempt=number, ask=ask, model=llm, prompts=prompts)
        for t, text in zip(again, in_order(rewrite, again, workers), strict=True):
            t.text = text
        _redraw(again, number, paint, t2i, style, batch)
        pending = [t for t in again if not t.trouble]
    outcomes = {id(t.image): _outcome(t, settings) for t in tries}
    return [_rows(group, outcomes, templates, bars) for group in everything]


def class_template(group: Group, *, ask: Ask, model: str, prompts: p.Prompts = p.PAPER) -> Template:
    """Returns C_y: the one that the stream holds, else the language model's answer to Prompt 4.

    Where the answer is of no use, C_y is the class alone ("A photo of the class y.").
    """
    cls = group.cls
    given = next((row for row in group.rows if isinstance(row, Template)), None)
    if given:
        return given
    known = [row for row in group.rows if isinstance(row, Description)]
    known = [row for row in known if row.origin == "described"][:SHOWN] or known[:SHOWN]
    text = p.template(prompts, cls.subject, [row.text for row in known])
    question = Question(model=model, task="template", subject=cls.subject, text=text, temperature=0.0)
    try:
        answer = ask(question)
        texts, usage = answers.descriptions(answer.text, cls.class_, cls.subject).texts, answer.usage
        made = Made(model=model, prompt=p.name(prompts, "template"), usage=usage)
    except Refused:
        texts, made = [], Made(model=model, prompt=p.name(prompts, "template"))
    sentence = texts[0] if texts else f"A photo of the class {cls.class_}."
    template = Template(
        label=cls.label, class_=cls.class_, text=sentence, parents=tuple(row.id for row in known), made=made
    )
    return identify(template, sentence)


def scaled(cosine: float, scale: Scale) -> float:
    """Returns a raw cosine on a named scale. clipscore: 2.5·max(cosine, 0) (Hessel et al., EMNLP 2021)."""
    if scale == "paper":
        return cosine + 0.5
    if scale == "clipscore":
        return 2.5 * max(cosine, 0.0)
    return cosine


def percentile(values: Sequence[float], q: float) -> float:
    """Returns the q-th percentile (0 to 100) of the values, linear between neighbours."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * q / 100
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _generated(group: Group) -> list[Image]:
    return [row for row in group.rows if isinstance(row, Image) and row.origin == "generated"]


def _originals(group: Group) -> list[Image]:
    return [row for row in group.rows if isinstance(row, Image) and row.origin == "original"]


def _calibrated(settings: Judging) -> bool:
    return settings.scale == "calibrated" and settings.mode != "score"


def _bars(
    groups: Sequence[Group],
    templates: dict[int, Template],
    scored: Callable[[Sequence[tuple[str, str]]], list[float | Exception]],
    settings: Judging,
) -> dict[int, float | None]:
    """Returns each class's bar: the threshold itself, or on the calibrated scale what its original images reach.

    Where everything is kept (`--mode score`) there is none.
    """
    if not _calibrated(settings):
        bar = None if settings.mode == "score" else settings.threshold
        return {group.cls.label: bar for group in groups}
    real: dict[int, list[float]] = {}
    for group in groups:
        aim = drawn_template(templates[group.cls.label], group.cls)
        values = scored([(image.sha256, aim) for image in _originals(group)])
        real[group.cls.label] = [value for value in values if not isinstance(value, Exception)]
    common = [value for values in real.values() for value in values]
    if groups and not common:
        raise InputError(_NOTHING_TO_GO_BY)
    return {
        label: round(percentile(own if len(own) >= _FEW_ORIGINALS else common, settings.threshold), 6)
        for label, own in real.items()
    }


def drawn_template(template: Template, cls: Class) -> str:
    """Returns C_y as CLIP reads it: without the words "the class"."""
    return p.drawn(template.text, cls.class_, cls.subject)


def _scores(pairs: Sequence[tuple[str, str]], score: Score, model: str, batch: int) -> list[float | Exception]:
    matches = [Match(model=model, image=image, text=text) for image, text in pairs]
    values: list[float | Exception] = []
    for start in range(0, len(matches), batch):
        values += score(matches[start : start + batch])
    return [Refused("the score is no number") if value != value else value for value in values]


def _detect(
    pending: Sequence[Try],
    scored: Callable[[Sequence[tuple[str, str]]], list[float | Exception]],
    settings: Judging,
) -> None:
    values = scored([(t.sha256, drawn_template(t.template, t.cls)) for t in pending])
    for t, value in zip(pending, values, strict=True):
        if isinstance(value, Exception):
            t.trouble = f"could not be scored: {value}"
            continue
        reached = round(scaled(value, settings.scale), 6)
        t.steps = [*t.steps, Step(text=t.text, sha256=t.sha256, score=reached)]
        t.drawn = [*t.drawn, (t.format, t.made)]
        t.passed = t.bar is None or reached >= t.bar


def _refined(t: Try, *, attempt: int, ask: Ask, model: str, prompts: p.Prompts) -> str:
    """Returns the description rewritten by Prompt 5; where the answer is of no use, the old one to be redrawn."""
    text = p.refine(prompts, t.cls.subject, t.text, t.template.text)
    question = Question(model=model, task="refine", subject=t.cls.subject, text=text, attempt=attempt)
    try:
        read = answers.descriptions(ask(question).text, t.cls.class_, t.cls.subject)
    except Refused:
        return t.text
    return read.texts[0] if read.texts else t.text


def _redraw(tries: Sequence[Try], attempt: int, paint: Paint, model: str, style: Style, batch: int) -> None:
    requests = [drawing(t.text, t.image.id, attempt, t.cls, model, style) for t in tries]
    pictures: list[Picture | Exception] = []
    for start in range(0, len(requests), batch):
        pictures += paint(requests[start : start + batch])
    for t, request, picture in zip(tries, requests, pictures, strict=True):
        if isinstance(picture, Exception):
            t.trouble = f"could not be redrawn: {picture}"
        else:
            t.sha256, t.format = picture.sha256, picture.format
            t.made = Made(model=model, seed=request.seed, attempt=attempt, usage=picture.usage)


def _outcome(t: Try, settings: Judging) -> list[Record]:
    """Returns the image as accepted, or its rejection with its whole history, and a failure if there was one."""
    tried = list(zip(t.steps, t.drawn, strict=True))
    best, (format, made) = max(tried, key=lambda one: one[0].score, default=(None, (t.format, t.made)))
    if t.passed:
        best, (format, made) = tried[-1]
    history = tuple(t.steps)
    records: list[Record] = []
    if t.trouble:
        failed = Failure(
            label=t.cls.label,
            class_=t.cls.class_,
            stage="filter",
            reason=t.trouble,
            text=t.text,
            parents=(t.image.id,),
        )
        records.append(identify(failed, t.trouble))
    if best and (t.passed or settings.never_pass == "best"):
        picture = {"sha256": best.sha256, "format": format, "text": best.text, "made": made, "score": best.score}
        return [evolve(t.image, **picture, bar=t.bar, scale=settings.scale, history=history), *records]
    reason = t.trouble or f"scored below the class's bar in {_times(len(t.steps))}"
    rejected = Rejected(
        label=t.cls.label,
        class_=t.cls.class_,
        of="image",
        reason=reason,
        text=best.text if best else t.text,
        sha256=best.sha256 if best else t.sha256,
        score=best.score if best else None,
        parents=(t.image.id,),
        made=made,
        rest=t.image.rest,
        bar=t.bar,
        scale=settings.scale,
        history=history,
    )
    return [identify(rejected, reason, rejected.sha256), *records]


def _times(drawings: int) -> str:
    return "its one drawing" if drawings == 1 else f"each of its {drawings} drawings"


def _rows(
    group: Group, outcomes: dict[int, list[Record]], templates: dict[int, Template], bars: dict[int, float | None]
) -> list[Record]:
    rows: list[Record] = []
    for row in group.rows:
        if isinstance(row, Template) and group.cls.label in bars:
            continue
        rows += outcomes.get(id(row), [row])
    template = templates.get(group.cls.label)
    return [*rows, evolve(template, bar=bars[group.cls.label])] if template else rows
