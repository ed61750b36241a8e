"""Try ways to judge generated images, on validation seeds: what of the wrong passes, what of the right is lost.

    python benchmarks/judge_trials.py --seeds 10 11 12 13 14 15

Every image of a seed is scored once, by all texts and original images; then each way is tried on those numbers. What
is right an independent reader of handwriting says (`confused.py`). No model is trained and no test image is read.

A way is a score and a threshold. Scores: the cosine with C_y (the paper's), with the class's name, with the mean of its
descriptions' features, with means of these, with the mean feature of its original images; `margin` is that less the
one of the nearest other class. Thresholds: a percentile of the class's originals (over all classes where it has under
five), what parts its originals best from those of other classes, the 95th percentile of the latter, or 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from confused import DIGITS, SPEC, Reader, install

from ltgc_cli import console, prompts, records
from ltgc_cli.pipeline import chain
from ltgc_cli.providers.clip import judge, open_clip
from ltgc_cli.records import Description
from ltgc_cli.stages.class_template import given_template
from ltgc_cli.stages.thresholds import clip_text, name_text
from ltgc_cli.store import Store

Array = Any
FEW = 5  # originals, below which a class has the common threshold


class Seen(NamedTuple):
    """A class as CLIP sees it: features of length 1."""

    name: Array  # (d,)
    template: Array  # (d,), its name's where it has no C_y
    descriptions: Array  # (d,), the mean; its name's where it has none
    originals: Array  # (n, d)
    generated: Array  # (m, d)
    right: Array  # (m,) whether the reader sees the class in the image


class Scores(NamedTuple):
    """One score by class: of its generated images, of its originals, of the other classes' originals."""

    generated: Mapping[int, Array]
    own: Mapping[int, Array]
    others: Mapping[int, Array]


def seen(seed: int, t2i: str, k: int, folder: Path, reader: Reader) -> list[Seen]:
    """Returns the classes of a seed, with all images that a text-to-image model made for them."""
    known = {"data": f"digits-lt:{seed}:100", "k": k, "cache_dir": folder, "t2i": t2i, "mode": "score"}
    path = chain.run_all(chain.configured(chain.GENERATING, known, environment={})).artifact
    assert path
    loaded, objects = open_clip.load("embedded"), Store(folder).get_object
    found = []
    with path.open(encoding="utf-8") as lines:
        for group in records.by_class(records.read(lines, str(path))):
            cls, own = group.cls, given_template(group)
            if cls.label < 0:
                continue
            said = [row.text for row in group.rows if isinstance(row, Description)]
            asked = [prompts.image_prompt(text, cls.class_, cls.subject) for text in said] or [name_text(cls)]
            mean = unit(judge.read_all(loaded, asked).numpy().mean(axis=0))
            name, template = judge.read_all(loaded, [name_text(cls), clip_text(own, cls) if own else name_text(cls)])
            images = [[one.sha256 for one in part] for part in (group.originals, group.generated)]
            originals, generated = (
                np.array([one.numpy() for one in judge.see(loaded, part, objects)]).reshape(len(part), len(name))
                for part in images
            )
            digits = reader.read(images[1]) if images[1] else {}
            right = np.array([digits[one] == DIGITS.index(cls.class_) for one in images[1]], dtype=bool)
            found.append(Seen(name.numpy(), template.numpy(), mean, originals, generated, right))
    return found


def unit(features: Array) -> Array:
    """Returns features of length 1."""
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def by_class(classes: list[Seen], score: Callable[[Array, int, bool], Array]) -> Scores:
    """Returns a score, given as a function of images, a class's place, and whether the images are its own originals."""
    tail = [place for place, one in enumerate(classes) if len(one.generated)]
    others = {
        place: np.concatenate([score(classes[other].originals, place, False) for other in tail if other != place])
        for place in tail
    }
    return Scores(
        {place: score(classes[place].generated, place, False) for place in tail},
        {place: score(classes[place].originals, place, True) for place in tail},
        others,
    )


def text_score(texts: Array, *, margin: bool) -> Callable[[Array, int, bool], Array]:
    """Returns the cosine with a class's text, or its margin over the nearest other class's."""

    def score(images: Array, place: int, own: bool) -> Array:
        cosines = images @ texts.T
        mine = cosines[:, place].copy()
        cosines[:, place] = -np.inf
        return mine - cosines.max(axis=1) if margin else mine

    return score


def image_score(classes: list[Seen]) -> Callable[[Array, int, bool], Array]:
    """Returns the margin of the cosine with the mean feature of a class's originals; an original's own is left out."""
    means = {place: unit(one.originals.mean(axis=0)) for place, one in enumerate(classes) if len(one.originals)}

    def score(images: Array, place: int, own: bool) -> Array:
        if own and len(images) < 2:
            return np.zeros(0)
        mine = images @ means[place]
        if own:
            mine = np.array([one @ unit(images.sum(axis=0) - one) for one in images])
        return mine - np.max([images @ mean for other, mean in means.items() if other != place], axis=0)

    return score


def scores(classes: list[Seen]) -> dict[str, Scores]:
    """Returns every score by its name."""
    name, template, described = (np.stack([one[field] for one in classes]) for field in range(3))
    texts = {
        "C_y": template,
        "name": name,
        "descriptions": described,
        "name + C_y": unit(name + template),
        "name + C_y + descriptions": unit(name + template + described),
    }
    found = {what: by_class(classes, text_score(own, margin=False)) for what, own in texts.items()}
    found |= {f"{what}, margin": by_class(classes, text_score(own, margin=True)) for what, own in texts.items()}
    found["originals, margin"] = images = by_class(classes, image_score(classes))
    for what in ("name", "name + C_y + descriptions"):
        both = (
            {place: text[place][: len(own[place])] + own[place] for place in text}
            for text, own in zip(found[f"{what}, margin"], images, strict=True)
        )
        found[f"{what} + originals, margin"] = Scores(*both)
    return found


def percentile(found: Scores, q: float) -> dict[int, float]:
    """Returns each class's threshold: a percentile of its originals' scores, over all classes for the few."""
    common = np.percentile(np.concatenate(list(found.own.values())), q)
    return {place: np.percentile(own, q) if len(own) >= FEW else common for place, own in found.own.items()}


def parted(found: Scores) -> dict[int, float]:
    """Returns what parts originals best from those of other classes (Youden's index), over all classes for the few."""

    def best(own: Array, others: Array) -> float:
        return max(own, key=lambda level: np.mean(own >= level) - np.mean(others >= level))

    common = best(*(np.concatenate(list(part.values())) for part in (found.own, found.others)))
    return {place: best(own, found.others[place]) if len(own) >= FEW else common for place, own in found.own.items()}


THRESHOLDS: dict[str, Callable[[Scores], Mapping[int, float]]] = {
    "10% of the originals": lambda found: percentile(found, 10),
    "parted from other originals": parted,
    "95% of other originals": lambda found: {place: np.percentile(own, 95) for place, own in found.others.items()},
    "0": lambda found: dict.fromkeys(found.own, 0.0),
    "0.05": lambda found: dict.fromkeys(found.own, 0.05),
}


def shares(classes: list[Seen], found: Scores, levels: Mapping[int, float]) -> tuple[float, float, float]:
    """Returns in percent the wrong images that pass, the right ones that are lost, and the right of those that pass."""
    passed = np.concatenate([found.generated[place] >= levels[place] for place in levels])
    right = np.concatenate([classes[place].right for place in levels])
    return 100 * passed[~right].mean(), 100 * (~passed[right]).mean(), 100 * right[passed].mean()


def table(title: str, seeds: list[list[Seen]]) -> str:
    """Returns the ways as Markdown, the best first: by the sum of what wrongly passes and what is wrongly lost."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for classes in seeds:
        for what, found in scores(classes).items():
            for how, threshold in THRESHOLDS.items():
                if how.startswith("0") and "margin" not in what:
                    continue
                rows.setdefault(f"{what} | {how}", []).append(shares(classes, found, threshold(found)))
    means = {way: np.mean(values, axis=0) for way, values in rows.items()}
    lines = [
        f"| {title}: score | threshold | wrong that pass, % | right that are lost, % | right of those that pass, % |"
    ]
    lines.append("| --- | --- | --- | --- | --- |")
    for way, (passed, lost, right) in sorted(means.items(), key=lambda row: row[1][0] + row[1][1]):
        lines.append(f"| {way} | {passed:.1f} | {lost:.1f} | {right:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14, 15])
    parser.add_argument("-k", type=int, default=60)
    parser.add_argument("--cache-dir", type=Path, default=Path(".ltgc-benchmark"))
    args = parser.parse_args()
    console.configure(quiet=True)
    install()
    reader = Reader(Store(args.cache_dir).get_object)
    for model in (SPEC, "embedded"):
        found = [seen(seed, model, args.k, args.cache_dir, reader) for seed in args.seeds]
        print(table(f"{model}, seeds {', '.join(map(str, args.seeds))}", found), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
