"""Draws digits as small pictures of handwriting: 8x8 counts of ink, each with the features that its caption names.

The target is scikit-learn's digits, of which we use only the public description: forms filled in by hand, each digit
fitted to a 32x32 bitmap, the ink counted in blocks of 4x4. So a middle line is warped (style, wobble, slant), fitted to
a frame of 32x32, inked with a round pen, and counted the same way. `enlarge` shows counts as ltgc shows that data set.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from strokes import POINTS, WAYS, scatter, write

from ltgc_cli.embedded.banks import WRITTEN

SIDE = 32
HELD_OUT = 0.15  # of the typefaces: seen by no model, for measuring
OWN = 0.6  # of the drawings are from our own pen strokes
PRINTED = ("sans-serif", "serif", "monospace")  # typefaces that look like no hand
WOBBLE, STEADY = 0.06, 0.01  # how far a hand, and a printing press, strays

Tensor = torch.Tensor


def uniform(low: Tensor | float, high: Tensor | float, count: int, rng: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=rng)


def pick(ranges: list[tuple[float, float]], feature: Tensor, rng: torch.Generator) -> Tensor:
    """For each drawing a number from the range of its feature."""
    low, high = torch.tensor(ranges).unbind(1)
    return uniform(low[feature], high[feature], len(feature), rng)


def box(at: Tensor) -> tuple[Tensor, Tensor]:
    """The middle and the half size of each drawing's points: (B, N, 2) -> (B, 2), (B, 2)."""
    low, high = at.amin(1), at.amax(1)
    return (low + high) / 2, (high - low) / 2


def styled(at: Tensor, style: Tensor, rng: torch.Generator) -> Tensor:
    """Points in a box from -1 to 1, warped to their style (an index into WRITTEN["style"])."""
    x, y = at.unbind(2)
    much = uniform(0.75, 1.1, len(at), rng)[:, None]
    phase = uniform(0, 2 * math.pi, len(at), rng)[:, None]
    kind = style[:, None]
    corner = torch.where(kind == 1, -0.36, torch.where(kind == 2, 0.5, 0.0)) * much
    wave = torch.where(kind == 3, 0.18, 0.0) * much
    heavy = torch.where(kind == 4, 0.33, torch.where(kind == 5, -0.33, 0.0)) * much
    x, y = x * (1 + corner * y**2), y * (1 + 0.6 * corner * x**2)
    x = x + wave * torch.sin(4.2 * y + phase)
    x, y = x * (1 - 0.7 * heavy * y), y + 0.6 * heavy * (1 - y**2)
    return torch.stack([x, y], 2)


def wobbled(at: Tensor, much: Tensor, rng: torch.Generator) -> Tensor:
    """Points moved by slow random waves, as no hand draws a shape twice the same."""
    for slow in (1.2, 2.2, 3.6):
        turn = uniform(0, 2 * math.pi, len(at) * 4, rng).view(len(at), 1, 4)
        way = torch.randn(len(at), 2, 2, generator=rng) * slow
        waves = torch.sin(torch.einsum("bnc,bdc->bnd", at, way) + turn[..., :2])
        at = at + much[:, None, None] * waves / slow
    return at


def slanted(at: Tensor, shear: Tensor, turn: Tensor) -> Tensor:
    x, y = at.unbind(2)
    x = x - shear[:, None] * y
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    return torch.stack([cos * x - sin * y, sin * x + cos * y], 2)


def inked(at: Tensor, radius: Tensor) -> Tensor:
    """Ink under a round pen, counted: (B, N, 2) in pixels of the frame -> (B, 8, 8) of 0..16."""
    middle = torch.arange(SIDE) + 0.5
    pixels = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), 2).view(1, -1, 2).expand(len(at), -1, -1)
    ink = ((torch.cdist(pixels, at) - radius[:, None]) < 0).any(2).float()
    return torch.nn.functional.avg_pool2d(ink.view(-1, 1, SIDE, SIDE), 4)[:, 0] * 16


def draw(at: Tensor, half: Tensor, features: dict[str, Tensor], wobble: float, rng: torch.Generator) -> Tensor:
    """(B, N, 2) points in heights of a glyph, (B, N) half thickness, (B,) per feature -> (B, 8, 8) counts of ink."""
    count = len(at)
    weight, slant, style, size = (features[name] for name in ("weight", "slant", "style", "size"))
    centre, extent = box(at)
    lean = (extent[:, 0] / extent[:, 1]).clamp(0.02, 1.2)  # natural width over height
    # A bare stroke has no width to be stretched: it keeps what it has.
    at = (at - centre[:, None]) / torch.stack([extent[:, 0].clamp(min=0.2 * extent[:, 1]), extent[:, 1]], 1)[:, None]
    at = styled(at, style, rng)
    at = wobbled(at, uniform(0.0, wobble, count, rng), rng)
    wide = pick([(0.64, 0.78), (0.46, 0.56), (0.86, 0.96), (0.56, 0.68)], size, rng)  # of the frame
    wide = wide * (lean / 0.45).clamp(0.35, 1)
    tall = pick([(0.97, 1.0), (0.97, 1.0), (0.94, 1.0), (0.8, 0.86)], size, rng)
    shear = pick([(-0.4, -0.22), (-0.08, 0.1), (0.22, 0.42)], slant, rng)
    at = at * torch.stack([wide / tall, torch.ones(count)], 1)[:, None]
    at = slanted(at, shear, uniform(-0.06, 0.06, count, rng))
    # Leaning writing is wider; fitting to a box takes half of that back.
    wide = (wide + 0.5 * shear.abs() * tall * 0.9).clamp(max=1.0)

    radius = pick([(1.15, 1.5), (1.85, 2.3), (2.7, 3.2), (1.9, 2.3)], weight, rng)
    radius = radius * torch.tensor([1.0, 0.9, 1.0, 0.88])[size]
    radius = radius * (1.25 - 0.7 * lean).clamp(1, 1.2)  # a narrow shape was stretched most, and its pen with it
    modelled = (half / half.median(1, keepdim=True).values).clamp(0.6, 1.5) ** uniform(0, 0.7, count, rng)[:, None]
    across = slanted(at, torch.zeros(count), uniform(0, 2 * math.pi, count, rng))[..., 0]
    uneven = torch.where(weight == 3, 0.55, 0.08)[:, None] * across.clamp(-1, 1)
    radius = (radius[:, None] * modelled * (1 + uneven)).clamp(min=0.85)

    centre, extent = box(at)
    room = SIDE * torch.stack([wide, tall], 1) / 2 - radius.mean(1, keepdim=True)
    at = (at - centre[:, None]) * (room / extent.clamp(min=1e-3)).clamp(max=200)[:, None]
    off = torch.stack([uniform(-1, 1, count, rng), uniform(-1, 1, count, rng)], 1)
    spare = SIDE / 2 * (1 - torch.stack([wide, tall], 1))
    return inked(at + SIDE / 2 + (off * spare * 0.35)[:, None], radius)


def grounded(ink: Tensor, ground: Tensor, rng: torch.Generator) -> Tensor:
    """Ink (B, 8, 8) of 0..1 over its ground (an index into WRITTEN["ground"]): light between 0 and 1."""
    count, kind = len(ink), ground[:, None, None]
    grey = uniform(0.1, 0.18, count, rng)[:, None, None]
    speckles = torch.rand(count, 8, 8, generator=rng)
    speckles = 0.28 * speckles * (speckles > 0.5)
    angle = uniform(0, 2 * math.pi, count, rng)[:, None, None]
    place = torch.linspace(-1, 1, 8)
    slope = 0.14 + 0.14 * (angle.cos() * place + angle.sin() * place[:, None])
    rows = torch.randint(0, 4, (count, 1, 1), generator=rng)
    lines = 1.4 * grey * (torch.arange(8)[:, None] % 4 == rows)
    under = torch.where(kind == 1, grey, 0.0)
    under = torch.where(kind == 2, speckles, under)
    under = torch.where(kind == 3, slope.clamp(min=0), under)
    under = torch.where(kind == 4, lines, under)
    return under + ink * (1 - under)


def bicubic() -> Tensor:
    """What Pillow's bicubic does to a row of 8 on its way to 32: (32, 8), read off from Pillow itself."""
    rows = [
        np.asarray(Image.fromarray(np.float32(np.eye(8)[[k]])).resize((SIDE, 1), Image.BICUBIC))[0] for k in range(8)
    ]
    return torch.tensor(np.stack(rows, 1))


BICUBIC = bicubic()


def enlarge(light: Tensor) -> Tensor:
    """(B, 8, 8) light of 0..1 -> (B, 3, 32, 32), as ltgc enlarges scikit-learn's digits.

    But for the rounding and clipping that Pillow does between its two passes.
    """
    return (BICUBIC @ light @ BICUBIC.T).clamp(0, 1)[:, None].expand(-1, 3, -1, -1)


def held_out(name: np.ndarray) -> np.ndarray:
    """Which typefaces nobody trains on: the same ones each time."""
    names = np.unique(name)
    out = np.random.default_rng(3).permutation(names)[: round(HELD_OUT * len(names))]
    return np.isin(name, out)


def features(count: int, rng: torch.Generator) -> dict[str, Tensor]:
    return {bank: torch.randint(len(phrases), (count,), generator=rng) for bank, phrases in WRITTEN.items()}


def written(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Our own strokes for these digits: (B, POINTS, 2)."""
    shapes = []
    for digit in digits:
        ways = WAYS[int(digit)]
        points = write(ways[rng.integers(len(ways))], rng.uniform(0.005, 0.04), rng)
        shapes.append(points[scatter(points, POINTS)] * [0.6, 1.0])
    return np.stack(shapes)


def make(strokes: Path, count: int, seed: int, held: bool, printed: bool) -> dict[str, Tensor]:
    """A data set: digit, features, ink (counts); from the held-out typefaces alone, or from all else.

    printed -- only typefaces that look like no hand, and none of our own strokes
    """
    rng, torch_rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    data = np.load(strokes)
    mask = held_out(data["name"]) == held
    if printed:
        mask &= np.isin(data["kind"], PRINTED)
    digit, points, half = data["digit"][mask], data["points"][mask], data["half"][mask]
    found = rng.integers(len(digit), size=count)
    digit, points, half = digit[found].copy(), points[found].copy(), half[found].copy()
    if not held and not printed:
        own = rng.random(count) < OWN
        points[own], half[own] = written(digit[own], rng), 0.04
    chosen = features(count, torch_rng)
    inks = []
    for part in torch.arange(count).split(500):
        named = {bank: index[part] for bank, index in chosen.items()}
        inks.append(
            draw(torch.tensor(points[part]), torch.tensor(half[part]), named, STEADY if printed else WOBBLE, torch_rng)
        )
    return {"digit": torch.tensor(digit, dtype=torch.long), "ink": torch.cat(inks).to(torch.uint8), **chosen}


def light(data: dict[str, Tensor], rows: Tensor, rng: torch.Generator) -> Tensor:
    """The pictures of these rows before they are enlarged; the ground is drawn afresh each time."""
    return grounded(data["ink"][rows].float() / 16, data["ground"][rows], rng)


def batches(rows: Tensor, size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Endless random choices among the rows of a data set."""
    while True:
        yield rows[torch.randint(len(rows), (size,), generator=rng)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strokes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=120_000)
    parser.add_argument("--held", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--printed", action="store_true", help="printed typefaces only: what CLIP learns from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.save(
        {
            "train": make(args.strokes, args.count, args.seed, held=False, printed=args.printed),
            "held": make(args.strokes, args.held, args.seed + 1, held=True, printed=args.printed),
        },
        args.out,
    )


if __name__ == "__main__":
    main()
