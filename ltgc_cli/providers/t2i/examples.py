"""What an adapter learns from, of which pipelines, and what its file is called. Loads no torch, as `adapting` does."""

from __future__ import annotations

from typing import NamedTuple

LORA = "pytorch_lora_weights.safetensors"
"""What the LoRA's file is called: diffusers' own name for it."""


PIPELINES = frozenset(
    ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline")
)
"""diffusers' pipelines that can be adapted: those of `families.FAMILIES`."""


class Example(NamedTuple):
    """An image that the adapter learns from, and the texts that it stands for."""

    image: str  # sha256 of the original in the store's objects
    captions: tuple[str, ...]  # its descriptions; where there are several one is drawn a step; (): the bare one alone
    bare: str  # the text that names the class alone
