"""Each generated image beside the real image of its class that is nearest to it, by the pixels of their thumbnails."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PIL

from ltgc_cli.records import Class, Image, Record
from ltgc_cli.report import neighbours
from ltgc_cli.report.content import content_of
from ltgc_cli.report.thumbnails import tile_url, webp_url


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3)).astype(np.uint8)


def address(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    PIL.fromarray(pixels).save(file, "PNG")
    return webp_url(file.getvalue())


def images(label: int, **origins: str) -> list[Record]:
    return [
        Image(id=sha256, label=label, class_=f"c{label}", sha256=sha256, origin=origin)  # type: ignore[arg-type]
        for sha256, origin in origins.items()
    ]


def cls(label: int) -> Record:
    return Class(id=str(label), label=label, class_=f"c{label}", count=2, tail=True)


STREAM = [
    cls(0),
    *images(0, real="original", other="original", copy="generated", new="generated"),
    cls(1),
    *images(1, elsewhere="original"),
]
ADDRESSES = {
    "real": address(noise(1)),
    "other": address(noise(2)),
    "copy": address((noise(1) // 2 + 60).astype(np.uint8)),  # darker and paler: a copy none the less
    "new": address(noise(3)),
    "elsewhere": address(noise(3)),
}


def test_a_copy_is_known_though_its_light_is_another_and_only_its_own_class_is_looked_at() -> None:
    found = neighbours.neighbours(content_of(STREAM), ADDRESSES)
    copy, new = found.pairs["c0", "copy"], found.pairs["c0", "new"]
    assert (copy.real, copy.alike) == ("real", pytest.approx(1.0, abs=0.01))
    assert new.alike < 0.5, "its twin is another class's"
    assert found.closest == [copy, new]
    assert (found.copy_from, found.copies) == (0.95, 1)
    assert len(found.real) == 2 and len(found.generated) == 2


def test_where_real_images_are_as_alike_as_that_among_themselves_an_image_must_be_more_so_to_be_a_copy() -> None:
    pairs = {("c", "g"): neighbours.NearestReal("c", "g", "r", 0.96)}
    assert neighbours.Neighbours(pairs, [0.9] * 10, []).copies == 1
    assert neighbours.Neighbours(pairs, [0.98] * 10, []).copies == 0


def test_an_image_that_cannot_be_opened_and_one_in_a_single_colour_have_no_twin() -> None:
    flat = address(np.full((32, 32, 3), 90, np.uint8))
    found = neighbours.neighbours(content_of(STREAM), ADDRESSES | {"copy": tile_url("broken"), "new": flat})
    assert [(key, pair.alike) for key, pair in found.pairs.items()] == [(("c0", "new"), 0.0)]


def test_the_plot_says_how_alike_they_are_and_there_is_none_without_a_pair() -> None:
    figure = neighbours.figure(neighbours.neighbours(content_of(STREAM), ADDRESSES))
    assert figure and figure.words.startswith("generated, with the nearest real: median ")
    assert figure.words.endswith("1 generated image may be a copy, from 0.95 on.")
    assert neighbours.figure(neighbours.NONE) is None
