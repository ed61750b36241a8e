"""filter, the paper's iterative evaluation: CLIP scores each generated image; what fails is rewritten and regenerated.

The reasons in the records keep the words of their first version: ids are made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from ltgc_cli import prompts as p
from ltgc_cli import trial
from ltgc_cli.answers.read import Parsed, read
from ltgc_cli.engine import in_rounds
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Answer, Ask, Compare, Generate, Question, Score, Tries, Usage, used
from ltgc_cli.records import (
    Class,
    Group,
    Image,
    Made,
    Metric,
    Record,
    Rejected,
    Step,
    Template,
    dropped,
    evolve,
    failed,
    identify,
)
from ltgc_cli.settings import Judging, Style
from ltgc_cli.stages import thresholds as t
from ltgc_cli.stages.class_template import class_templates
from ltgc_cli.stages.clip_trial import originals, try_clip
from ltgc_cli.stages.render import image_request, style_of
from ltgc_cli.stages.tries import first_useful, once
from ltgc_cli.stages.usage_metric import summed, usage_metric
from ltgc_cli.stages.verdicts import NONE, Verdicts, restored

_USELESS = "a refinement"


class Round(msgspec.Struct, frozen=True):
    """What one round found, for the person who waits."""

    number: int
    scored: int
    passed: int
    regenerated: int


class Candidate(msgspec.Struct):
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
    images: list[tuple[str, Made | None]] = []  # the format and the maker of each step's image
    paid: list[Usage] = []  # what each generated image used, the first one included
    asked: list[Usage] = []  # what each refinement used
    useless: list[tuple[str, str]] = []  # answers that were no refinement, after which the old text was kept, and why
    passed: bool = False
    trouble: str = ""  # why it could not be judged any further


class Judge(msgspec.Struct, frozen=True):
    """What a generated image is judged by: CLIP's scores, the other classes with `--margin`, and a person."""

    scored: t.Scored
    settings: Judging
    others: t.OtherClasses | None
    verdicts: Verdicts


def evaluate(
    groups: Iterable[Group], *, ask: Ask, generate: Generate, score: Score, llm: str, t2i: str, clip: str,
    settings: Judging, style: Style, compare: Compare | None = None, keep: Callable[[bytes], str] | None = None,
    verdicts: Verdicts = NONE, prompts: p.Prompts = p.PAPER, workers: int = 1, batch: int = 64,
    on_trial: Callable[[Sequence[Metric]], None] = lambda _: None, on_round: Callable[[Round], None] = lambda _: None,
    tries: Tries = once,
) -> list[list[Record]]:  # fmt: skip
    """Returns the lines of every class with each generated image accepted (score and history on it) or rejected.

    Detection: S = cos(image, C_y), on the scale of the settings; S below the threshold fails. Refinement: Prompt 5 on
    the latest text. Regeneration: generated and scored again, up to `rounds` images (paper section 3.3). Where a person
    has decided on an image, in whatever round, the score decides nothing.
    CLIP itself is tried on the originals before anything is asked, and the metrics of that are in the lines too.
    The first round is over before anything is rewritten, so that its pass rate is known before money is spent;
    from then on some texts are rewritten while others are regenerated and scored.
    Raises InputError where the calibrated scale has no original image to go by.

    compare, keep -- needed for the trial, and for a margin in the settings: they find the nearest other class, and
        store the list of the classes' texts
    on_trial -- is told what the trial found, of all originals last
    """
    everything = [restored(group, verdicts) for group in groups]
    mine = t.to_judge(everything, calibrated=t.calibrates(settings))
    tried: list[Metric] = []
    if compare and keep:
        classes, photos = [group.cls for group in everything], originals(mine)
        tried = try_clip(classes, photos, score=score, compare=compare, keep=keep, model=clip)
    if tried:
        on_trial(tried)
    asked = class_templates(mine, ask=ask, model=llm, prompts=prompts, workers=workers, tries=tries)
    templates = {label: found.template for label, found in asked.items()}
    scored = t.scoring(score, clip)
    thresholds = t.class_thresholds(mine, templates, scored, settings)
    margin = None if settings.mode == "score" else settings.margin
    others = t.other_classes(everything, templates, margin, compare=compare, keep=keep, model=clip)
    judge = Judge(scored, settings, others, verdicts)
    candidates = [_candidate(image, group.cls, templates, thresholds) for group in mine for image in group.generated]
    for start in range(0, len(candidates), t.AT_ONCE):
        _detect(candidates[start : start + t.AT_ONCE], judge)
    numbers = range(2, 1 + (settings.rounds if settings.mode == "refine" else 1))
    again = _failing(candidates) if numbers else []
    on_round(_counted(Round(1, 0, 0, 0), candidates, again))
    refine = partial(_refine, ask=ask, model=llm, prompts=prompts, tries=tries)
    regenerate = partial(_regenerate, generate=generate, model=t2i, style=style)
    rounds = partial(in_rounds, again, numbers, prepare=refine, workers=workers, batch=batch)
    _refine_and_regenerate(rounds, numbers, judge, regenerate, on_round)
    outcomes = {id(c.image): _outcome(c, settings) for c in candidates}
    usages = _usage_rows(candidates, p.name(prompts, "refine"), llm)
    rows = [
        _rows(group, outcomes, templates, thresholds, asked[group.cls.label].rows if group.cls.label in asked else [])
        + usages.get(group.cls.label, [])
        for group in everything
    ]
    return _with_trial(rows, everything, tried) if tried else rows


def _with_trial(rows: Sequence[list[Record]], groups: Sequence[Group], tried: Sequence[Metric]) -> list[list[Record]]:
    """Returns the lines of the classes with the trial's metrics in the place of an earlier one's, that of all last."""
    of_class: dict[int, list[Record]] = {}
    for metric in tried[:-1]:
        of_class.setdefault(metric.label, []).append(metric)
    lines = [trial.without(own) + of_class.get(group.cls.label, []) for own, group in zip(rows, groups, strict=True)]
    return [*lines, [tried[-1]]]


def _refine_and_regenerate(
    rounds: Callable[..., None],
    numbers: Sequence[int],
    judge: Judge,
    regenerate: Callable[[Sequence[Candidate], int], None],
    on_round: Callable[[Round], None],
) -> None:
    """Takes what failed the first round through the later ones; some are rewritten while others are regenerated."""
    found = {number: Round(number, 0, 0, 0) for number in numbers}

    def judged_again(candidates: list[Candidate], number: int) -> list[Candidate]:
        regenerate(candidates, number)
        pending = [c for c in candidates if not c.trouble]
        _detect(pending, judge)
        again = _failing(pending) if number < numbers[-1] else []
        found[number] = _counted(found[number], pending, again)
        return again

    rounds(work=judged_again, on_round=lambda number: on_round(found[number]))


def useless(rows: Iterable[Record]) -> int:
    """Returns how many rewritings were of no use, so that an image was regenerated from its old text."""
    return sum(isinstance(row, Rejected) and row.reason.startswith(_USELESS) for row in rows)


def _failing(candidates: Iterable[Candidate]) -> list[Candidate]:
    return [c for c in candidates if not c.passed and not c.trouble]


def _counted(before: Round, judged: Sequence[Candidate], again: Sequence[Candidate]) -> Round:
    """Returns what a round found with these added; what could not be judged is neither scored nor passed."""
    scored, passed = sum(not c.trouble for c in judged), sum(c.passed for c in judged)
    return Round(before.number, before.scored + scored, before.passed + passed, before.regenerated + len(again))


def _detect(candidates: Sequence[Candidate], judge: Judge) -> None:
    """Scores the latest image of each. It passes when it reaches the threshold and, with a margin, is its class's.

    Where a person has decided on the image, that holds.
    """
    values = judge.scored([(c.sha256, t.clip_text(c.template, c.cls)) for c in candidates])
    reached: list[tuple[Candidate, float]] = []
    for c, value in zip(candidates, values, strict=True):
        if isinstance(value, Exception):
            c.trouble = f"could not be scored: {value}"
            continue
        score = round(t.scaled(value, judge.settings.scale), 6)
        verdict = judge.verdicts.get((c.cls.label, c.sha256))
        c.steps = [*c.steps, Step(text=c.text, sha256=c.sha256, score=score, verdict=verdict or "")]
        c.images = [*c.images, (c.format, c.made)]
        c.passed = verdict == "keep" if verdict else c.threshold is None or score >= c.threshold
        reached += [(c, value)] if c.passed and not verdict else []
    if judge.others and judge.settings.margin is not None:
        _compare(reached, judge.others, judge.settings.margin)


def _compare(reached: Sequence[tuple[Candidate, float]], others: t.OtherClasses, least: float) -> None:
    nearest = others.closest([(c.sha256, t.clip_text(c.template, c.cls)) for c, _ in reached])
    for (c, own), other in zip(reached, nearest, strict=True):
        if isinstance(other, Exception):
            c.passed, c.trouble = False, f"could not be compared with other classes: {other}"
            continue
        margin = round(own - other.cosine, 6)
        c.steps[-1] = msgspec.structs.replace(c.steps[-1], nearest=others.names[other.text], margin=margin)
        c.passed = margin >= least


def _candidate(
    image: Image, cls: Class, templates: Mapping[int, Template], thresholds: Mapping[int, float | None]
) -> Candidate:
    template, threshold, paid = templates[cls.label], thresholds[cls.label], [image.made.usage] if image.made else []
    text, sha256, format, made = image.text, image.sha256, image.format, image.made
    return Candidate(image, cls, template, threshold, text, sha256, format, made, paid=paid)


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


def _outcome(c: Candidate, settings: Judging) -> list[Record]:
    """Returns the image as accepted, or its rejection with its whole history, and a failure if there was one."""
    tried = list(zip(c.steps, c.images, strict=True))
    open = [one for one in tried if one[0].verdict != "reject"] or tried
    best, (format, made) = max(open, key=lambda one: one[0].score, default=(None, (c.format, c.made)))
    if c.passed:
        best, (format, made) = tried[-1]
    paid = summed(c.paid)
    if made or used(paid):
        made = msgspec.structs.replace(made or Made(model=""), usage=paid)
    judged: dict[str, Any] = {
        "text": best.text if best else c.text,
        "sha256": best.sha256 if best else c.sha256,
        "format": format,
        "made": made,
        "score": best.score if best else None,
        "threshold": c.threshold,
        "scale": settings.scale,
        "history": tuple(c.steps),
    }
    of_image = (c.image.id,)
    failures: list[Record] = [failed(c.cls, "filter", c.trouble, text=c.text, parents=of_image)] if c.trouble else []
    failures += dropped(c.cls, c.useless, ("refine",), parents=of_image)
    if best and (c.passed or (settings.never_pass == "best" and best.verdict != "reject")):
        return [evolve(c.image, **judged), *failures]
    rejected = Rejected(
        label=c.cls.label,
        class_=c.cls.class_,
        of="image",
        reason=_reason(c, best, settings.margin),
        # An image that was judged before may have another text by now: only the ids lead back to its description.
        parents=(c.image.id, *(c.image.parents if c.image.history else ())),
        rest=c.image.rest,
        **judged,
    )
    return [identify(rejected, rejected.reason, rejected.sha256), *failures]


def _reason(c: Candidate, best: Step | None, least: float | None) -> str:
    """Returns why nothing of a description passed: a person's verdict, what went wrong, or how the images scored."""
    by_hand = sum(step.verdict == "reject" for step in c.steps)
    others = len(c.steps) - by_hand
    if not by_hand:
        return c.trouble or _shortfall(c.steps, best, least)
    if c.trouble:
        return f"rejected by hand; {c.trouble}"
    if others:
        return f"rejected by hand, and {'its other drawing' if others == 1 else f'its {others} other drawings'} failed"
    return "rejected by hand" if by_hand == 1 else f"rejected by hand in each of its {by_hand} drawings"


def _shortfall(steps: Sequence[Step], best: Step | None, least: float | None) -> str:
    """Returns how a description's images fell short: by the margin where the best of them reached the threshold."""
    count = len(steps)
    if best is None or best.margin is None or least is None:
        times = "its one drawing" if count == 1 else f"each of its {count} drawings"
        return f"scored below the class's bar in {times}"
    if best.margin < 0:
        verdict = f"closer to class {best.nearest} than to its own, by {-best.margin:.6g}"
    else:
        verdict = f"only {best.margin:.6g} closer to its own class than to {best.nearest}; {least:.6g} is wanted"
    return verdict if count == 1 else f"{verdict}; none of its {count} drawings passed"


def _usage_rows(candidates: Sequence[Candidate], prompt: str, model: str) -> dict[int, list[Record]]:
    """Returns for each class, by label, a record of what its refinements used: no image is made of most of them."""
    usages: dict[int, tuple[Class, list[Usage]]] = {}
    for c in candidates:
        usages.setdefault(c.cls.label, (c.cls, []))[1].extend(c.asked)
    found = {label: usage_metric(cls, "filter", prompt, model, own) for label, (cls, own) in usages.items()}
    return {label: [metric] for label, metric in found.items() if metric}


def _rows(
    group: Group, outcomes: dict[int, list[Record]], templates: dict[int, Template],
    thresholds: dict[int, float | None], of_template: Sequence[Record],
) -> list[Record]:  # fmt: skip
    """Returns the lines of a class with what became of its images, then what was dropped of C_y's answer, and C_y."""
    template = templates.get(group.cls.label)
    given = [row for row in group.rows if not (template and isinstance(row, Template))]
    rows = [new for row in given for new in outcomes.get(id(row), [row])]
    if not template:
        return rows
    return [*rows, *of_template, evolve(template, threshold=thresholds[group.cls.label])]
