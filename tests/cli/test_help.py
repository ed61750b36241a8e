"""--help: a command's flags in groups, the few that most people need at first, all with --help-all."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from ltgc_cli.cli import COMMANDS as COMMANDS_LISTED
from ltgc_cli.cli import app, help

STAGES = ("describe", "extend", "reflect", "render", "filter", "mix-train", "eval", "predict")


def walked(command, path=()):
    if isinstance(command, TyperGroup):
        return [found for name, sub in command.commands.items() for found in walked(sub, (*path, name))]
    return [(path, command)]


COMMANDS = [pytest.param(path, command, id=" ".join(path)) for path, command in walked(typer.main.get_command(app))]


def printed(*words):
    ran = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"}).invoke(app, words, prog_name="ltgc")
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def flags(text):
    """The flags that a help page has a row for."""
    options = re.split(r"^[A-Z].*:$", text, maxsplit=1, flags=re.MULTILINE)[1]
    rows = re.findall(r"^  (-.*?)(?:  |$)", options, re.MULTILINE)
    return [set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", row)) for row in rows]


def shown(text):
    return set().union(*flags(text))


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_a_command_shows_a_dozen_options_at_first(path, command):
    assert len(flags(printed(*path, "--help"))) <= 12


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_help_all_shows_all_options(path, command):
    options = [param for param in command.params if param.param_type_name == "option" and not param.hidden]
    text = printed(*path, "--help-all")

    assert {opt for option in options for opt in (*option.opts, *option.secondary_opts)} <= shown(text)
    assert len(flags(text)) == len(options) + 2, "and --help and --help-all themselves"


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_short_help_says_how_many_more_there_are(path, command):
    text = printed(*path, "--help")
    hidden = len(flags(printed(*path, "--help-all"))) - 2 - len(flags(text))

    said = re.findall(r"(\d+) more options: ltgc .* --help-all", text)
    assert said == ([str(hidden)] if hidden else [])


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_h_is_help(path, command):
    assert printed(*path, "-h") == printed(*path, "--help")


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_what_a_command_must_have_is_shown_at_first(path, command):
    required = {param.opts[0] for param in command.params if param.required and param.param_type_name == "option"}
    assert required <= shown(printed(*path, "--help"))


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_a_command_says_what_it_does_in_a_sentence_and_gives_an_example(path, command):
    sentence = command.help.strip().split("\n\n")[0]

    assert sentence.endswith(".")
    assert f"ltgc {' '.join(path)} " in command.help + " "


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_reads_and_writes_and_whom_it_asks(name):
    text = " ".join(printed(name, "--help").split())
    assert re.search(r"Reads .* records?[,.]|Reads image files", text) and "Writes " in text
    assert re.search(r"Asks|costs? (time|money)", text)


def test_the_tables_of_the_help_name_commands_and_flags_that_exist():
    opts = {
        " ".join(path): {opt for param in cmd.params for opt in param.opts}
        for path, cmd in walked(typer.main.get_command(app))
    }

    assert {
        (name, flag) for name, flags in help.FIRST.items() for flag in flags.split() if flag not in opts[name]
    } == set()
    assert {(name, flag) for name, flags in help.HEADINGS.items() for flag in flags if flag not in opts[name]} == set()


def test_the_flags_of_mix_train_stand_under_what_they_are_about():
    text = printed("mix-train", "--help-all")
    assert re.findall(r"^([A-Z].*):$", text, re.MULTILINE) == [
        "The data",
        "The stream",
        "The loss",
        "The classifier",
        "The loop",
        "The images",
        "The run",
        "The model",
        "Input and output",
        "Help",
    ]
    loss = text[text.index("The loss:") : text.index("The classifier:")]
    assert shown(loss) == {"--loss", "--tau", "--gamma", "--margin", "--lade-weight"}


def test_the_list_of_commands_has_each_of_them_once_in_a_line_of_its_own():
    text = printed("--help")
    names = [info.name for info in [*app.registered_commands, *app.registered_groups]]  # all are imported by now

    assert sorted(re.findall(r"^  ([a-z][a-z-]*) {2,}[A-Z].*\.$", text, re.MULTILINE)) == sorted(names)
    assert max(len(line) for names in COMMANDS_LISTED.values() for _, line in names.values()) <= 65, "at 80 columns"


def test_the_list_of_commands_imports_none_of_them():
    code = (
        "import sys; sys.argv = ['ltgc', '--help']; from ltgc_cli.cli import main\n"
        "try: main()\nfinally: print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    modules = {f"ltgc_cli.cli.{module}" for names in COMMANDS_LISTED.values() for module, _ in names.values()}

    assert modules.isdisjoint(loaded) and "ltgc_cli.cli" in loaded
