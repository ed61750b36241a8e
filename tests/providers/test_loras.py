"""LoRAs as people have them: whose names their weights have, and what is said of weights that are not used."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ltgc_cli.errors import InputError
from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.opened import GenerateOptions
from ltgc_cli.providers.t2i import diffusers as t2i
from ltgc_cli.providers.t2i import loras

ONE = [ImageRequest(model="t2i", text="a photo of 2 cranes.", seed=1, width=32, height=32, steps=2)]
LAYERS = ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.attentions.0.proj_out")


@pytest.fixture(scope="module")
def plain(t2i_folder):
    return t2i.load(str(t2i_folder), device="cpu")


@pytest.fixture
def heard():
    return []


@pytest.fixture
def with_lora(t2i_folder, keep, kept, heard):
    """A function that returns the pixels of an image with a LoRA."""

    def with_lora(lora: Path | str, scale: float | None = None) -> Any:
        options = GenerateOptions(keep=keep, notice=heard.append, lora=str(lora), lora_scale=scale, device="cpu")
        (image,) = t2i.generate_port(str(t2i_folder), options)(ONE)
        loras.look(str(lora))  # what can be used is not refused ahead
        return np.asarray(Image.open(io.BytesIO(kept[image.sha256])), dtype=int)

    return with_lora


@pytest.fixture
def weights(plain):
    """A LoRA of rank 2 on two layers of the UNet: {layer: (A, B)}."""
    generator = torch.Generator().manual_seed(5)
    found = {}
    for layer in LAYERS:
        own = plain.pipeline.unet.get_submodule(layer).weight
        rows, columns = own.shape[0], own.shape[1]
        shapes = [(2, columns, *[1] * (own.ndim - 2)), (rows, 2, *[1] * (own.ndim - 2))]
        found[layer] = tuple(2 * torch.randn(shape, generator=generator) for shape in shapes)
    return found


def saved(path: Path, weights: dict[str, Any], name: str = "unet.{layer}.lora_{side}.weight", **more: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    tensors = {
        name.format(layer=layer, side=side): value.clone()
        for layer, pair in weights.items()
        for side, value in zip("AB", pair, strict=True)
    }
    save_file(tensors | more, path)
    return path


def said(heard: list[str]) -> list[str]:
    """What was told of the LoRA."""
    return [text for text in heard if "--lora" in text]


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.{layer}.lora_{side}.weight",
        "base_model.model.{layer}.lora_{side}.default.weight",
        "{layer}.lora_{side}.weight",
    ],
)
def test_a_lora_under_pefts_own_names_is_the_one_under_diffusers_names(tmp_path, weights, with_lora, heard, name):
    expected = with_lora(saved(tmp_path / "diffusers.safetensors", weights))

    assert (with_lora(saved(tmp_path / "peft.safetensors", weights, name)) == expected).all()
    assert not said(heard)


def test_a_lora_under_kohyas_names_is_the_one_under_diffusers_names_at_its_own_strength(
    tmp_path, weights, with_lora, heard
):
    stronger = {layer: (a, 2 * b) for layer, (a, b) in weights.items()}
    tensors = {}
    for layer, (a, b) in weights.items():
        name = f"lora_unet_{layer.replace('.', '_')}"
        tensors |= {f"{name}.lora_down.weight": a, f"{name}.lora_up.weight": b, f"{name}.alpha": torch.tensor(4.0)}
    save_file(tensors, tmp_path / "kohya.safetensors")

    expected = with_lora(saved(tmp_path / "diffusers.safetensors", stronger))
    assert (with_lora(tmp_path / "kohya.safetensors") == expected).all()
    assert not said(heard)


@pytest.mark.parametrize(
    ("config", "strength"),
    [
        ({"r": 2, "lora_alpha": 6}, (3, 3)),
        ({"r": 2, "lora_alpha": 4, "use_rslora": True}, (4 / 2**0.5, 4 / 2**0.5)),
        ({"r": 8, "lora_alpha": 4, "rank_pattern": {"to_q": 2}, "alpha_pattern": {"to_q": 1}}, (0.5, 0.5)),
    ],
)
def test_pefts_config_beside_its_weights_says_how_strong_they_are(tmp_path, weights, with_lora, config, strength):
    scaled = {layer: (a, by * b) for (layer, (a, b)), by in zip(weights.items(), strength, strict=True)}
    pefts = saved(
        tmp_path / "peft" / "adapter_model.safetensors", weights, "base_model.model.{layer}.lora_{side}.weight"
    )
    (pefts.parent / "adapter_config.json").write_text(json.dumps(config))

    expected = with_lora(saved(tmp_path / "diffusers.safetensors", scaled))
    assert abs(with_lora(pefts) - expected).max() <= 1


def test_the_strength_in_pefts_config_is_part_of_the_name_in_keys(tmp_path, weights):
    pefts = saved(
        tmp_path / "peft" / "adapter_model.safetensors", weights, "base_model.model.{layer}.lora_{side}.weight"
    )
    bare = loras.identity(str(pefts))
    (pefts.parent / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 6}')

    assert loras.identity(str(pefts)) == loras.identity(str(pefts.parent)) != bare
    assert loras.identity(str(pefts)).startswith(bare)
    plain = saved(tmp_path / "peft" / "adapter_model.safetensors", weights)
    assert loras.identity(str(plain)).count("@") == 1  # diffusers' names: nobody reads the config


def test_weights_that_fit_no_layer_are_counted_once(tmp_path, weights, with_lora, heard):
    unknown = {f"nowhere.{layer}": pair for layer, pair in weights.items()}
    file = saved(tmp_path / "half.safetensors", {**weights, **unknown})

    assert (with_lora(file) == with_lora(saved(tmp_path / "whole.safetensors", weights))).all()
    (notice,) = said(heard)
    assert f"--lora {file}: 4 of 8 weights fit no layer of" in notice and "was it made for this model?" in notice


@pytest.mark.parametrize("part", ["text_encoder_2", "transformer"])
def test_weights_of_a_part_that_the_model_lacks_are_counted(tmp_path, weights, with_lora, heard, part):
    other = {f"{part}.encoder.layers.9.self_attn.q_proj.lora_{side}.weight": torch.ones(2, 2) for side in "AB"}
    file = saved(tmp_path / "with_another.safetensors", weights, **other)

    with_lora(file)
    assert ["2 of 6 weights fit no layer" in text for text in said(heard)] == [True]


@pytest.mark.parametrize(
    "name", ["unet.nowhere.{layer}.lora_{side}.weight", "base_model.model.x.{layer}.lora_{side}.weight"]
)
def test_a_lora_of_which_nothing_fits_is_refused(tmp_path, weights, with_lora, name):
    file = saved(tmp_path / "other.safetensors", weights, name)

    with pytest.raises((InputError, t2i.ProviderError), match=r"--lora .*other.safetensors (does not fit|cannot be)"):
        with_lora(file)


@pytest.mark.parametrize("name", ["text_encoder.x.layers.9.nowhere", "text_encoder.encoder.layers.9.self_attn.q_proj"])
def test_a_lora_whose_whole_text_encoder_fits_nothing_is_refused_in_words(tmp_path, weights, with_lora, name):
    other = {f"{name}.lora_{side}.weight": torch.ones(2, 2) for side in "AB"}
    file = saved(tmp_path / "other.safetensors", weights, **other)

    with pytest.raises(InputError, match="does not fit .*: a part of its weights has names of no layer"):
        with_lora(file)


def test_dora_scales_that_diffusers_does_not_read_are_told(tmp_path, weights, with_lora, heard):
    scales = {f"unet.{layer}.dora_scale": torch.ones(1) for layer in weights}
    file = saved(tmp_path / "dora.safetensors", weights, **scales)

    assert (with_lora(file) == with_lora(saved(tmp_path / "lora.safetensors", weights))).all()
    assert [text.partition(": its ")[2][:31] for text in said(heard)] == ["DoRA scales are not used, which"]


def test_dora_as_peft_names_it_is_used(tmp_path, weights, plain, with_lora, heard):
    lengths = {
        f"unet.{layer}.lora_magnitude_vector": 2
        * plain.pipeline.unet.get_submodule(layer).weight.detach().flatten(1).norm(dim=1)
        for layer in LAYERS[:1]
    }
    file = saved(tmp_path / "dora.safetensors", {LAYERS[0]: weights[LAYERS[0]]}, **lengths)

    dora = with_lora(file)
    assert not said(heard)
    assert (dora != with_lora(saved(tmp_path / "lora.safetensors", {LAYERS[0]: weights[LAYERS[0]]}))).any()


def test_a_lora_of_the_text_encoder_under_pefts_names_is_found_its_place(tmp_path, plain, weights, with_lora, heard):
    layer = "encoder.layers.0.self_attn.q_proj"
    text = {layer: (torch.ones(2, 16), torch.ones(16, 2))}
    expected = with_lora(saved(tmp_path / "a.safetensors", text, "text_encoder.{layer}.lora_{side}.weight"))
    for name in (
        "base_model.model.{layer}.lora_{side}.weight",
        "base_model.model.text_model.{layer}.lora_{side}.weight",
    ):
        assert (with_lora(saved(tmp_path / "b.safetensors", text, name)) == expected).all()
    assert not said(heard)


def test_a_strength_multiplies_what_the_lora_changes(with_lora, tmp_path, weights):
    whole = saved(tmp_path / "whole.safetensors", weights)
    half = saved(tmp_path / "half.safetensors", {layer: (a, b / 2) for layer, (a, b) in weights.items()})
    none = saved(tmp_path / "none.safetensors", {layer: (a, 0 * b) for layer, (a, b) in weights.items()})

    assert (with_lora(whole, 1.0) == with_lora(whole)).all()
    assert abs(with_lora(whole, 0.5) - with_lora(half)).max() <= 1 < abs(with_lora(whole) - with_lora(half)).max()
    assert abs(with_lora(whole, 0.0) - with_lora(none)).max() <= 1


def test_a_strength_is_part_of_the_name_where_one_is_set(tmp_path, weights):
    lora = str(saved(tmp_path / "whole.safetensors", weights))
    assert t2i.identity("a/b", lora, "float16", lora_scale=0.5) == f"a/b + {loras.identity(lora)} at 0.5 (float16)"
    assert t2i.identity("a/b", lora) == f"a/b + {loras.identity(lora)}"


def test_a_lora_that_is_damaged_is_refused_in_one_line(tmp_path, weights, with_lora):
    def refused(name, **more):
        with pytest.raises(InputError, match=rf"^--lora {tmp_path}/{name} does not fit .*; name another one, or adapt"):
            with_lora(saved(tmp_path / name, weights, **more))

    a = f"unet.{LAYERS[0]}.lora_A.weight"
    refused("nan.safetensors", **{a: torch.full_like(weights[LAYERS[0]][0], float("nan"))})
    refused("shape.safetensors", **{a: torch.ones(2, 3)})
    refused("half.safetensors", **{"unet.conv_in.lora_A.weight": torch.ones(2, 2, 1, 1)})
    refused("whole.safetensors", **{a: torch.ones(weights[LAYERS[0]][0].shape, dtype=torch.int64)})
    (tmp_path / "junk.safetensors").write_bytes(b"junk" * 9)
    with pytest.raises(InputError, match="^--lora .*junk.safetensors does not fit .*; name another one"):
        with_lora(tmp_path / "junk.safetensors")


def test_what_adapt_wrote_for_this_very_model_fits_it_whole_or_is_refused(tmp_path, weights, with_lora):
    other = {f"unet.nowhere.lora_{side}.weight": torch.ones(2, 2) for side in "AB"}
    file = saved(tmp_path / "a.safetensors", weights, **other)
    (tmp_path / "done.json").write_text("{}")
    with pytest.raises(InputError, match="2 of its 6 weights fit no layer; adapt again"):
        with_lora(file)


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"mid.weight": torch.ones(2)}, "none of its weights is one of a LoRA"),
        ({"unet.mid.lora_A.weight": torch.ones(2, 2)}, "it has unet.mid.lora_A.weight and no unet.mid.lora_B.weight"),
        (
            {f"unet.mid.lora_{side}.weight": torch.ones(2, 2, dtype=torch.int64) for side in "AB"},
            "unet.mid.lora_[AB].weight is of I64, which are no weights",
        ),
    ],
)
def test_a_header_that_is_none_of_a_lora_is_told_before_anything_is_loaded(tmp_path, tensors, why):
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=f"a.safetensors: {why}; name another one, or adapt again"):
        loras.look(str(tmp_path / "a.safetensors"))


def test_a_whole_number_for_a_strength_is_no_obstacle(tmp_path, weights):
    strength = {"unet.mid_block.alpha": torch.tensor(4)}
    loras.look(str(saved(tmp_path / "a.safetensors", weights, **strength)))


@pytest.mark.parametrize("spec", ["embedded", "folder"])
def test_a_scheduler_is_told_to_fit_a_model_or_not_by_its_configs_alone(t2i_folder, monkeypatch, spec):
    monkeypatch.setattr(t2i.pipelines, "load", None)
    model = str(t2i_folder) if spec == "folder" else spec
    t2i.look(model, None, "EulerDiscreteScheduler", None)
    with pytest.raises(InputError, match="--scheduler NoneSuch is not for this model; these are: DDIM"):
        t2i.look(model, None, "NoneSuch", None)
