"""How to train: the only place with the defaults of mix-train. Loads no torch, so flags can read it."""

from __future__ import annotations

import math
from typing import Literal, get_args

import msgspec

from ltgc_cli.errors import InputError

Mix = Literal["balancemix", "mixup", "none"]
Sampler = Literal["instance", "balanced"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything besides the data and the CLIP model that a checkpoint depends on. Kept with the checkpoint."""

    mix: Mix = "balancemix"
    """balancemix: a class-balanced original with a uniform generated image; mixup: pairs of the sampled stream."""
    sampler: Sampler = "instance"
    """How the stream of originals and generated images is sampled under mixup and none. BalanceMix has its own."""
    mix_alpha: float = 1.0
    """λ ~ Beta(alpha, alpha), one for each pair."""
    loss: str = "ce"
    tau: float = 1.0
    """Strength of the logit adjustment."""
    epochs: float = 10.0
    min_steps: int = 400
    """Small data gets this many steps, however few its epochs are: mixes take longer to learn than bare images."""
    steps: int = 0
    """The number of steps itself, in place of epochs; 0: by epochs."""
    batch: int = 64
    lr: float = 3e-3
    """This and min_steps were chosen on digits-lt's validation set with a tiny CLIP; larger models may want less."""
    warmup: float = 0.05
    """The share of the steps in which the learning rate rises; then it falls as a cosine to 0."""
    weight_decay: float = 0.01
    """On LoRA's matrices. The head has none: its rows' lengths do not matter."""
    clip_norm: float = 1.0
    rank: int = 8
    lora_alpha: float = 16.0
    dropout: float = 0.0
    scale: float = 25.0
    """What the head multiplies cosines with."""
    crop: float = 0.7
    """Smallest share of the image's area that a random crop keeps; 1: no crop."""
    rotate: float = 0.0
    """Largest random turn, in degrees."""
    flip: bool = False
    """Mirror half of the images. Never for writing."""
    seed: int = 0


def checked(settings: Settings) -> Settings:
    """Returns the settings. Raises InputError that names every one that cannot be."""
    wrong = [
        f"{name} {getattr(settings, name)!r} must be {rule}"
        for name, rule, holds in (
            ("mix", f"one of {', '.join(get_args(Mix))}", settings.mix in get_args(Mix)),
            ("sampler", f"one of {', '.join(get_args(Sampler))}", settings.sampler in get_args(Sampler)),
            ("mix_alpha", "above 0", settings.mix_alpha > 0),
            ("epochs", "above 0", settings.epochs > 0 or settings.steps > 0),
            ("min_steps", "0 or more", settings.min_steps >= 0),
            ("steps", "0 or more", settings.steps >= 0),
            ("batch", "1 or more", settings.batch >= 1),
            ("lr", "above 0", settings.lr > 0),
            ("warmup", "from 0 to 1", 0 <= settings.warmup <= 1),
            ("weight_decay", "0 or more", settings.weight_decay >= 0),
            ("clip_norm", "above 0", settings.clip_norm > 0),
            ("rank", "1 or more", settings.rank >= 1),
            ("lora_alpha", "above 0", settings.lora_alpha > 0),
            ("dropout", "from 0 to below 1", 0 <= settings.dropout < 1),
            ("scale", "above 0", settings.scale > 0),
            ("crop", "above 0 and at most 1", 0 < settings.crop <= 1),
            ("rotate", "from 0 to 180", 0 <= settings.rotate <= 180),
            ("seed", "0 or more", settings.seed >= 0),
        )
        if not holds
    ]
    if wrong:
        raise InputError("; ".join(wrong))
    return settings


def total_steps(settings: Settings, images: int) -> int:
    """Returns the number of steps for so many images, original and generated.

    >>> total_steps(Settings(steps=7), 10_000)
    7
    >>> total_steps(Settings(epochs=10, batch=64, min_steps=400), 10_000)
    1563
    """
    if settings.steps:
        return settings.steps
    return max(settings.min_steps, math.ceil(settings.epochs * images / settings.batch))
