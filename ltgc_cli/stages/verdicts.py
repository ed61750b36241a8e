"""A person's verdicts on generated images (`ltgc review`), and what follows from them: they go before scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from ltgc_cli.records import Description, Group, Image, Record, Rejected, Verdict
from ltgc_cli.stages.render import source
from ltgc_cli.text import counted

ImageKey = tuple[int, str]  # an image of a class: its label and the image's sha256
Verdicts = Mapping[ImageKey, Literal["keep", "reject"]]
NONE: Verdicts = {}

# What a rejected image and an accepted one have in common.
_SHARED = ["label", "class_", "made", "rest", "sha256", "format", "text", "score", "threshold", "scale", "history"]


def effective(given: Iterable[Verdict]) -> dict[ImageKey, Literal["keep", "reject"]]:
    """Returns what holds of all verdicts: of several on one image the last; `none` takes it back."""
    held = {(one.label, one.sha256): one.verdict for one in given}
    return {image: verdict for image, verdict in held.items() if verdict != "none"}


def fingerprint(verdicts: Verdicts) -> str:
    """Returns a sha256 (hex) of what holds, whatever came before and in whatever order."""
    listed = sorted([*image, verdict] for image, verdict in verdicts.items())
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def restored(group: Group, verdicts: Verdicts) -> Group:
    """Returns the class with its rejected images that a person keeps as images again."""
    if not any(_is_kept(row, verdicts) for row in group.rows):
        return group
    descriptions = [row for row in group.rows if isinstance(row, Description)]
    return Group(group.cls, [_image(row, descriptions) if _is_kept(row, verdicts) else row for row in group.rows])


def accepted(group: Group, verdicts: Verdicts = NONE) -> list[Image]:
    """Returns the generated images to train on: not those that a person rejects, and those too that one keeps."""
    images = restored(group, verdicts).generated
    return [image for image in images if verdicts.get((image.label, image.sha256)) != "reject"]


def image_keys(rows: Iterable[Record], *, replaced: bool = False) -> set[ImageKey]:
    """Returns the generated images of the rows, accepted or rejected; with `replaced` those replaced on the way too."""
    found: set[ImageKey] = set()
    for row in rows:
        if (isinstance(row, Image) and row.origin == "generated") or (isinstance(row, Rejected) and row.of == "image"):
            earlier = [step.sha256 for step in row.history] if replaced else []
            found.update((row.label, sha256) for sha256 in [row.sha256, *earlier])
    return found


def summary(verdicts: Verdicts, there: Collection[ImageKey]) -> str:
    """Returns how many verdicts apply to the images that are there, in words.

    >>> summary({(3, "a"): "keep", (3, "b"): "reject", (7, "a"): "reject"}, {(3, "a"), (3, "b"), (7, "b")})
    '2 of 3 verdicts apply (1 kept, 1 rejected); 1 is on an image that is not in the stream'
    """
    found = [verdict for image, verdict in verdicts.items() if image in there]
    kept, lost = found.count("keep"), len(verdicts) - len(found)
    verb = "applies" if len(found) == 1 else "apply"
    of = counted(len(verdicts), "verdict")
    text = f"{len(found):,} of {of} {verb} ({kept:,} kept, {len(found) - kept:,} rejected)"
    if lost:
        text += f"; {lost:,} {'is on an image that is' if lost == 1 else 'are on images that are'} not in the stream"
    return text


def _is_kept(row: Record, verdicts: Verdicts) -> bool:
    return isinstance(row, Rejected) and row.of == "image" and verdicts.get((row.label, row.sha256)) == "keep"


def _image(row: Record, descriptions: list[Description]) -> Image:
    """Returns a rejected image as the image that it was: its own id is the first of the rejection's parents."""
    assert isinstance(row, Rejected)
    described = source(row, descriptions)
    shared = {name: getattr(row, name) for name in _SHARED}
    parents = (described.id,) if described else row.parents[1:]
    return Image(id=row.parents[0] if row.parents else row.id, origin="generated", parents=parents, **shared)
