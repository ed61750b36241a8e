from __future__ import annotations

from typing import Any

import pytest
import torch
from classifiers import images
from torch import nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn.attention import SplitAttention, blocks, fuse, unfuse
from ltgc_cli.providers.clip.open_clip import Loaded


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mask", ["none", "float", "bool", "by head"])
def test_split_attention_equals_multihead_attention(batch_first: bool, bias: bool, mask: str) -> None:
    torch.manual_seed(0)
    whole = nn.MultiheadAttention(16, 4, bias=bias, batch_first=batch_first).eval()
    nn.init.normal_(whole.out_proj.weight)
    x = torch.randn(2, 5, 16) if batch_first else torch.randn(5, 2, 16)
    later = torch.ones(5, 5).triu(1).bool()
    attn_mask: Any = {
        "none": None,
        "float": torch.zeros(5, 5).masked_fill(later, float("-inf")),
        "bool": later,
        "by head": torch.randn(8, 5, 5),
    }[mask]
    expected = whole(x, x, x, need_weights=False, attn_mask=attn_mask)[0]
    split = SplitAttention(whole)
    assert torch.allclose(split(x, x, x, need_weights=False, attn_mask=attn_mask)[0], expected, atol=1e-6)
    again = split.fused()(x, x, x, need_weights=False, attn_mask=attn_mask)[0]
    assert torch.equal(again, expected)


def test_a_tower_gives_the_same_features_taken_apart_and_is_itself_again_when_fused(clip: Loaded) -> None:
    tower = clip.model.visual
    split = unfuse(tower)
    assert torch.allclose(split(images()), tower(images()), atol=1e-6)
    assert isinstance(tower.transformer.resblocks[0].attn, nn.MultiheadAttention), "the model that came in was changed"
    back = fuse(split).state_dict()
    assert back.keys() == tower.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in tower.state_dict().items())


def test_fusing_leaves_alone_what_was_never_taken_apart(clip: Loaded) -> None:
    assert type(blocks(fuse(clip.model.visual))[0].attn) is nn.MultiheadAttention
    assert blocks(fuse(nn.Linear(2, 2))) == []


@pytest.mark.parametrize("kind", ["resnet", "fused differently", "no blocks"])
def test_a_vision_tower_without_plain_blocks_is_refused(kind: str) -> None:
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transformer import VisionTransformer

    towers: dict[str, Any] = {
        "resnet": lambda: ModifiedResNet((1, 1, 1, 1), 8, 2, image_size=32, width=8),
        "fused differently": lambda: VisionTransformer(32, 16, 32, 1, 4, 4.0, output_dim=8, qk_norm=True),
        "no blocks": lambda: nn.Linear(2, 2),
    }
    with pytest.raises(InputError, match=r"has no plain transformer blocks; .* \(head, full\)"):
        unfuse(towers[kind]())
