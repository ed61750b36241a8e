"""A LoRA is trained on tiny pipelines of each family that can be adapted, and read again by diffusers and by ltgc."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from conftest import saved
from msgspec.structs import replace
from PIL import Image

from ltgc_cli.errors import InputError, OutputError
from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.opened import Keep
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.providers.torch_setup import mend_torchvision
from ltgc_cli.settings import Adapt

mend_torchvision()

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from ltgc_cli import tensor_files  # noqa: E402
from ltgc_cli.providers.t2i import adapting, adapting_state, families, objectives  # noqa: E402
from ltgc_cli.providers.t2i import diffusers as t2i  # noqa: E402
from ltgc_cli.providers.t2i.examples import LORA, PIPELINES, Example  # noqa: E402
from ltgc_cli.providers.t2i.families import Fitted  # noqa: E402
from ltgc_cli.providers.t2i.model_settings import denoiser  # noqa: E402
from ltgc_cli.providers.t2i.pipelines import LoadedPipeline  # noqa: E402

TINY = Adapt(steps=6, rank=2, lr=0.01, batch=4)
FAMILIES = ["stable_diffusion", "sdxl", "sd3", "flux", "flux_dev"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with a tiny pipeline for each family."""
    found = {}
    for name in FAMILIES:
        found[name] = saved(name, tmp_path_factory.mktemp(name))
        (found[name] / "ltgc_defaults.json").write_text(json.dumps({"width": 32, "height": 32}))
    return found


@pytest.fixture(params=FAMILIES)
def folder(folders, request):
    return folders[request.param]


@pytest.fixture
def examples(png, keep):
    return made(png, keep)


def keep_in(kept: dict[str, bytes]) -> Keep:
    def keep(data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        kept[sha256] = data
        return sha256

    return keep


def made(png, keep) -> list[Example]:
    images = [keep(png(color)) for color in [(200, 10, 10), (10, 200, 10), (10, 10, 200)]]
    captions = [("a red crane.", "a crane in red light."), ("a green crane.",), ()]
    return [Example(*one, "a crane.") for one in zip(images, captions, strict=True)]


@pytest.fixture
def adapt(examples, kept, tmp_path):
    """A function that adapts a pipeline and returns the LoRA's file."""

    def adapt(spec, settings=TINY, out="out", **more):
        folder, objects = tmp_path / out, kept.__getitem__
        return adapting.adapt(str(spec), examples, settings, folder, objects=objects, device="cpu", **more)

    return adapt


class Adapted(NamedTuple):
    """A pipeline that was adapted by steps on one batch."""

    folder: Path  # the pipeline
    lora: Path
    trained: LoadedPipeline  # as it is in memory after the last step
    losses: list[float]


@pytest.fixture(scope="module", params=FAMILIES)
def adapted(folders, request, png, tmp_path_factory):
    folder, out, loaded, losses, kept = folders[request.param], tmp_path_factory.mktemp("lora"), [], [], {}

    def load(spec, **options):
        loaded.append(t2i.load(spec, **options))
        return loaded[-1]

    examples = made(png, keep_in(kept))
    same = adapting.plan(examples, TINY, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapting, "load", load)
        patch.setattr(adapting, "plan", lambda *_: same)
        patch.setattr(adapting, "REPORT_EVERY", 4)
        lora = adapting.adapt(
            str(folder), examples, replace(TINY, steps=8), out, objects=kept.__getitem__, device="cpu",
            on_report=lambda step, steps, loss: losses.append(loss),
        )  # fmt: skip
    return Adapted(folder, lora, loaded[0], losses)


def pixels(loaded) -> np.ndarray:
    request = ImageRequest(model="t2i", text="a red crane.", seed=7, width=32, height=32, steps=2)
    return np.asarray(t2i.generated(loaded, [request])[0], dtype=int)


def lora_of(loaded) -> dict[str, torch.Tensor]:
    """Returns the weights of the LoRA on a pipeline's network, whatever the adapter is called."""
    named = denoiser(loaded.pipeline).named_parameters()
    return {re.sub(r"\.default(_0)?\.", ".", name): weight for name, weight in named if ".lora_" in name}


def test_steps_on_one_batch_lower_its_loss(adapted):
    first, last = adapted.losses

    assert last < first


def test_ltgc_reads_the_lora_whole_and_draws_what_the_trained_pipeline_draws(adapted):
    said = []
    read = t2i.load(str(adapted.folder), device="cpu", lora=str(adapted.lora), notice=said.append)

    assert said == []  # a weight that fits no layer would be named
    assert abs(pixels(read) - pixels(adapted.trained)).max() <= 1


def test_load_lora_weights_of_diffusers_reads_the_lora_whole_and_it_changes_images(adapted):
    loaded, own = t2i.load(str(adapted.folder), device="cpu"), lora_of(adapted.trained)
    plain = pixels(loaded)

    with quiet():
        loaded.pipeline.load_lora_weights(str(adapted.lora.parent))  # the file has the name that diffusers looks for

    read = lora_of(loaded)
    assert len(load_file(adapted.lora)) == len(own)
    assert read.keys() == own.keys() and all(torch.equal(read[name], own[name]) for name in own)
    assert abs(pixels(loaded) - pixels(adapted.trained)).max() <= 1
    assert abs(pixels(loaded) - plain).max() > 1


def test_every_linear_layer_and_convolution_learns(adapted):
    network = denoiser(t2i.load(str(adapted.folder), device="cpu").pipeline)
    layers = {name for name, one in network.named_modules() if isinstance(one, torch.nn.Linear | torch.nn.Conv2d)}

    weights = lora_of(adapted.trained)

    assert {name.partition(".lora_")[0] for name in weights} == layers
    # SD3's last block throws away what its text asks for: there is nothing to learn.
    sd3 = type(network).__name__.startswith("SD3")
    idle = {"transformer_blocks.1.attn.add_q_proj.lora_B.weight"} if sd3 else set()
    assert {name for name, weight in weights.items() if not weight.any()} == idle


def test_a_network_is_asked_in_training_as_its_pipeline_asks_it(folder):
    pipeline, asked = t2i.load(str(folder), device="cpu").pipeline, []
    own, network, flux = families.family(pipeline, "tiny"), denoiser(pipeline), "Flux" in type(pipeline).__name__
    more = {} if flux else {"guidance_scale": 1.0}  # its own, which is an input of the network; else off
    hook = network.register_forward_hook(lambda _, *call: asked.append(call), with_kwargs=True)
    with quiet():
        pipeline("a red crane.", width=32, height=32, num_inference_steps=1, output_type="latent", **more)
    hook.remove()
    args, named, (answer, *_) = asked[0]
    sample, timestep = args if args else (named["hidden_states"], named["timestep"])
    if flux:
        timestep = timestep * 1000
        sample, answer = (pipeline._unpack_latents(one, 32, 32, pipeline.vae_scale_factor) for one in (sample, answer))

    with torch.no_grad():
        noised, read = objectives.Noised(sample, timestep.expand(1), sample), own.read(pipeline, "a red crane.")
        predicted = own.predict(pipeline, noised, read, [Fitted((32, 32), (0, 0), (32, 32))])

    assert torch.allclose(predicted, answer, atol=1e-5)


@pytest.mark.parametrize("family", ["sdxl", "flux_dev"])
def test_in_bfloat16_the_frozen_parts_are_half_as_large_and_the_lora_is_not(adapt, folders, family, monkeypatch):
    loaded, load = [], t2i.load
    monkeypatch.setattr(adapting, "load", lambda spec, **options: loaded.append(load(spec, **options)) or loaded[0])

    weights = load_file(adapt(folders[family], replace(TINY, steps=2), dtype="float16"))  # trained in bfloat16

    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    frozen = {one.dtype for name, one in denoiser(loaded[0].pipeline).named_parameters() if "lora_" not in name}
    assert frozen == {torch.bfloat16}


def test_attention_alone_can_have_the_lora(adapt, folders):
    weights = load_file(adapt(folders["stable_diffusion"], replace(TINY, steps=1, layers="attention")))

    assert {name.partition(".lora_")[0].rpartition(".to_")[2] for name in weights} == {"q", "k", "v", "out.0"}


def test_sdxl_is_told_how_each_image_came_to_its_size(adapt, folders, keep, kept, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    Image.new("RGB", (128, 48), "red").save(buffer, "PNG")
    wide, frames = [Example(keep(buffer.getvalue()), (), "a crane.")], []
    sdxl = families.FAMILIES["StableDiffusionXLPipeline"]

    def predict(pipeline, noised, read, told):
        frames.extend(told)
        return sdxl.predict(pipeline, noised, read, told)

    monkeypatch.setitem(families.FAMILIES, "StableDiffusionXLPipeline", sdxl._replace(predict=predict))
    settings = replace(TINY, steps=1, batch=1)

    adapting.adapt(str(folders["sdxl"]), wide, settings, tmp_path / "out", objects=kept.__getitem__, device="cpu")

    # 128x48 becomes 85x32, of which 32 in the middle are taken: 27 lie left of them. Heights come first.
    assert frames == [Fitted(original=(48, 128), crop=(0, 27), target=(32, 32))]


def test_sdxls_missing_text_is_what_it_guides_away_from_and_not_an_empty_one(folders):
    pipeline = t2i.load(str(folders["sdxl"]), device="cpu").pipeline
    sdxl = families.family(pipeline, "sdxl")

    assert not sdxl.read(pipeline, None)["text"].any()  # force_zeros_for_empty_prompt
    assert sdxl.read(pipeline, "")["text"].any()


def test_a_family_that_cannot_be_adapted_is_named_with_those_that_can():
    class KolorsPipeline:
        pass

    with pytest.raises(InputError) as error:
        families.family(KolorsPipeline(), "Kwai-Kolors/Kolors-diffusers")

    assert str(error.value) == (
        "Kwai-Kolors/Kolors-diffusers is a KolorsPipeline, which cannot be adapted here; these can: embedded, Stable "
        "Diffusion 1 and 2, SDXL, Stable Diffusion 3, FLUX.1"
    )


# ---- what a step sees


def test_each_image_is_as_likely_as_any_other_and_texts_are_drawn_as_the_settings_say():
    many = [Example(f"{k}", ("one.", "two."), "bare.") for k in range(4)]
    plans = [adapting.plan(many, replace(TINY, batch=100), step) for step in range(100)]

    images = Counter(index for one in plans for index in one.examples)
    texts = Counter(text for one in plans for text in one.texts)
    assert all(abs(count / 10000 - 1 / 4) < 0.02 for count in images.values())
    shares = {None: 0.1, "bare.": 0.9 * 0.4, "one.": 0.9 * 0.3, "two.": 0.9 * 0.3}
    assert {text: round(texts[text] / 10000 - share, 1) for text, share in shares.items()} == dict.fromkeys(shares, 0.0)


def test_an_image_without_descriptions_has_the_bare_text_alone():
    plans = [adapting.plan([Example("0", (), "bare.")], replace(TINY, bare=0.0), step) for step in range(20)]

    assert {text for one in plans for text in one.texts} == {None, "bare."}


def test_another_seed_is_another_plan_and_the_same_seed_the_same():
    many = [Example(f"{k}", (), "bare.") for k in range(100)]
    one, same, other = (adapting.plan(many, replace(TINY, seed=seed), 3) for seed in (0, 0, 1))

    assert one == same and one.examples != other.examples and one.noise != other.noise


# ---- resume


@pytest.fixture(scope="module")
def whole(folders, png, tmp_path_factory):
    """The file of a LoRA whose training nothing interrupted, and its losses."""
    kept, losses = {}, []
    examples = made(png, keep_in(kept))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapting, "REPORT_EVERY", 5)
        lora = adapting.adapt(
            str(folders["stable_diffusion"]), examples, TINY, tmp_path_factory.mktemp("whole"), device="cpu",
            objects=kept.__getitem__, on_report=lambda *row: losses.append(row),
        )  # fmt: skip
    return lora, losses


@pytest.fixture
def kill(adapt, folders, monkeypatch):
    """A function that leaves in out/ the state of a run that was killed at step 5, when 4 were saved."""
    monkeypatch.setattr(adapting, "SAVE_EVERY", 2)
    monkeypatch.setattr(adapting, "REPORT_EVERY", 5)

    def killed(*row):
        raise KeyboardInterrupt

    def kill():
        with pytest.raises(KeyboardInterrupt):
            adapt(folders["stable_diffusion"], on_report=killed)

    return kill


def test_a_run_that_was_killed_comes_to_the_same_bytes_and_losses(adapt, folders, kill, tmp_path, whole):
    resumed, again = [], []
    kill()

    lora = adapt(
        folders["stable_diffusion"],
        on_resume=lambda *where: resumed.append(where),
        on_report=lambda *row: again.append(row),
    )

    assert resumed == [(4, 6)]
    assert again == whole[1] and [step for step, _, _ in again] == [5, 6]
    assert lora.read_bytes() == whole[0].read_bytes()
    assert [file.name for file in (tmp_path / "out").iterdir()] == [LORA]  # nothing is left of the state


def test_another_runs_state_is_not_gone_on_from(adapt, folders, kill, tmp_path):
    kill()

    with pytest.raises(InputError, match="is the state of a run with other images or settings; use another folder"):
        adapt(folders["stable_diffusion"], replace(TINY, lr=0.02))
    assert (tmp_path / "out" / tensor_files.STATE).exists()


def test_gradient_checkpointing_goes_on_from_a_run_without_it_to_the_same_weights(adapt, folders, kill, whole):
    kill()

    again = adapt(folders["stable_diffusion"], replace(TINY, gradient_checkpointing=True))

    one, other = load_file(whole[0]), load_file(again)
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-1] + bytes([data[-1] ^ 1])]
)
def test_a_damaged_state_is_left_out_and_said(adapt, folders, kill, tmp_path, damage, whole):
    said = []
    kill()
    state = tmp_path / "out" / tensor_files.STATE
    state.write_bytes(damage(state.read_bytes()))

    again = adapt(folders["stable_diffusion"], notice=said.append)

    assert again.read_bytes() == whole[0].read_bytes()
    assert len(said) == 1 and said[0].endswith("training begins anew") and "state of training is damaged" in said[0]


def test_a_state_keeps_what_an_optimiser_in_8_bits_remembers(tmp_path):
    one, other = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    weights, table = {"one": one, "other": other}, torch.arange(4.0)
    optimizer, again = (torch.optim.SGD(weights.values(), 0.1) for _ in range(2))
    for weight in weights.values():  # as bitsandbytes has it: one table for all weights, and a step that is no tensor
        optimizer.state[weight] = {"step": 3, "state1": torch.tensor([7, 255], dtype=torch.uint8), "qmap1": table}

    adapting_state.save(tmp_path / "state", "run", 3, 0.5, weights, optimizer)

    assert adapting_state.load(tmp_path / "state", "run", 5, weights, again, print) == (3, 0.5)
    assert again.state[other]["step"] == 3 and again.state[other]["qmap1"].tolist() == [0, 1, 2, 3]
    assert again.state[other]["state1"].dtype == torch.uint8


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight:one": torch.ones(3)}, {"weight:one": torch.full((2,), float("nan"))}, {"weight:one": None},
        {"weight:one": torch.tensor([True, False])}, {"weight:two": torch.ones(2)}, {"exp_avg:one": None},
        {"exp_avg:one": torch.ones(2, dtype=torch.int64)}, {"exp_avg_sq:one": torch.tensor([1.0, -1.0])},
        {"step:one": torch.tensor(-5.0)}, {"step:one": torch.tensor(4.0)}, {"step:one": torch.zeros(7)},
        {"other:one": torch.ones(2)},
        '"step":-5', '"step":6', '"step":1000000000000', '"step":"3"', '"loss":-1', '"numbers":{"a:one":1}',
    ],
)  # fmt: skip
def test_a_state_whose_checksum_fits_and_whose_content_does_not_is_left_out(tmp_path, wrong):
    from safetensors.torch import save_file

    def training():
        weights = {"one": torch.nn.Parameter(torch.zeros(2))}
        return weights, torch.optim.AdamW(weights.values(), 0.1)

    weights, optimizer = training()
    weights["one"].grad = torch.ones(2)
    optimizer.step()
    adapting_state.save(tmp_path / "state", "run", 3, 0.5, weights, optimizer)
    about, flat = tensor_files.read(tmp_path / "state")
    facts = about["facts"]
    if isinstance(wrong, dict):
        flat = {name: value for name, value in (flat | wrong).items() if value is not None}
    else:
        facts = re.sub(rf"{wrong.split(':')[0]}:(\{{\}}|[^,}}]+)", wrong, facts, count=1)
    save_file(flat, tmp_path / "state", {"facts": facts, "sha256": tensor_files.checksum(facts.encode(), flat)})
    weights, optimizer, said = *training(), []

    assert adapting_state.load(tmp_path / "state", "run", 5, weights, optimizer, said.append) == (0, 0.0)
    assert weights["one"].tolist() == [0, 0] and len(said) == 1 and "state of training is damaged" in said[0]


def test_a_folder_or_a_pipe_in_the_place_of_a_state_is_said_alone(adapt, folders, tmp_path):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / tensor_files.STATE)

    with pytest.raises(InputError, match="state.safetensors is no regular file"):
        adapt(folders["stable_diffusion"], notice=pytest.fail)
    (tmp_path / "out" / tensor_files.STATE).unlink()
    (tmp_path / "out" / tensor_files.STATE).mkdir()
    with pytest.raises(InputError, match="state.safetensors is no regular file"):
        adapt(folders["stable_diffusion"], notice=pytest.fail)


def test_a_disk_that_is_full_is_named_and_a_rerun_goes_on(adapt, folders, kill, tmp_path, whole, file_limit):
    kill()
    before = (tmp_path / "out" / tensor_files.STATE).read_bytes()

    with (
        file_limit(20_000),
        pytest.raises(OutputError, match="pytorch_lora_weights.safetensors: File too large; make roo"),
    ):
        adapt(folders["stable_diffusion"])

    assert (tmp_path / "out" / tensor_files.STATE).read_bytes() == before
    assert adapt(folders["stable_diffusion"]).read_bytes() == whole[0].read_bytes()


# ---- what can go wrong


def test_a_loss_that_is_no_number_names_the_learning_rate(adapt, folders):
    with pytest.raises(InputError, match=r"^the loss is no number at step \d+ of 6; set --lr lower than 1e\+30"):
        adapt(folders["stable_diffusion"], replace(TINY, lr=1e30))


def test_too_little_memory_names_what_helps(adapt, folders, monkeypatch):
    def predict(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    own = families.FAMILIES["StableDiffusionPipeline"]
    monkeypatch.setitem(families.FAMILIES, "StableDiffusionPipeline", own._replace(predict=predict))

    with pytest.raises(InputError) as error:
        adapt(folders["stable_diffusion"])

    assert str(error.value) == (
        "out of memory while adapting; these need less: --gradient-checkpointing, a --batch below 4, --adam-8bit, "
        "--layers attention, --dtype bfloat16"
    )


def test_no_images_are_nothing_to_learn_from(folders, tmp_path, kept):
    with pytest.raises(InputError, match="^there is no image to learn from$"):
        adapting.adapt(str(folders["stable_diffusion"]), [], TINY, tmp_path, objects=kept.__getitem__)


def test_the_8_bit_optimiser_without_its_package_is_one_line(adapt, folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed

    with pytest.raises(InputError) as error:
        adapt(folders["stable_diffusion"], replace(TINY, adam_8bit=True))

    assert str(error.value) == (
        "--adam-8bit needs a package that is not here: in the checkout: pip install '.[adam8bit]'"
    )


def test_the_8_bit_optimiser_is_bitsandbytes_own(adapt, folders, monkeypatch):
    made = []

    def adam(weights, lr, weight_decay):
        made.append(lr)
        return torch.optim.AdamW(weights, lr, weight_decay=weight_decay)

    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace(optim=SimpleNamespace(AdamW8bit=adam)))
    adapt(folders["stable_diffusion"], replace(TINY, adam_8bit=True, steps=1))

    assert made == [0.01]


def test_what_is_left_open_is_the_embedded_models_own_or_that_of_large_ones():
    embedded, large = (adapting.resolved(spec, Adapt()) for spec in ("embedded", "stabilityai/sd-turbo"))

    assert (embedded.lr, embedded.batch) == (1e-3, 32)
    assert (large.lr, large.batch) == (1e-4, 4)
    assert adapting.resolved("embedded", Adapt(lr=0.5, batch=2)) == Adapt(lr=0.5, batch=2)


def test_what_has_no_room_to_be_kept_is_computed_again_and_the_weights_are_the_same(adapt, folders, monkeypatch, whole):
    monkeypatch.setattr(adapting, "_ROOM", 1)  # one text and one image

    assert adapt(folders["stable_diffusion"], out="again").read_bytes() == whole[0].read_bytes()


def test_a_step_is_timed_and_nothing_of_it_is_kept(examples, kept, folders, tmp_path):
    spec = str(folders["stable_diffusion"])

    took = adapting.seconds_a_step(spec, examples, TINY, objects=kept.__getitem__, device="cpu")

    assert 0 < took < 60 and list(tmp_path.iterdir()) == []


def test_the_embedded_model_learns_a_look_by_its_own_objective(adapt, tmp_path):
    lora = adapt("embedded", Adapt(steps=2, batch=2))

    weights = load_file(lora)
    assert weights["unet.conv_in.lora_A.weight"].shape == (8, 1, 3, 3)
    assert objectives.objective(t2i.load("embedded", device="cpu").scheduler).noised(
        torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8), torch.tensor([0])
    ).target.mean() == pytest.approx(1, abs=0.01)  # the velocity: the noise itself where there is next to none


def test_the_pipelines_that_can_be_adapted_are_known_without_torch() -> None:
    assert families.FAMILIES.keys() == PIPELINES
