"""The looks of images side by side: real, as the image model makes them, adapted, harmonised; and what harmonises them
outside of training, at their own size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ltgc_cli.ports import ImageFormat
from ltgc_cli.providers.images import encoded, read
from ltgc_cli.records import Checkpoint, Group, Image, Record

if TYPE_CHECKING:
    from ltgc_cli.learn.harmonise import Change, Pixels

Bytes = Callable[[], bytes]
_SIDE = 224  # pixels of the short side that looks are measured at: as much as most models see
_SHOWN = 16  # images of a class that tell its look, where it is only to be seen
_CLASSES = 100  # that tell it then, besides those that are shown


class Looks(NamedTuple):
    """Which looks a stream has besides the real one and that of its generated images."""

    adapted: bool = False  # whether its generated images are by a model that ltgc adapt made
    harmonised: bool = False  # whether one of its checkpoints was trained on harmonised images


class ClassImages(NamedTuple):
    """Some images of a class by their sha256, to measure looks on."""

    originals: tuple[str, ...]
    generated: tuple[str, ...]
    unadapted: tuple[str, ...]  # as the image model makes them without its adapter


def looks_of(others: Iterable[Record]) -> Looks:
    """Returns the looks of a stream with these records, those of no class among them."""
    found = [row for row in others if isinstance(row, Checkpoint)]
    trained = any(row.settings.get("harmonise") is True for row in found if not row.of)
    return Looks(any(row.of == "t2i" for row in found), trained)


def class_images(group: Group) -> ClassImages:
    """Returns some of a class's images, the first of each kind."""
    unadapted = [row for row in group.rows if isinstance(row, Image) and row.origin == "unadapted"]
    kinds = group.originals, group.generated, unadapted
    return ClassImages(*(tuple(row.sha256 for row in kind[:_SHOWN]) for kind in kinds))


def harmonised_to_see(
    classes: Mapping[int, ClassImages], shown: Sequence[int], get: Callable[[str], bytes]
) -> Callable[[int, str], bytes]:
    """Returns what gives a generated image of a class as training saw it, as a PNG, by label and sha256.

    As nearly as the stream's own images tell: training measured all originals, at the size that the model sees. What
    cannot be read says so when it is asked for. Where there is no original or no generated image, images stay.

    shown -- the labels of classes that are shown; get -- an image's bytes by its sha256
    """
    every = list(classes)
    measured = {*shown, *every[:: max(1, len(every) // _CLASSES)]}
    kinds: tuple[dict[int, list[Bytes]], ...] = ({}, {})
    for label in sorted(measured & classes.keys()):
        for kind, hashes in zip(kinds, classes[label], strict=False):
            reads: list[Bytes] = [partial(get, sha256) for sha256 in hashes if readable(partial(get, sha256))]
            kind |= {label: reads} if reads else {}
    found = changes(*kinds) if all(kinds) else {}

    def one(label: int, sha256: str) -> bytes:
        return harmonised(get(sha256), found[label], "png") if label in found else get(sha256)

    return one


def changes(real: Mapping[int, Sequence[Bytes]], generated: Mapping[int, Sequence[Bytes]]) -> dict[int, Change]:
    """Returns what makes generated images look like the real ones: see `harmonise.changes`.

    real, generated -- by label, what returns the bytes of each image. Raises Unreadable for what is no whole image.
    """
    from ltgc_cli.learn import harmonise

    kinds = (
        {label: [partial(_small, one) for one in reads] for label, reads in kind.items()} for kind in (real, generated)
    )
    return harmonise.changes(*kinds)


def harmonised(data: bytes, change: Change, format: ImageFormat) -> bytes:
    """Returns a generated image as the real ones look, at its own size. Raises Unreadable for no whole image."""
    import numpy as np
    import PIL.Image

    from ltgc_cli.learn import harmonise

    pixels = np.asarray(read(data)).transpose(2, 0, 1)
    return encoded(PIL.Image.fromarray(harmonise.changed(pixels, change).transpose(1, 2, 0)), format)


def _small(one: Bytes) -> Pixels:
    """Returns an image's pixels [3, height, width], its short side at most _SIDE: looks are measured on many."""
    import numpy as np
    import PIL.Image

    image = read(one(), least=2 * _SIDE)
    if (short := min(image.size)) > _SIDE:
        size = (max(1, round(image.width * _SIDE / short)), max(1, round(image.height * _SIDE / short)))
        image = image.resize(size, PIL.Image.Resampling.LANCZOS)
    return np.asarray(image).transpose(2, 0, 1)


def readable(one: Bytes) -> bool:
    """Returns whether bytes are those of a whole image."""
    try:
        read(one(), least=2 * _SIDE)
    except Exception:  # whatever the reader says of it
        return False
    return True
