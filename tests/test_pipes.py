"""A named pipe in a store or a checkpoint, which nobody writes to, is waited for by nothing that reads there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ltgc_cli import written
from ltgc_cli.cache.prune import _classes_in
from ltgc_cli.cache.verify import checkpoint_files
from ltgc_cli.cache.walk import named_in
from ltgc_cli.errors import InputError
from ltgc_cli.learn.state import TrainingState
from ltgc_cli.learn.train import _write_rows
from ltgc_cli.pipeline import adapter
from ltgc_cli.pipeline.evaluation import own_clip
from ltgc_cli.pipeline.lineage import _curve
from ltgc_cli.pipeline.training.fit import _is_copy
from ltgc_cli.pipeline.training.stage import _settings_in
from ltgc_cli.providers.llm import batches, no_schema
from ltgc_cli.providers.t2i import adapting_state

SGD = torch.optim.SGD([torch.zeros(1)])

READERS: dict[str, tuple[str, Callable[[Path], Any], object]] = {
    "what ltgc wrote": (written.FILE, lambda path: written._noted(path.parent), set()),
    "what ltgc writes": (written.FILE, lambda path: written.note("ab12", path.parent), None),
    "who takes no schema": (no_schema.FILE, no_schema._read, set()),
    "images that lines name": ("a.jsonl", named_in, set()),
    "classes that lines name": ("a.jsonl", _classes_in, set()),
    "an adapter": (
        "done.json",
        lambda path: adapter.damage(path.parent),
        "its done.json cannot be read: no regular file",
    ),
    "a copy": ("done.json", lambda path: _is_copy(path.parent, path.parent), False),
    "a checkpoint's settings": ("done.json", lambda path: _settings_in(path.parent), None),
    "a training curve": ("metrics.jsonl", _curve, []),
}
REFUSED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "a batch": ("1.json", lambda path: batches.waited_for(path.parent), "1.json: no regular file"),
    "a checkpoint": ("done.json", lambda path: checkpoint_files(path.parent), "done.json cannot be read .*regular"),
    "its model": ("done.json", lambda path: own_clip.clip_of(path.parent), "no whole checkpoint"),
    "a training": ("state", lambda path: TrainingState({}, SGD, {}).load(path, "", 1), "state is no regular file"),
    "its rows": ("metrics.jsonl", lambda path: _write_rows(path, []), "metrics.jsonl is no regular file"),
    "an adapting": (
        "state",
        lambda path: adapting_state.load(path, "", 1, {}, SGD, print),
        "state is no regular file",
    ),
}


@pytest.mark.parametrize(("name", "read", "found"), READERS.values(), ids=READERS)
def test_what_can_do_without_it_takes_it_for_nothing(
    tmp_path: Path, name: str, read: Callable[[Path], Any], found: object
) -> None:
    os.mkfifo(tmp_path / name)
    assert read(tmp_path / name) == found


@pytest.mark.parametrize(("name", "read", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_says_what_it_is(tmp_path: Path, name: str, read: Callable[[Path], Any], said: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=said):
        read(tmp_path / name)
