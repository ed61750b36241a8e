"""What a model is drawn with: pipelines are fakes that say of themselves what the real ones say."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.t2i.model_settings import (
    DEFAULTS,
    Defaults,
    arguments,
    defaults,
    described,
    few_steps,
    negatives,
    size,
)

LEADING = {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading", "prediction_type": "epsilon"}
TRAILING = {**LEADING, "_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}
ZERO_SNR = {**TRAILING, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": False}


def drawing(**settings) -> ImageRequest:
    return ImageRequest(model="m", text="a", seed=1, **settings)


def pipeline(name: str, call, scheduler: dict | None = None, **parts):
    """Returns a fake of the pipeline class `name`."""
    fake = type(name, (), {"__call__": call})()
    vars(fake).update(scheduler=SimpleNamespace(config=scheduler or {}), **parts)
    return fake


def sd(scheduler: dict | None = None, name: str = "StableDiffusionPipeline", **config):
    def call(
        self, prompt, generator, height=None, width=None, num_inference_steps=50, guidance_scale=7.5,
        negative_prompt=None,
    ): ...  # fmt: skip

    unet = SimpleNamespace(config={"sample_size": 64, **config})
    return pipeline(name, call, scheduler, unet=unet, vae_scale_factor=8)


def sdxl(scheduler: dict | None = None, **config):
    return sd(scheduler, "StableDiffusionXLPipeline", **config)


def flux(scheduler: dict, **config):
    def call(
        self, prompt, generator, negative_prompt=None, true_cfg_scale=1.0, height=None, width=None,
        num_inference_steps=28, guidance_scale=3.5,
    ): ...  # fmt: skip

    transformer = SimpleNamespace(config=config)
    return pipeline(
        "FluxPipeline", call, scheduler, transformer=transformer, default_sample_size=128, vae_scale_factor=8
    )


def qwen():
    def call(
        self, prompt, generator, negative_prompt=None, true_cfg_scale=4.0, height=None, width=None,
        num_inference_steps=50, guidance_scale=None,
    ): ...  # fmt: skip

    return pipeline("QwenImagePipeline", call)


@pytest.mark.parametrize(
    ("fake", "name", "steps", "guidance"),
    [
        (sd(), "stabilityai/sd-turbo", 1, 0.0),
        (sdxl(TRAILING), "stabilityai/sdxl-turbo", 1, 0.0),
        (sd(name="StableDiffusion3Pipeline"), "stabilityai/stable-diffusion-3.5-large-turbo", 4, 0.0),
        (sdxl(LEADING), "someone/sdxl-lightning", 4, 0.0),
        (flux(FLOW, guidance_embeds=False), "black-forest-labs/FLUX.1-schnell", 4, 0.0),
        (sd(name="ZImagePipeline"), "Tongyi-MAI/Z-Image-Turbo", 9, 0.0),
        # In a folder a model has no name; what it says of itself must do.
        (sdxl(TRAILING), "", 4, 0.0),
        (flux(FLOW, guidance_embeds=False), "", 4, 0.0),
        (sd({"_class_name": "LCMScheduler"}), "", 4, 1.0),
        (sdxl({"_class_name": "LCMScheduler"}, time_cond_proj_dim=256), "", 4, 8.0),
    ],
)
def test_a_model_of_few_steps_generates_with_its_own(fake, name, steps, guidance):
    assert few_steps(fake, name) == Defaults(steps=steps, guidance=guidance)


@pytest.mark.parametrize(
    ("fake", "name"),
    [
        (sd(), "stable-diffusion-v1-5/stable-diffusion-v1-5"),
        (sdxl(LEADING), "stabilityai/stable-diffusion-xl-base-1.0"),
        (sdxl(LEADING), "someone/dreamshaper-xl-turbo"),  # of few steps, but with guidance: its card says how
        (sd(ZERO_SNR), ""),
        (flux(FLOW | {"use_dynamic_shifting": True}, guidance_embeds=True), "black-forest-labs/FLUX.1-dev"),
        (sd({"_class_name": "LCMScheduler"}, "LatentConsistencyModelPipeline"), "SimianLuo/LCM_Dreamshaper_v7"),
    ],
)
def test_any_other_model_generates_with_its_pipelines_defaults(fake, name):
    assert few_steps(fake, name) == Defaults()


def test_the_models_folder_decides_over_what_is_known_of_it(tmp_path):
    (tmp_path / DEFAULTS).write_text('{"steps": 2, "width": 256}')

    assert defaults(sdxl(TRAILING), "", tmp_path) == Defaults(steps=2, guidance=0.0, width=256)


def test_a_folder_is_known_by_the_id_that_its_files_name_and_not_by_where_it_lies(tmp_path):
    folder = tmp_path / "sdxl-turbo"
    (folder / "unet").mkdir(parents=True)
    assert defaults(sdxl(LEADING), "", folder) == Defaults()

    (folder / "unet" / "config.json").write_text(json.dumps({"_name_or_path": "stabilityai/sdxl-turbo"}))
    assert defaults(sdxl(LEADING), "", folder) == Defaults(steps=1, guidance=0.0)
    (folder / "model_index.json").write_text(json.dumps({"_name_or_path": "/data/sdxl"}))
    assert defaults(sdxl(LEADING), "", folder) == Defaults(steps=1, guidance=0.0)


def test_defaults_that_are_none_are_an_input_error(tmp_path):
    (tmp_path / DEFAULTS).write_text('{"stepz": 4}')

    with pytest.raises(InputError, match="stepz.*may hold steps, guidance, width and height"):
        defaults(sd(), "", tmp_path)


def test_the_request_decides_over_the_model_and_the_model_over_the_pipeline():
    own = Defaults(steps=4, guidance=2.0)

    assert arguments(sd(), drawing(steps=7, width=64), own) == {
        "num_inference_steps": 7, "guidance_scale": 2.0, "width": 64,
    }  # fmt: skip
    assert arguments(sd(), drawing(), Defaults()) == {}
    assert arguments(sd(), drawing(guidance=0.0), own)["guidance_scale"] == 0.0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"steps": 7}, "--steps 7: BarePipeline takes no steps; leave it out"),
        ({"guidance": 2.0}, "--guidance 2.0: BarePipeline takes no guidance; leave it out"),
        ({"width": 64}, "--width 64: BarePipeline takes no width; leave it out"),
        ({"negative": "blurred"}, "--negative: BarePipeline takes no negative prompt; leave it out"),
    ],
)
def test_a_setting_that_the_pipeline_does_not_take_is_an_input_error(setting, said):
    bare = pipeline("BarePipeline", lambda self, prompt, generator: None)

    assert arguments(bare, drawing(), Defaults(steps=4, guidance=1.0)) == {}
    with pytest.raises(InputError, match=said):
        arguments(bare, drawing(**setting), Defaults())


def test_a_negative_prompt_needs_guidance_asked_for_or_the_models_own():
    with pytest.raises(InputError, match="--negative does nothing at guidance 0, which this model uses"):
        arguments(sd(), drawing(negative="blurred"), Defaults(guidance=0.0))

    assert arguments(sd(), drawing(negative="blurred"), Defaults()) == {}
    assert arguments(sd(), drawing(negative="blurred", guidance=3.0), Defaults(guidance=0.0)) == {"guidance_scale": 3.0}


def test_negative_prompts_are_given_where_there_are_any():
    assert negatives(sd(), [drawing(), drawing()]) is None
    assert negatives(sd(), [drawing(negative="blurred"), drawing()]) == ["blurred", ""]


def test_where_true_guidance_is_what_guides_it_is_what_guidance_means_and_it_needs_negative_prompts():
    assert negatives(qwen(), [drawing(negative="blurred"), drawing()]) == ["blurred", " "]
    assert arguments(qwen(), drawing(guidance=3.0, negative="blurred"), Defaults()) == {"true_cfg_scale": 3.0}


def test_a_size_is_the_requests_else_the_models():
    assert size(sd(), drawing(), Defaults()) == (512, 512)
    assert size(sd(sample_size=[32, 96]), drawing(), Defaults()) == (768, 256)
    assert size(sd(), drawing(width=64), Defaults(height=128)) == (64, 128)
    assert size(flux(FLOW), drawing(), Defaults()) == (1024, 1024)
    assert size(qwen(), drawing(), Defaults()) is None


def test_the_settings_in_use_are_described_in_words():
    assert described(sd(), drawing(), Defaults()) == "50 steps, guidance 7.5, 512x512, SimpleNamespace"
    assert described(sd(), drawing(height=64), Defaults(steps=1, guidance=0.0)).startswith("1 step, guidance 0, 512x64")
    assert described(qwen(), drawing(), Defaults()).startswith("50 steps, guidance 4, ")
