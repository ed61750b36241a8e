"""A tiny Stable Diffusion in one file, under the names that the first program of the kind (ldm) gave its weights.

The inverse of what diffusers does in `from_single_file`, for a UNet with one layer a block and the first text encoder.
Import nothing of this before `mend_torchvision()`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
_VAE = (
    (r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
    (r"conv_shortcut", "nin_shortcut"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
)


def weights(pipeline: Any) -> dict[str, Tensor]:
    """Returns all weights of a pipeline under ldm's names."""
    unet, vae, text = (part.state_dict() for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder))
    found = {f"model.diffusion_model.{_of_unet(name)}": value for name, value in unet.items()}
    blocks = len(pipeline.vae.config.up_block_types)
    found |= {f"first_stage_model.{_of_vae(name, blocks)}": value for name, value in vae.items()}
    found |= {
        f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}": value
        for name, value in text.items()
    }
    return {name: value.contiguous().clone() for name, value in found.items()}


def _of_unet(name: str) -> str:
    table: Mapping[str, str] = DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"]
    if name in table:
        return table[name]
    for ours, theirs in _RESNET.items():
        name = re.sub(rf"(resnets\.\d\.){ours}\.", rf"\1{theirs}.", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"middle_block.{2 * int(m[1])}", name)
    name = name.replace("mid_block.attentions.0", "middle_block.1")
    # One layer a block: two places each on the way down, the second of which is smaller; two on the way up.
    name = re.sub(r"down_blocks\.(\d)\.resnets\.0", lambda m: f"input_blocks.{1 + 2 * int(m[1])}.0", name)
    name = re.sub(r"down_blocks\.(\d)\.attentions\.0", lambda m: f"input_blocks.{1 + 2 * int(m[1])}.1", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.conv", lambda m: f"input_blocks.{2 + 2 * int(m[1])}.0.op", name)
    places = {"resnets": 0, "attentions": 1}
    name = re.sub(
        r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)",
        lambda m: f"output_blocks.{2 * int(m[1]) + int(m[3])}.{places[m[2]]}",
        name,
    )
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.conv", lambda m: f"output_blocks.{2 * int(m[1]) + 1}.2.conv", name)


def _of_vae(name: str, blocks: int) -> str:
    table: Mapping[str, str] = DIFFUSERS_TO_LDM_MAPPING["vae"]
    if name in table:
        return table[name]
    for ours, theirs in _VAE:
        name = re.sub(ours, theirs, name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{blocks - 1 - int(m[1])}.block.{m[2]}", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{blocks - 1 - int(m[1])}.upsample", name)
