"""Teaches a text encoder what captions say, before it sees pictures: the words are the slow part to learn otherwise."""

import random
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from captions import NAMES, caption
from glyphs import WRITTEN

Tensor = torch.Tensor


def said(text: str, phrases: tuple[str, ...]) -> int:
    """Which of a bank's phrases the text has; one past the last if none."""
    return next((k for k, phrase in enumerate(phrases) if phrase in text), len(phrases))


def teach_words(
    encode: Callable[[list[str]], Tensor],
    weights: Iterable[torch.nn.Parameter],
    width: int,
    data: dict[str, Tensor],
    batches: Iterator[Tensor],
    steps: int,
    form: random.Random,
) -> None:
    """What a caption says of class and features has to be found in its encoding, (B, width)."""
    sizes = {"digit": len(NAMES), **{bank: len(phrases) + 1 for bank, phrases in WRITTEN.items()}}
    heads = torch.nn.ModuleDict({name: torch.nn.Linear(width, size) for name, size in sizes.items()})
    optimiser = torch.optim.AdamW([*weights, *heads.parameters()], 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for step in range(steps):
        batch = next(batches)
        texts = [caption(data, row, form)[0] for row in batch.tolist()]
        encoded = encode(texts)
        loss = F.cross_entropy(heads["digit"](encoded), data["digit"][batch])
        for bank, phrases in WRITTEN.items():
            loss = loss + F.cross_entropy(heads[bank](encoded), torch.tensor([said(text, phrases) for text in texts]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            print(f"words {step + 1} loss {loss.item():.4f}", flush=True)
