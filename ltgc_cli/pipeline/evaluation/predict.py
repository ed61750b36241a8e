"""predict: classifies image files with a trained checkpoint. Loads torch where images are classified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltgc_cli import console
from ltgc_cli.engine import mapped
from ltgc_cli.errors import InputError
from ltgc_cli.image_formats import readable_suffixes
from ltgc_cli.learn.datasets import ClassInfo, Sample, tree
from ltgc_cli.learn.datasets.tree import LeftOut
from ltgc_cli.pipeline.evaluation.own_clip import clip_of
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.settings import Predict

if TYPE_CHECKING:
    import torch

_BATCH = 64


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Returns the image files: those named, and those in the folders named, nested ones too, sorted.

    Raises InputError for a path that is not there, or a folder without an image.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        files += _in_folder(path) if path.is_dir() else [path]
    return list(dict.fromkeys(files))


def _in_folder(folder: Path) -> list[Path]:
    """Returns the image files of a folder, sorted, and says what else is in it."""
    left_out: list[LeftOut] = []
    found = sorted(tree.images(folder, left_out))
    said = tree.worded(left_out)
    if not found:
        raise InputError(f"{folder}: no image in it ({', '.join(sorted(readable_suffixes()))}){said and '; '}{said}")
    if said:
        console.notice(f"predict: {folder}: {said}")
    return found


def predict(files: Sequence[Path], settings: Predict) -> Iterator[dict[str, Any]]:
    """Returns a row for each file, in order: its likeliest classes, or why it could not be read.

    Raises InputError where the checkpoint is not whole or belongs to another CLIP model.
    """
    if settings.checkpoint is None:
        raise InputError("predict needs --checkpoint")
    import torch

    from ltgc_cli.learn import checkpoints, evaluate, images

    spec = settings.clip or clip_of(settings.checkpoint)
    loaded = open_clip.load(spec, torch_setup.device(settings.device), console.notice)
    saved = checkpoints.load(settings.checkpoint, loaded)
    frame = evaluate.frame_of(loaded, tte=settings.tte)

    def decoded(path: Path) -> torch.Tensor | str:
        """Returns what the model sees of an image, or in one line why it cannot be read."""
        try:
            return images.decode(Sample(-1, path.read_bytes, str(path)), frame)
        except InputError as error:
            return str(error)
        except OSError as error:
            return f"{path}: {error.strerror}"

    parts = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
    with ThreadPoolExecutor(images.THREADS) as threads, console.progress("predict", len(files)) as progress:
        ahead = images.ahead(partial(mapped, threads, decoded), parts, depth=2)
        for part, seen in zip(parts, ahead, strict=True):
            frames = [one for one in seen if isinstance(one, torch.Tensor)]
            logits = iter(evaluate.logits(saved.classifier, loaded, torch.stack(frames), frame) if frames else ())
            for path, one in zip(part, seen, strict=True):
                progress.advance()
                name = str(path).encode(errors="replace").decode()
                if isinstance(one, str):
                    yield {"kind": "failure", "image": name, "stage": "predict", "reason": one}
                else:
                    likeliest = _likeliest(next(logits), saved.classes, settings.top)
                    yield {"kind": "prediction", "image": name, "top": likeliest}


def _likeliest(logits: Any, classes: Sequence[ClassInfo], top: int) -> list[dict[str, Any]]:
    raised = np.exp(logits.astype(np.float64) - logits.max())
    shares = raised / raised.sum()
    return [
        {"label": classes[index].label, "class": classes[index].name, "probability": round(float(shares[index]), 6)}
        for index in np.argsort(-shares, kind="stable")[:top]
    ]
