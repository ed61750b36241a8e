"""The digits of many typefaces as pen strokes: the middle line of each glyph, and how thick it is there.

Reads the fonts that `npm install` brought (package.json) and the single-stroke Hershey fonts, writes one .npz.
Many are in a handwriting style, some made after a designer's own hand; none comes from a data set of digits.
"""

import argparse
import re
from pathlib import Path

import numpy as np
from HersheyFonts import HersheyFonts
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt, uniform_filter1d
from skimage.morphology import skeletonize
from strokes import POINTS, even, scatter

TALL = 96  # pixels of height at which a middle line is found
HERSHEY = ("futural", "futuram", "cursive", "rowmans", "rowmand", "scriptc", "scripts", "timesr", "timesi", "timesg")


def bitmap(font: ImageFont.FreeTypeFont, digit: int) -> np.ndarray | None:
    """The glyph, cropped to its box and TALL pixels high; None if it draws nothing."""
    page = Image.new("L", (900, 700))
    ImageDraw.Draw(page).text((250, 150), str(digit), fill=255, font=font)
    box = page.getbbox()
    if box is None or box[3] - box[1] < 20:
        return None
    glyph = page.crop(box)
    wide = max(4, round(glyph.width * TALL / glyph.height))
    return np.pad(np.asarray(glyph.resize((wide, TALL), Image.LANCZOS)) > 127, 2)


def smooth(points: np.ndarray, reach: float = 3.5) -> np.ndarray:
    """Each point moved to the mean of its near ones: takes the stairs out of a line of pixels."""
    near = np.linalg.norm(points[:, None] - points[None], axis=2) < reach
    return (near @ points) / near.sum(1, keepdims=True)


def middle_line(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 2) in heights of the glyph, and the stroke's half thickness at each."""
    rows, columns = np.nonzero(skeletonize(ink))
    half = distance_transform_edt(ink)[rows, columns]
    return smooth(np.stack([columns, rows], axis=1).astype(float)) / TALL, half / TALL


def upright(glyphs: list[np.ndarray]) -> float:
    """The shear that stands a typeface up: where its columns of ink are the sharpest."""

    def sharpness(shear: float) -> float:
        total = 0.0
        for points in glyphs:
            x = points[:, 0] + shear * points[:, 1]
            columns = np.histogram(x - x.min(), bins=40, range=(0, 1.6))[0].astype(float)
            total += float((uniform_filter1d(columns, 2) ** 2).sum())
        return total

    return float(max(np.linspace(-0.2, 0.7, 37), key=sharpness))


def typeface(path: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    font = ImageFont.truetype(path, 220)
    inks = {digit: bitmap(font, digit) for digit in range(10)}
    seen: set[bytes] = set()
    glyphs = {}
    for digit, ink in inks.items():
        if ink is None or ink.tobytes() in seen:
            continue  # blank, or the same shape as another digit
        seen.add(ink.tobytes())
        points, half = middle_line(ink)
        if len(points) >= 20:
            keep = scatter(points, POINTS)
            glyphs[digit] = points[keep], half[keep]
    return glyphs


def hershey(name: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    font = HersheyFonts()
    font.load_default_font(name)
    glyphs = {}
    for digit in range(10):
        strokes = [np.asarray(stroke, float) for stroke in font.strokes_for_text(str(digit))]
        strokes = [stroke for stroke in strokes if len(stroke) > 1]
        tall = max(s[:, 1].max() for s in strokes) - min(s[:, 1].min() for s in strokes)
        points = np.vstack([even(stroke / tall) for stroke in strokes])
        glyphs[digit] = points[scatter(points, POINTS)], np.full(POINTS, 0.03)
    return glyphs


def category(package: Path) -> str:
    """What its makers call a typeface: sans-serif, serif, monospace, display or handwriting."""
    return next(iter(re.findall(r'"category":\s*"([^"]+)"', (package / "metadata.json").read_text())), "unknown")


def woff(package: Path) -> Path:
    """The package's Latin font, of the ordinary weight where it has one."""
    files = sorted((package / "files").glob("*-latin-*-normal.woff2"))
    return next((file for file in files if "-latin-400-" in file.name), files[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fonts", type=Path, required=True, help="node_modules/@fontsource")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    faces = {path.name: typeface(woff(path)) for path in sorted(args.fonts.iterdir())}
    kinds = {path.name: category(path) for path in args.fonts.iterdir()}
    faces |= {f"hershey-{name}": hershey(name) for name in HERSHEY}
    names, digits, points, halves = [], [], [], []
    for name, glyphs in faces.items():
        lean = upright([at for at, _ in glyphs.values()]) if glyphs else 0.0
        for digit, (at, half) in glyphs.items():
            names.append(name)
            digits.append(digit)
            points.append(np.stack([at[:, 0] + lean * at[:, 1], at[:, 1]], axis=1))
            halves.append(half)
    kind = [kinds.get(name, "strokes") for name in names]
    np.savez_compressed(
        args.out, name=names, kind=kind, digit=digits, points=np.float32(points), half=np.float32(halves)
    )
    print(f"{len(faces)} typefaces, {len(digits)} digits -> {args.out}")


if __name__ == "__main__":
    main()
