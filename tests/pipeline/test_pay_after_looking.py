"""All that lies here and can stop a command is looked at before its first question: each stage, each obstacle."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import a_class, a_description, an_image
from pictures import file
from safetensors.numpy import save_file
from trained import digits

from ltgc_cli import providers
from ltgc_cli.ports import Answer, Question
from ltgc_cli.providers import Opened
from ltgc_cli.records import Made, dump, evolve
from ltgc_cli.store import Store

CRANE = a_class("crane", 3)
CLIP = Path(providers.__file__).parent.parent / "embedded" / "clip"
T2I = CLIP.parent / "t2i"

RUN = """
data = "digits"
tail = 3
t2i = "blank"
llm = "openai/mine"
lmm = "openai/mine"
[extend]
n = 4
[reflect]
k = 4
[mix-train]
steps = 2
[run]
recipe = "ltgc"
[eval]
zero-shot = true
"""

STAGES = {
    "describe": "describe -i in.jsonl --lmm openai/mine",
    "describe of data": "describe --data digits --tail 3 --lmm openai/mine",
    "extend": "extend -i in.jsonl --llm openai/mine",
    "extend of names": "extend --class crane --llm openai/mine",
    "reflect": "reflect -i in.jsonl -k 4 --llm openai/mine",
    "filter": "filter -i in.jsonl --scale cosine --threshold 0.9 --llm openai/mine --t2i blank",
    "eval": "eval --data digits --lmm openai/mine",
    "run": "run run.toml",
    "render": "render -i in.jsonl --t2i litellm:openai/mine",
}
ASKING = [name for name in STAGES if name != "render"]
JUDGING = ["filter", "eval", "run"]
EVERYWHERE = {
    "no folder for -o": "-o none/out.jsonl",
    "a folder for -o": "-o digits",
    "a person's file for -o": "-o mine.txt",
    "a store that is a file": "--cache-dir mine.txt",
    "a store below a file": "--cache-dir mine.txt/store",
    "no input": "-i none.jsonl",
    "input with a broken line": "-i broken.jsonl",
    "a price that is none": "--price cheap",
    "no questions at once": "--concurrency 0",
    "questions at once that are no number": "--concurrency nan",
    "a limit that is no number": "--max-cost nan",
    "an unknown flag": "--nothing",
    "an address that is none": "--api-base file:///etc/hostname",
}
OWN = {
    ("describe", "no prompts"): "--prompts none.toml",
    ("describe", "broken prompts"): "--prompts mine.txt",
    ("describe", "no senses"): "--senses none.toml",
    ("describe of data", "no classes"): "--classes none.csv",
    ("describe of data", "broken classes"): "--classes broken.jsonl",
    ("extend", "no prompts"): "--prompts none.toml",
    ("extend of names", "broken senses"): "--senses mine.txt",
    ("reflect", "broken prompts"): "--prompts mine.txt",
    ("filter", "no prompts"): "--prompts none.toml",
    ("filter", "no verdicts"): "--verdicts none.jsonl",
    ("filter", "broken verdicts"): "--verdicts mine.txt",
    ("filter", "no folder of CLIP"): "--clip local-dir:none",
    ("filter", "a folder of CLIP without weights"): "--clip local-dir:no-clip",
    ("filter", "a folder of CLIP with cut weights"): "--clip local-dir:cut-clip",
    ("filter", "no such CLIP"): "--clip ViT-Z-99/openai",
    ("filter", "no such weights"): "--clip ViT-B-32/none",
    ("filter", "no folder of an image model"): "--t2i ./none",
    ("filter", "a folder of an image model that lacks a part"): "--t2i ./no-unet",
    ("filter", "an image model with cut weights"): "--t2i ./cut-t2i",
    ("filter", "no index of an image model"): "--t2i ./no-index",
    ("filter", "no such LoRA"): "--t2i embedded --lora gone.safetensors",
    ("filter", "a LoRA that is cut"): "--t2i embedded --lora cut.safetensors",
    ("filter", "a LoRA of whole numbers"): "--t2i embedded --lora whole.safetensors",
    ("filter", "a file without a LoRA"): "--t2i embedded --lora none.safetensors",
    ("filter", "a LoRA that lacks a matrix"): "--t2i embedded --lora half.safetensors",
    ("filter", "no such scheduler"): "--t2i embedded --scheduler NoneSuch",
    ("filter", "no cluster"): "--engine ray --ray-address 127.0.0.1:1",
    ("filter", "an unknown device"): "--device tpu9",
    ("filter", "a device that is not there"): "--device cuda:77",
    ("filter", "a threshold that no score reaches"): "--threshold 200",
    ("eval", "no data"): "--data none",
    ("eval", "no such CLIP"): "--clip ViT-Z-99/openai",
    ("render", "a setting that no API takes"): "--steps 4",
    ("run", "no data"): "--data none",
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """What language models are asked; each answers at once."""
    seen: list[Question] = []

    def ask(question: Question) -> Answer:
        seen.append(question)
        return Answer(text="none" if question.task == "reflect" else "A photo of the class crane, at dusk.")

    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: Opened(spec, ask))
    return seen


@pytest.fixture
def folder(tmp_path: Path, store: Path) -> Path:
    """A folder with a data set, a stream whose images are in the store, and files that are none."""
    digits(tmp_path / "digits", test=2)
    (tmp_path / "run.toml").write_text(RUN)
    kept = Store(store)
    red, blue = (
        kept.put_object(file(np.full((32, 32, 3), colour, np.uint8), "PNG")) for colour in ((250, 9, 9), (9, 9, 250))
    )
    text = "A photo of the class crane, at dusk."
    images = [
        evolve(an_image(CRANE, "a.png"), sha256=red),
        evolve(an_image(CRANE, "b", "generated", text=text, made=Made(model="blank", seed=1)), sha256=blue),
    ]
    kept.close()
    rows = [CRANE, a_description(CRANE, "at dusk", "described"), *images]
    (tmp_path / "in.jsonl").write_text("".join(dump(row) + "\n" for row in rows))
    (tmp_path / "broken.jsonl").write_text((tmp_path / "in.jsonl").read_text() + '{"kind": "class", "label": \n')
    (tmp_path / "mine.txt").write_text("[[[ mine")
    digits(tmp_path / "other", test=2)
    for split in (tmp_path / "other").iterdir():
        (split / "two").rename(split / "dos")
    layer = {f"unet.mid.to_q.lora_{half}.weight": np.ones((2, 2), np.float32) for half in "AB"}
    save_file(layer, tmp_path / "lora.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "lora.safetensors").read_bytes()[:-4])
    save_file({name: value.astype(np.int64) for name, value in layer.items()}, tmp_path / "whole.safetensors")
    save_file({"weight": np.ones(2, np.float32)}, tmp_path / "none.safetensors")
    save_file(dict([*layer.items()][:1]), tmp_path / "half.safetensors")
    for name, source in (("no-clip", CLIP), ("cut-clip", CLIP), ("no-unet", T2I), ("cut-t2i", T2I), ("no-index", T2I)):
        shutil.copytree(source, tmp_path / name)
    for weights in (tmp_path / "no-clip").glob("*.safetensors"):
        weights.unlink()
    for weights in [*(tmp_path / "cut-clip").glob("*.safetensors"), *(tmp_path / "cut-t2i").rglob("*.safetensors")]:
        weights.write_bytes(weights.read_bytes()[:-100])
    shutil.rmtree(tmp_path / "no-unet" / "unet")
    (tmp_path / "no-index" / "model_index.json").unlink()
    return tmp_path


def refused(ran: Any, asked: list[Question]) -> None:
    assert asked == []
    assert ran.code in (2, 3), (ran.code, ran.err)
    assert "Traceback" not in ran.err


def typed(stage: str, flags: str) -> list[str]:
    words = STAGES[stage].split()
    for flag in flags.split()[::2]:
        if flag in words:  # what stands twice is refused for that
            at = words.index(flag)
            words[at : at + 2] = []
    return [*words, *flags.split()]


@pytest.mark.parametrize("stage", ASKING)
def test_without_an_obstacle_it_asks(inside, folder, asked, stage):
    ran = inside(*typed(stage, "--max-cost 100 --price 1,1" if stage != "run" else "--until describe"))
    assert asked and "Traceback" not in ran.err, ran.err


@pytest.mark.parametrize("obstacle", EVERYWHERE)
@pytest.mark.parametrize("stage", STAGES)
def test_what_stops_any_stage_is_found_before_its_first_question(inside, folder, asked, stage, obstacle):
    refused(inside(*typed(stage, EVERYWHERE[obstacle])), asked)


@pytest.mark.parametrize(("stage", "obstacle"), OWN)
def test_what_stops_a_stage_is_found_before_its_first_question(inside, folder, asked, stage, obstacle):
    refused(inside(*typed(stage, OWN[stage, obstacle])), asked)


@pytest.mark.parametrize("stage", ["describe", "filter"])
def test_images_of_a_stream_that_are_not_in_the_store_are_looked_for_first(inside, folder, store, asked, stage):
    shutil.rmtree(store / "objects")
    ran = inside(*STAGES[stage].split())
    refused(ran, asked)
    assert "is not in the store" in ran.err and "crane" in ran.err


def test_through_a_pipe_the_images_of_a_class_are_looked_for_before_its_first_question(inside, folder, store, asked):
    shutil.rmtree(store / "objects")
    refused(inside("describe", "--lmm", "openai/mine", input=(folder / "in.jsonl").read_text()), asked)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut"])
def test_images_that_would_stop_the_training_of_a_run_are_found_first(inside, folder, asked, content):
    sorted((folder / "digits" / "test").rglob("*.png"))[0].write_bytes(content)
    refused(inside(*STAGES["run"].split()), asked)


def test_images_of_a_list_that_are_not_there_are_found_first(inside, folder, asked):
    images = sorted((folder / "digits" / "train").rglob("*.png"))
    (folder / "list.txt").write_text("".join(f"{path} {label}\n" for label, path in enumerate(images[:3])))
    images[2].unlink()
    refused(inside("describe", "--data", "list.txt", "--lmm", "openai/mine"), asked)
    measured = inside("eval", "--data", "list.txt", "--lmm", "openai/mine")  # there it is one failure
    assert (measured.code, measured.out.count('"kind":"failure"'), len(asked)) == (1, 1, 2)


def run_with(settings: str) -> str:
    """The settings of a run with more: where it adapts, of a model that can be adapted."""
    table = settings.partition("\n")[0]
    text = RUN.replace(table, settings) if table and table in RUN else f"{RUN}{settings}\n"
    return text.replace('t2i = "blank"', 't2i = "embedded"', 1) if "[adapt]" in text else text


LATER = {
    "filter's CLIP": ('[filter]\nclip = "ViT-Z-99/openai"', "ViT-Z-99"),
    "filter's CLIP folder": ('[filter]\nclip = "local-dir:no-clip"', "no-clip"),
    "filter's cut CLIP": ('[filter]\nclip = "local-dir:cut-clip"', "cut-clip"),
    "render's folder": ('[render]\nt2i = "./no-unet"', "no-unet"),
    "render's weights": ('[render]\nt2i = "./cut-t2i"', "cut-t2i"),
    "render's device": ('[render]\ndevice = "tpu9"', "tpu9"),
    "filter's device": ('[filter]\ndevice = "cuda:77"', "cuda:77"),
    "filter's prompts": ('[filter]\nprompts = "none.toml"', "none.toml"),
    "filter's verdicts": ('[filter]\nverdicts = "none.jsonl"', "none.jsonl"),
    "extend's prompts": ('[extend]\nprompts = "mine.txt"', "mine.txt"),
    "training data": ('[mix-train]\ndata = "none"', "none"),
    "training's CLIP": ('[mix-train]\nclip = "ViT-Z-99/openai"', "ViT-Z-99"),
    "training's device": ('[mix-train]\ndevice = "tpu9"', "tpu9"),
    "training's out": ('[mix-train]\nout = "digits"', "digits"),
    "training's loss": ('[mix-train]\nloss = "none"', "loss"),
    "eval's data": ('[eval]\ndata = "none"', "none"),
    "eval's split": ('[eval]\nsplit = "none"', "split"),
    "the report's flags": ("[report]\nnothing = 1", "nothing"),
    "a test set's classes": ('[run]\ntest = "other"', "no class 'dos'"),
    "the training data's classes": ('[mix-train]\ndata = "other"', "'dos'"),
    "the validation data's classes": ('[mix-train]\nval = "other"\nval-every = 1', "no class 'dos'"),
    "the classes of what τ is chosen on": ('[eval]\nposthoc = true\nval = "other"', "no class 'dos'"),
    "the classes that are adapted to": ('[adapt]\ndata = "other"', "'dos'"),
    "training's average": ('[mix-train]\naverage = ["gone"]', "--average gone"),
    "training's blocks": ("[mix-train]\ntune-blocks = 99", "--tune-blocks 99"),
    "training's out below a file": ('[mix-train]\nout = "mine.txt/x"', "mine.txt/x: Not a directory"),
    "adapt's out below a file": ('[adapt]\nout = "mine.txt/x"', "mine.txt/x: Not a directory"),
    "adapt's classes": ("[adapt]\nfrom-classes = 1000", "--from-classes"),
    "adapt's model": ('[filter]\nt2i = "blank"\n[adapt]\nsteps = 2', "the adapter of the stream is one of"),
    "a LoRA besides adapt's": (
        '[render]\nlora = "lora.safetensors"\n[adapt]\nsteps = 2',
        "the stream has an adapter of its own",
    ),
    "a strength of no LoRA": ("[render]\nlora-scale = 0.5", "--lora-scale 0.5"),
    "render's cut LoRA": ('[render]\nt2i = "embedded"\nlora = "cut.safetensors"', "--lora cut.safetensors"),
    "render's scheduler": ('[render]\nt2i = "embedded"\nscheduler = "NoneSuch"', "--scheduler NoneSuch"),
    "render's cluster": ('[render]\nengine = "ray"\nray-address = "127.0.0.1:1"', "--ray-address 127.0.0.1:1"),
    "a run's file of a person": ("", "extend.jsonl"),
}


@pytest.mark.parametrize("obstacle", LATER)
def test_what_stops_a_later_stage_of_a_run_is_found_before_the_first_question(inside, folder, asked, obstacle):
    settings, named = LATER[obstacle]
    (folder / "run.toml").write_text(run_with(settings))
    if not settings:
        (folder / "ltgc-run").mkdir()
        (folder / "ltgc-run" / "extend.jsonl").write_text("mine\n")
    ran = inside("run", "run.toml")
    refused(ran, asked)
    assert named in ran.err


@pytest.mark.parametrize(("stage", "library"), [("filter", "open_clip"), ("extend", "litellm"), ("run", "diffusers")])
def test_a_library_that_is_not_installed_is_missed_before_the_first_question(
    inside, folder, asked, monkeypatch, stage, library
):
    (folder / "run.toml").write_text(RUN.replace('t2i = "blank"', 't2i = "embedded"'))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else object())
    ran = inside(*STAGES[stage].split())
    refused(ran, asked)
    assert f"needs {library}, which is not installed here" in ran.err


@pytest.mark.parametrize(
    ("settings", "library"),
    [
        ('[mix-train]\nlog = "wandb"', "wandb"),
        ('[mix-train]\nlog = "tensorboard"', "tensorboard"),
        ("[adapt]\nadam-8bit = true", "bitsandbytes"),
    ],
)
def test_a_package_that_a_later_stage_of_a_run_needs_is_missed_before_the_first_question(
    inside, folder, asked, monkeypatch, settings, library
):
    (folder / "run.toml").write_text(run_with(settings))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else found(name))
    ran = inside("run", "run.toml")
    refused(ran, asked)
    assert "needs a package that is not here" in ran.err


def test_what_the_store_answers_needs_no_look(inside, folder, store, asked):
    first = inside(*STAGES["describe"].split())
    shutil.rmtree(store / "objects")
    for artifact in (store / "artifacts").rglob("*.json"):
        artifact.unlink()
    asked.clear()
    again = inside(*STAGES["describe"].split())
    assert (again.code, again.out, asked) == (first.code, first.out, [])
