"""Generated images as the real ones look: the numbers against the same written naively, and what may never happen."""

from __future__ import annotations

import cmath
import io
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from ltgc_cli.learn import harmonise, images, loading
from ltgc_cli.learn.datasets import Sample, open_data, samples
from ltgc_cli.learn.harmonise import Change, Pixels, changed, changes, look, pulled, together
from ltgc_cli.providers.clip.open_clip import Loaded


def noise(height: int = 24, width: int = 24, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8)


def smooth(seed: int, *, mean: Sequence[float] = (120, 120, 120), contrast: float = 30, side: int = 24) -> Pixels:
    """A picture of slow waves with a channel's mean and deviation, near enough."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    wave = np.cos(2 * np.pi * (x + draws.random())) + np.cos(2 * np.pi * (y + draws.random()))
    return np.clip(np.array(mean)[:, None, None] + contrast * wave, 0, 255).round().astype(np.uint8)


def reads(pictures: Sequence[Pixels]) -> list[Callable[[], Pixels]]:
    return [partial(lambda picture: picture, picture) for picture in pictures]


def means(picture: Pixels) -> list[float]:
    return picture.mean((1, 2)).round().tolist()


# ---- against the same written naively


def test_a_spectrum_is_the_mean_log_amplitude_of_each_ring_of_the_mirrored_image():
    picture = noise(6, 8)
    brightness = [
        [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in zip(*rows, strict=True)]
        for rows in zip(*picture.tolist(), strict=True)
    ]
    mean = sum(map(sum, brightness)) / 48
    whole = [[value - mean for value in (*row, *reversed(row))] for row in (*brightness, *reversed(brightness))]
    rings: dict[int, list[float]] = {}
    for v in range(12):
        for u in range(9):  # the half that a real image has of its own
            turns = [(y * v / 12 + x * u / 16, whole[y][x]) for y in range(12) for x in range(16)]
            amplitude = abs(sum(value * cmath.exp(-2j * math.pi * turn) for turn, value in turns)) / 192
            down = min(v, 12 - v) / 12
            ring = round(math.hypot(down, u / 16) * 6)
            rings.setdefault(ring, []).append(math.log(max(amplitude, math.sqrt(1 / 12 / 48))))
    wanted = [sum(rings[ring]) / len(rings[ring]) for ring in (1, 2, 3)]
    found = harmonise.spectrum(picture)
    assert found[:3] == pytest.approx(wanted, abs=1e-9) and np.isnan(found[3:]).all()


def test_a_filter_multiplies_the_amplitude_of_each_frequency_of_the_padded_image_and_keeps_its_phase():
    picture = noise(8, 8)[:1].astype(np.float64)
    gain = np.array([1.0, 0.5, 2.0, 0.25])
    rows = [picture[0][abs(y) if y >= 0 else 0] for y in range(8)]
    rows = [rows[0], *rows, rows[-1]]  # a border of 8 // 8 = 1 pixel
    padded = [[row[0], *row, row[-1]] for row in rows]
    total = np.zeros((10, 10), complex)
    for v in range(10):
        for u in range(10):
            value = sum(
                padded[y][x] * cmath.exp(-2j * math.pi * (y * v + x * u) / 10) for y in range(10) for x in range(10)
            )
            ring = math.hypot(min(v, 10 - v) / 10, min(u, 10 - u) / 10) * 8
            low = min(int(ring), 3)
            factor = gain[low] + (gain[min(low + 1, 3)] - gain[low]) * (ring - low if low < 3 else 0)
            for y in range(10):
                for x in range(10):
                    total[y, x] += factor * value * cmath.exp(2j * math.pi * (y * v + x * u) / 10) / 100
    assert np.abs(total.imag).max() < 1e-9
    assert harmonise.filtered(picture, gain)[0] == pytest.approx(total.real[1:9, 1:9], abs=1e-9)


def test_a_gain_is_the_ratio_of_mean_amplitudes_with_the_contrast_left_out():
    real, generated = ([noise(8, 8, seed) for seed in seeds] for seeds in (range(3), range(3, 6)))
    real = [(picture // 2 + 60).astype(np.uint8) for picture in real]
    logs = [np.mean([harmonise.spectrum(one)[:4] for one in pictures], 0) for pictures in (real, generated)]
    ratio = [math.exp(a - b) for a, b in zip(*logs, strict=True)]
    power = [math.exp(2 * log) * ring for log, ring in zip(logs[1], (1, 2, 3, 4), strict=True)]
    scale = math.sqrt(sum(p * r * r for p, r in zip(power, ratio, strict=True)) / sum(power))
    found = harmonise.gain(together(map(look, real)), together(map(look, generated)))
    assert found[:5] == pytest.approx([1.0, *(r / scale for r in ratio)], abs=1e-9)
    assert found[5:] == pytest.approx(np.full(108, found[4]))


def test_a_gain_strengthens_fourfold_at_most_and_weakens_to_an_eighth():
    def of(*log_amplitudes: float) -> harmonise.Look:
        return look(noise())._replace(spectrum=np.array([*log_amplitudes, *[np.nan] * 110]))

    assert harmonise.gain(of(5, 0), of(5, -5))[:3] == pytest.approx([1, 1, 4], abs=1e-3)
    assert harmonise.gain(of(5, -9), of(5, -5))[:3] == pytest.approx([1, 1, 1 / 8], abs=1e-3)


def test_colours_go_to_where_those_of_the_real_images_lie_as_it_is_written_in_one_line():
    real = [smooth(seed, mean=(60 + seed, 120, 150), contrast=20) for seed in range(9)]
    generated = [smooth(seed, mean=(140 + 4 * seed, 100, 90), contrast=30) for seed in range(9)]
    colours = together(map(look, real)).colours, together(map(look, generated)).colours
    change = Change(np.ones(113), None, *colours)
    theirs, ours = (np.array([one[0].mean() for one in pictures]) for pictures in (real, generated))
    deviations = [np.log([one[0].astype(float).std() for one in pictures]) for pictures in (real, generated)]
    at, by = generated[5][0].mean(), math.log(generated[5][0].std())
    mean = theirs.mean() + (at - ours.mean()) * min(1, theirs.std() / ours.std())
    log = deviations[0].mean() + (by - deviations[1].mean()) * min(1, deviations[0].std() / deviations[1].std())
    wanted = (generated[5][0] - at) * math.exp(log - by) + mean
    assert np.abs(changed(generated[5], change)[0] - np.clip(wanted, 0, 255)).max() <= 0.51


def test_greys_go_to_the_quantiles_of_the_real_images_as_sorting_pixels_does():
    real = [np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16) // 2, 3, 0)] * 9
    generated = np.stack([np.random.default_rng(3).permutation(256).astype(np.uint8).reshape(16, 16)] * 3)
    found = changed(generated, Change(np.ones(113), together(map(look, real)).greys))
    order = np.argsort(generated[0].ravel())
    wanted = np.empty(256)
    wanted[order] = np.sort(real[0][0].ravel())
    assert np.abs(found[0].ravel() - wanted).max() <= 1 and (found == found[0]).all()


# ---- what may never happen


def test_images_that_look_alike_already_stay_as_they_are():
    pictures = [smooth(seed, mean=(40 + 9 * seed, 120, 200 - 9 * seed)) for seed in range(10)]
    found = changes({3: reads(pictures)}, {3: reads(pictures)})[3]
    for picture in pictures:
        assert np.abs(changed(picture, found).astype(int) - picture).max() <= 1


def test_a_class_never_gets_another_classs_colours():
    red, blue = (150, 60, 60), (60, 60, 150)
    real = {0: reads([smooth(seed, mean=red) for seed in range(20)]), 1: reads([smooth(0, mean=blue)])}
    generated = {label: reads([smooth(seed, mean=(100, 100, 100)) for seed in range(9)]) for label in (0, 1, 2)}
    found = changes(real, generated)
    of = {label: means(changed(smooth(4, mean=(100, 100, 100)), change)) for label, change in found.items()}
    assert of[0] == pytest.approx(red, abs=1)  # enough images: all the way
    assert of[1] == pytest.approx((95, 95, 106), abs=1)  # one image of eight: an eighth of the way
    assert of[2] == pytest.approx((100, 100, 100), abs=1)  # no image: none of it


def test_the_spectrum_of_a_class_with_few_images_is_that_of_all():
    soft = [smooth(seed) for seed in range(40)]
    sharp = [noise(seed=seed) // 4 + 90 for seed in range(40)]
    found = changes({0: reads(soft), 1: reads(soft[:2])}, {0: reads(sharp), 1: reads(sharp[:5])})
    assert found[0].gain[1] > 1 > found[0].gain[10] and found[1].gain[10] < 1
    both = together([look(one) for one in (*soft, *soft[:2])]), together([look(one) for one in (*sharp, *sharp[:5])])
    assert found[1].gain == pytest.approx(harmonise.gain(*both))


def test_generated_images_stay_as_different_as_real_ones_are():
    real = {0: reads([smooth(seed, mean=(60 + 10 * seed, 90, 90)) for seed in range(9)])}
    generated = [smooth(seed, mean=(80 + 10 * seed, 90, 90)) for seed in range(9)]
    found = changes(real, {0: reads(generated)})[0]
    reds = [means(changed(one, found))[0] for one in generated]
    assert reds == pytest.approx([60 + 10 * seed for seed in range(9)], abs=2)


def test_grey_data_makes_generated_images_grey_and_coloured_data_leaves_a_grey_one_alone():
    grey = [np.repeat(noise(seed=seed)[:1] // 2, 3, 0) for seed in range(9)]
    coloured = [noise(seed=seed) for seed in range(9)]
    found = changes({0: reads(grey)}, {1: reads(coloured)})[1]
    assert found.greys is not None and np.ptp(changed(coloured[0], found), axis=0).max() == 0
    assert changes({0: reads(coloured), 1: reads(grey)}, {1: reads(coloured)})[1].greys is None


def test_images_of_any_size_take_the_change_that_was_measured_at_another():
    real = [smooth(seed, mean=(90, 120, 60), side=48) for seed in range(9)]
    found = changes({0: reads(real)}, {0: reads([noise(seed=seed) for seed in range(9)])})[0]
    for shape in ((1, 1), (3, 40), (65, 31), (200, 300)):
        assert changed(noise(*shape), found).shape == (3, *shape)


def test_an_image_of_one_colour_gets_no_noise():
    flat = np.full((3, 24, 24), 100, np.uint8)
    found = changes({0: reads([noise(seed=seed) for seed in range(9)])}, {0: reads([flat] * 9)})[0]
    assert np.ptp(changed(flat, found), axis=(1, 2)).max() == 0


def test_of_very_many_images_some_are_measured_spread_over_all(monkeypatch):
    monkeypatch.setattr(harmonise, "MEASURED", (20, 4))
    opened: list[int] = []

    def one(number: int) -> Pixels:
        opened.append(number)
        return noise(4, 4, number)

    changes({0: [partial(one, number) for number in range(50)]}, {0: reads([noise(4, 4)])})
    assert sorted(opened) == [50 * place // 20 for place in range(20)]


# ---- where training reads images


@pytest.fixture
def parts(clip: Loaded) -> tuple[images.Frame, list[Sample], list[Sample]]:
    """Real digits, and ones that are brighter and rough as if they were generated."""
    real = samples(open_data("digits-lt", "train"))[::8]
    return images.frame(clip.preprocess), real, [_rough(one) for one in samples(open_data("digits-lt", "val"))[::20]]


def _rough(sample: Sample) -> Sample:
    def read() -> bytes:
        picture = np.asarray(Image.open(io.BytesIO(sample.read()))).astype(int) // 2 + 100
        file = io.BytesIO()
        Image.fromarray((picture + picture[::-1] % 7).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    return sample._replace(read=read, name=f"rough/{sample.name}")


def test_harmonised_frames_are_the_same_in_memory_on_demand_and_by_processes(parts):
    frame, real, generated = parts
    every = [*real, *images.harmonised(real, generated, frame)]
    kept, on_demand = images.reader(every, frame), images.reader(every, frame, in_memory=100)
    numbers = np.array([0, len(real), len(real) + 3, 2])
    wanted = kept.read(numbers)
    assert torch.equal(on_demand.read(numbers), wanted)
    (read,) = loading.ahead(on_demand.read, [numbers], 1, loading.Readers(1))
    assert torch.equal(read, wanted)
    again = images.reader([*real, *images.harmonised(real, generated, frame)], frame)
    assert torch.equal(again.read(numbers), wanted)


def test_original_images_are_never_touched_and_generated_ones_come_nearer(parts):
    frame, real, generated = parts
    every = images.decode_all([*real, *images.harmonised(real, generated, frame)], frame).float()
    before = images.decode_all([*real, *generated], frame).float()
    count = len(real)
    assert torch.equal(every[:count], before[:count])
    distance = [abs(frames[count:].mean() - before[:count].mean()) for frames in (before, every)]
    assert distance[1] < 0.1 * distance[0]


def test_one_real_image_does_not_tell_how_alike_images_are_so_they_stay_as_different() -> None:
    real = np.stack([np.full(6, 2.0), np.full(6, 4.0)])  # the mean of one image, and its square
    generated = np.stack([np.full(6, 1.0), np.full(6, 5.0)])  # mean 1, deviation 2
    tones = [np.full(6, value) for value in (-1.0, 3.0)]
    first, second = (pulled(tone, real, generated, trust=1.0) for tone in tones)
    assert (first == 0).all() and (second == 4).all()
