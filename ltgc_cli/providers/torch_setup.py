"""torch on this machine: where models run, with how many threads, and a torchvision that can be imported.

Every module of ltgc that imports open_clip, peft or diffusers calls `mend_torchvision()` first.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import threading
from importlib import import_module
from typing import Any

from ltgc_cli.errors import InputError

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_held: list[Any] = []  # the library below: torch takes its operators back once nothing refers to it
_mending = threading.Lock()
loading = threading.Lock()
"""Held while a model is made and its weights are read. diffusers and transformers change torch.nn for the whole process
meanwhile (no weights are made at first, only their shapes): what another thread makes then would have no weights."""


def mend_torchvision() -> bool:
    """Returns whether torchvision needed mending: its compiled part does not load, and `import torchvision` would die.

    A registry may have torchvision for CUDA only. Beside a CPU torch it dies with "operator torchvision::nms
    does not exist", because it registers Python code for two operators that its compiled part should have
    declared. Nothing here ever calls them, so to declare them is enough. Where torchvision is whole, or is
    imported already, nothing happens.
    """
    with _mending:
        if "torchvision" not in sys.modules and not _held and not _compiled_part_loads():
            _held.append(_declared())
    return bool(_held)


def _compiled_part_loads() -> bool:
    ops: Any = import_module("torch").ops  # untyped in torch
    spec = importlib.util.find_spec("torchvision")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    compiled = importlib.machinery.PathFinder.find_spec("_C", folders)
    try:
        if compiled is not None and compiled.origin is not None:
            ops.load_library(compiled.origin)
            return True
    except OSError:
        pass
    return False


def _declared() -> Any:
    library: Any = import_module("torch.library").Library("torchvision", "DEF")
    library.define(f"nms{_NMS}")
    library.define(f"qnms{_NMS}")
    return library


def device(wanted: str | None = None) -> str:
    """Returns where models run: the device wanted, else "cuda", else "mps", else "cpu".

    Raises InputError for a device that is not there.
    """
    import torch

    if wanted:
        try:
            torch.device(wanted)
        except RuntimeError:
            raise InputError(f"--device {wanted}: no device of torch; write cuda, cuda:1, mps or cpu") from None
        try:
            torch.empty(0, device=wanted)
        except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
            why = str(error).partition("\n")[0].rstrip(".")
            raise InputError(f"--device {wanted}: {why}; leave it out to compute on the best there is") from None
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def one_thread() -> None:
    """Makes torch compute with one thread from now on.

    For the embedded models, whose layers are so small that threads spend their time waiting for each other: two
    processes with two threads each on two cores were ten times slower than with one each.
    """
    import torch

    torch.set_num_threads(1)
