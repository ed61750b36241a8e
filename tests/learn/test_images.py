from __future__ import annotations

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import Sample, open_data, samples
from ltgc_cli.learn.images import decode, frame, normalized, reader, seen, views
from ltgc_cli.providers.clip.open_clip import Loaded


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(noise).resize((width * 3, height * 3))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_frame_that_is_normalized_is_open_clips_own_preprocessing(clip: Loaded) -> None:
    image = photo(31, 23)
    sample = Sample(0, lambda: png(image), "x.png")
    f = frame(clip.preprocess)
    assert torch.allclose(normalized(decode(sample, f)[None], f)[0], clip.preprocess(image), atol=1e-6)


def test_images_that_fit_in_memory_and_images_that_do_not_are_read_alike(clip: Loaded) -> None:
    few = samples(open_data("digits-lt", "train"))[:12]
    f = frame(clip.preprocess)
    kept, on_demand = reader(few, f), reader(few, f, in_memory=100)
    assert (kept.in_memory, on_demand.in_memory) == (True, False)
    numbers = np.array([3, 3, 11, 0])
    assert torch.equal(kept.read(numbers), on_demand.read(numbers))
    assert torch.equal(kept.read(numbers)[2], decode(few[11], f))


def test_a_broken_image_is_named(clip: Loaded) -> None:
    with pytest.raises(InputError, match="^birds/7.png: not a whole image"):
        reader([Sample(0, lambda: b"x", "birds/7.png")], frame(clip.preprocess))


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def test_a_jpeg_far_larger_than_the_models_input_is_decoded_smaller_and_looks_the_same(clip: Loaded) -> None:
    f = frame(clip.preprocess)
    assert f.least == 2 * clip.model.visual.image_size[0]
    large = jpeg(photo(200, 150).resize((1600, 1200), Image.Resampling.BICUBIC))
    sizes = []
    smaller = decode(Sample(0, lambda: large), f._replace(crop=lambda image: sizes.append(image.size) or f.crop(image)))
    assert sizes == [(200, 150)], "an eighth, and still more than twice what it is resized to"
    off = (smaller.int() - decode(Sample(0, lambda: large), f._replace(least=0)).int()).abs()
    assert off.max() <= 3 and off.float().mean() < 0.5


def test_a_jpeg_that_is_not_far_larger_is_read_as_it_is(clip: Loaded) -> None:
    f = frame(clip.preprocess)
    side = 2 * f.least - 1
    small = Sample(0, lambda: jpeg(photo(200, 150).resize((side + 40, side))))
    assert torch.equal(decode(small, f), decode(small, f._replace(least=0)))


def test_what_cuts_without_a_resize_before_gets_every_pixel(clip: Loaded) -> None:
    _, *rest = clip.preprocess.transforms
    assert frame(SimpleNamespace(transforms=rest)).least == 0


# ---- augmentation


def frames(height: int = 24, width: int = 24, batch: int = 2) -> torch.Tensor:
    images = [np.asarray(photo(width, height, seed).resize((width, height))) for seed in range(batch)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def augmented(images: torch.Tensor, seed: int = 0, crop: float = 1.0, rotate: float = 0.0, flip: bool = False):
    return seen(images, views(np.random.default_rng(seed), len(images), crop=crop, rotate=rotate, flip=flip))


def test_with_nothing_asked_for_an_image_stays_as_it_is() -> None:
    assert torch.equal(augmented(frames()), frames().float())


def test_without_flip_no_image_is_ever_mirrored_and_with_it_half_of_them_are() -> None:
    images = frames(batch=1).expand(400, -1, -1, -1)
    same = (augmented(images, flip=True) == images).flatten(1).all(1)
    mirrored = (augmented(images, flip=True) == images.flip(-1)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 160 < int(same.sum()) < 240


def naive_sample(image: np.ndarray, y: float, x: float) -> float:
    """Bilinear, with the edge going on."""
    height, width = image.shape
    total = 0.0
    for row, column in ((math.floor(y) + i, math.floor(x) + j) for i in (0, 1) for j in (0, 1)):
        weight = (1 - abs(y - row)) * (1 - abs(x - column))
        total += weight * image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return total


@pytest.mark.parametrize(("height", "width"), [(12, 12), (10, 16)])
def test_a_crop_with_a_turn_is_one_similarity_of_the_frame(height: int, width: int) -> None:
    images = frames(height, width)
    result = augmented(images, seed=5, crop=0.5, rotate=30).double().numpy()
    rng = np.random.default_rng(5)
    side = np.sqrt(rng.uniform(0.5, 1, 2))
    shift = rng.uniform(-1, 1, (2, 2)) * (1 - side)[:, None]
    turn = np.radians(rng.uniform(-30, 30, 2))
    for n in range(2):
        for y, x in ((0, 0), (3, 7), (height - 1, width - 1)):
            down, right = side[n] * (y - (height - 1) / 2), side[n] * (x - (width - 1) / 2)
            source_x = right * math.cos(turn[n]) - down * math.sin(turn[n]) + (width - 1) / 2 + shift[n, 0] * width / 2
            source_y = (
                right * math.sin(turn[n]) + down * math.cos(turn[n]) + (height - 1) / 2 + shift[n, 1] * height / 2
            )
            for channel in range(3):
                expected = naive_sample(images[n, channel].double().numpy(), source_y, source_x)
                assert result[n, channel, y, x] == pytest.approx(expected, abs=1e-2)


def test_an_augmentation_depends_on_its_seed_alone() -> None:
    assert torch.equal(augmented(frames(), 1, 0.7, 5), augmented(frames(), 1, 0.7, 5))
    assert not torch.equal(augmented(frames(), 1, 0.7, 5), augmented(frames(), 2, 0.7, 5))


def test_a_crop_never_leaves_the_frame() -> None:
    """A frame with a bright rim inside a black one would show black where a crop went beyond it."""
    side = torch.arange(8.0).expand(50, 3, 8, 8)
    result = augmented(side, crop=0.3)
    inside = result[:, 0, 0, 1:] - result[:, 0, 0, :-1]
    assert (inside[:, 1:-1] > 0).all(), "columns keep rising: nowhere does the edge go on"
