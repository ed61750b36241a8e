from __future__ import annotations

import os
from typing import NamedTuple

import pytest
import torch

from ltgc_cli.errors import InputError
from ltgc_cli.learn import loading
from ltgc_cli.learn.loading import THREAD, Readers, ahead, readers

TWO = Readers(processes=2)


def test_results_come_in_order_and_only_so_far_ahead() -> None:
    asked = []

    def double(x: int) -> int:
        asked.append(x)
        return 2 * x

    results = ahead(double, range(100), depth=3)
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    results.close()
    assert len(asked) <= 9
    assert list(ahead(double, range(4), depth=3)) == [0, 2, 4, 6]
    assert list(ahead(double, [], depth=3)) == []


class Pair(NamedTuple):
    numbers: torch.Tensor
    none: None
    by: int


def test_processes_give_what_a_thread_gives_in_the_same_order() -> None:
    def read(step: int) -> Pair:
        return Pair(torch.full((2, 2), step), None, os.getpid())

    found = list(ahead(read, range(5), depth=3, by=TWO))
    assert [pair.numbers.tolist() for pair in found] == [[[step, step]] * 2 for step in range(5)]
    assert all(isinstance(pair, Pair) and pair.none is None for pair in found)
    assert len({pair.by for pair in found} - {os.getpid()}) == 2


def test_an_error_in_a_process_is_the_error_it_was() -> None:
    def read(step: int) -> int:
        if step == 1:
            raise InputError("birds/7.png: not a whole image")
        return step

    with pytest.raises(InputError, match="^birds/7.png: not a whole image$"):
        list(ahead(read, range(3), depth=3, by=TWO))


def test_a_process_that_is_killed_is_an_error_of_one_line() -> None:
    with pytest.raises(
        InputError, match="^a process that reads images was killed, most likely for want of memory"
    ) as e:
        list(ahead(lambda step: os.kill(os.getpid(), 9), range(3), depth=3, by=TWO))
    assert "\n" not in str(e.value)


def test_for_a_gpu_every_tensor_is_pinned_wherever_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 100)  # without a GPU there is none

    def read(step: int) -> tuple[Pair, list[str]]:
        return Pair(torch.tensor([step]), None, 7), ["a reason"]

    ((pair, reasons),) = ahead(read, [1], depth=3, by=Readers(0, pinned=True))
    assert (pair.numbers.tolist(), pair.none, pair.by, reasons) == ([101], None, 7, ["a reason"])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(loading, "_cores", lambda: 8)
    monkeypatch.setattr(loading, "_shared_memory", lambda: 10**9)
    return monkeypatch


@pytest.mark.parametrize(
    ("device", "inputs", "size", "by"),
    [
        ("cpu", 100, 1000, THREAD),  # which takes the cores itself
        ("mps", 100, 1000, THREAD),
        ("cuda", 100, 1000, Readers(7, pinned=True)),
        ("cuda:1", 3, 1000, Readers(3, pinned=True)),
        ("cuda", 100, 10**8, Readers(0, pinned=True)),  # 28 of them are more than the shared memory
    ],
)
def test_processes_read_for_a_gpu_where_there_are_cores_and_memory_to_hand_over(
    machine: pytest.MonkeyPatch, device: str, inputs: int, size: int, by: Readers
) -> None:
    assert readers(device, inputs, size) == by


def test_one_core_reads_with_a_thread(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(loading, "_cores", lambda: 1)
    assert readers("cuda", 100, 1000) == Readers(0, pinned=True)
