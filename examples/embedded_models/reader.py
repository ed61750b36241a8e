"""A classifier of handwriting, trained on scikit-learn's 1,797 real digits alone. Used to measure only."""

import numpy as np
import torch
from glyphs import SIDE
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

Tensor = torch.Tensor


def handwriting() -> tuple[Tensor, Tensor]:
    """All 1,797 handwritten digits as ltgc shows them, (N, 3, 32, 32), and what they are."""
    digits = load_digits()
    small = [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in digits.images]
    shown = np.stack([np.asarray(image.resize((SIDE, SIDE), Image.BICUBIC)) for image in small])
    return torch.tensor(shown / 255).float()[:, None].expand(-1, 3, -1, -1), torch.tensor(digits.target)


def varied(pictures: Tensor) -> Tensor:
    """Each picture moved, stretched, sheared and lit a little differently."""
    count = len(pictures)
    change = torch.eye(2, 3).repeat(count, 1, 1) + torch.empty(count, 2, 3).uniform_(-0.14, 0.14)
    grid = nn.functional.affine_grid(change, list(pictures.shape), align_corners=False)
    moved = nn.functional.grid_sample(pictures, grid, align_corners=False)
    dark, bright = torch.rand(count, 1, 1, 1) * 0.15, 1 - torch.rand(count, 1, 1, 1) * 0.3
    return dark + moved * (bright - dark)


def reader(seed: int = 0, epochs: int = 40) -> nn.Module:
    """A small network taught to read them, with small changes of place, shape and light."""
    torch.manual_seed(seed)
    pictures, digits = handwriting()
    net = nn.Sequential(
        *(nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(24, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(48, 96, 3, padding=1), nn.BatchNorm2d(96), nn.ReLU(), nn.AdaptiveMaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.3), nn.Linear(384, 10)),
    )
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.02)
    steps = epochs * len(digits) // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(digits), (64,))
        loss = nn.functional.cross_entropy(net(varied(pictures[rows, :1])), digits[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def reads(net: nn.Module, pictures: Tensor) -> Tensor:
    return torch.cat([net(part[:, :1]).argmax(1) for part in pictures.split(500)])


def vectors(pictures: Tensor) -> Tensor:
    """Pictures as 8x8 numbers, for a support vector machine."""
    return nn.functional.avg_pool2d(pictures[:, :1], 4).flatten(1)
