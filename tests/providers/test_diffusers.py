"""The port: what is drawn together, what is kept when, what is told, and what a failure says."""

from __future__ import annotations

import io
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import GeneratedImage, ImageRequest
from ltgc_cli.providers.opened import GenerateOptions
from ltgc_cli.providers.t2i import diffusers as t2i
from ltgc_cli.providers.t2i import files, model_settings, pipelines

FOUR = [ImageRequest(model="t2i", text=f"A photo of {n} cranes.", seed=1000 + n) for n in range(4)]


@pytest.fixture
def pixels(kept):
    """A function from a picture to its pixels."""

    def pixels(picture: GeneratedImage | Exception) -> np.ndarray:
        assert isinstance(picture, GeneratedImage), picture
        return np.asarray(Image.open(io.BytesIO(kept[picture.sha256])), dtype=int)

    return pixels


@pytest.fixture(scope="module")
def loaded(t2i_folder):
    return t2i.load(str(t2i_folder), device="cpu")


@pytest.fixture
def heard():
    return []


@pytest.fixture
def generate(t2i_folder, loaded, keep, heard, monkeypatch):
    """The port, with the one pipeline that these tests share."""
    monkeypatch.setattr(t2i, "load", lambda spec, **_: loaded)

    def generate(drawings, **options):
        return t2i.generate_port("tiny", GenerateOptions(keep=keep, notice=heard.append, **options))(drawings)

    return generate


class Fake:
    """A pipeline that paints each text's number as a square of that grey; `holds` pictures fit its memory."""

    scheduler = SimpleNamespace(config={}, compatibles=[])

    def __init__(self, holds: int = 100, flags: bool = False, least: int = 1) -> None:
        self.holds, self.flags, self.least = holds, flags, least
        self.sizes: list[int] = []

    def __call__(self, prompt, generator, width=8, height=8, num_inference_steps=1, guidance_scale=1.0):
        self.sizes.append(len(prompt))
        if len(prompt) > self.holds:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 8.99 GB, max allowed: 9.07 GB)")
        levels = [int(text.split()[3]) + self.least for text in prompt]
        images = [Image.new("RGB", (width, height), (level,) * 3) for level in levels]
        return SimpleNamespace(
            images=images, nsfw_content_detected=["2 cranes" in text and self.flags for text in prompt]
        )


@pytest.fixture
def faked(generate, loaded, monkeypatch):
    """A function that puts a fake in the pipeline's place and returns the port."""

    def faked(fake: Fake):
        own = loaded._replace(pipeline=fake, defaults=model_settings.Defaults(), scheduler=fake.scheduler)
        monkeypatch.setattr(t2i, "load", lambda spec, **_: own)
        return generate

    return faked


def test_an_image_is_a_png_of_the_models_own_size(generate, kept, pixels):
    (picture,) = generate(FOUR[:1])

    assert kept[picture.sha256].startswith(b"\x89PNG\r\n\x1a\n") and picture.format == "png"
    assert pixels(picture).shape == (32, 32, 3)
    assert picture.usage.dollars == 0


def test_an_image_is_what_plain_diffusers_gives(generate, pixels, t2i_folder):
    import diffusers
    import torch

    from ltgc_cli.providers.quiet import quiet

    with quiet():
        pipeline = diffusers.DiffusionPipeline.from_pretrained(t2i_folder)
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator("cpu").manual_seed(FOUR[0].seed)
        plain = pipeline(FOUR[0].text, generator=generator, num_inference_steps=4, guidance_scale=2.0).images[0]

    assert (pixels(generate(FOUR[:1])[0]) == np.asarray(plain)).all()


def test_images_come_in_the_order_of_the_requests_whatever_their_settings(generate, pixels):
    mixed = [replace(drawing, steps=2 + n % 2) for n, drawing in enumerate(FOUR)]
    together = generate(mixed)
    alone = [generate([drawing])[0] for drawing in mixed]

    for one, other in zip(together, alone, strict=True):
        assert abs(pixels(one) - pixels(other)).max() <= 1


def test_requests_are_generated_together_when_they_share_every_setting_but_text_seed_and_format():
    same = [FOUR[0], replace(FOUR[1], format="webp", attempt=3), replace(FOUR[2], model="other")]
    others = [
        {"width": 64},
        {"height": 64},
        {"steps": 3},
        {"guidance": 1.0},
        {"negative": "blurred"},
        {"scheduler": "DDPMScheduler"},
        {"original": "0" * 64},
        {"strength": 0.5},
    ]

    assert t2i._alike([*same, *(replace(FOUR[3], **other) for other in others)]) == [
        [0, 1, 2],
        *([3 + n] for n in range(len(others))),
    ]


def test_a_batch_that_fits_no_memory_is_halved_and_the_rest_goes_on_at_that_size(faked, pixels, heard):
    fake = Fake(holds=3)
    drawings = [replace(FOUR[0], text=f"A photo of {n} cranes.") for n in range(10)]
    pictures = faked(fake)(drawings, batch=8)

    assert fake.sizes == [8, 4, 2, 2, 2, 2, 2]
    assert [int(pixels(picture)[0, 0, 0]) for picture in pictures] == list(range(1, 11))
    assert heard[1:] == [
        "tiny: out of memory with 8 images at once; going on with 4",
        "tiny: out of memory with 4 images at once; going on with 2",
    ]


def test_a_smaller_batch_is_kept_for_the_lists_that_follow(keep, faked):
    fake = Fake(holds=2)
    faked(fake)
    port = t2i.generate_port("tiny", GenerateOptions(keep=keep, batch=4))
    port(FOUR)
    port(FOUR)

    assert fake.sizes == [4, 2, 2, 2, 2]


def test_a_single_image_that_fits_no_memory_is_a_provider_error_with_advice(faked):
    with pytest.raises(ProviderError, match="tiny: out of memory with a single image; set a smaller --width"):
        faked(Fake(holds=0))(FOUR)


@pytest.mark.parametrize(
    "said",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "MPS backend out of memory (MPS allocated: 8.99 GB, other allocations: 6.20 MB, max allowed: 9.07 GB)",
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to",
        "[enforce fail at alloc_cpu.cpp:72] data. DefaultCPUAllocator: not enough memory: you tried to allocate",
    ],
)
def test_every_device_says_in_its_own_words_that_its_memory_is_full(said):
    assert t2i.out_of_memory(RuntimeError(said))


def test_other_errors_are_not_taken_for_a_full_memory():
    import torch

    assert t2i.out_of_memory(torch.OutOfMemoryError("…")) and t2i.out_of_memory(MemoryError())
    assert not t2i.out_of_memory(RuntimeError("The size of tensor a (64) must match the size of tensor b (65)"))
    assert not t2i.out_of_memory(ValueError("out of memory"))


def test_the_images_of_a_finished_batch_are_kept_when_a_later_one_fails(faked, kept):
    class Failing(Fake):
        def __call__(self, prompt, generator, **_):
            if len(self.sizes) == 1:
                raise ValueError("no more")
            return super().__call__(prompt, generator)

    with pytest.raises(ProviderError, match="tiny cannot generate 2 at once: no more; set --batch lower"):
        faked(Failing())(FOUR, batch=2)
    assert len(kept) == 2


def test_one_list_is_written_while_another_is_generated(keep, faked):
    import threading

    second_is_drawn = threading.Event()

    class Signalling(Fake):
        def __call__(self, prompt, generator, **_):
            if "1 cranes" in prompt[0]:
                second_is_drawn.set()
            return super().__call__(prompt, generator)

    def slow_keep(data: bytes) -> str:
        assert second_is_drawn.wait(10)
        return keep(data)

    faked(Signalling())
    port = t2i.generate_port("tiny", GenerateOptions(keep=slow_keep))
    first = threading.Thread(target=port, args=[FOUR[:1]])
    first.start()
    (picture,) = port(FOUR[1:2])
    first.join()

    assert isinstance(picture, GeneratedImage)


def test_an_image_that_the_safety_checker_holds_back_is_refused_in_its_place(faked):
    pictures = faked(Fake(flags=True))(FOUR)

    assert [type(picture) for picture in pictures] == [GeneratedImage, GeneratedImage, Refused, GeneratedImage]
    assert "safety checker" in str(pictures[2])


def test_an_image_that_is_black_all_over_is_a_failure_that_says_what_helps(faked):
    pictures = faked(Fake(least=0))(FOUR)

    assert [type(picture) for picture in pictures] == [Refused, GeneratedImage, GeneratedImage, GeneratedImage]
    assert "nothing but black" in str(pictures[0]) and "--dtype" in str(pictures[0])


def test_the_settings_in_use_are_shown_once(keep, heard, generate):
    port = t2i.generate_port("tiny", GenerateOptions(keep=keep, notice=heard.append))
    for _ in range(2):
        port(FOUR[:1])

    assert heard == ["tiny: 4 steps, guidance 2, 32x32, DDIMScheduler"]


def test_nothing_is_generated_when_one_of_the_settings_is_wrong(faked):
    fake = Fake()
    with pytest.raises(InputError, match="--negative: Fake takes no negative prompt; leave it out"):
        faked(fake)([*FOUR, replace(FOUR[0], negative="blurred")])

    assert fake.sizes == []


def test_no_requests_give_no_images_and_load_nothing(keep):
    assert t2i.generate_port("no/model", GenerateOptions(keep=keep))([]) == []


def test_an_original_that_is_no_image_is_refused_in_its_place_and_the_others_are_generated(generate, keep, kept, png):
    over = [
        replace(FOUR[0], original=keep(png((1, 2, 3))), strength=0.5),
        replace(FOUR[1], original=keep(b"no image"), strength=0.5),
    ]
    good, bad = generate(over, objects=kept.__getitem__)

    assert isinstance(good, GeneratedImage) and isinstance(bad, Refused)
    (bad,) = generate(over[1:], objects=kept.__getitem__)
    assert isinstance(bad, Refused)


def test_a_folder_without_weights_is_a_provider_error(tmp_path, t2i_folder):
    shutil.copytree(t2i_folder, tmp_path / "model")
    for weights in (tmp_path / "model" / "unet").glob("*.safetensors"):
        weights.unlink()

    with pytest.raises(ProviderError, match="cannot be loaded: .*no file named .*; check the name") as raised:
        t2i.load(str(tmp_path / "model"))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def test_a_folder_whose_weights_are_there_in_half_precision_only_is_loaded(tmp_path, t2i_folder):
    shutil.copytree(t2i_folder, tmp_path / "model")
    for weights in (tmp_path / "model").glob("*/*.safetensors"):
        weights.rename(weights.with_name(f"{weights.stem}.fp16.safetensors"))

    assert t2i.load(str(tmp_path / "model"), device="cpu").defaults.steps == 4


def test_models_that_two_threads_want_at_once_are_loaded_one_after_the_other(monkeypatch):
    at_once, most = [], []

    def pretrained(where, dtype, notice):  # diffusers fails now and then where two threads are in it
        at_once.append(where)
        most.append(len(at_once))
        time.sleep(0.05)
        at_once.pop()
        raise OSError("nothing here")

    monkeypatch.setattr(files, "pretrained", pretrained)
    with ThreadPoolExecutor(3) as pool:
        errors = [call.exception() for call in [pool.submit(pipelines.load, "tiny", device="cpu") for _ in range(3)]]
    assert most == [1, 1, 1]
    assert {type(error) for error in errors} == {ProviderError}


def test_a_folder_that_is_no_model_is_a_provider_error(tmp_path):
    with pytest.raises(ProviderError, match="no folder of a diffusers model"):
        t2i.identity(str(tmp_path))


def test_a_model_whose_images_come_from_no_text_is_an_input_error(t2i_folder, monkeypatch):
    class Classes(Fake):
        def __call__(self, class_labels, generator): ...

    monkeypatch.setattr(files, "pretrained", lambda *_: SimpleNamespace(to=lambda device: Classes()))
    with pytest.raises(InputError, match="tiny is a Classes, whose images come from no text and seed .* no prompt"):
        pipelines.load("tiny", device="cpu")


def test_a_device_that_is_none_is_an_input_error():
    with pytest.raises(InputError, match="--device gpu: no device of torch; write cuda, cuda:1, mps or cpu"):
        pipelines.load("tiny", device="gpu")


def test_a_precision_is_what_the_weights_are_loaded_in(t2i_folder):
    import torch

    assert t2i.load(str(t2i_folder), device="cpu", dtype="bfloat16").pipeline.unet.dtype == torch.bfloat16
    assert t2i.load(str(t2i_folder), device="cpu").pipeline.unet.dtype == torch.float32


@pytest.mark.parametrize("spec", ["", "no-such-folder", "./no/such", "a/b/c", "embeded", "replay"])
def test_a_spec_that_is_none_is_an_input_error_that_lists_what_can_be_written(spec):
    with pytest.raises(InputError, match="blank, replay:FILE, a diffusers model id"):
        t2i.identity(spec)


def test_the_identity_is_what_the_folder_holds_and_never_where_it_lies(tmp_path, t2i_folder):
    name = t2i.identity(str(t2i_folder))
    shutil.copytree(t2i_folder, tmp_path / "model")

    assert t2i.identity(str(tmp_path / "model")) == name
    assert name.startswith("t2i@") and "/" not in name
    (tmp_path / "model" / model_settings.DEFAULTS).write_text(json.dumps({"steps": 5}))
    assert t2i.identity(str(tmp_path / "model")) != name
    assert t2i.identity("stabilityai/sd-turbo") == "stabilityai/sd-turbo"


def test_a_lora_and_a_precision_are_part_of_the_identity_and_where_the_lora_lies_is_not(tmp_path):
    weights = tmp_path / "style.safetensors"
    weights.write_bytes(b"weights")
    name = "stabilityai/sd-turbo + lora@9a129038d9a0 (float16)"

    assert t2i.identity("stabilityai/sd-turbo", str(weights), "float16") == name
    assert t2i.identity("stabilityai/sd-turbo", str(tmp_path), "float16") == name
    assert t2i.identity("a/b", "c/d") == "a/b + lora:c/d"
    assert t2i.identity("a/b", "c/d/e.safetensors") == "a/b + lora:c/d/e.safetensors"
    assert t2i.identity("a/b", None, "bfloat16") == "a/b (bfloat16)"


@pytest.mark.parametrize("lora", ["style", "/no/such.safetensors", "../up/x", "a/b/c.bin", "a/../../b.safetensors"])
def test_a_lora_that_is_none_is_an_input_error_that_says_what_can_be_written(lora):
    with pytest.raises(InputError, match="no such file or folder, .* write FILE.safetensors, owner/name or"):
        t2i.identity("a/b", lora)


def test_a_pickled_lora_and_a_folder_of_many_are_input_errors(tmp_path):
    for name in ("a.safetensors", "b.safetensors", "c.bin"):
        (tmp_path / name).write_bytes(b"")

    with pytest.raises(InputError, match="2 .safetensors files are in this folder; name one of them"):
        t2i.identity("a/b", str(tmp_path))
    with pytest.raises(InputError, match="only .safetensors files are read"):
        t2i.identity("a/b", str(tmp_path / "c.bin"))


def test_loading_and_generating_are_quiet(t2i_folder, keep, capfd):
    t2i.generate_port(str(t2i_folder), GenerateOptions(keep=keep, device="cpu"))(
        [ImageRequest(model="t2i", text="long " * 300, seed=1)]
    )

    assert capfd.readouterr() == ("", "")
