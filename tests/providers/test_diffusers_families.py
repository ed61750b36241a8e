"""Three families of pipelines, really loaded and drawn with: Stable Diffusion, SDXL, and Flux (a transformer)."""

from __future__ import annotations

import io

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import GeneratedImage, ImageRequest
from ltgc_cli.providers.opened import GenerateOptions
from ltgc_cli.providers.t2i import diffusers as t2i
from ltgc_cli.providers.t2i import pipelines

FOUR = [
    ImageRequest(model="t2i", text=f"a photo of {n} cranes.", seed=1000 + n, width=32, height=48, steps=3)
    for n in range(4)
]
ONE = FOUR[0]


@pytest.fixture(scope="module")
def families(t2i_folder, sdxl_folder, flux_folder):
    folders = {"sd": t2i_folder, "sdxl": sdxl_folder, "flux": flux_folder}
    return {name: t2i.load(str(folder), device="cpu") for name, folder in folders.items()}


@pytest.fixture(params=["sd", "sdxl", "flux"])
def loaded(families, request):
    return families[request.param]


@pytest.fixture
def generate(keep, kept, monkeypatch):
    """A function that draws with a loaded pipeline, through the port."""

    def generate(loaded, drawings, **options):
        monkeypatch.setattr(t2i, "load", lambda spec, **_: loaded)
        return t2i.generate_port("tiny", GenerateOptions(keep=keep, objects=kept.__getitem__, **options))(drawings)

    return generate


@pytest.fixture
def pixels(generate, kept):
    """A function that returns the pixels of drawings, as drawn with a loaded pipeline."""

    def pixels(loaded, drawings, **options):
        pictures = generate(loaded, drawings, **options)
        return [np.asarray(Image.open(io.BytesIO(kept[picture.sha256])), dtype=int) for picture in pictures]

    return pixels


def apart(some, others) -> int:
    """Returns the largest difference between two lists of pictures, in levels of 256."""
    return max(abs(one - other).max() for one, other in zip(some, others, strict=True))


def test_an_image_has_the_size_that_was_asked_for(loaded, pixels):
    assert pixels(loaded, [ONE])[0].shape == (48, 32, 3)


def test_generated_alone_or_in_a_batch_pixels_agree_within_one_level(loaded, pixels):
    together = pixels(loaded, FOUR, batch=4)

    assert apart(together, pixels(loaded, FOUR, batch=1)) <= 1
    assert apart(together, pixels(loaded, FOUR[::-1], batch=3)[::-1]) <= 1
    assert apart(together[:1], together[1:2]) > 1


def test_the_seed_and_the_text_both_make_the_image(loaded, pixels):
    one, seeded, worded = pixels(loaded, [ONE, replace(ONE, seed=7), replace(ONE, text="seals, 9 of them")])

    assert apart([one], [seeded]) > 1 and apart([one], [worded]) > 0


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_negative_prompt_changes_the_image_and_not_those_beside_it(families, pixels, family):
    negative = replace(ONE, negative="blurred, 3 of them")
    plain, drawn, neighbour = pixels(families[family], [ONE, negative, FOUR[1]])

    assert apart([plain], [drawn]) > 0
    assert apart([plain, neighbour], pixels(families[family], FOUR[:2])) <= 1


def test_flux_takes_no_negative_prompt_and_schnell_no_guidance(families, generate):
    with pytest.raises(InputError, match="--negative: FluxPipeline takes no negative prompt; leave it out"):
        generate(families["flux"], [replace(ONE, negative="blurred")])
    with pytest.raises(InputError, match=r"--guidance 3.5: this model works without guidance; leave it out"):
        generate(families["flux"], [replace(ONE, guidance=3.5)])


def test_a_negative_prompt_without_guidance_is_an_input_error(families, generate):
    with pytest.raises(InputError, match="--negative does nothing at guidance 1, .* or set --guidance"):
        generate(families["sdxl"], [replace(ONE, negative="blurred", guidance=1.0)])


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler", "LCMScheduler"])
def test_another_scheduler_gives_another_image_and_the_next_has_the_models_own_again(families, pixels, family, name):
    loaded = families[family]
    other = [replace(drawing, scheduler=name) for drawing in FOUR]
    own, swapped, after = pixels(loaded, [ONE]), pixels(loaded, other, batch=4), pixels(loaded, [ONE])

    assert apart(own, swapped[:1]) > 1 and apart(own, after) == 0
    assert apart(swapped, pixels(loaded, other, batch=1)) <= 1


def test_a_scheduler_that_does_not_fit_is_an_input_error_that_lists_those_that_do(families, generate):
    for name in ("EulerScheduler", "FlowMatchEulerDiscreteScheduler", "DPMSolverSDEScheduler", "EDMEulerScheduler"):
        with pytest.raises(InputError, match=f"--scheduler {name} is not for this model; these are: DDIM.*, UniPC"):
            generate(families["sd"], [replace(ONE, scheduler=name)])
    with pytest.raises(InputError, match="is not for this model; these are: FlowMatchEulerDiscreteScheduler$"):
        generate(families["flux"], [replace(ONE, scheduler="DDIMScheduler")])


def test_over_an_original_the_strength_says_how_much_of_it_is_left(loaded, pixels, keep, png):
    original = keep(png((250, 20, 60)))
    over = [replace(ONE, original=original, strength=strength, steps=4) for strength in (0.25, 0.5, 1.0)]
    faint, half, full = pixels(loaded, over)

    assert faint.shape == (48, 32, 3)
    assert apart([faint], [half]) > 0 and apart([half], [full]) > 0


def test_another_original_gives_another_image_and_a_batch_over_originals_is_as_each_alone(loaded, pixels, keep, png):
    originals = [keep(png((250, 20, 60))), keep(png((10, 200, 90)))]
    over = [replace(d, original=originals[n % 2], strength=0.5, steps=4) for n, d in enumerate(FOUR)]
    together = pixels(loaded, over, batch=4)

    assert apart(together, pixels(loaded, over, batch=1)) <= 1
    assert apart(together[:1], pixels(loaded, [replace(over[0], original=originals[1])])) > 0


def test_an_original_is_cropped_to_the_requests_shape_and_has_the_models_size_where_none_is_asked(families, keep, kept):
    wide = Image.new("RGB", (300, 100), (0, 0, 255))
    wide.paste((255, 0, 0), (100, 0, 200, 100))
    buffer = io.BytesIO()
    wide.save(buffer, "PNG")
    drawing = ImageRequest(model="m", text="a", seed=1, original=keep(buffer.getvalue()))

    own = t2i._original(families["sdxl"], drawing, kept.__getitem__)
    asked = t2i._original(families["sdxl"], replace(drawing, width=64), kept.__getitem__)

    assert own.size == (32, 32) and own.getpixel((1, 1)) == (255, 0, 0)
    assert asked.size == (64, 32) and asked.getpixel((32, 16)) == (255, 0, 0) and asked.getpixel((0, 0))[2] > 200


def test_image_to_image_shares_the_weights(loaded):
    assert pipelines.image_to_image(loaded).vae is loaded.pipeline.vae


def test_a_family_without_image_to_image_is_an_input_error(families, generate, keep, png):
    class Plain:
        config, scheduler = {}, None

        def __call__(self, prompt, generator): ...

    loaded = families["sd"]._replace(pipeline=Plain())
    with pytest.raises(InputError, match="--from-original: Plain cannot start from an image; leave it out"):
        generate(loaded, [ImageRequest(model="m", text="a", seed=1, original=keep(png((1, 2, 3))))])


def test_strength_times_steps_must_leave_a_step(families, pixels, generate, keep, png):
    over = ImageRequest(model="m", text="a", seed=1, original=keep(png((250, 20, 60))), strength=0.2)
    turbo = families["sdxl"]._replace(defaults=replace(families["sdxl"].defaults, steps=1, guidance=0.0))

    assert pixels(turbo, [over])[0].shape == (32, 32, 3)  # the model's one step became five
    with pytest.raises(InputError, match="--steps 4 with --from-original 0.2 leaves no step; set --steps 5 or more"):
        generate(turbo, [replace(over, steps=4)])
    with pytest.raises(InputError, match="must be above 0 and at most 1"):
        generate(turbo, [replace(over, strength=1.5)])


def test_a_size_that_the_model_cannot_make_is_an_input_error(families, generate):
    for family, multiple in (("sd", 2), ("sdxl", 2), ("flux", 4)):
        with pytest.raises(InputError, match=f"--width 31: .*Pipeline generates multiples of {multiple}"):
            generate(families[family], [replace(ONE, width=31)])


def test_a_webp_is_a_webp(loaded, generate, kept):
    (picture,) = generate(loaded, [replace(ONE, format="webp")])

    assert picture.format == "webp" and Image.open(io.BytesIO(kept[picture.sha256])).format == "WEBP"


def test_slices_save_memory_and_change_nothing_but_rounding(pixels, families, sdxl_folder):
    sliced = t2i.load(str(sdxl_folder), device="cpu", attention_slicing=True)

    assert sliced.pipeline.vae.use_slicing
    assert apart(pixels(families["sdxl"], FOUR), pixels(sliced, FOUR)) <= 1


def test_what_is_compiled_is_what_generates_and_the_text_encoder_is_not(flux_folder, t2i_folder, monkeypatch):
    import torch

    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    for folder in (t2i_folder, flux_folder):
        t2i.load(str(folder), device="cpu", compile=True)

    assert compiled == ["UNet2DConditionModel", "FluxTransformer2DModel"]


def test_a_pipeline_without_a_network_of_its_own_cannot_be_compiled():
    with pytest.raises(InputError, match="--compile: object has no UNet and no transformer of its own"):
        pipelines._compile(object())


@pytest.mark.slow
def test_a_compiled_model_gives_the_same_images(families, t2i_folder, pixels):
    compiled = t2i.load(str(t2i_folder), device="cpu", compile=True)

    assert apart(pixels(families["sd"], FOUR), pixels(compiled, FOUR)) <= 1


@pytest.fixture(scope="module")
def lora(tmp_path_factory, t2i_folder):
    """A function that returns a folder with a LoRA for the Stable Diffusion, as strong as asked."""
    import torch
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    unet = t2i.load(str(t2i_folder), device="cpu").pipeline.unet
    torch.manual_seed(3)
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v", "to_out.0"], init_lora_weights="gaussian"))

    def lora(strength: float):
        for name, weight in unet.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(weight, strength)
        folder = tmp_path_factory.mktemp("lora")
        StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
        return folder

    return lora


def test_a_lora_changes_the_images_and_one_of_no_strength_does_not(families, t2i_folder, lora, pixels):
    strong = t2i.load(str(t2i_folder), device="cpu", lora=str(lora(1.0) / "pytorch_lora_weights.safetensors"))
    weak = t2i.load(str(t2i_folder), device="cpu", lora=str(lora(0.0)))
    base = pixels(families["sd"], [ONE])

    assert apart(base, pixels(strong, [ONE])) > 1
    assert apart(base, pixels(weak, [ONE])) == 0
    assert apart(pixels(strong, FOUR, batch=4), pixels(strong, FOUR, batch=1)) <= 1


def test_a_lora_of_another_model_is_an_error_and_not_ignored(lora, flux_folder, sdxl_folder, tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "no_lora.safetensors")
    for folder, weights in ((flux_folder, lora(1.0)), (sdxl_folder, lora(1.0)), (sdxl_folder, tmp_path)):
        with pytest.raises(
            (ProviderError, InputError), match=r"--lora .* (cannot be loaded on|does not fit)"
        ) as raised:
            t2i.load(str(folder), device="cpu", lora=str(weights))
        assert "\n" not in str(raised.value)


def test_what_stable_diffusions_safety_checker_flags_is_refused_and_no_black_square(families, generate, keep, png):
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    tiny = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(vision_config={**tiny, "image_size": 32, "patch_size": 8}, text_config=tiny, projection_dim=8)
    checker = StableDiffusionSafetyChecker(config)
    pipeline = type(families["sd"].pipeline)(
        **{
            **families["sd"].pipeline.components,
            "safety_checker": checker,
            "feature_extractor": CLIPImageProcessor(size=32, crop_size=32),
        }
    )
    pipeline.set_progress_bar_config(disable=True)
    checked = families["sd"]._replace(pipeline=pipeline)
    over = replace(ONE, original=keep(png((1, 2, 3))), strength=0.5)

    checker.concept_embeds_weights.data.fill_(-2)  # every picture is nearer than that to the forbidden
    refused = generate(checked, [*FOUR, over])
    checker.concept_embeds_weights.data.fill_(2)
    passed = generate(checked, [*FOUR, over])

    assert [type(picture) for picture in refused] == [Refused] * 5
    assert [type(picture) for picture in passed] == [GeneratedImage] * 5
