"""render: one image per description, drawn by a text-to-image model."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import UNSET

from ltgc_cli import prompts as p
from ltgc_cli.engine import in_order
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Drawing, Paint, Picture
from ltgc_cli.records import Class, Description, Failure, Group, Image, Made, Record, identify
from ltgc_cli.stages.settings import Style


def render(groups: Iterable[Group], *, paint: Paint, model: str, style: Style, batch: int) -> Iterator[list[Record]]:
    """Returns, class by class, the lines and after them an image for every description of a tail class.

    Batches are filled across classes, and two are under way, so that one is drawn while the other is written.
    A picture depends on its own request alone.
    """
    waiting: deque[Group] = deque()
    made: dict[int, Record] = {}

    def painted(pairs: list[tuple[Description, Drawing]]) -> list[tuple[int, Record]]:
        able = [(row, request) for row, request in pairs if style.strength is None or request.original]
        drawn = paint([request for _, request in able]) if able else ()
        pictures = {id(row): picture for (row, _), picture in zip(able, drawn, strict=True)}
        return [(id(row), _result(row, request, pictures.get(id(row), _NO_ORIGINAL), model)) for row, request in pairs]

    for found in in_order(painted, _requests(groups, waiting, model, style, batch), workers=2):
        made.update(found)
        while waiting and all(id(row) in made for row in wanted(waiting[0])):
            group = waiting.popleft()
            yield [*group.rows, *(made.pop(id(row)) for row in wanted(group))]


_NO_ORIGINAL = Refused("its class has no original image to draw over; leave --from-original out")
_MOST_WAITING = 1000
"""Classes held back for those behind them: a stream with little to draw must not fill the memory."""


def _requests(
    groups: Iterable[Group], waiting: deque[Group], model: str, style: Style, batch: int
) -> Iterator[list[tuple[Description, Drawing]]]:
    """Returns what is drawn in lists of `batch`, and puts each class in line as it is read."""
    pairs: list[tuple[Description, Drawing]] = []
    for group in groups:
        waiting.append(group)
        for row in wanted(group):
            original = original_for(row, group.rows, style)
            pairs.append((row, drawing(row.text, row.id, 0, group.cls, model, style, original)))
            if len(pairs) == batch:
                yield pairs
                pairs = []
        if len(waiting) >= _MOST_WAITING:
            yield pairs
            pairs = []
    yield pairs


def drawing(
    text: str, id: str, attempt: int, cls: Class, model: str, style: Style, original: str | None = None
) -> Drawing:
    """Returns the request for a description's picture. Its seed comes from the record's id and the attempt.

    original -- sha256 of the image that it is drawn over, None to draw from nothing
    """
    return Drawing(
        model=model,
        text=p.drawn(text, cls.class_, cls.subject),
        seed=seed(id, attempt, style.seed),
        attempt=attempt,
        width=style.width,
        height=style.height,
        steps=style.steps,
        guidance=style.guidance,
        negative=style.negative,
        scheduler=style.scheduler or UNSET,
        original=original or UNSET,
        strength=UNSET if original is None or style.strength is None else style.strength,
        format=UNSET if style.format == "png" else style.format,
    )


def style_of(style: Style, image: Image) -> Style:
    """Returns the style that an image is drawn again in: over its original, as much as it was the first time."""
    if not image.original or style.strength is not None:
        return style
    return msgspec.structs.replace(style, strength=image.strength)


def original_for(row: Description, rows: Sequence[Record], style: Style) -> str | None:
    """Returns the sha256 of the original that a description is drawn over: the one that it describes, else any.

    None where the style draws from nothing, or the class has no original.
    """
    if style.strength is None:
        return None
    originals = [image for image in rows if isinstance(image, Image) and image.origin == "original"]
    own = [image for image in originals if image.id in row.parents]
    choice = own or originals
    return choice[seed(row.id, 0) % len(choice)].sha256 if choice else None


def seed(id: str, attempt: int, base: int = 0) -> int:
    """Returns a seed in [0, 2**31) that depends on the record and the attempt, never on a place in a batch."""
    return int.from_bytes(hashlib.sha256(f"{id}:{attempt}:{base}".encode()).digest()[:4], "big") >> 1


def wanted(group: Group) -> list[Description]:
    """Returns the descriptions of a class that are drawn: all of a tail class, none of another."""
    return [row for row in group.rows if isinstance(row, Description)] if group.cls.tail else []


def _result(row: Description, request: Drawing, picture: Picture | Exception, model: str) -> Record:
    if isinstance(picture, Exception):
        failed = Failure(
            label=row.label,
            class_=row.class_,
            stage="render",
            reason=str(picture),
            text=row.text,
            parents=(row.id,),
        )
        return identify(failed, failed.reason)
    image = Image(
        label=row.label,
        class_=row.class_,
        sha256=picture.sha256,
        origin="generated",
        format=picture.format,
        text=row.text,
        original=request.original or "",
        strength=request.strength or None,
        parents=(row.id,),
        made=Made(model=model, seed=request.seed, attempt=request.attempt, usage=picture.usage),
    )
    return identify(image, picture.sha256)
