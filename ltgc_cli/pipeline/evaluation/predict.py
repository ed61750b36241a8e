"""predict: classifies image files with a trained checkpoint. Loads torch where images are classified."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.image_formats import readable_suffixes
from ltgc_cli.learn.datasets import ClassInfo, Sample, names, tree
from ltgc_cli.learn.datasets.files import read_file
from ltgc_cli.learn.datasets.tree import LeftOut
from ltgc_cli.pipeline.evaluation.own_clip import clip_of
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.settings import Predict
from ltgc_cli.text import counted

if TYPE_CHECKING:
    import torch

_BATCH = 64


def image_files(paths: Sequence[Path], *, follow_links: bool = False) -> list[Path]:
    """Returns the image files: those named, and those in the folders named, nested ones too, sorted.

    follow_links -- whether those are meant that links out of these folders lead to

    Raises InputError for a path that is not there, or a folder without an image.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        files += _in_folder(path, tree.boundary(path, follow_links=follow_links)) if path.is_dir() else [path]
    return list(dict.fromkeys(files))


def _in_folder(folder: Path, bounds: str) -> list[Path]:
    """Returns the image files of a folder, sorted, and says what else is in it."""
    left_out: list[LeftOut] = []
    found = sorted(tree.images(folder, left_out, bounds))
    said = tree.worded(left_out)
    if not found:
        raise InputError(f"{folder}: no image in it ({', '.join(sorted(readable_suffixes()))}){said and '; '}{said}")
    if said:
        console.notice(f"predict: {folder}: {said}")
    return found


def predict(files: Sequence[Path], settings: Predict, folders: Sequence[Path] = ()) -> Iterator[dict[str, Any]]:
    """Returns a row for each file, in order: its likeliest classes, or why it could not be read.

    folders -- the files in them that lie in a folder called as one of the checkpoint's classes have its label too, and
        how many of them were right is said in the end
    Raises InputError where the checkpoint is not whole or belongs to another CLIP model.
    """
    if settings.checkpoint is None:
        raise InputError("predict needs --checkpoint")
    import torch

    from ltgc_cli.learn import checkpoints, evaluate, images, loading

    spec = settings.clip or clip_of(settings.checkpoint)
    loaded = open_clip.load(spec, torch_setup.device(settings.device), console.notice)
    saved = checkpoints.load(settings.checkpoint, loaded)
    frame = evaluate.frame_of(loaded, tte=settings.tte)
    true = true_classes(files, folders, saved.classes)
    guesses: dict[Path, int] = {}

    def decoded(path: Path) -> torch.Tensor | str:
        """Returns what the model sees of an image, or in one line why it cannot be read."""
        try:
            return images.decode(Sample(-1, partial(read_file, path), str(path)), frame)
        except InputError as error:
            return str(error)
        except OSError as error:
            return f"{path}: {error.strerror}"

    def read(part: Sequence[Path]) -> tuple[torch.Tensor | None, list[str]]:
        """Returns what the model sees of those that can be read, and of each file why it cannot, or an empty text."""
        seen = images.in_threads(decoded, part)
        frames = [one for one in seen if isinstance(one, torch.Tensor)]
        return torch.stack(frames) if frames else None, [one if isinstance(one, str) else "" for one in seen]

    parts = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
    by = loading.readers(loaded.device, len(parts), _BATCH * evaluate.MOST_BYTES)
    with console.progress("predict", len(files)) as progress:
        for part, (frames, reasons) in zip(parts, loading.ahead(read, parts, depth=2, by=by), strict=True):
            logits = iter(() if frames is None else evaluate.logits(saved.classifier, loaded, frames, frame))
            for path, reason in zip(part, reasons, strict=True):
                progress.advance()
                row: dict[str, Any] = {"image": str(path).encode(errors="replace").decode()}
                if path in true:
                    row |= {"label": true[path].label, "class": true[path].name}
                if reason:
                    yield {"kind": "failure", **row, "stage": "predict", "reason": reason}
                else:
                    likeliest = _likeliest(next(logits), saved.classes, settings.top)
                    guesses[path] = likeliest[0]["label"]
                    yield {"kind": "prediction", **row, "top": likeliest}
    if true:
        console.notice(f"predict: {_accuracy(true, guesses, saved.classes)}")


def true_classes(files: Sequence[Path], folders: Sequence[Path], classes: Sequence[ClassInfo]) -> dict[Path, ClassInfo]:
    """Returns the class of each file that lies in a class's folder, up to one of those named; the nearest counts.

    A folder is called by a class's name, a synonym or its label, however it is written: `golden_retriever`,
    `001.Black_footed_Albatross`, `0003_trogon_rufus`, `0042`.
    """
    called: dict[str, set[int]] = {}
    for info in classes:
        for name in (info.name, info.subject, *info.synonyms):
            if plain := _plain(name):
                called.setdefault(plain, set()).add(info.label)
    known = {info.label: info for info in classes}

    def class_of(folder: Path) -> ClassInfo | None:
        name = folder.name or folder.resolve().name
        found = called.get(_plain(name)) or called.get(_plain(names.readable(name, numbered=True))) or set()
        if not found and name.isascii() and name.isdigit():
            found = {int(name)} & known.keys()
        return known[min(found)] if len(found) == 1 else None

    of_folder = {parent: class_of(parent) for file in files for parent in file.parents}
    true = {}
    for file in files:
        top = next((number for number, parent in enumerate(file.parents) if parent in folders), -1)
        inside = [found for parent in list(file.parents)[: top + 1] if (found := of_folder[parent])]
        if inside:
            true[file] = inside[0]
    return true


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\W_]+", unicodedata.normalize("NFC", name).casefold())).strip()


def _accuracy(true: Mapping[Path, ClassInfo], guesses: Mapping[Path, int], classes: Sequence[ClassInfo]) -> str:
    """Returns in words how many of the files whose class is known were given it: over images, classes and groups."""
    from ltgc_cli.learn.metrics import measures, tally

    judged = [path for path in true if path in guesses]
    if not judged:
        return "none of the images in folders of classes could be read"
    counts = {info.label: info.count for info in classes} if any(info.count for info in classes) else None
    found = measures(tally([true[path].label for path in judged], [guesses[path] for path in judged]), counts)
    means = {"class mean": found["class_mean", "all"]}
    means |= {group: value for (name, group), value in found.items() if name == "accuracy" and group != "all"}
    over = [f"{name} {value:.1f}%" for name, value in means.items() if value is not None]
    text = f"{found['accuracy', 'all']:.1f}% of {counted(len(judged), 'image')} right ({', '.join(over)})"
    other = len(guesses) - len(judged)
    return f"{text}; {counted(other, 'image')} in no class's folder" if other else text


def _likeliest(logits: Any, classes: Sequence[ClassInfo], top: int) -> list[dict[str, Any]]:
    raised = np.exp(logits.astype(np.float64) - logits.max())
    shares = raised / raised.sum()
    return [
        {"label": classes[index].label, "class": classes[index].name, "probability": round(float(shares[index]), 6)}
        for index in np.argsort(-shares, kind="stable")[:top]
    ]
