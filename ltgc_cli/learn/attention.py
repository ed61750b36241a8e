"""Attention, taken apart into plain Linears and put together again.

open_clip's blocks hold an `nn.MultiheadAttention`, on which peft applies the update of the output projection twice.
So a vision tower that is tuned has its attention taken apart (`unfuse`), and what is exported is put together again
(`fuse`), so that plain open_clip loads it. timm's blocks (SigLIP, EVA, …) hold one Linear for q, k and v, in which a
LoRA would share its A among the three: it is taken apart too. The text tower is never touched, nor is what pools the
tokens behind the last block (SigLIP's attention pool).
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltgc_cli.errors import InputError


class SplitAttention(nn.Module):
    """Self-attention with one Linear each for q, k, v and out; equal to the nn.MultiheadAttention it was made from.

    Called as open_clip's blocks call theirs: returns (output, None), output [batch, length, width].
    """

    def __init__(self, fused: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = fused.num_heads
        self.batch_first = fused.batch_first
        self.dropout = fused.dropout
        weights = cast(Tensor, fused.in_proj_weight).chunk(3)
        biases = (None, None, None) if fused.in_proj_bias is None else fused.in_proj_bias.chunk(3)
        self.q, self.k, self.v = (linear_of(weight, bias) for weight, bias in zip(weights, biases, strict=True))
        self.out = linear_of(fused.out_proj.weight, fused.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        projected = self.q(query), self.k(key), self.v(value)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in projected)  # [batch, heads, length, …]
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, _mask(attn_mask, self.heads), dropout)
        output = self.out(attended.transpose(1, 2).flatten(2))
        return (output if self.batch_first else output.transpose(0, 1)), None

    def fused(self) -> nn.MultiheadAttention:
        """Returns the nn.MultiheadAttention with the same weights."""
        weight, bias = self.q.weight, self.q.bias is not None
        options: dict[str, Any] = {"batch_first": self.batch_first, "device": weight.device, "dtype": weight.dtype}
        whole = nn.MultiheadAttention(weight.shape[1], self.heads, self.dropout, bias, **options)
        whole.out_proj.load_state_dict(self.out.state_dict())
        with torch.no_grad():
            whole.in_proj_weight.copy_(torch.cat([self.q.weight, self.k.weight, self.v.weight]))
            if bias:
                whole.in_proj_bias.copy_(torch.cat([self.q.bias, self.k.bias, self.v.bias]))
        return whole.requires_grad_(weight.requires_grad).train(self.training)


class SplitQkv(nn.Module):
    """One Linear each for q, k and v, in the place of the one that a timm attention has for all three.

    Called as that: tokens [batch, length, width] to [batch, length, 3 · width], q first.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        of: Any = attention
        apart = (of.q_bias, None, of.v_bias) if getattr(of, "q_bias", None) is not None else (None, None, None)
        biases = apart if of.qkv.bias is None else of.qkv.bias.chunk(3)  # EVA's has its biases beside it, k has none
        weights = of.qkv.weight.chunk(3)
        self.q, self.k, self.v = (linear_of(weight, bias) for weight, bias in zip(weights, biases, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1)


def split_qkv(visual: nn.Module) -> None:
    """Takes apart, in place, what a tower of timm has for q, k and v together."""
    for block in blocks(visual):
        attention: Any = block.attn
        if isinstance(getattr(attention, "qkv", None), nn.Linear):
            attention.qkv = SplitQkv(attention).train(attention.training)
            if getattr(attention, "q_bias", None) is not None:
                attention.q_bias = attention.v_bias = None


def _fuse_qkv(attention: Any) -> None:
    """Puts q, k and v together again, in place: the inverse of SplitQkv."""
    split = attention.qkv
    parts = [split.q, split.k, split.v]
    beside = split.q.bias is not None and split.k.bias is None
    whole = not beside and split.q.bias is not None
    fused = linear_of(torch.cat([part.weight for part in parts]), torch.cat([p.bias for p in parts]) if whole else None)
    attention.qkv = fused.requires_grad_(split.q.weight.requires_grad).train(split.training)
    if beside:
        attention.q_bias, attention.v_bias = split.q.bias, split.v.bias


def unfuse(visual: nn.Module) -> nn.Module:
    """Returns a copy of a vision tower with its attention taken apart. Raises InputError where it has none such."""
    visual = copy.deepcopy(visual)
    for block in plain_blocks(visual):
        if isinstance(block.attn, nn.MultiheadAttention):
            block.attn = SplitAttention(block.attn).train(block.training)
    split_qkv(visual)
    return visual


def fuse(visual: nn.Module) -> nn.Module:
    """Returns a copy of a vision tower with its attention put together again: the inverse of unfuse.

    A tower that was never taken apart comes back as it is.
    """
    visual = copy.deepcopy(visual)
    for block in blocks(visual):
        attention: Any = block.attn
        if isinstance(attention, SplitAttention):
            block.attn = attention.fused()
        elif isinstance(getattr(attention, "qkv", None), SplitQkv):
            _fuse_qkv(attention)
    return visual


def blocks(visual: nn.Module) -> list[nn.Module]:
    """Returns the transformer blocks of a vision tower, the lowest first; of another kind of tower, none."""
    return list(visual.get_submodule(place)) if (place := place_of(visual)) else []  # type: ignore[call-overload]


def place_of(visual: nn.Module) -> str:
    """Returns the name of what holds the blocks of a vision tower: of open_clip's own, of timm's; "" of any other."""
    for place in ("transformer.resblocks", "trunk.blocks"):
        holder: Any = visual
        for name in place.split("."):
            holder = getattr(holder, name, None)
        # Some towers of timm have stages of other things under this name.
        if isinstance(holder, nn.Module) and all(hasattr(block, "attn") for block in holder.children()):
            return place
    return ""


def plain_blocks(visual: nn.Module) -> list[nn.Module]:
    """Returns the blocks of a vision tower. Raises InputError where their attention is none that can be taken apart."""
    found = blocks(visual)
    if not found or not all(map(_is_plain, found)):
        raise InputError(
            f"the CLIP model's vision tower ({_kind(visual)}) has no plain transformer blocks; use a ViT model of "
            "open_clip, such as ViT-B-32 or ViT-B-16-SigLIP, or tune the head alone or the whole tower (head, full)"
        )
    return found


def _is_plain(block: Any) -> bool:
    attention = block.attn
    if isinstance(attention, nn.MultiheadAttention):
        return attention.in_proj_weight is not None
    parts = [getattr(attention, name, None) for name in ("q_proj", "k_proj", "v_proj", "proj")]
    fused = [getattr(attention, "qkv", None), parts[-1]]
    return any(all(isinstance(part, nn.Linear) for part in each) for each in (parts, fused))


def _kind(visual: nn.Module) -> str:
    trunk = getattr(visual, "trunk", None)
    return type(visual).__name__ if trunk is None else f"{type(visual).__name__}, {type(trunk).__name__}"


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Returns the linear layer with copies of these; they are trained where the originals are."""
    rows, columns = weight.shape
    linear = nn.Linear(columns, rows, bias=bias is not None, device="meta", dtype=weight.dtype)
    linear.weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
    return linear


def _mask(mask: Tensor | None, heads: int) -> Tensor | None:
    """Returns a mask as scaled_dot_product_attention takes it: there, True means "takes part"."""
    if mask is not None and mask.ndim == 3:
        mask = mask.view(-1, heads, *mask.shape[1:])
    return ~mask if mask is not None and mask.dtype == torch.bool else mask
