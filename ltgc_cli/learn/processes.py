"""The processes that train together: which one this is, and what they exchange.

`accelerate launch -m ltgc_cli mix-train …` and torchrun start them and say so in RANK, WORLD_SIZE and MASTER_ADDR. Each
plans the same batch and trains on its own rows of it; what they exchange is the mean of their gradients.
Importing this module loads no torch.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ltgc_cli.errors import InputError, ProviderError

if TYPE_CHECKING:
    from torch import Tensor

_WANTED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Processes(NamedTuple):
    """This process among those that train together; alone it is the first of one, and each exchange does nothing."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """Returns the rows of a batch that are this process's own."""
        each = batch // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Puts in each tensor's place its mean over the processes, in one exchange."""
        if self.size > 1 and tensors:
            from torch.nn.utils import parameters_to_vector, vector_to_parameters

            flat = parameters_to_vector(tensors)
            _exchange("all_reduce", flat)
            vector_to_parameters(flat / self.size, tensors)

    def follow_first(self, tensors: Sequence[Tensor]) -> None:
        """Puts in each tensor's place the first process's."""
        for tensor in tensors if self.size > 1 else ():
            _exchange("broadcast", tensor.detach(), 0)

    def total(self, tensor: Tensor) -> Tensor:
        """Returns the sum of a tensor over the processes."""
        if self.size > 1:
            tensor = tensor.clone()
            _exchange("all_reduce", tensor)
        return tensor


def rank() -> int:
    """Returns the number of this process among those that train together, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def count() -> int:
    """Returns how many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(name) for name in _WANTED) else 1


def device(wanted: str | None = None) -> str:
    """Returns where this process computes: the device wanted, else the best there is; of several GPUs its own one."""
    from ltgc_cli.providers import torch_setup

    found = torch_setup.device(wanted)
    return f"cuda:{os.environ.get('LOCAL_RANK', rank())}" if found == "cuda" and count() > 1 else found


def join(device: str) -> Processes:
    """Returns this process among the others, once it has met them. Raises ProviderError where they cannot meet."""
    if count() == 1:
        return Processes()
    import torch

    if not torch.distributed.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        _exchange("init_process_group", "nccl" if device.startswith("cuda") else "gloo")
        atexit.register(torch.distributed.destroy_process_group)
    return Processes(torch.distributed.get_rank(), torch.distributed.get_world_size())


def check(batch: int, accumulate: int, processes: int | None = None) -> None:
    """Raises InputError where a batch cannot be cut into equal parts for each process."""
    processes = count() if processes is None else processes
    if batch % (parts := processes * accumulate):
        evenly = f"evenly over {processes} processes with --accumulate {accumulate}"
        raise InputError(f"--batch {batch} cannot be cut {evenly}: it must be a multiple of {parts}")


def _exchange(name: str, *arguments: Any) -> None:
    """Calls that function of torch.distributed."""
    import torch

    try:
        getattr(torch.distributed, name)(*arguments)
    except RuntimeError as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')} ({str(error).splitlines()[0]})"
        lost = f"process {rank()} of {count()} lost the others, which meet at {where}"
        raise ProviderError(f"{lost}; what ended first says why") from None
