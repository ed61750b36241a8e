"""Completion: Typer's own, with values that are read from files that are here already."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from ltgc_cli.cli.completion import values_of
from ltgc_cli.config import command_settings

NAMES = ["Trogon rufus", "O'Brien's gull", "crane", "鶴 [1] *"]


def offered(command, name, start="", **given):
    complete = values_of(command_settings(command)[name])
    context = type("Context", (), {"params": given})()
    return complete(context, start)


@pytest.fixture
def birds(tmp_path, monkeypatch):
    for name in NAMES:
        (tmp_path / "birds" / name).mkdir(parents=True)
        (tmp_path / "birds" / name / "1.jpg").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(environment, folder, words, shell="bash"):
    """What Typer answers the shell's script, a word a line."""
    asked = {"_LTGC_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'ltgc'; from ltgc_cli.cli import main; main()"],
        env=environment | asked, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_models_are_those_of_the_price_list():
    assert offered("extend", "llm", "gpt-4o-mi")[:1] == ["gpt-4o-mini"]
    assert "anthropic/claude-sonnet-4-5" in offered("describe", "lmm", "anthropic/claude-s")
    assert offered("extend", "llm", "replay") == ["replay:"]
    assert "gpt-3.5-turbo" not in offered("describe", "lmm", "gpt-3"), "it must see"


def test_not_thousands_of_models_are_offered_at_once():
    assert 20 < len(offered("extend", "llm")) < 400


def test_text_to_image_models_are_of_diffusers_or_behind_litellm(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--me--my-model" / "snapshots" / "1f").mkdir(parents=True)
    (tmp_path / "models--me--my-model" / "snapshots" / "1f" / "model_index.json").touch()
    assert offered("render", "t2i")[:5] == ["embedded", "replay:", "blank", "litellm:", "me/my-model"]
    assert "litellm:gpt-image-1" in offered("render", "t2i", "litellm:gpt-im")


def test_clip_models_are_those_that_open_clip_lists():
    assert "ViT-B-32/laion2b_s34b_b79k" in offered("filter", "clip", "ViT-B-32/")


def test_choices_are_offered_by_their_setting():
    assert offered("filter", "mode") == ["refine", "exclude", "score"]
    assert offered("eval", "compare", "pl") == ["places-lt"]
    assert offered("cost", "by") == ["stage", "model", "class"]


def test_class_names_come_from_the_data_the_stream_or_ltgc_toml(birds):
    assert offered("report", "class_", data="birds") == sorted(NAMES)
    (birds / "some.jsonl").write_text(json.dumps({"kind": "class", "class": "seal", "label": 0, "tail": True}) + "\n")
    assert offered("report", "class_", input="some.jsonl") == ["seal"]
    assert offered("extend", "class_", "Tro") == []
    (birds / "ltgc.toml").write_text('data = "birds"\n')
    assert offered("extend", "class_", "Tro") == ["Trogon rufus"]


def test_a_broken_file_completes_nothing_and_says_nothing(birds, capfd):
    (birds / "ltgc.toml").write_text("data = ")
    assert offered("extend", "class_") == []
    assert capfd.readouterr() == ("", "")


def test_a_shell_is_answered_with_commands_flags_and_values(environment, birds):
    assert completed(environment, birds, "ltgc mix") == ["mix-train"]
    assert completed(environment, birds, "ltgc extend --cl") == ["--class"]
    assert completed(environment, birds, "ltgc filter --mode ex") == ["exclude"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_typer_has_a_script_for_every_shell(shell):
    script = typer.completion.get_completion_script(prog_name="ltgc", complete_var="_LTGC_COMPLETE", shell=shell)
    assert "ltgc" in script and "_LTGC_COMPLETE" in script
