"""How to train: the only place with the defaults of mix-train. Loads no torch, so flags can read it."""

from __future__ import annotations

import math
from typing import Literal, get_args

import msgspec

from ltgc_cli.errors import InputError

Mix = Literal["balancemix", "mixup", "cutmix", "none"]
Sampler = Literal["instance", "balanced", "sqrt"]
LossName = Literal["ce", "la", "balanced-softmax", "ldam", "focal", "lade"]
Head = Literal["cosine", "linear"]
HeadInit = Literal["name", "descriptions", "means", "random"]
Tune = Literal["lora", "adaptformer", "bias", "full", "head"]
Where = Literal["both", "attention", "mlp"]
Optimizer = Literal["adamw", "sgd"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything besides the data and the CLIP model that a checkpoint depends on. Kept with the checkpoint."""

    # ---- the stream
    mix: Mix | None = None
    """balancemix: a class-balanced original with a generated image; mixup, cutmix: pairs of the sampled stream.
    None: balancemix where there are generated images, none where there are not."""
    sampler: Sampler | None = None
    """How the stream of originals and generated images is sampled; under balancemix, how its originals are.
    None: balanced under balancemix, instance otherwise."""
    mix_alpha: float = 1.0
    """λ ~ Beta(alpha, alpha), one for each pair."""
    mix_prob: float = 1.0
    """The chance that an image is mixed with another; otherwise it stands alone."""
    syn_prob: float | None = None
    """The chance that an image of the stream is a generated one, not an original; under balancemix all partners are.
    None: by their numbers."""

    # ---- the loss
    loss: LossName = "ce"
    tau: float = 1.0
    """Strength of the logit adjustment (la)."""
    gamma: float = 2.0
    """Focusing of the focal loss."""
    margin: float = 0.5
    """Largest margin of LDAM, before the scale."""
    lade_weight: float = 0.1
    """What LADE's regulariser weighs beside its cross-entropy."""

    # ---- the classifier
    head: Head = "cosine"
    head_init: HeadInit = "name"
    """Text features of the name; of the class's descriptions, averaged; means of the originals' features; random."""
    scale: float = 25.0
    """What the cosine head multiplies cosines with."""
    tune: Tune = "lora"
    tune_blocks: int = 0
    """Only the last so many blocks are tuned; 0: all."""
    lora_on: Where = "both"
    """What of a block LoRA adapts: attention (q, k, v, out), MLP, or both."""
    rank: int = 8
    """Of LoRA, or AdaptFormer's width; 0: by the number of classes, as LIFT chooses it."""
    lora_alpha: float = 16.0
    dropout: float = 0.0
    """Before LoRA, or inside AdaptFormer."""

    # ---- the loop
    epochs: float = 10.0
    min_steps: int = 400
    """Small data gets this many steps, however few its epochs are: mixes take longer to learn than bare images."""
    steps: int = 0
    """The number of steps itself, in place of epochs; 0: by epochs."""
    batch: int = 64
    """Images a step, of all processes and parts together."""
    accumulate: int = 1
    """Parts that a batch is cut into, one after the other, so that it fits the memory."""
    optimizer: Optimizer = "adamw"
    lr: float = 3e-3
    """This and min_steps were chosen on digits-lt's validation set with a tiny CLIP; larger models may want less."""
    warmup: float = 0.05
    """The share of the steps in which the learning rate rises; then it falls as a cosine to 0."""
    weight_decay: float = 0.01
    """On what is tuned of the tower. The head has none: its rows' lengths do not matter."""
    momentum: float = 0.9
    """Of SGD."""
    clip_norm: float = 1.0
    ema: float = 0.0
    """Decay of the moving average of the trained weights, which is what is kept; 0: none."""
    val_every: int = 0
    """Steps between measurements on the validation set; the best weights are kept. 0: the last weights."""

    # ---- the images
    crop: float = 0.7
    """Smallest share of the image's area that a random crop keeps; 1: no crop."""
    rotate: float = 0.0
    """Largest random turn, in degrees."""
    flip: bool = False
    """Mirror half of the images. Never for writing."""
    fixed_crops: int = 0
    """Each image has so many crops, the same in every epoch, so that what the frozen blocks make of them is kept.
    0: a new crop each time."""
    seed: int = 0


def checked(settings: Settings) -> Settings:
    """Returns the settings. Raises InputError that names every one that cannot be."""
    s = settings
    wrong = [
        f"{name.replace('_', '-')} {getattr(s, name)!r} must be {rule}"
        for name, rule, holds in (
            *_one_of(s, mix=Mix, sampler=Sampler, loss=LossName, head=Head, head_init=HeadInit, tune=Tune),
            *_one_of(s, lora_on=Where, optimizer=Optimizer),
            *_finite(s),
            ("mix_alpha", "above 0", s.mix_alpha > 0),
            ("mix_prob", "from 0 to 1", 0 <= s.mix_prob <= 1),
            ("syn_prob", "from 0 to 1", s.syn_prob is None or 0 <= s.syn_prob <= 1),
            ("gamma", "0 or more", s.gamma >= 0),
            ("margin", "0 or more", s.margin >= 0),
            ("lade_weight", "0 or more", s.lade_weight >= 0),
            ("scale", "above 0", s.scale > 0),
            ("tune_blocks", "0 or more", s.tune_blocks >= 0),
            ("rank", "0 or more", s.rank >= 0),
            ("lora_alpha", "above 0", s.lora_alpha > 0),
            ("dropout", "from 0 to below 1", 0 <= s.dropout < 1),
            ("epochs", "above 0", s.epochs > 0 or s.steps > 0),
            ("min_steps", "0 or more", s.min_steps >= 0),
            ("steps", "0 or more", s.steps >= 0),
            ("batch", "1 or more", s.batch >= 1),
            ("accumulate", "1 or more, and divide batch", s.accumulate >= 1 and s.batch % s.accumulate == 0),
            ("lr", "above 0", s.lr > 0),
            ("warmup", "from 0 to 1", 0 <= s.warmup <= 1),
            ("weight_decay", "0 or more", s.weight_decay >= 0),
            ("momentum", "from 0 to below 1", 0 <= s.momentum < 1),
            ("clip_norm", "above 0", s.clip_norm > 0),
            ("ema", "from 0 to below 1", 0 <= s.ema < 1),
            ("val_every", "0 or more", s.val_every >= 0),
            ("crop", "above 0 and at most 1", 0 < s.crop <= 1),
            ("rotate", "from 0 to 180", 0 <= s.rotate <= 180),
            ("fixed_crops", "0 or more", s.fixed_crops >= 0),
            ("seed", "0 or more", s.seed >= 0),
        )
        if not holds
    ]
    if s.fixed_crops and s.mix not in (None, "none"):
        wrong.append(f"fixed-crops keeps features of whole images, which cannot be mixed by pixels: mix {s.mix!r}")
    if s.syn_prob is not None and s.mix == "balancemix":
        wrong.append(
            "syn-prob has no say under balancemix, whose partners are all generated; mix-prob says how many are"
        )
    if wrong:
        raise InputError("; ".join(wrong))
    return s


def _finite(settings: Settings) -> list[tuple[str, str, bool]]:
    """Returns the checks that numbers are numbers; no clipping at all is clip_norm inf."""
    numbers = {name: getattr(settings, name) for name in settings.__struct_fields__ if name != "clip_norm"}
    return [(name, "finite", math.isfinite(value)) for name, value in numbers.items() if isinstance(value, float)]


def _one_of(settings: Settings, **kinds: object) -> list[tuple[str, str, bool]]:
    """Returns the checks that fields are among their kind's words; None where a field may be left open."""
    found = []
    for name, kind in kinds.items():
        value = getattr(settings, name)
        open_ = value is None and name in ("mix", "sampler")
        found.append((name, f"one of {', '.join(get_args(kind))}", open_ or value in get_args(kind)))
    return found


def resolved(settings: Settings, *, generated: int, classes: int, blocks: int = 12) -> Settings:
    """Returns the settings with what was left open decided.

    generated, classes -- the number of generated images and of classes; blocks -- of the vision tower

    >>> s = resolved(Settings(), generated=0, classes=10)
    >>> s.mix, s.sampler
    ('none', 'instance')
    >>> resolved(Settings(rank=0), generated=9, classes=8142).rank
    256
    """
    mix = settings.mix or ("balancemix" if generated and not settings.fixed_crops else "none")
    sampler = settings.sampler or ("balanced" if mix == "balancemix" else "instance")
    # LIFT (Shi et al., ICML 2024): the adapters of all blocks together have half as many rows as there are classes.
    rank = settings.rank or 2 ** max(0, int(math.log2(max(1, classes / (2 * blocks)))))
    return msgspec.structs.replace(settings, mix=mix, sampler=sampler, rank=rank)


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


def without_effect(settings: Settings) -> list[str]:
    """Returns what to say of settings that were changed from their defaults and change nothing.

    >>> without_effect(Settings(tune="head", rank=4, loss="la", tau=2.0))
    ['--rank has no effect with --tune head']
    """
    s, default = settings, Settings()
    only = {
        "tune_blocks": (("lora", "adaptformer", "bias", "full"), "tune"),
        "rank": (("lora", "adaptformer"), "tune"),
        "dropout": (("lora", "adaptformer"), "tune"),
        "lora_on": (("lora",), "tune"),
        "lora_alpha": (("lora",), "tune"),
        "tau": (("la",), "loss"),
        "gamma": (("focal",), "loss"),
        "margin": (("ldam",), "loss"),
        "lade_weight": (("lade",), "loss"),
        "momentum": (("sgd",), "optimizer"),
        "mix_alpha": ((None, "balancemix", "mixup", "cutmix"), "mix"),
        "mix_prob": ((None, "balancemix", "mixup", "cutmix"), "mix"),
    }
    idle = [
        f"--{name.replace('_', '-')} has no effect with --{of} {getattr(s, of)}"
        for name, (where, of) in only.items()
        if getattr(s, name) != getattr(default, name) and getattr(s, of) not in where
    ]
    by_steps = [name for name in ("epochs", "min_steps") if s.steps and getattr(s, name) != getattr(default, name)]
    return idle + [f"--{name.replace('_', '-')} has no effect with --steps {s.steps}" for name in by_steps]


def can_merge(settings: Settings) -> str | None:
    """Returns why a classifier trained so cannot be written as one file for plain open_clip; None where it can.

    >>> can_merge(Settings(tune="adaptformer"))
    'AdaptFormer is a branch that open_clip has no place for: it cannot be merged into one file; use lora, bias or full'
    """
    if settings.tune != "adaptformer":
        return None
    return (
        "AdaptFormer is a branch that open_clip has no place for: "
        "it cannot be merged into one file; use lora, bias or full"
    )
