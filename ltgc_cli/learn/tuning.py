"""What of the vision tower is trained: LoRA, AdaptFormer, biases, whole blocks, or nothing but the head.

A way to tune is one function and one entry in TUNE. Each gets a copy of the tower, all of it frozen, float32 and with
its attention taken apart where it has plain blocks, and returns it with what is to be trained marked by
`requires_grad`. At the start its output is the tower's own.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn.attention import blocks, fuse, plain_blocks, unfuse
from ltgc_cli.learn.settings import Settings
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.quiet import quiet

LAYERS = {"attention": r"attn\.(q|k|v|out)", "mlp": r"mlp\.(c_fc|c_proj)"}
"""What LoRA adapts of a block, by `lora_on`; "both" is the two together."""


def adapt(visual: nn.Module, settings: Settings) -> nn.Module:
    """Returns a copy of a vision tower, ready for training: only what the settings tune is trainable, in float32.

    Its output is the tower's own until it is trained. What is drawn is drawn from the seed.
    settings -- resolved: its rank is no longer open
    Raises InputError for a tower without the blocks that are to be tuned.
    """
    _check(visual, settings)
    tower = apart(visual).float().requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return TUNE[settings.tune](tower, settings)


def frozen_parts(visual: nn.Module, settings: Settings) -> int:
    """Returns how many of the tower's parts (`parts`) lie below the lowest tuned one."""
    if settings.tune == "head":
        return len(parts(visual))
    if settings.tune == "full" and not settings.tune_blocks:
        return 0
    first = len(blocks(base(visual))) - settings.tune_blocks if settings.tune_blocks else 0
    return 1 + first if len(parts(visual)) > 1 else 0


def parts(visual: nn.Module) -> list[Callable[[Tensor], Tensor]]:
    """Returns the tower as functions to call one after the other, the images first and the features last.

    Of open_clip's VisionTransformer: the embedding of the patches, each block, the pooling with the projection.
    Any other tower is one part.
    """
    tower: Any = base(visual)
    if not all(hasattr(tower, name) for name in ("_embeds", "_pool")) or not blocks(tower):
        return [lambda images: _pooled(tower(images))]

    def features(x: Tensor) -> Tensor:
        pooled = tower._pool(x)[0]
        return pooled if tower.proj is None else pooled @ tower.proj

    return [tower._embeds, *blocks(tower), features]


def base(visual: nn.Module) -> nn.Module:
    """Returns the tower itself, without what peft puts around it."""
    return visual.get_base_model() if hasattr(visual, "get_base_model") else visual  # type: ignore[operator]


def apart(visual: nn.Module) -> nn.Module:
    """Returns a copy of a tower with its attention taken apart where it is plain."""
    try:
        return unfuse(visual)
    except InputError:
        return copy.deepcopy(visual)


def merged(adapted: nn.Module) -> nn.Module:
    """Returns a plain vision tower, its attention fused; LoRA's updates are in the weights: W + (alpha / rank) B A."""
    with quiet():
        tower = copy.deepcopy(adapted)
        return fuse(tower.merge_and_unload() if hasattr(tower, "merge_and_unload") else tower)  # type: ignore[operator]


def load_peft() -> Any:
    """Returns the module peft, its import made to work and kept quiet."""
    torch_setup.mend_torchvision()  # peft imports transformers, and that torchvision
    with quiet():
        import peft
    return peft


# ---- the ways to tune


def _lora(tower: nn.Module, settings: Settings) -> nn.Module:
    """Returns a peft.PeftModel around the tower."""
    peft = load_peft()
    numbers = "|".join(str(number) for number in _tuned_numbers(tower, settings))
    layers = "|".join(LAYERS.values()) if settings.lora_on == "both" else LAYERS[settings.lora_on]
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.dropout,
        target_modules=rf"transformer\.resblocks\.({numbers})\.({layers})",
    )
    with quiet():
        return peft.get_peft_model(tower, config)


def _adaptformer(tower: nn.Module, settings: Settings) -> nn.Module:
    own: Any = tower.get_submodule("transformer.resblocks")
    for number in _tuned_numbers(tower, settings):
        weight = own[number].mlp.c_fc.weight
        branch = AdaptFormer(weight.shape[1], settings.rank, settings.dropout).to(weight.device)
        own[number] = AdaptedBlock(own[number], branch)
    return tower


def _bias(tower: nn.Module, settings: Settings) -> nn.Module:
    """Every bias of the tuned blocks, those of LayerNorm too and nothing else, as LIFT and BitFit have it."""
    for number in _tuned_numbers(tower, settings):
        for name, weight in blocks(tower)[number].named_parameters():
            weight.requires_grad_(name.endswith("bias"))
    return tower


def _full(tower: nn.Module, settings: Settings) -> nn.Module:
    """The last blocks, or everything: the embeddings, the norms and the projection too."""
    if not settings.tune_blocks:
        return tower.requires_grad_(True)
    for number in _tuned_numbers(tower, settings):
        blocks(tower)[number].requires_grad_(True)
    return tower


def _head(tower: nn.Module, settings: Settings) -> nn.Module:
    return tower


TUNE: dict[str, Callable[[nn.Module, Settings], nn.Module]] = {
    "lora": _lora,
    "adaptformer": _adaptformer,
    "bias": _bias,
    "full": _full,
    "head": _head,
}


class AdaptFormer(nn.Module):
    """A narrow branch beside a block's MLP (Chen et al., NeurIPS 2022): scale · up(relu(down(norm(x)))).

    As LIFT (Shi et al., ICML 2024) sets it: a LayerNorm of its own on the block's residual stream, and a scale that
    is learned, from 1. `up` starts at zero, so the block's output is at first what it was. x -- [..., width]
    """

    def __init__(self, width: int, rank: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, rank)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(rank, width)
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.kaiming_normal_(self.down.weight, a=math.sqrt(5))
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.dropout(torch.relu(self.down(self.norm(x))))) * self.scale


class AdaptedBlock(nn.Module):
    """A block of open_clip with an AdaptFormer beside its MLP; its weights keep the names they had."""

    ln_1: nn.Module
    attn: nn.Module
    ls_1: nn.Module
    ln_2: nn.Module
    mlp: nn.Module
    ls_2: nn.Module

    def __init__(self, block: nn.Module, branch: AdaptFormer) -> None:
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self.adaptformer = branch
        self.train(block.training)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.ls_1(self.attn(normed, normed, normed, need_weights=False, attn_mask=attn_mask)[0])
        return x + self.ls_2(self.mlp(self.ln_2(x))) + self.adaptformer(x)


# ---- helpers


def _tuned_numbers(tower: nn.Module, settings: Settings) -> range:
    """Returns the places of the tuned blocks."""
    count = len(blocks(tower))
    return range(count - settings.tune_blocks if settings.tune_blocks else 0, count)


def _check(visual: nn.Module, settings: Settings) -> None:
    whole = settings.tune == "head" or (settings.tune == "full" and not settings.tune_blocks)
    if not whole and settings.tune_blocks > len(plain_blocks(visual)):
        raise InputError(
            f"tune_blocks {settings.tune_blocks}: the CLIP model's vision tower has {len(blocks(visual))} blocks"
        )


def _pooled(features: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Returns the image's feature where a tower gives its tokens' features too."""
    return features[0] if isinstance(features, tuple) else features
