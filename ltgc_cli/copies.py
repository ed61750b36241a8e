"""How many generated images are copies of real ones (`filter --novelty`): as records, and in words."""

from __future__ import annotations

from collections.abc import Iterable

from ltgc_cli.records import Class, Metric, Record, identify
from ltgc_cli.text import agreeing, counted

NAME = "copies"


def metric(cls: Class, images: int, copies: int, *, percent: float, cosine: float, model: str) -> Metric:
    """Returns a class's share of copies among its generated images, as each was drawn first, in percent.

    percent -- of the real images that are as near to another one as a copy is; cosine -- above which an image is a copy
    """
    about = {"novelty": percent, "cosine": cosine, "clip": model}
    share = round(100 * copies / images, 2)
    found = Metric(label=cls.label, class_=cls.class_, name=NAME, group="class", value=share, images=images, rest=about)
    return identify(found, NAME, images, copies, *about.values())


def without(rows: Iterable[Record]) -> list[Record]:
    """Returns the records without those of an earlier count."""
    return [row for row in rows if not (isinstance(row, Metric) and row.name == NAME)]


def words(rows: Iterable[Record]) -> str:
    """Returns how many copies there are over all classes, in words; empty where nobody counted them."""
    found = [row for row in rows if isinstance(row, Metric) and row.name == NAME]
    images = sum(row.images for row in found)
    if not images:
        return ""
    copies = sum(round((row.value or 0.0) / 100 * row.images) for row in found)
    novelty = found[-1].rest.get("novelty")
    real = f"{novelty:g}% of the real ones" if isinstance(novelty, int | float) else "real ones"
    share = f"{copies:,} of {counted(images, 'generated image')} ({copies / images:.1%})"
    near = f"{agreeing(copies, 'was', 'were')}, when first drawn, nearer to a real image of the class"
    return f"{share} {near} than {real} are to each other"
