from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import Drawing, Picture
from ltgc_cli.providers.t2i import diffusers as t2i

FOUR = [Drawing(model="t2i", text=f"A photo of {n} cranes.", seed=1000 + n) for n in range(4)]


@pytest.fixture
def pixels(kept):
    """A function from a picture to its pixels."""

    def pixels(picture: Picture | Exception) -> np.ndarray:
        assert isinstance(picture, Picture), picture
        return np.asarray(Image.open(io.BytesIO(kept[picture.sha256])), dtype=int)

    return pixels


@pytest.fixture(scope="module")
def loaded(t2i_folder):
    return t2i.load(str(t2i_folder))


@pytest.fixture
def paint(t2i_folder, loaded, keep, monkeypatch):
    """The port, with the one pipeline that these tests share."""
    monkeypatch.setattr(t2i, "load", lambda spec, device: loaded)

    def paint(drawings, **options):
        return t2i.paint_port(str(t2i_folder), keep=keep, device="cpu", **options)(drawings)

    return paint


def test_a_picture_is_a_png_of_the_models_own_size(paint, kept, pixels):
    (picture,) = paint(FOUR[:1])

    assert kept[picture.sha256].startswith(b"\x89PNG\r\n\x1a\n") and picture.format == "png"
    assert pixels(picture).shape == (32, 32, 3)
    assert picture.usage.dollars == 0


def test_a_picture_is_what_plain_diffusers_draws(paint, pixels, t2i_folder):
    import diffusers
    import torch

    from ltgc_cli.providers.quiet import quiet

    with quiet():
        pipeline = diffusers.DiffusionPipeline.from_pretrained(t2i_folder)
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator("cpu").manual_seed(FOUR[0].seed)
        plain = pipeline(FOUR[0].text, generator=generator, num_inference_steps=4, guidance_scale=2.0).images[0]

    assert (pixels(paint(FOUR[:1])[0]) == np.asarray(plain)).all()


def test_drawn_alone_or_in_a_batch_pixels_agree_within_one_level(paint, pixels):
    together = [pixels(picture) for picture in paint(FOUR, batch=4)]
    alone = [pixels(picture) for picture in paint(FOUR, batch=1)]

    assert max(abs(a - b).max() for a, b in zip(together, alone, strict=True)) <= 1
    assert abs(together[0] - together[1]).max() > 1


def test_pictures_come_in_the_order_of_the_drawings_whatever_their_settings(paint, pixels):
    from msgspec.structs import replace

    mixed = [replace(drawing, steps=2 + n % 2) for n, drawing in enumerate(FOUR)]
    together = paint(mixed)
    alone = [paint([drawing])[0] for drawing in mixed]

    for one, other in zip(together, alone, strict=True):
        assert abs(pixels(one) - pixels(other)).max() <= 1


def test_the_drawing_decides_over_the_folder_and_the_folder_over_the_pipeline(loaded):
    drawing = Drawing(model="t2i", text="a", seed=1, steps=7, width=64)
    defaults = t2i.Defaults(steps=4, guidance=2.0)

    assert t2i._settings(drawing, defaults) == {"num_inference_steps": 7, "guidance_scale": 2.0, "width": 64}
    assert t2i._settings(FOUR[0], t2i.Defaults()) == {}
    assert loaded.defaults == defaults


def test_a_negative_prompt_reaches_the_model(paint):
    from msgspec.structs import replace

    plain, negative = paint([FOUR[0]]) + paint([replace(FOUR[0], negative="blurred")])

    assert plain != negative


def test_a_picture_that_the_safety_checker_holds_back_is_refused_in_its_place(paint, loaded, monkeypatch):
    black = Image.new("RGB", (32, 32))

    class Pipeline:
        def __call__(self, prompt, **_):
            class Result:
                images = [black] * len(prompt)
                nsfw_content_detected = ["2 cranes" in text for text in prompt]

            return Result

    monkeypatch.setattr(t2i, "load", lambda spec, device: loaded._replace(pipeline=Pipeline()))
    pictures = paint(FOUR)

    assert [type(picture) for picture in pictures] == [Picture, Picture, Refused, Picture]


def test_a_size_that_the_model_cannot_draw_is_a_provider_error_in_one_line(paint):
    with pytest.raises(ProviderError, match="cannot draw 1 at once: .*--width") as raised:
        paint([Drawing(model="t2i", text="a", seed=1, width=30, height=30)])
    assert "\n" not in str(raised.value)


def test_a_folder_without_weights_is_a_provider_error(tmp_path, t2i_folder):
    shutil.copytree(t2i_folder, tmp_path / "model")
    for weights in (tmp_path / "model" / "unet").glob("*.safetensors"):
        weights.unlink()

    with pytest.raises(ProviderError, match="cannot be loaded: .*; check the name") as raised:
        t2i.load(str(tmp_path / "model"))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def test_a_folder_that_is_no_model_is_a_provider_error(tmp_path):
    with pytest.raises(ProviderError, match="no folder of a diffusers model"):
        t2i.identity(str(tmp_path))


def test_defaults_that_are_none_are_an_input_error(tmp_path, t2i_folder):
    shutil.copytree(t2i_folder, tmp_path / "model")
    (tmp_path / "model" / t2i.DEFAULTS).write_text('{"stepz": 4}')

    with pytest.raises(InputError, match="stepz.*may hold steps, guidance, width and height"):
        t2i.load(str(tmp_path / "model"))


@pytest.mark.parametrize("spec", ["", "no-such-folder", "./no/such", "a/b/c", "embeded", "replay"])
def test_a_spec_that_is_none_is_an_input_error_that_lists_what_can_be_written(spec):
    with pytest.raises(InputError, match="blank, replay:FILE, a diffusers model id"):
        t2i.identity(spec)


def test_the_identity_is_what_the_folder_holds_and_never_where_it_lies(tmp_path, t2i_folder):
    name = t2i.identity(str(t2i_folder))
    shutil.copytree(t2i_folder, tmp_path / "model")

    assert t2i.identity(str(tmp_path / "model")) == name
    assert name.startswith("t2i@") and "/" not in name
    (tmp_path / "model" / t2i.DEFAULTS).write_text(json.dumps({"steps": 5}))
    assert t2i.identity(str(tmp_path / "model")) != name
    assert t2i.identity("stabilityai/sd-turbo") == "stabilityai/sd-turbo"


def test_loading_and_drawing_are_quiet(t2i_folder, keep, capfd):
    t2i.paint_port(str(t2i_folder), keep=keep, device="cpu")([Drawing(model="t2i", text="long " * 300, seed=1)])

    assert capfd.readouterr() == ("", "")
