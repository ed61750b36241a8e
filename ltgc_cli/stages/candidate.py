"""An image on its way through filter's rounds, and the records that become of it.

The reasons in the records keep the words of their first version: ids are made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ltgc_cli.ports import Usage, used
from ltgc_cli.records import Class, Image, Made, Record, Rejected, Step, Template, dropped, evolve, failed, identify
from ltgc_cli.settings import Judging
from ltgc_cli.stages.usage_metric import summed


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


def candidate(image: Image, cls: Class, template: Template, threshold: float | None) -> Candidate:
    """Returns an image before its first round."""
    paid = [image.made.usage] if image.made else []
    text, sha256, format, made = image.text, image.sha256, image.format, image.made
    return Candidate(image, cls, template, threshold, text, sha256, format, made, paid=paid)


def outcome(c: Candidate, settings: Judging) -> list[Record]:
    """Returns the image as accepted, or its rejection with its whole history, and a failure if there was one."""
    tried = list(zip(c.steps, c.images, strict=True))
    open = [one for one in tried if one[0].verdict != "reject"] or tried
    new = [one for one in open if not one[0].copy_of] or open
    best, (format, made) = max(new, key=lambda one: one[0].score, default=(None, (c.format, c.made)))
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
    kept = settings.never_pass == "best" and best is not None and best.verdict != "reject" and not best.copy_of
    if best and (c.passed or kept):
        return [evolve(c.image, **judged), *failures]
    rejected = Rejected(
        label=c.cls.label,
        class_=c.cls.class_,
        of="image",
        reason=_reason(c, best, settings.level if settings.scale == "margin" else settings.margin),
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
    count, copied = len(steps), sum(bool(step.copy_of) for step in steps)
    if best and best.copy_of:  # then each of them is one
        near = (
            f"a copy: nearer to an original image of its class (cosine {best.alike:.6g}) than originals to each other"
        )
        return near if count == 1 else f"{near}; none of its {count} drawings passed"
    if copied and best and best.margin is None:
        return f"was a copy or scored below the class's bar in each of its {count} drawings"
    if best is None or best.margin is None or least is None:
        times = "its one drawing" if count == 1 else f"each of its {count} drawings"
        return f"scored below the class's bar in {times}"
    if best.margin < 0:
        verdict = f"closer to class {best.nearest} than to its own, by {-best.margin:.6g}"
    else:
        verdict = f"only {best.margin:.6g} closer to its own class than to {best.nearest}; {least:.6g} is wanted"
    return verdict if count == 1 else f"{verdict}; none of its {count} drawings passed"
