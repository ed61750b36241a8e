"""What the tests of the classifier's parts share: images, a class table, weights that were moved."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltgc_cli.learn.attention import fuse, unfuse
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.settings import Training

CLASSES = (
    ClassInfo(label=3, name="seal", sense="marine mammal", count=120),
    ClassInfo(label=7, name="crane", count=4),
)
LORA = Training(rank=3, lora_alpha=12.0)
SCALE = 12.0 / 3
LAYERS = ("attn.q", "attn.k", "attn.v", "attn.out", "mlp.c_fc", "mlp.c_proj")


def images(batch: int = 3, side: int = 32) -> Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))


def moved(module: nn.Module) -> nn.Module:
    """The module with all that is trainable moved: LoRA and AdaptFormer start where every mistake is invisible."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return module


def explicit(clip: Loaded, adapted: nn.Module) -> nn.Module:
    """The reference: plain open_clip's tower, and each W replaced with W + (alpha / rank) B A in float64, by hand."""
    tower = unfuse(clip.model.visual)
    lora = {name: weight.detach().double() for name, weight in adapted.named_parameters() if "lora_" in name}
    for number, block in enumerate(tower.transformer.resblocks):
        for layer in LAYERS:
            prefix = f"transformer.resblocks.{number}.{layer}"
            a, b = (lora.pop(f"{prefix}.lora_{side}.weight") for side in "AB")
            weight = block.get_submodule(layer).weight
            weight.data = (weight.double() + SCALE * b @ a).float()
    assert not lora, "LoRA is somewhere else too"
    return fuse(tower)
