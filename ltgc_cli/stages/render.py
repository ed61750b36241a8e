"""render: one image per description, drawn by a text-to-image model."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeGuard

import msgspec
from msgspec import UNSET

from ltgc_cli import prompts as p
from ltgc_cli.engine import in_order
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Generate, GeneratedImage, ImageRequest
from ltgc_cli.records import Class, Description, Failure, Group, Image, Made, Record, Rejected, identify
from ltgc_cli.stages.settings import Style


class Wanted(NamedTuple):
    """A picture to draw."""

    row: Description | Class
    """What it is drawn from: a description, or the bare name of a class."""
    text: str
    id: str
    """What its seed comes from, with `attempt`."""
    attempt: int = 0


def render(
    groups: Iterable[Group], *, generate: Generate, model: str, style: Style, batch: int, plain: int = 0
) -> Iterator[list[Record]]:
    """Returns, class by class, the lines and after them an image for every description of a tail class.

    What the lines have an image of already, or a rejected one, is not drawn again. Batches are filled across classes,
    and two are under way, so that one is drawn while the other is written. A picture depends on its own request alone.

    plain -- images per tail class that are drawn besides, from its bare name: to look at, and for nothing else
    """
    waiting: deque[tuple[Group, list[Wanted]]] = deque()
    made: dict[int, Record] = {}

    def painted(pairs: list[tuple[Wanted, ImageRequest]]) -> list[tuple[int, Record]]:
        able = [pair for pair in pairs if style.strength is None or pair[1].original or isinstance(pair[0].row, Class)]
        drawn = generate([request for _, request in able]) if able else ()
        pictures = {id(one): picture for (one, _), picture in zip(able, drawn, strict=True)}
        return [(id(one), _result(one, request, pictures.get(id(one), _NO_ORIGINAL), model)) for one, request in pairs]

    for found in in_order(painted, _requests(groups, waiting, model, style, batch, plain), workers=2):
        made.update(found)
        while waiting and all(id(one) in made for one in waiting[0][1]):
            group, wants = waiting.popleft()
            yield [*group.rows, *(made.pop(id(one)) for one in wants)]


_NO_ORIGINAL = Refused("its class has no original image to draw over; leave --from-original out")
_MOST_WAITING = 1000
"""Classes held back for those behind them: a stream with little to draw must not fill the memory."""


def _requests(
    groups: Iterable[Group],
    waiting: deque[tuple[Group, list[Wanted]]],
    model: str,
    style: Style,
    batch: int,
    plain: int,
) -> Iterator[list[tuple[Wanted, ImageRequest]]]:
    """Returns what is drawn in lists of `batch`, and puts each class in line as it is read."""
    pairs: list[tuple[Wanted, ImageRequest]] = []
    for group in groups:
        wants = wanted(group, plain)
        waiting.append((group, wants))
        for one in wants:
            original = original_for(one.row, group.rows, style) if isinstance(one.row, Description) else None
            pairs.append((one, drawing(one.text, one.id, one.attempt, group.cls, model, style, original)))
            if len(pairs) == batch:
                yield pairs
                pairs = []
        if len(waiting) >= _MOST_WAITING:
            yield pairs
            pairs = []
    yield pairs


def drawing(
    text: str, id: str, attempt: int, cls: Class, model: str, style: Style, original: str | None = None
) -> ImageRequest:
    """Returns the request for a description's picture. Its seed comes from the record's id and the attempt.

    original -- sha256 of the image that it is drawn over, None to draw from nothing
    """
    return ImageRequest(
        model=model,
        text=p.image_prompt(text, cls.class_, cls.subject),
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


def wanted(group: Group, plain: int = 0) -> list[Wanted]:
    """Returns what is drawn of a tail class: its descriptions, then its bare name `plain` times; of another nothing.

    What the lines have an image of already, or a rejected one, is left out.
    """
    if not group.cls.tail:
        return []
    drawn = _drawn_from(group.rows)
    texts = [row for row in group.rows if isinstance(row, Description) and not drawn(row)]
    there = {image.made.attempt if image.made else 0 for image in group.rows if _is_plain(image)}
    bare = p.fill(p.BARE, group.cls.class_)
    id = _bare_id(group.cls)
    return [Wanted(row, row.text, row.id) for row in texts] + [
        Wanted(group.cls, bare, id, number) for number in range(plain) if number not in there
    ]


def source(rejected: Rejected, descriptions: Iterable[Description]) -> Description | None:
    """Returns the description that a rejected image was drawn from. It names the image alone, whose id names it."""
    first = rejected.history[0] if rejected.history else rejected
    for row in descriptions:
        same = row.text == first.text and _image_id(row, first.sha256) in rejected.parents
        if same or (row.id and row.id in rejected.parents):
            return row
    return None


def _drawn_from(rows: Sequence[Record]) -> Callable[[Description], bool]:
    """Returns whether a description has an image among the rows, accepted or rejected."""
    parents = {parent for row in rows if isinstance(row, Image) and row.origin == "generated" for parent in row.parents}
    rejected: dict[str, list[Rejected]] = {}
    for row in rows:
        if isinstance(row, Rejected) and row.of == "image":
            parents.update(row.parents)
            rejected.setdefault((row.history[0] if row.history else row).text, []).append(row)
    return lambda row: (
        bool(row.id and row.id in parents) or any(source(one, [row]) for one in rejected.get(row.text, ()))
    )


def _is_plain(row: Record) -> TypeGuard[Image]:
    return isinstance(row, Image) and row.origin == "plain"


def _bare_id(cls: Class) -> str:
    """Returns what the seeds of plain drawings come from: its label and name, whatever its count or its sense."""
    return identify(Class(label=cls.label, class_=cls.class_, tail=True), "plain").id


def _image_id(row: Description, sha256: str) -> str:
    """Returns the id of the image that a description's first drawing became."""
    image = Image(label=row.label, class_=row.class_, sha256=sha256, origin="generated", parents=(row.id,))
    return identify(image, sha256).id


def _result(one: Wanted, request: ImageRequest, picture: GeneratedImage | Exception, model: str) -> Record:
    row = one.row
    plain = isinstance(row, Class)
    parents = (row.id,) if row.id or not plain else ()
    number = (one.attempt,) if plain else ()  # tells apart what fails, or is drawn, alike
    if isinstance(picture, Exception):
        failed = Failure(
            label=row.label,
            class_=row.class_,
            stage="render",
            reason=str(picture),
            text=one.text,
            parents=parents,
        )
        return identify(failed, failed.reason, *number)
    image = Image(
        label=row.label,
        class_=row.class_,
        sha256=picture.sha256,
        origin="plain" if plain else "generated",
        format=picture.format,
        text=one.text,
        original=request.original or "",
        strength=request.strength or None,
        parents=parents,
        made=Made(model=model, seed=request.seed, attempt=request.attempt, usage=picture.usage),
    )
    return identify(image, picture.sha256, *number)
