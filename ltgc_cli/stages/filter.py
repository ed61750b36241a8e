"""filter, the paper's iterative evaluation: CLIP looks at each drawing; what fails is rewritten and redrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from ltgc_cli import prompts as p
from ltgc_cli.answers.read import read
from ltgc_cli.engine import in_rounds
from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Ask, Compare, Generate, Question, Score, Usage, used
from ltgc_cli.records import (
    Class,
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
from ltgc_cli.settings import Judging, Style
from ltgc_cli.stages.accounts import accounted, total
from ltgc_cli.stages.bars import (
    AT_ONCE,
    NOTHING_TO_GO_BY,
    Scored,
    aim,
    bars,
    calibrated,
    generated,
    judged,
    originals,
    scaled,
    scoring,
)
from ltgc_cli.stages.class_template import class_templates
from ltgc_cli.stages.render import drawing, style_of
from ltgc_cli.stages.rivals import Others, others
from ltgc_cli.stages.verdicts import NONE, Verdicts, restored


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
    threshold: float | None
    text: str
    sha256: str
    format: str
    made: Made | None
    steps: list[Step] = []
    drawn: list[tuple[str, Made | None]] = []
    """The format and the maker of each step's picture."""
    paid: list[Usage] = []
    """What each drawing used, the first one included."""
    asked: list[Usage] = []
    """What each refinement used."""
    passed: bool = False
    trouble: str = ""


class Judge(msgspec.Struct, frozen=True):
    """What a drawing is judged by: CLIP's scores, the other classes where `--margin` asks for them, and a person."""

    scored: Scored
    settings: Judging
    others: Others | None
    verdicts: Verdicts


def evaluate(
    groups: Iterable[Group],
    *,
    ask: Ask,
    generate: Generate,
    score: Score,
    llm: str,
    t2i: str,
    clip: str,
    settings: Judging,
    style: Style,
    compare: Compare | None = None,
    keep: Callable[[bytes], str] | None = None,
    verdicts: Verdicts = NONE,
    prompts: p.Prompts = p.PAPER,
    workers: int = 1,
    batch: int = 64,
    on_round: Callable[[Round], None] = lambda _: None,
) -> list[list[Record]]:
    """Returns the lines of every class with each drawing accepted (its score, bar and history on it) or rejected.

    Detection: S = cos(image, C_y), on the scale of the settings; S below the bar fails. Refinement: Prompt 5 on
    the latest text. Regeneration: drawn and scored again, up to `rounds` drawings (paper section 3.3). Where a person
    has said what becomes of a drawing, in whatever round, the score decides nothing.
    The first round is over before anything is rewritten, so that its pass rate is known before money is spent;
    from then on some drawings are rewritten while others are redrawn and scored.
    Raises InputError where the calibrated scale has no original image to go by.

    compare, keep -- needed for a margin in the settings: they find the nearest other class, and store the list of
        the classes' texts
    """
    everything = [restored(group, verdicts) for group in groups]
    mine = judged(everything)
    if mine and calibrated(settings) and not any(map(originals, mine)):
        raise InputError(NOTHING_TO_GO_BY)
    templates = class_templates(mine, ask=ask, model=llm, prompts=prompts, workers=workers)
    scored = scoring(score, clip)
    limits = bars(mine, templates, scored, settings)
    margin = None if settings.mode == "score" else settings.margin
    rivals = others(everything, templates, margin, compare=compare, keep=keep, model=clip)
    judge = Judge(scored, settings, rivals, verdicts)
    tries = [_first(image, group.cls, templates, limits) for group in mine for image in generated(group)]
    for start in range(0, len(tries), AT_ONCE):
        _detect(tries[start : start + AT_ONCE], judge)
    numbers = range(2, 1 + (settings.rounds if settings.mode == "refine" else 1))
    failed = [t for t in tries if not t.passed and not t.trouble]
    again = failed if numbers else []
    on_round(Round(1, len(tries), len(tries) - len(failed), len(again)))
    _refine_and_redraw(
        again,
        numbers,
        judge,
        refine=partial(_refine, ask=ask, model=llm, prompts=prompts),
        redraw=partial(_redraw, generate=generate, model=t2i, style=style),
        workers=workers,
        batch=batch,
        on_round=on_round,
    )
    outcomes = {id(t.image): _outcome(t, settings) for t in tries}
    bills = _bills(tries, p.name(prompts, "refine"), llm)
    return [_rows(group, outcomes, templates, limits) + bills.get(group.cls.label, []) for group in everything]


def _refine_and_redraw(
    failed: Sequence[Try],
    numbers: Sequence[int],
    judge: Judge,
    *,
    refine: Callable[[Try, int], None],
    redraw: Callable[[Sequence[Try], int], None],
    workers: int,
    batch: int,
    on_round: Callable[[Round], None],
) -> None:
    """Takes what failed the first round through the later ones; some is rewritten while other is redrawn and scored."""
    found = {number: Round(number, 0, 0, 0) for number in numbers}

    def judged_again(tries: list[Try], number: int) -> list[Try]:
        redraw(tries, number)
        pending = [t for t in tries if not t.trouble]
        _detect(pending, judge)
        failed = [t for t in pending if not t.passed and not t.trouble]
        again = failed if number < numbers[-1] else []
        _, scored, passed, redrawn = msgspec.structs.astuple(found[number])
        found[number] = Round(number, scored + len(pending), passed + len(pending) - len(failed), redrawn + len(again))
        return again

    in_rounds(
        failed,
        numbers,
        prepare=refine,
        work=judged_again,
        workers=workers,
        batch=batch,
        on_round=lambda number: on_round(found[number]),
    )


def _detect(tries: Sequence[Try], judge: Judge) -> None:
    """Scores the latest picture of each try. It passes when it reaches the bar and, with a margin, is its class's.

    Where a person said what becomes of the picture, that decides.
    """
    values = judge.scored([(t.sha256, aim(t.template, t.cls)) for t in tries])
    reached: list[tuple[Try, float]] = []
    for t, value in zip(tries, values, strict=True):
        if isinstance(value, Exception):
            t.trouble = f"could not be scored: {value}"
            continue
        score = round(scaled(value, judge.settings.scale), 6)
        said = judge.verdicts.get((t.cls.label, t.sha256))
        t.steps = [*t.steps, Step(text=t.text, sha256=t.sha256, score=score, verdict=said or "")]
        t.drawn = [*t.drawn, (t.format, t.made)]
        t.passed = said == "keep" if said else t.threshold is None or score >= t.threshold
        reached += [(t, value)] if t.passed and not said else []
    if judge.others and judge.settings.margin is not None:
        _compare(reached, judge.others, judge.settings.margin)


def _compare(reached: Sequence[tuple[Try, float]], others: Others, least: float) -> None:
    nearest = others.closest([(t.sha256, aim(t.template, t.cls)) for t, _ in reached])
    for (t, own), other in zip(reached, nearest, strict=True):
        if isinstance(other, Exception):
            t.passed, t.trouble = False, f"could not be compared with other classes: {other}"
            continue
        margin = round(own - other.cosine, 6)
        t.steps[-1] = msgspec.structs.replace(t.steps[-1], nearest=others.names[other.text], margin=margin)
        t.passed = margin >= least


def _first(image: Image, cls: Class, templates: Mapping[int, Template], limits: Mapping[int, float | None]) -> Try:
    return Try(
        image=image,
        cls=cls,
        template=templates[cls.label],
        threshold=limits[cls.label],
        text=image.text,
        sha256=image.sha256,
        format=image.format,
        made=image.made,
        paid=[image.made.usage] if image.made else [],
    )


def _refine(t: Try, number: int, ask: Ask, model: str, prompts: p.Prompts) -> None:
    """Has the description rewritten by Prompt 5; where the answer is of no use, the old one is to be redrawn."""
    text = p.refine(prompts, t.cls.subject, t.text, t.template.text)
    question = Question(model=model, task="refine", subject=t.cls.subject, text=text, attempt=number - 1)
    try:
        answer = ask(question)
    except Refused as error:
        t.asked = [*t.asked, error.usage or Usage()]
        return
    t.asked = [*t.asked, answer.usage]
    texts = read(answer.text, t.cls.class_, t.cls.subject, t.cls.synonyms).texts
    t.text = texts[0] if texts else t.text


def _redraw(tries: Sequence[Try], number: int, generate: Generate, model: str, style: Style) -> None:
    attempt = number - 1
    requests = [
        drawing(t.text, t.image.id, attempt, t.cls, model, style_of(style, t.image), t.image.original or None)
        for t in tries
    ]
    for t, request, picture in zip(tries, requests, generate(requests), strict=True):
        if isinstance(picture, Exception):
            t.trouble = f"could not be redrawn: {picture}"
        else:
            t.sha256, t.format = picture.sha256, picture.format
            t.made = Made(model=model, seed=request.seed, attempt=attempt, usage=picture.usage)
            t.paid = [*t.paid, picture.usage]


def _outcome(t: Try, settings: Judging) -> list[Record]:
    """Returns the image as accepted, or its rejection with its whole history, and a failure if there was one."""
    tried = list(zip(t.steps, t.drawn, strict=True))
    open = [one for one in tried if one[0].verdict != "reject"] or tried
    best, (format, made) = max(open, key=lambda one: one[0].score, default=(None, (t.format, t.made)))
    if t.passed:
        best, (format, made) = tried[-1]
    made = _with_usage(made, total(t.paid))
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
    if best and (t.passed or (settings.never_pass == "best" and best.verdict != "reject")):
        picture = {"sha256": best.sha256, "format": format, "text": best.text, "made": made, "score": best.score}
        return [evolve(t.image, **picture, threshold=t.threshold, scale=settings.scale, history=history), *records]
    reason = _reason(t, best, settings.margin)
    rejected = Rejected(
        label=t.cls.label,
        class_=t.cls.class_,
        of="image",
        reason=reason,
        text=best.text if best else t.text,
        sha256=best.sha256 if best else t.sha256,
        format=format,
        score=best.score if best else None,
        # An image that was judged before may have another text by now: only the ids lead back to its description.
        parents=(t.image.id, *(t.image.parents if t.image.history else ())),
        made=made,
        rest=t.image.rest,
        threshold=t.threshold,
        scale=settings.scale,
        history=history,
    )
    return [identify(rejected, reason, rejected.sha256), *records]


def _reason(t: Try, best: Step | None, least: float | None) -> str:
    """Returns why nothing of a description passed: what a person said, what went wrong, or how the drawings scored."""
    by_hand, others = sum(step.verdict == "reject" for step in t.steps), len(t.steps)
    if not by_hand:
        return t.trouble or _shortfall(t.steps, best, least)
    others -= by_hand
    if t.trouble:
        return f"rejected by hand; {t.trouble}"
    if others:
        return f"rejected by hand, and {'its other drawing' if others == 1 else f'its {others} other drawings'} failed"
    return "rejected by hand" if by_hand == 1 else f"rejected by hand in each of its {by_hand} drawings"


def _shortfall(steps: Sequence[Step], best: Step | None, least: float | None) -> str:
    """Returns how the drawings of a description fell short: by the margin where the best of them reached the bar."""
    drawings = len(steps)
    if best is None or best.margin is None or least is None:
        times = "its one drawing" if drawings == 1 else f"each of its {drawings} drawings"
        return f"scored below the class's bar in {times}"
    if best.margin < 0:
        verdict = f"closer to class {best.nearest} than to its own, by {-best.margin:.6g}"
    else:
        verdict = f"only {best.margin:.6g} closer to its own class than to {best.nearest}; {least:.6g} is wanted"
    return verdict if drawings == 1 else f"{verdict}; none of its {drawings} drawings passed"


def _with_usage(made: Made | None, usage: Usage) -> Made | None:
    """Returns who made the picture, with what all the drawings used that led to it."""
    if made is None and not used(usage):
        return None
    return msgspec.structs.replace(made or Made(model=""), usage=usage)


def _bills(tries: Sequence[Try], prompt: str, model: str) -> dict[int, list[Record]]:
    """Returns for each class, by label, a record of what its refinements used: no image is made of most of them."""
    usages: dict[int, list[Usage]] = {}
    classes = {t.cls.label: t.cls for t in tries}
    for t in tries:
        usages.setdefault(t.cls.label, []).extend(t.asked)
    found = {label: accounted(classes[label], "filter", prompt, model, own) for label, own in usages.items()}
    return {label: [metric] for label, metric in found.items() if metric}


def _rows(
    group: Group, outcomes: dict[int, list[Record]], templates: dict[int, Template], limits: dict[int, float | None]
) -> list[Record]:
    rows: list[Record] = []
    for row in group.rows:
        if isinstance(row, Template) and group.cls.label in limits:
            continue
        rows += outcomes.get(id(row), [row])
    template = templates.get(group.cls.label)
    return [*rows, evolve(template, threshold=limits[group.cls.label])] if template else rows
