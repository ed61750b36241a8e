"""--help: a command's flags in groups, what few people need with --help-all; and what it loads."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ltgc_cli.cli.app import COMMANDS as LISTED
from ltgc_cli.cli.app import app
from ltgc_cli.config import command_settings

NAMES = [name for group in LISTED.values() for name in group if name != "cache"]
STAGES = ("describe", "extend", "reflect", "render", "filter", "mix-train", "eval", "predict")


def printed(*words):
    ran = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"}).invoke(app, words, prog_name="ltgc")
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def shown(text):
    """The flags that a help page has a row for."""
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", " ".join(re.findall(r"^  (-.*?)(?:  |$)", text, re.M))))


@pytest.mark.parametrize("name", NAMES)
def test_help_has_what_is_not_advanced_and_help_all_has_everything(name):
    short, long = shown(printed(name, "--help")), shown(printed(name, "--help-all"))
    for one in command_settings(name).values():
        assert one.flag in long
        assert (one.flag in short) != one.known("advanced"), one.flag


@pytest.mark.parametrize("name", NAMES)
def test_help_says_how_many_more_there_are(name):
    advanced = sum(one.known("advanced") for one in command_settings(name).values())
    more = re.findall(r"(\d+) more options: ltgc .* --help-all", printed(name, "--help"))
    assert more == ([str(advanced)] if advanced else [])


@pytest.mark.parametrize("name", NAMES)
def test_a_command_says_what_it_does_in_a_sentence_and_gives_an_example(name):
    text = printed(name, "--help")
    assert re.search(r"\n  [A-Z][^\n]*(\n  [a-z(0-9][^\n]*)*\.\n", text), "a sentence"
    assert f"ltgc {name}" in text.partition("\n\n")[2]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_reads_and_writes_and_whom_it_asks(name):
    text = " ".join(printed(name, "--help").split())
    assert re.search(r"Reads .* records?[,.]|Reads image files", text) and "Writes " in text
    assert re.search(r"Asks|costs? (time|money)", text)


def test_flags_stand_under_what_they_are_about():
    text = printed("extend", "--help-all")
    headings = re.findall(r"^([A-Z].*):$", text, re.MULTILINE)
    assert headings == ["What to write", "The model", "The cost", "Input and output", "Options"]
    assert {"--class", "-n"} <= shown(text[: text.index("The model:")])


def test_the_list_of_commands_has_each_of_them_once_in_a_line_of_its_own():
    text = printed("--help")
    names = [name for group in LISTED.values() for name in group]
    assert sorted(re.findall(r"^  ([a-z][a-z-]*) {2,}[A-Z].*\.$", text, re.MULTILINE)) == sorted(names)


@pytest.mark.parametrize("words", [["--help"], ["extend", "--help"]])
def test_help_imports_no_command_but_its_own_and_nothing_heavy_with_a_settings_file_too(tmp_path, words):
    (tmp_path / "ltgc.toml").write_text('llm = "gpt-4o"\n')
    code = (
        f"import sys; sys.argv = ['ltgc', *{words!r}]; from ltgc_cli.cli import main\n"
        "try: main()\nfinally: print('MODULES', *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    loaded = set(ran.stdout.partition("MODULES")[2].split())
    modules = {f"ltgc_cli.cli.{module}" for group in LISTED.values() for module, _ in group.values()}
    heavy = {"torch", "litellm", "diffusers", "open_clip", "PIL", "numpy", "rich", "pydantic", "diskcache", "jinja2"}
    assert "ltgc_cli.cli.app" in loaded and not heavy & loaded
    assert modules & loaded == ({"ltgc_cli.cli.stages"} if "extend" in words else set())
    assert not any(name.startswith("ltgc_cli.pipeline") for name in loaded)
