"""Functions in processes of their own, which have imported already what this one has."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch


def started(function: Callable[[], Any], file: Path | None = None) -> int:
    """Returns the id of a process that runs the function, and writes what it returns as JSON."""
    child = os.fork()
    if child:
        return child
    try:
        torch.set_num_threads(1)  # torch makes its pool anew after a fork, and two threads at once get that wrong
        found = function()
        if file:
            file.write_text(json.dumps(found))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def together(function: Callable[[], Any], count: int = 2) -> list[Any]:
    """Returns what a function returns in each of several processes, told of each other as torchrun tells them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}

    def one(rank: int) -> Any:
        os.environ.update(place | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        return function()

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, str(rank)) for rank in range(count)]
        children = [started(lambda rank=rank: one(rank), file) for rank, file in enumerate(files)]
        statuses = [os.waitpid(child, 0)[1] for child in children]
        assert statuses == [0] * count, statuses
        return [json.loads(file.read_text()) for file in files]


def all_equal(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)
