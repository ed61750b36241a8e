"""What a spec opens, and what opening it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.ports import Comparison, ImageRequest, Match, NearestClass, Question
from ltgc_cli.providers import open_ask, open_compare, open_generate, open_score
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.providers.t2i import diffusers

QUESTION = Question(model="m", task="extend", subject="crane", text="…")


@pytest.fixture
def heard():
    return []


@pytest.fixture
def tiny(monkeypatch, clip_folder, t2i_folder):
    """The embedded models, replaced by those of these tests."""
    monkeypatch.setattr(open_clip, "EMBEDDED", clip_folder)
    monkeypatch.setattr(diffusers, "EMBEDDED", t2i_folder)


@pytest.mark.parametrize("spec", ["o3-mini", "azure/o3-mini"])
def test_a_model_that_the_list_says_takes_no_images_is_an_input_error_before_anything_is_asked(spec):
    with pytest.raises(InputError, match=f"^--lmm {spec} takes no images, .*; name one that does, as gpt-4o$"):
        open_ask(spec, kind="lmm", objects=dict.__getitem__)
    assert open_ask(spec, kind="llm", objects=dict.__getitem__).model == spec


@pytest.mark.parametrize("spec", ["gpt-4o", "gpt-4", "my-own-model", "ollama/llama3.1"])
def test_where_the_list_does_not_say_that_a_model_takes_no_images_its_server_is_asked(spec):
    assert open_ask(spec, kind="lmm", objects=dict.__getitem__).model == spec
    at_home = open_ask("o3-mini", kind="lmm", objects=dict.__getitem__, api_base="http://localhost:8000/v1")
    assert at_home.model == "o3-mini"


def test_the_embedded_language_model_says_once_that_it_knows_nothing_and_what_to_set(heard):
    model, ask = open_ask("embedded", kind="llm", objects=dict.__getitem__, notice=heard.append)
    assert (model, heard) == ("embedded/grammar-1", [])

    assert ask(QUESTION).text == ask(QUESTION).text
    assert len(heard) == 1 and "knows nothing of any class" in heard[0] and "--llm gpt-4o" in heard[0]


def test_every_embedded_model_says_that_it_knows_digits_only_once_it_is_asked(tiny, heard, png, kept, keep):
    image = keep(png((1, 200, 3)))
    see = open_ask("embedded", kind="lmm", objects=kept.__getitem__, notice=heard.append)
    generate = open_generate("embedded", keep=keep, notice=heard.append)
    score = open_score("embedded", objects=kept.__getitem__, notice=heard.append)
    assert heard == []

    see.port(Question(model="m", task="describe", subject="crane", text="…", images=(image,)))
    generate.port([ImageRequest(model="m", text="A photo of a crane.", seed=1)])
    score.port([Match(model="m", image=image, text="A photo of a crane.")])

    compare = open_compare("embedded", objects=kept.__getitem__, notice=heard.append)
    assert compare.model == score.model and len(heard) == 3
    among = keep(b'["A photo of a crane.", "A photo of a seal."]')
    (nearest,) = compare.port([Comparison(model="m", image=image, own="A photo of a crane.", among=among)])
    assert isinstance(nearest, NearestClass) and nearest.text == "A photo of a seal."
    assert heard.pop() == heard[-1]  # the same notice: a session says it once

    for flag, notice in zip(("--lmm", "--t2i", "--clip"), heard, strict=True):
        assert "written digits" in notice and f"; {flag} " in notice


def test_embedded_models_are_named_by_what_their_files_hold(tiny, kept, keep, clip_folder):
    see = open_ask("embedded", kind="lmm", objects=kept.__getitem__, notice=print)
    generate = open_generate("embedded", keep=keep, notice=print)
    score = open_score("embedded", objects=kept.__getitem__, notice=print)

    for opened, start in zip((see, generate, score), ("lmm-1", "t2i", "clip"), strict=True):
        name, _, digest = opened.model.partition("@")
        assert name == f"embedded/{start}" and len(digest) == 12
        assert str(clip_folder.parent) not in opened.model


def test_any_other_language_model_is_litellms_under_its_own_name():
    for spec in ("gpt-4o", "ollama/llama3.1:8b", "anthropic/claude-sonnet-4-5"):
        assert open_ask(spec, kind="llm", objects=dict.__getitem__, notice=print).model == spec


def test_a_vllm_server_is_asked_by_its_address_and_not_run_here(monkeypatch):
    server = "--api-base http://localhost:8000/v1$"
    with pytest.raises(
        InputError, match=f"^vllm/Qwen/Qwen3-8B .*; for a vLLM server write hosted_vllm/Qwen/Qwen3-8B {server}"
    ):
        open_ask("vllm/Qwen/Qwen3-8B", kind="lmm", objects=dict.__getitem__)
    for spec in ("hosted_vllm/Qwen/Qwen3-8B", "lm_studio/qwen"):
        with pytest.raises(InputError, match=f"^{spec}: .*; add {server}"):
            open_ask(spec, kind="llm", objects=dict.__getitem__)
    monkeypatch.setenv("LM_STUDIO_API_BASE", "http://localhost:1234/v1")
    assert open_ask("lm_studio/qwen", kind="llm", objects=dict.__getitem__).model == "lm_studio/qwen"


def test_a_spec_that_names_nothing_is_an_input_error_that_lists_what_can_be_written(keep):
    with pytest.raises(InputError, match="embedded, replay:FILE, or a model as litellm names it"):
        open_ask(" ", kind="llm", objects=dict.__getitem__, notice=print)
    with pytest.raises(InputError, match="embedded, blank, replay:FILE, a diffusers model id"):
        open_generate("paintbrush", keep=keep, notice=print)
    with pytest.raises(InputError, match="names no image API; write litellm:gpt-image-1"):
        open_generate("litellm:", keep=keep, notice=print)
    with pytest.raises(InputError, match="embedded, MODEL/PRETRAINED"):
        open_score("ViT-B-32", objects=dict.__getitem__, notice=print)


def test_opening_every_kind_of_port_imports_no_model_library(tmp_path, clip_folder, t2i_folder):
    recording = tmp_path / "record.jsonl"
    recording.touch()
    code = f"""
import sys
from ltgc_cli.providers import open_ask, open_compare, open_generate, open_score, replay
for spec in ("embedded", "gpt-4o", "replay:{recording}"):
    open_ask(spec, kind="llm", objects=len, notice=len)
open_ask("gpt-4o", kind="lmm", objects=len, notice=len)
for spec in ("blank", "stabilityai/sd-turbo", "litellm:gpt-image-1", {str(t2i_folder)!r}, "replay:{recording}"):
    open_generate(spec, keep=len, notice=len)
for spec in ("ViT-B-32/openai", "local-dir:{clip_folder}", "replay:{recording}"):
    open_score(spec, objects=len, notice=len)
    open_compare(spec, objects=len, notice=len)
replay.recorder(__import__("pathlib").Path({str(recording)!r}), len)
heavy = "torch torchvision litellm diffusers open_clip transformers PIL numpy huggingface_hub safetensors"
print([name for name in heavy.split() if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")
