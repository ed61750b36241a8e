"""What follows from the settings of a training, and which of them cannot go together. Loads no torch."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from ltgc_cli.config import check
from ltgc_cli.errors import InputError
from ltgc_cli.settings import Training

HARMONISED = 2  # part of a checkpoint's hash where it is used: raise it when `harmonise` changes a pixel
# Settings that came when checkpoints were there; unused, they change no hash.
_LATER = ("harmonise", "syn_prior", "syn_head")
_WITH_PRIOR = ("la", "balanced-softmax", "ldam", "lade")  # losses that a prior is part of


def checked(settings: Training) -> Training:
    """Returns the settings. Raises InputError that names every one that cannot be."""
    check(settings)
    wrong = []
    if not (settings.epochs or settings.steps):
        wrong.append("--epochs 0: above 0 is wanted where --steps is not given")
    if settings.batch % settings.accumulate:
        wrong.append(f"--accumulate {settings.accumulate} must divide --batch {settings.batch}")
    if settings.fixed_crops and settings.mix not in (None, "none"):
        whole = "--fixed-crops keeps features of whole images, which cannot be mixed by pixels"
        wrong.append(f"{whole}: leave out --mix {settings.mix}")
    if settings.syn_prob is not None and settings.mix == "balancemix":
        nothing = "--syn-prob does nothing under balancemix, whose partners are all generated"
        wrong.append(f"{nothing}; --mix-prob says how many are")
    apart = [f"--{name.replace('_', '-')}" for name in ("syn_prior", "syn_head") if getattr(settings, name)]
    if apart and not settings.fixed_crops and settings.mix in (None, "balancemix"):
        halves = "balancemix mixes real with generated images, and this is for images of one kind"
        wrong.append(f"{' and '.join(apart)}: {halves}; add --mix cutmix, mixup or none")
    if wrong:
        raise InputError("; ".join(wrong))
    return settings


def resolved(settings: Training, *, generated: int, classes: int, blocks: int = 12) -> Training:
    """Returns the settings with what was left open decided.

    generated, classes -- the number of generated images and of classes; blocks -- of the vision tower

    >>> s = resolved(Training(), generated=0, classes=10)
    >>> s.mix, s.sampler
    ('none', 'instance')
    >>> resolved(Training(rank=0), generated=9, classes=8142).rank
    256
    """
    mix = settings.mix or ("balancemix" if generated and not settings.fixed_crops else "none")
    sampler = settings.sampler or ("balanced" if mix == "balancemix" else "instance")
    # LIFT (Shi et al., ICML 2024): the adapters of all blocks together have half as many rows as there are classes.
    rank = settings.rank or 2 ** max(0, int(math.log2(max(1, classes / (2 * blocks)))))
    harmonise = settings.harmonise and generated > 0
    syn_prior = settings.syn_prior and generated > 0 and settings.loss in _WITH_PRIOR
    syn_head = settings.syn_head and generated > 0
    return msgspec.structs.replace(
        settings, mix=mix, sampler=sampler, rank=rank, harmonise=harmonise, syn_prior=syn_prior, syn_head=syn_head
    )


def total_steps(settings: Training, images: int) -> int:
    """Returns the number of steps for so many images, original and generated.

    >>> total_steps(Training(steps=7), 10_000)
    7
    >>> total_steps(Training(epochs=10, batch=64, min_steps=400), 10_000)
    1563
    """
    if settings.steps:
        return settings.steps
    return max(settings.min_steps, math.ceil(settings.epochs * images / settings.batch))


def as_kept(settings: Training) -> dict[str, Any]:
    """Returns the settings as checkpoints and hashes have them: without those of _LATER that are not used.

    >>> "syn_head" in as_kept(Training()), as_kept(Training(syn_head=True))["syn_head"]
    (False, True)
    """
    default = Training()
    every = msgspec.to_builtins(settings)
    return {key: value for key, value in every.items() if key not in _LATER or value != getattr(default, key)}


def without_effect(settings: Training, *, generated: bool = True) -> list[str]:
    """Returns what to say of settings that were changed from their defaults and change nothing.

    generated -- whether generated images are trained on

    >>> without_effect(Training(tune="head", rank=4, loss="la", tau=2.0))
    ['--rank has no effect with --tune head']
    """
    s, default = settings, Training()
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
        "syn_prior": (_WITH_PRIOR, "loss"),
    }
    idle = [(name, of) for name, (where, of) in only.items() if getattr(s, of) not in where]
    idle += [(name, "steps") for name in ("epochs", "min_steps") if s.steps]
    said = [
        f"--{name.replace('_', '-')} has no effect with --{of} {getattr(s, of)}"
        for name, of in idle
        if getattr(s, name) != getattr(default, name)
    ]
    if not s.mix and not s.fixed_crops and s.syn_prob is not None:
        said.append("--syn-prob has no effect under balancemix, which is what --mix is unless it is given")
    alone = [name for name in ("syn_prior", "syn_head") if getattr(s, name)] if not generated else []
    return said + [f"--{name.replace('_', '-')} has no effect without generated images" for name in alone]


def can_merge(settings: Training) -> str | None:
    """Returns why a classifier trained so cannot be merged into plain open_clip weights; None where it can.

    >>> can_merge(Training(tune="adaptformer"))
    'AdaptFormer is a branch that open_clip has no place for: it cannot be merged into one file; use lora, bias or full'
    """
    no_place = "AdaptFormer is a branch that open_clip has no place for"
    reason = f"{no_place}: it cannot be merged into one file; use lora, bias or full"
    return reason if settings.tune == "adaptformer" else None
