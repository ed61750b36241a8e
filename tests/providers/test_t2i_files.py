"""Models' files as people have them: half precision alone, parts that are missing, all in one file."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.opened import GenerateOptions
from ltgc_cli.providers.t2i import diffusers as t2i

ONE = [ImageRequest(model="t2i", text="a photo of 2 cranes.", seed=1, width=32, height=32, steps=2, guidance=2.0)]
UNET = "diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may go to the hub, and what would says so at once."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def heard():
    return []


@pytest.fixture
def pixels(keep, kept, heard):
    """A function that returns the pixels of an image of a model."""

    def pixels(spec: Path, **options: Any) -> Any:
        options |= {"keep": keep, "notice": heard.append, "device": "cpu"}
        (image,) = t2i.open_port(str(spec), GenerateOptions(**options)).port(ONE)
        return np.asarray(Image.open(io.BytesIO(kept[image.sha256])), dtype=int)

    return pixels


@pytest.fixture
def expected(pixels, t2i_folder, heard):
    found = pixels(t2i_folder)
    heard.clear()
    return found


@pytest.fixture
def folder(tmp_path, t2i_folder):
    return shutil.copytree(t2i_folder, tmp_path / "model")


def renamed(part: Path, variant: str) -> None:
    """Gives a part's weights the name of a variant."""
    for file in part.glob("*.safetensors"):
        file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))


def told(heard: list[str]) -> list[str]:
    """What was told besides the settings in use."""
    return [text for text in heard if " steps, " not in text]


# ---- folders


@pytest.mark.parametrize("variant", ["bf16", "fp16", "non_ema", "fp32.mine"])
def test_weights_that_are_there_in_one_variant_alone_are_read(folder, pixels, expected, variant, heard):
    for part in ("unet", "vae", "text_encoder"):
        renamed(folder / part, variant)

    assert (pixels(folder) == expected).all() and not told(heard)


def test_each_part_is_read_in_the_variant_that_it_has(folder, pixels, expected):
    renamed(folder / "unet", "non_ema")
    renamed(folder / "text_encoder", "bf16")

    assert (pixels(folder) == expected).all()


def test_of_several_variants_half_precision_comes_before_ema_and_that_before_non_ema(folder, pixels, expected):
    plain = folder / "unet" / UNET
    other = {name: value * 1.5 for name, value in load_file(plain).items()}
    for first, second in (("fp16", "bf16"), ("bf16", "non_ema"), ("ema", "non_ema")):
        shutil.copy(plain, folder / "unet" / f"diffusion_pytorch_model.{first}.safetensors")
        save_file(other, folder / "unet" / f"diffusion_pytorch_model.{second}.safetensors", {"format": "pt"})
        hidden = plain.rename(folder / "hidden")
        assert (pixels(folder) == expected).all()
        hidden.rename(plain)
        for file in (folder / "unet").glob(f"*.{first}.*"):
            file.unlink()


def test_weights_in_several_files_are_read_in_their_variant(folder, pixels, expected):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    (folder / "unet" / UNET).unlink()
    unet.save_pretrained(folder / "unet", max_shard_size="20KB", variant="bf16")

    assert len(list((folder / "unet").glob("*.bf16-0000*.safetensors"))) > 1
    assert (pixels(folder) == expected).all()


def test_weights_that_are_pickled_are_read_as_numbers_alone(folder, pixels, expected, tmp_path):
    for file in folder.glob("*/*.safetensors"):
        name = "pytorch_model" if file.stem == "model" else file.stem
        torch.save(load_file(file), file.with_name(f"{name}.bin"))
        file.unlink()
    assert (pixels(folder) == expected).all()

    class Harm:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "harmed",)

    torch.save({"conv_in.weight": Harm()}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ProviderError, match="cannot be loaded"):
        pixels(folder)
    assert not (tmp_path / "harmed").exists()


def named(folder: Path, **parts: Any) -> None:
    """Adds parts to what a model's folder says that it has."""
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | parts))


SAFETY = {
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "requires_safety_checker": True,
}


def test_a_safety_checker_that_the_folder_lacks_is_left_out_with_a_word(folder, pixels, expected, heard):
    named(folder, safety_checker=SAFETY["safety_checker"], requires_safety_checker=True)

    assert (pixels(folder) == expected).all()
    assert told(heard) == ["model has no safety_checker, which its model_index.json names: no image is held back"]


def test_a_safety_checker_without_weights_or_eyes_is_left_out_too(folder, pixels, expected, heard):
    named(folder, **SAFETY)
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "config.json").write_text("{}")

    assert (pixels(folder) == expected).all()
    assert [text.partition(",")[0] for text in told(heard)] == [
        "model has no feature_extractor",
        "model has no safety_checker",
    ]


def test_a_part_that_the_model_needs_is_missed(folder, pixels):
    shutil.rmtree(folder / "vae")

    with pytest.raises(ProviderError, match="cannot be loaded: .*no file named config.json.*; check the name, the"):
        pixels(folder)


def test_weights_that_are_missing_and_those_that_fit_nothing_are_told(folder, pixels, heard):
    file = folder / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    gone = next(name for name in weights if name.endswith("layer_norm1.weight"))
    more = {"nobody.weight": torch.zeros(2), "text_model.embeddings.position_ids": torch.zeros(2)}
    save_file({name: value for name, value in weights.items() if name != gone} | more, file, {"format": "pt"})
    unet = load_file(folder / "unet" / UNET)
    save_file({**unet, "nowhere.bias": torch.zeros(2)}, folder / "unet" / UNET, {"format": "pt"})

    pixels(folder)
    lacks, text, unet = sorted(told(heard), key=lambda one: ("UNet" in one, "lack" not in one))
    assert "its files lack 1 weight of its CLIPTextModel" in lacks and "images may be noise" in lacks
    assert "1 weight in its files fit nothing in its CLIPTextModel (nobody.weight)" in text
    assert "1 weight in its files fit nothing in its UNet2DConditionModel (nowhere.bias)" in unet


# ---- single files


@pytest.fixture
def single(tmp_path, t2i_folder):
    """A function that writes the model in one file, and returns the file."""
    import single_file

    pipeline = t2i.load(str(t2i_folder), device="cpu").pipeline

    def single(name: str = "tiny.safetensors", metadata: dict[str, str] | None = None, **more: Any) -> Path:
        save_file(single_file.weights(pipeline) | more, tmp_path / name, metadata)
        return tmp_path / name

    return single


@pytest.fixture
def configs(tmp_path, t2i_folder):
    """A folder with the model's configs and no weights."""
    return Path(
        shutil.copytree(t2i_folder, tmp_path / "configs", ignore=shutil.ignore_patterns("*.safetensors", "*.bin"))
    )


def test_a_model_in_a_single_file_generates_what_its_folder_does(single, configs, pixels, expected, heard):
    assert (pixels(single(), t2i_config=str(configs)) == expected).all()
    assert not told(heard)


def test_a_single_files_name_in_keys_is_what_it_and_its_configs_hold_and_never_where_they_lie(
    single, configs, tmp_path
):
    file = single()
    name = t2i.identity(str(file), config=str(configs))
    moved = file.rename(tmp_path / "moved.safetensors"), configs.rename(tmp_path / "elsewhere")

    assert t2i.identity(str(moved[0]), config=str(moved[1])) == name
    assert name.startswith("t2i@") and " + config@" in name and str(tmp_path) not in name
    (moved[1] / "scheduler" / "scheduler_config.json").write_text("{}")
    assert t2i.identity(str(moved[0]), config=str(moved[1])) != name
    assert t2i.identity(str(moved[0])) == name.partition(" + ")[0]
    assert t2i.identity(str(moved[0]), config="owner/name").endswith(" + config:owner/name")


def test_without_its_configs_at_hand_one_line_says_whose_are_wanted_and_what_to_do(single, pixels):
    with pytest.raises(
        ProviderError,
        match=r"tiny.safetensors has the weights of a [\w/-]*stable-diffusion-v1-5, whose configs are not here .*"
        r"--t2i-config FOLDER",
    ) as raised:
        pixels(single())
    assert "\n" not in str(raised.value)


def test_configs_that_are_no_folder_and_not_to_be_had_are_an_error(single, configs, pixels):
    with pytest.raises(ProviderError, match=r"--t2i-config owner/name names no folder and is not to be had"):
        pixels(single(), t2i_config="owner/name")
    with pytest.raises(InputError, match="--t2i-config no-such-folder: no such folder, and no id on the hub"):
        pixels(single(), t2i_config="no-such-folder")
    (configs / "model_index.json").unlink()
    with pytest.raises(ProviderError, match="no folder of a diffusers model"):
        pixels(single(), t2i_config=str(configs))


def test_configs_of_another_kind_of_model_are_an_error_in_one_line(single, sdxl_folder, flux_folder, pixels):
    for other in (sdxl_folder, flux_folder):
        with pytest.raises((ProviderError, InputError), match="--t2i-config is of its kind") as raised:
            pixels(single(), t2i_config=str(other))
        assert "\n" not in str(raised.value)


def test_configs_are_for_a_single_file_alone(t2i_folder, configs):
    for spec in (str(t2i_folder), "embedded", "owner/name"):
        with pytest.raises(InputError, match="--t2i-config is for a .safetensors file; .*: leave it out"):
            t2i.identity(spec, config=str(configs))


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
def test_a_pickled_model_is_refused_and_never_read(tmp_path, suffix):
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"not read")

    with pytest.raises(InputError, match=r"is a pickle, which runs code .*; use the model's .safetensors file"):
        t2i.identity(str(file))


@pytest.mark.parametrize("spec", ["models/none.safetensors", "none.safetensors", "none.ckpt"])
def test_a_file_that_is_not_there_is_no_id_on_the_hub(spec):
    with pytest.raises(InputError, match="no such file; write embedded, .* or a FILE.safetensors with a whole model"):
        t2i.identity(spec)


def test_a_file_that_is_no_whole_model_is_an_input_error(tmp_path, single, configs, pixels):
    save_file({"unet.a.lora_A.weight": torch.zeros(2)}, tmp_path / "lora.safetensors")
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "half.safetensors").write_bytes(single().read_bytes()[:1000])

    for name, said in (
        ("lora", "lora.safetensors is a LoRA, no whole model; name it by --lora"),
        ("other", r"holds no text-to-image model that diffusers knows by its weights' names \(encoder.weight, …\)"),
        ("half", r"half.safetensors is no whole .safetensors file \(.*\); get it anew"),
    ):
        with pytest.raises(InputError, match=said):
            pixels(tmp_path / f"{name}.safetensors")


def test_weights_that_the_file_lacks_are_an_error(single, configs, pixels):
    file = single()
    weights = load_file(file)
    del weights["model.diffusion_model.out.2.weight"]
    save_file(weights, file)

    with pytest.raises(
        ProviderError, match="tiny.safetensors cannot be loaded: weights are missing in its files; check that"
    ):
        pixels(file, t2i_config=str(configs))


def test_a_single_file_has_no_safety_checker_which_is_told(single, configs, pixels, expected, heard):
    named(configs, safety_checker=SAFETY["safety_checker"])

    assert (pixels(single(), t2i_config=str(configs)) == expected).all()
    assert told(heard) == ["tiny.safetensors has no safety_checker: no image is held back"]


@pytest.mark.parametrize(
    ("more", "metadata"),
    [({"v_pred": torch.zeros(0)}, None), ({}, {"modelspec.prediction_type": "v"})],
)
def test_weights_that_predict_v_are_used_so_whatever_the_configs_say(single, configs, more, metadata):
    loaded = t2i.load(str(single(metadata=metadata, **more)), config=str(configs), device="cpu")
    assert loaded.scheduler.config.prediction_type == "v_prediction"
    assert t2i.load(str(single()), config=str(configs), device="cpu").scheduler.config.prediction_type == "epsilon"


def test_the_steps_that_the_folder_of_configs_names_are_taken(single, configs):
    assert t2i.load(str(single()), config=str(configs), device="cpu").defaults.steps == 4
