"""What of the vision tower is trained: LoRA, AdaptFormer, biases, whole blocks, or nothing but the head.

A way to tune is one function and one entry in TUNE. Each gets a copy of the tower, all of it frozen, float32 and with
its attention taken apart where it has plain blocks, and returns it with what is to be trained marked by
`requires_grad`. At the start its output is the tower's own.

LoRA is in peft's format on disk (checkpoints) and computed here: the same formula, with a product laid out so that its
gradient is fast.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn.attention import blocks, fuse, linear_of, place_of, plain_blocks, split_qkv, unfuse
from ltgc_cli.settings import Training
from ltgc_cli.text import counted

# What LoRA adapts of a block, by where the blocks are (open_clip's own, timm's) and `lora_on`; "both" is the two.
LAYERS = {
    "transformer.resblocks": {"attention": r"attn\.(q|k|v|out)", "mlp": r"mlp\.(c_fc|c_proj)"},
    "trunk.blocks": {
        "attention": r"attn\.(qkv\.(q|k|v)|q_proj|k_proj|v_proj|proj)",
        "mlp": r"mlp\.(fc1|fc1_g|fc1_x|fc2|w0|w1|w2|w3|w12)",
    },
}


def adapt(visual: nn.Module, settings: Training) -> nn.Module:
    """Returns a copy of a vision tower, ready for training: only what the settings tune is trainable, in float32.

    Its output is the tower's own until it is trained. What is random comes from the seed.
    settings -- resolved: its rank is no longer open
    Raises InputError for a tower without the blocks that are to be tuned.
    """
    check_blocks(visual, settings)
    tower = apart(visual).float().requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return TUNE[settings.tune](tower, settings)


def check_blocks(visual: nn.Module, settings: Training) -> None:
    """Raises InputError for a tower without the blocks that are to be tuned."""
    whole = settings.tune == "head" or (settings.tune == "full" and not settings.tune_blocks)
    if not whole and settings.tune_blocks > (count := len(plain_blocks(visual))):
        raise InputError(
            f"--tune-blocks {settings.tune_blocks}: the CLIP model's vision tower has {counted(count, 'block')}"
        )


def frozen_parts(visual: nn.Module, settings: Training) -> int:
    """Returns how many of the tower's parts (`parts`) lie below the lowest tuned one."""
    if settings.tune == "head":
        return len(parts(visual))
    if (settings.tune == "full" and not settings.tune_blocks) or len(parts(visual)) == 1:
        return 0
    return 1 + _lowest_tuned(visual, settings)


def _lowest_tuned(tower: nn.Module, settings: Training) -> int:
    """Returns the number of the lowest block that is tuned."""
    return len(blocks(tower)) - settings.tune_blocks if settings.tune_blocks else 0


def parts(visual: nn.Module) -> list[Callable[[Tensor], Tensor]]:
    """Returns the tower as functions to call one after the other, the images first and the features last.

    Of open_clip's VisionTransformer: the embedding of the patches, each block, the pooling with the projection.
    Any other tower is one part.
    """
    tower: Any = visual
    if not all(hasattr(tower, name) for name in ("_embeds", "_pool")) or not blocks(tower):
        # Some give their tokens' features beside the image's.
        return [lambda images: found[0] if isinstance(found := tower(images), tuple) else found]

    def features(x: Tensor) -> Tensor:
        pooled = tower._pool(x)[0]
        return pooled if tower.proj is None else pooled @ tower.proj

    return [tower._embeds, *blocks(tower), features]


def apart(visual: nn.Module) -> nn.Module:
    """Returns a copy of a tower with its attention taken apart where it is open_clip's own, and plain.

    timm's is taken apart for LoRA alone.
    """
    try:
        own = any(isinstance(block.attn, nn.MultiheadAttention) for block in plain_blocks(visual))
    except InputError:
        own = False
    return unfuse(visual) if own else copy.deepcopy(visual)


def merged(adapted: nn.Module) -> nn.Module:
    """Returns a plain vision tower, its attention fused; LoRA's updates are in the weights: W + (alpha / rank) B A."""
    tower = copy.deepcopy(adapted)
    for name, module in list(tower.named_modules()):
        if isinstance(module, LoraLinear):
            tower.set_submodule(name, module.merged())
    return fuse(tower)


def lora_targets(tower: nn.Module, settings: Training) -> str:
    """Returns the regular expression of the names of the layers that LoRA adapts, as peft's target_modules."""
    numbers = "|".join(map(str, range(_lowest_tuned(tower, settings), len(blocks(tower)))))
    place = place_of(tower)
    layers = "|".join(LAYERS[place].values()) if settings.lora_on == "both" else LAYERS[place][settings.lora_on]
    return rf"{re.escape(place)}\.({numbers})\.({layers})"


# ---- the ways to tune


def _lora(tower: nn.Module, settings: Training) -> nn.Module:
    split_qkv(tower)
    adapted = re.compile(lora_targets(tower, settings))
    for name, layer in list(tower.named_modules()):
        if adapted.fullmatch(name):
            assert isinstance(layer, nn.Linear), "a plain block is made of Linears"
            lora = LoraLinear(layer, settings.rank, settings.lora_alpha, settings.dropout)
            tower.set_submodule(name, lora)
    return tower


def _adaptformer(tower: nn.Module, settings: Training) -> nn.Module:
    place = place_of(tower)
    own: Any = tower.get_submodule(place)
    adapted = ADAPTED[place]
    for number in range(_lowest_tuned(tower, settings), len(own)):
        weight = next(layer.weight for layer in own[number].mlp.modules() if isinstance(layer, nn.Linear))
        branch = AdaptFormer(weight.shape[1], settings.rank, settings.dropout).to(weight.device)
        own[number] = adapted(own[number], branch)
    return tower


def _bias(tower: nn.Module, settings: Training) -> nn.Module:
    """Every bias of the tuned blocks, those of LayerNorm too and nothing else, as LIFT and BitFit have it."""
    for block in blocks(tower)[_lowest_tuned(tower, settings) :]:
        for name, weight in block.named_parameters():
            weight.requires_grad_(name.endswith("bias"))
    return tower


def _full(tower: nn.Module, settings: Training) -> nn.Module:
    """The last blocks, or everything: the embeddings, the norms and the projection too."""
    for part in blocks(tower)[_lowest_tuned(tower, settings) :] if settings.tune_blocks else [tower]:
        part.requires_grad_(True)
    return tower


TUNE: dict[str, Callable[[nn.Module, Training], nn.Module]] = {
    "lora": _lora,
    "adaptformer": _adaptformer,
    "bias": _bias,
    "full": _full,
    "head": lambda tower, settings: tower,
}


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained update of low rank (Hu et al., ICLR 2022): W x + b + alpha / rank · B A x.

    A is random and B is 0, as peft has them. Dropout is on what A sees. The layer's weights keep the names they had.
    """

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.dropout = nn.Dropout(dropout)
        self.lora_A = nn.Linear(layer.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, layer.out_features, bias=False)
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)
        self.to(layer.weight.device).train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        output = F.linear(x, self.weight, self.bias)
        inner = self.lora_A(self.dropout(x))
        # The gradient of a matrix is computed in the layout that the matrix has, and for this one the other layout
        # is up to eight times as fast on a CPU; addmm scales and adds on the way, without two more passes.
        b = self.lora_B.weight.t().contiguous()
        return torch.addmm(output.flatten(0, -2), inner.flatten(0, -2), b, alpha=self.scale).view_as(output)

    def merged(self) -> nn.Linear:
        """Returns the linear layer with the update in its weight."""
        update = self.scale * self.lora_B.weight.detach() @ self.lora_A.weight.detach()
        return linear_of(self.weight.detach() + update, self.bias)


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

    def __init__(self, block: nn.Module, branch: AdaptFormer) -> None:
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self.adaptformer = branch
        self.train(block.training)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        block: Any = self  # what its parts are, open_clip knows
        normed = block.ln_1(x)
        x = x + block.ls_1(block.attn(normed, normed, normed, need_weights=False, attn_mask=attn_mask)[0])
        return x + block.ls_2(block.mlp(block.ln_2(x))) + block.adaptformer(x)


class AdaptedTimmBlock(nn.Module):
    """A block of timm (Block, EvaBlock) with an AdaptFormer beside its MLP; its weights keep the names they had.

    Raises InputError for a block that adds up otherwise, such as one with its norms behind.
    """

    def __init__(self, block: nn.Module, branch: AdaptFormer) -> None:
        super().__init__()
        if type(block).__name__ not in ("Block", "EvaBlock"):
            raise InputError(
                f"--tune adaptformer: the CLIP model's blocks ({type(block).__name__}) add up in a way of their own; "
                "use lora, bias or full"
            )
        for name, child in block.named_children():
            self.add_module(name, child)
        for name in ("gamma_1", "gamma_2"):  # EvaBlock's, where it has them
            self.register_parameter(name, getattr(block, name, None))
        self.adaptformer = branch
        self.train(block.training)

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        block: Any = self  # what its parts are, timm knows
        x = x + block.drop_path1(self._scaled("1", block.attn(block.norm1(x), **options)))
        return x + block.drop_path2(self._scaled("2", block.mlp(block.norm2(x)))) + block.adaptformer(x)

    def _scaled(self, number: str, x: Tensor) -> Tensor:
        gamma, scale = getattr(self, f"gamma_{number}"), getattr(self, f"ls{number}", None)
        x = x if scale is None else scale(x)
        return x if gamma is None else gamma * x


ADAPTED: dict[str, Callable[[nn.Module, AdaptFormer], nn.Module]] = {
    "transformer.resblocks": AdaptedBlock,
    "trunk.blocks": AdaptedTimmBlock,
}
"""A block with an AdaptFormer, by where the blocks are."""
