"""What is read ahead of who asks for it: by a thread, or by processes where a GPU would wait for one.

What is read depends on the input alone, and comes in the order of the inputs: so neither who reads nor how many do
changes a batch.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ltgc_cli.engine import submitted
from ltgc_cli.errors import InputError, LtgcError

MOST = 16  # processes that read; beside that many a GPU has no core's worth of waiting left
AHEAD = 2  # inputs that each process is ahead
_SHARED = "/dev/shm"  # where processes hand over what they read

A = TypeVar("A")
B = TypeVar("B")


class Readers(NamedTuple):
    """Who reads ahead: so many processes, or a thread of this one where they are 0."""

    processes: int = 0
    pinned: bool = False  # read into memory that a GPU copies from while it computes


THREAD = Readers()


def readers(device: str, inputs: int, size: int) -> Readers:
    """Returns who reads for a model on a device: processes for a GPU, a core each but the one that feeds it.

    A model on the CPU takes the cores itself, and each process would take some from it. Containers give processes as
    little as 64 MB to hand over what they read; where that is too little, a thread reads.
    inputs -- how many there are to read; size -- bytes of what is read of one
    """
    if not device.startswith("cuda"):
        return THREAD
    processes = min(_cores() - 1, MOST, inputs)
    fits = processes > 0 and _shared_memory() > 2 * AHEAD * processes * size
    return Readers(processes if fits else 0, pinned=True)


def ahead(f: Callable[[A], B], inputs: Sequence[A], depth: int, by: Readers = THREAD) -> Iterator[B]:
    """Returns f of each input, in order, ahead of who asks: with a thread up to `depth` inputs, with processes AHEAD
    a process.

    What f raises is raised here. Raises InputError where a process is killed.
    """
    if by.processes:
        return _by_processes(f, inputs, by)
    return _by_thread((lambda x: _pinned(f(x))) if by.pinned else f, inputs, depth)


def reads_alone() -> bool:
    """Returns whether this is one of several processes that read: its threads would only take from the others."""
    return get_worker_info() is not None


def _by_thread(f: Callable[[A], B], inputs: Iterable[A], depth: int) -> Iterator[B]:
    inputs = iter(inputs)
    with ThreadPoolExecutor(1) as thread:
        waiting = [submitted(thread, f, x) for x in islice(inputs, depth)]
        while waiting:
            result = waiting.pop(0).result()
            waiting += [submitted(thread, f, x) for x in islice(inputs, 1)]
            yield result


def _by_processes(f: Callable[[A], B], inputs: Sequence[A], by: Readers) -> Iterator[B]:
    # A fork has the list of images and the libraries at once; a new process would import and copy them for seconds.
    loader = DataLoader(
        _Read(f, inputs),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=by.processes,
        prefetch_factor=AHEAD,
        pin_memory=by.pinned,
        worker_init_fn=_begin,
        multiprocessing_context="fork",
    )
    try:
        for found in loader:
            if isinstance(found, LtgcError):
                raise found
            yield found
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise InputError(f"a process that reads images was killed, most likely for want of memory ({reason})") from None


class _Read(Dataset[Any]):
    """f of each input. An error of ours is handed over as it is: torch would make a page of it."""

    def __init__(self, f: Callable[[Any], Any], inputs: Sequence[Any]) -> None:
        self.f, self.inputs = f, inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, number: int) -> Any:
        try:
            return self.f(self.inputs[number])
        except LtgcError as error:
            return error


def _begin(_: int) -> None:
    for signum in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C and a hangup are for who started this; this ends with it
        signal.signal(signum, signal.SIG_IGN)


def _as_it_is(value: Any) -> Any:
    return value


def _pinned(value: Any) -> Any:
    """Returns a tensor in pinned memory, and a tuple, named or not, with each of its own there."""
    if isinstance(value, Tensor):
        return value.pin_memory()
    if not isinstance(value, tuple):
        return value
    parts = map(_pinned, value)
    return value._make(parts) if hasattr(value, "_make") else tuple(parts)


def _cores() -> int:
    """Returns the cores that this process may use: its share, where several train together on this machine."""
    if sys.platform != "linux":  # elsewhere a fork of a process with threads is not safe
        return 0
    return len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _shared_memory() -> int:
    try:
        return shutil.disk_usage(_SHARED).free
    except OSError:
        return 0
