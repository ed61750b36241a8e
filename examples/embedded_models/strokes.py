"""Digits as pen strokes that we describe ourselves: the shapes people write and typefaces leave out.

Each way of writing a digit is a tuple of strokes; a stroke is the points "x,y" that the pen passes, in hundredths of
a box, from "0,0" at the top left to "100,100" at the bottom right. `curve` bends through its points, `line` runs
straight between them.
They come from how digits are taught and commonly written, not from any scan.
"""

import numpy as np

POINTS = 112  # a glyph is this many points of its middle line
Stroke = tuple[str, tuple[tuple[float, float], ...]]


def points(text: str) -> tuple[tuple[float, float], ...]:
    x_y = (pair.split(",") for pair in text.split())
    return tuple((int(x) / 100, int(y) / 100) for x, y in x_y)


def curve(text: str) -> Stroke:
    return "curve", points(text)


def line(text: str) -> Stroke:
    return "line", points(text)


WAYS: dict[int, tuple[tuple[Stroke, ...], ...]] = {
    0: (
        (curve("50,0 15,18 5,50 15,82 50,100 85,82 95,50 85,18 50,0"),),
        (curve("75,10 40,0 10,30 8,70 40,100 85,75 90,30 60,2 40,10"),),
        (curve("60,0 20,15 5,60 30,100 75,85 95,40 75,5 55,0"),),
    ),
    1: (
        (line("50,0 50,100"),),
        (line("15,30 55,0 55,100"),),
        (line("30,18 55,0 50,100"),),
        (curve("28,25 45,10 55,0"), line("55,0 52,50 50,100")),
        (line("35,22 55,0 55,100"), line("35,100 75,100")),
    ),
    2: (
        (curve("10,25 30,3 70,3 88,28 65,60 10,100"), line("10,100 95,100")),
        (curve("10,20 40,0 82,15 72,50 35,88 10,95 12,80 40,82 65,98 98,92"),),
        (curve("5,12 50,0 90,20 60,60 5,95"), curve("5,95 40,88 70,100 100,95")),
        (line("10,5 85,5 10,98 95,98"),),
    ),
    3: (
        (curve("10,12 50,0 85,20 70,42 35,48"), curve("35,48 80,56 92,78 60,100 8,90")),
        (line("10,0 85,0 40,40"), curve("40,40 85,50 92,78 55,100 5,90")),
        (curve("5,5 60,0 85,18 60,45 35,50 45,42 85,55 90,80 50,100 5,95"),),
    ),
    4: (
        (line("25,0 8,58 95,58"), line("70,20 68,100")),
        (line("70,0 5,65 98,65"), line("70,0 70,100")),
        (curve("15,0 8,35 20,52 80,45"), line("85,0 70,100")),
        (line("45,0 5,60 95,55"), line("62,30 55,100")),
        (line("10,0 10,50 85,50"), line("85,0 85,100")),
    ),
    5: (
        (line("85,0 20,0 15,45"), curve("15,45 55,35 90,60 70,95 10,95")),
        (curve("25,8 15,42 60,40 88,65 60,100 8,92"), line("25,5 95,0")),
        (curve("92,2 40,3 18,28 55,45 85,70 50,100 8,92"),),
        (line("90,0 30,2 20,40"), curve("20,40 75,45 80,80 40,100 5,85")),
    ),
    6: (
        (curve("75,0 30,30 10,70 40,100 85,82 72,55 35,57 14,78"),),
        (curve("40,0 15,40 10,80 50,100 90,80 60,58 14,75"),),
        (curve("60,0 30,30 12,70 35,100 75,90 70,66 40,66 15,85"),),
        (curve("30,0 12,35 8,75 40,100 80,85 65,62 30,68 12,85"),),
        (line("50,0 15,60"), curve("15,60 12,90 50,100 85,80 60,62 20,75")),
    ),
    7: (
        (line("5,0 95,0 40,100"),),
        (line("5,0 95,0 40,100"), line("25,50 90,50")),
        (line("5,18 8,0 95,2"), curve("95,2 60,40 45,100")),
        (curve("5,8 30,0 60,8 95,0"), curve("95,0 65,45 50,100"), line("30,50 95,45")),
        (line("5,5 85,0 75,100"), line("40,50 100,48")),
    ),
    8: (
        (curve("82,15 50,0 18,20 50,46 88,75 50,100 12,77 50,48 84,22 78,10"),),
        (
            curve("50,0 20,10 20,36 50,46 80,36 80,10 50,0"),
            curve("50,46 12,60 12,88 50,100 88,88 88,60 50,46"),
        ),
        (curve("90,5 45,0 15,22 55,50 85,80 45,100 15,80 50,50 95,2"),),
        (curve("50,45 15,25 50,0 85,22 50,48 10,75 45,100 85,80 50,45"),),
    ),
    9: (
        (curve("85,25 50,0 12,25 45,50 85,25"), line("88,10 80,100")),
        (curve("85,25 50,0 12,25 45,52 85,25"), curve("85,20 85,70 50,100 10,92")),
        (curve("80,10 40,2 10,30 40,48 85,20 70,60 45,100"),),
        (curve("88,5 40,2 12,28 50,50 88,30 90,5"), line("88,10 88,100")),
    ),
}


def bend(points: np.ndarray, steps: int = 12) -> np.ndarray:
    """A Catmull-Rom curve through the points: (N, 2) -> ((N - 1) * steps, 2)."""
    before = np.vstack([2 * points[0] - points[1], points[:-2]])
    after = np.vstack([points[2:], 2 * points[-1] - points[-2]])
    a, b = points[:-1, None], points[1:, None]
    t = np.linspace(0, 1, steps)[None, :, None]
    before, after = before[:, None], after[:, None]
    square, cube = 2 * before - 5 * a + 4 * b - after, 3 * a - before - 3 * b + after
    return 0.5 * (2 * a + (b - before) * t + square * t**2 + cube * t**3).reshape(-1, 2)


def even(path: np.ndarray, gap: float = 0.025) -> np.ndarray:
    """The same path with its points evenly spaced."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    places = np.linspace(0, along[-1], max(2, int(along[-1] / gap)))
    return np.stack([np.interp(places, along, path[:, axis]) for axis in (0, 1)], axis=1)


def scatter(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` points spread as evenly as can be (farthest first), repeated if there are too few."""
    chosen = [0]
    away = np.full(len(points), np.inf)
    for _ in range(min(count, len(points)) - 1):
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(away.argmax()))
    return np.resize(chosen, count)


def write(way: tuple[Stroke, ...], unsteady: float, rng: np.random.Generator) -> np.ndarray:
    """Points along one writing of a digit, every control point off by about `unsteady`."""
    paths = []
    for kind, points in way:
        moved = np.asarray(points) + rng.normal(0, unsteady, (len(points), 2))
        paths.append(even(bend(moved) if kind == "curve" else moved))
    return np.vstack(paths)
