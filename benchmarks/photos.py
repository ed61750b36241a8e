"""Photographs to measure with: crops of scikit-learn's two, in a folder for each of ten classes."""

from __future__ import annotations

import random
from pathlib import Path

CLASSES = 10


def crops(folder: Path, count: int, width: int, height: int, suffix: str = ".jpg") -> list[Path]:
    """Returns the files: crops of a photograph, each enlarged to this size, so that they compress as photos do."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(each) for each in load_sample_images().images]
    rng, files = random.Random(0), []
    for number in range(count):
        photo = photos[number % len(photos)]
        across = int(photo.width * rng.uniform(0.6, 0.9))
        down = min(photo.height, across * height // width)
        x, y = rng.randint(0, photo.width - across), rng.randint(0, photo.height - down)
        file = folder / f"class {number % CLASSES}" / f"{number:05}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo.crop((x, y, x + across, y + down)).resize((width, height)).save(file, quality=90)
        files.append(file)
    return files
