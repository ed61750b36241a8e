"""How fast near duplicates are found, against the plain rule: each description compared with all kept before it.

python benchmarks/near.py [CLASSES]      classes of 125 descriptions [400], and one of 5,000; in turns, as ratios
"""

import random
import sys
import time
from collections.abc import Callable, Sequence

from ltgc_cli.answers.names import Words, words
from ltgc_cli.stages.near import closest, jaccard

NEAR = 0.8
WHOLE = 1_000_000
"""Descriptions that the figures are counted up to."""


def plain(new: Sequence[Words], near: float) -> dict[int, float]:
    """Returns what `closest` returns, by the rule itself."""
    kept: list[Words] = []
    found = {}
    for position, own in enumerate(new):
        similarity = max((jaccard(own, other) for other in kept), default=0.0)
        if similarity >= near:
            found[position] = similarity
        else:
            kept.append(own)
    return found


def texts(count: int, seed: int) -> list[str]:
    """Returns descriptions: some words are frequent, as in any language, and one in ten varies an earlier one."""
    rng = random.Random(seed)
    vocabulary = [f"word{number}" for number in range(3000)]
    often = [1 / (number + 5) for number in range(3000)]
    made: list[list[str]] = []
    for _ in range(count):
        own = rng.choices(vocabulary, often, k=rng.randint(6, 16))
        if made and rng.random() < 0.1:
            own = [*rng.choice(made)[:-1], rng.choice(vocabulary)]
        made.append(own)
    return [f"A photo of the class crane, {' '.join(own)}." for own in made]


def seconds(f: Callable[[], object]) -> float:
    """Returns the CPU seconds of a call."""
    begun = time.process_time()
    f()
    return time.process_time() - begun


def measured(classes: int, size: int) -> str:
    """Returns a line: so many classes of a size, ours and the plain rule in turns."""
    taken = {"words": 0.0, "ours": 0.0, "plain": 0.0}
    for number in range(classes):
        given = texts(size, number)
        sets = [words(text, "crane") for text in given]
        taken["words"] += seconds(lambda given=given: [words(text, "crane") for text in given])  # type: ignore[misc]
        taken["ours"] += seconds(lambda sets=sets: closest(sets, [], NEAR))  # type: ignore[misc]
        taken["plain"] += seconds(lambda sets=sets: plain(sets, NEAR))  # type: ignore[misc]
        assert closest(sets, [], NEAR) == plain(sets, NEAR)
    each = {name: 1e6 * time_ / (classes * size) for name, time_ in taken.items()}
    return (
        f"{classes} x {size:,} descriptions | {each['ours']:.1f} us each, plain {each['plain']:.1f}: "
        f"{each['plain'] / each['ours']:.1f} times as fast | their words {each['words']:.1f} us each | "
        f"{WHOLE:,} of them {(each['ours'] + each['words']) * WHOLE / 1e6:.0f} s"
    )


def main(classes: int) -> None:
    print(measured(classes, 125), flush=True)
    print(measured(1, 5000), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
