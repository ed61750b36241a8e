"""Completion: what fits at the cursor, and that three real shells type it rightly quoted."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from ltgc_cli.cli import app, completion_values, settings
from ltgc_cli.cli.completion import fitting
from ltgc_cli.cli.completion_scripts import SCRIPTS, install
from ltgc_cli.cli.words import split
from ltgc_cli.errors import InputError

GROUP = typer.main.get_command(app)
NAMES = ["Trogon rufus", "O'Brien's gull", 'a$b "c" `d`', "crane", "re:d = x", "鶴 [1] *"]


def words(line, breaks=""):
    """What fits at the end of a command line."""
    return list(fitting(GROUP, split(line, breaks)).words)


@pytest.fixture
def birds(tmp_path, monkeypatch):
    for name in NAMES:
        (tmp_path / "birds" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- what fits


def test_commands_come_in_the_order_of_the_help_with_what_they_do():
    found = fitting(GROUP, split("ltgc "))
    assert list(found.words)[:5] == ["demo", "init", "run", "describe", "extend"]
    assert found.words["extend"].startswith("List what the images of a class do not show")
    assert words("ltgc mix") == ["mix-train"]


def test_flags_are_those_of_the_command():
    assert words("ltgc extend --cl") == ["--class"]
    assert words("ltgc mix-train --no-g") == ["--no-generated"]
    assert words("ltgc --vers") == ["--version"]


def test_a_flag_that_was_given_is_not_offered_again_but_where_it_may_be_repeated():
    assert words("ltgc extend -n 3 --llm embedded --l") == []
    assert words("ltgc extend --class crane --cl") == ["--class"]


def test_where_nothing_is_typed_the_flags_that_most_need_are_offered():
    assert words("ltgc extend ")[:3] == ["--class", "-n", "--llm"]


def test_what_a_flag_takes_is_offered_after_it():
    assert words("ltgc filter --mode ") == ["refine", "exclude", "score"]
    assert words("ltgc eval --compare pl") == ["places-lt"]
    assert words("ltgc cost --by ") == ["stage", "model", "class"]
    assert words("ltgc mix-train --device cu") == ["cuda"]
    assert words("ltgc --install-completion ") == ["bash", "zsh", "fish"]


def test_a_value_after_an_equals_sign_is_offered_as_the_whole_word():
    assert words("ltgc eval --compare=pl") == ["--compare=places-lt"]


def test_a_number_is_not_completed_and_not_taken_for_a_file():
    assert fitting(GROUP, split("ltgc extend -n ")) == ({}, False)


def test_files_are_left_to_the_shell():
    assert fitting(GROUP, split("ltgc extend -i re")) == ({}, True)
    assert fitting(GROUP, split("ltgc predict ")) == ({}, True)


def test_models_are_those_of_the_price_list():
    assert words("ltgc extend --llm gpt-4o-mi")[:1] == ["gpt-4o-mini"]
    assert "anthropic/claude-sonnet-4-5" in words("ltgc describe --lmm anthropic/claude-s")
    assert words("ltgc extend --llm em") == ["embedded"]
    assert words("ltgc extend --llm replay") == ["replay:"]
    assert "gpt-4o" in words("ltgc describe --llm gpt-4") and "gpt-3.5-turbo" not in words(
        "ltgc describe --llm gpt-3"
    ), "describe's --llm sees"


def test_not_thousands_of_models_are_offered_at_once():
    assert 20 < len(words("ltgc extend --llm ")) < 400


def test_models_that_draw_are_of_diffusers_or_behind_litellm(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--me--my-model" / "snapshots" / "1f").mkdir(parents=True)
    (tmp_path / "models--me--my-model" / "snapshots" / "1f" / "model_index.json").touch()

    assert words("ltgc render --t2i ")[:5] == ["embedded", "replay:", "blank", "litellm:", "me/my-model"]
    assert "litellm:gpt-image-1" in words("ltgc render --t2i litellm:gpt-im")


def test_models_of_open_clip_are_read_without_importing_it():
    code = (
        "import sys; from ltgc_cli.cli.completion_values import clip_models\n"
        "print(*clip_models('', {})); assert not {'torch', 'open_clip'} & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"embedded", "ViT-B-32/laion2b_s34b_b79k", "ViT-L-14/openai", "EVA01-g-14/laion400m_s11b_b41k"} <= set(found)


def test_where_open_clip_is_not_there_nothing_is_said_of_it(monkeypatch):
    monkeypatch.setattr(completion_values.importlib.util, "find_spec", lambda _: None)
    assert list(completion_values.clip_models("", {})) == ["embedded", "replay:", "hf-hub:", "local-dir:"]


def test_classes_are_those_of_the_stream(tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [{"kind": "class", "class": "Trogon rufus"}, {"kind": "image", "class": "Trogon rufus"}, {"class": 'c"d'}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + "broken {")

    assert words(f"ltgc extend -i {file} --class ") == ["Trogon rufus", 'c"d']


def test_a_pipe_is_not_read_for_its_classes(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert words(f"ltgc extend -i {tmp_path / 'pipe'} --class ") == []


def test_classes_are_those_of_the_data_that_the_settings_file_names(birds):
    def found(line):
        return sorted(fitting(GROUP, split(line), lambda: settings(Path("ltgc.toml"), GROUP, None)).words)

    (birds / "ltgc.toml").write_text('data = "birds"\n')
    assert found("ltgc extend --class ") == sorted(NAMES)
    assert found("ltgc extend --class Tro") == ["Trogon rufus"]

    (birds / "classes.csv").write_text("label,name\n0,Grus grus\n")
    (birds / "ltgc.toml").write_text('[describe]\ndata = "birds"\nclasses = "classes.csv"\n')
    assert found("ltgc extend -c ") == ["Grus grus"]

    (birds / "ltgc.toml").write_text('data = "digits-lt:3"\n')
    assert found("ltgc extend --class se") == ["seven"]

    (birds / "list.txt").write_text("a.png 0\n")
    (birds / "ltgc.toml").write_text('data = "list.txt"\n')
    assert found("ltgc extend --class ") == ["0"]


def test_a_name_that_would_move_the_cursor_is_not_offered(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"class": "a\x1b[2Jb"}) + "\n" + json.dumps({"class": "a b"}) + "\n")
    assert words(f"ltgc extend -i {file} -c ") == ["a b"]


# --- what the shells' scripts are told


def told(environment, tmp_path, shell, line, **variables):
    given = {"_LTGC_COMPLETE": shell, "_LTGC_LINE": line, "_LTGC_BREAKS": ":=", "_LTGC_WORDS": line.replace(" ", "\n")}
    return subprocess.run(
        [sys.executable, "-m", "ltgc_cli"],
        env=environment | given | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )


def test_bash_is_told_what_comes_after_the_colon_at_which_it_breaks_words(environment, tmp_path):
    done = told(environment, tmp_path, "bash", "ltgc render --t2i litellm:gpt-image-1-m")
    assert (done.stdout, done.stderr) == ("\ngpt-image-1-mini\n", "")
    assert told(environment, tmp_path, "bash", "ltgc render --t2i 'litellm:gpt-image-1-m").stdout == (
        "\nlitellm:gpt-image-1-mini\n"
    )


def test_a_word_that_is_not_whole_gets_no_space_behind_it(environment, tmp_path):
    assert told(environment, tmp_path, "bash", "ltgc extend --llm replay").stdout == "-o nospace\nreplay:\n"
    assert told(environment, tmp_path, "zsh", "ltgc extend --llm replay").stdout == "nospace\nreplay:\t\n"


@pytest.mark.parametrize("shell", SCRIPTS)
@pytest.mark.parametrize(
    "line", ["ltgc nonsense --x ", "ltgc extend --class ", "ltgc extend --llm='", "ltgc --", "ltgc extend -i none -c "]
)
def test_nothing_goes_wrong_aloud_and_nothing_is_written(environment, tmp_path, shell, line):
    (tmp_path / "ltgc.toml").write_text("data = [broken")
    done = told(environment, tmp_path, shell, line)

    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["ltgc.toml"]


def test_an_unknown_shell_is_told_nothing(environment, tmp_path):
    done = told(environment, tmp_path, "tcsh", "ltgc ")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("waits", ["pass", "import time; time.sleep(60)", "open('pipe')"])
def test_what_takes_long_is_given_up(environment, tmp_path, waits):
    os.mkfifo(tmp_path / "pipe")
    code = (
        "import os, sys\n"
        "os.environ |= {'_LTGC_COMPLETE': 'bash', '_LTGC_LINE': 'ltgc extend --llm g'}\n"
        "from ltgc_cli.cli import completing, main\n"
        "completing._LONGEST = 0.5\n"
        "def forever(*_):\n"
        "    while True:\n"
        "        try:\n"
        f"            {waits}\n"
        "        except Exception: pass\n"
        "completing.VALUES['--llm'] = forever\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- real shells

FAKE = """#!{python}
import json, os, sys
if "_LTGC_COMPLETE" in os.environ or "--install-completion" in sys.argv:
    from ltgc_cli.cli import main
    sys.argv[0] = "ltgc"
    main()
else:
    with open({log!r}, "a") as file:
        file.write(json.dumps(sys.argv[1:]) + "\\n")
"""
INTERACTIVE = {"bash": ["bash", "-i"], "zsh": ["zsh", "-i"], "fish": ["fish", "-i"]}


@pytest.fixture(params=SCRIPTS)
def typing(request, environment, birds):
    """`typing(*lines)`: the arguments that `ltgc` gets when a person types lines, tabs too, in a real shell."""
    shell = request.param
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    home, log = birds / "home", birds / "log"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "ltgc").write_text(FAKE.format(python=sys.executable, log=str(log)))
    (home / "bin" / "ltgc").chmod(0o755)
    (home / ".zshrc").write_text("PS1='ready> '\n")
    (home / ".bashrc").write_text("PS1='ready> '")
    (home / ".config" / "fish").mkdir(parents=True)
    (home / ".config" / "fish" / "config.fish").write_text("function fish_prompt; echo 'ready> '; end\n")
    mine = {name: value for name, value in environment.items() if not name.startswith(("XDG_", "ZDOTDIR", "BASH"))}
    mine |= {"HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    subprocess.run(["ltgc", "--install-completion", shell], env=mine, check=True, capture_output=True)
    (birds / "ltgc.toml").write_text('data = "birds"\n')

    return lambda *lines: typed_in(INTERACTIVE[shell], mine, birds, lines, log)


def typed_in(command, environment, folder, lines, log):
    """Types one line after the other, each when the shell has run the one before; returns what `ltgc` got."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, environment)
    shown, got, until = b"", [], time.monotonic() + 60
    try:
        for number, line in enumerate(lines, start=1):
            while len(got) < number and time.monotonic() < until:
                if select.select([terminal], [], [], 0.05)[0]:
                    with suppress(OSError):
                        shown += os.read(terminal, 65536)
                if line and b"ready> " in shown:
                    os.write(terminal, line.encode() + b"\r")
                    line = ""
                got = log.read_text().splitlines() if log.exists() else []
            shown += b"\n"
        assert len(got) == len(lines), shown.decode(errors="replace")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)
    return [json.loads(line) for line in got]


def test_a_shell_types_any_class_name_rightly_quoted(typing):
    lines = [f"ltgc extend -c {start}\t -n 3" for start in ("Tro", "O", "a", "cr", "re:", "鶴")]
    assert typing(*lines) == [["extend", "-c", name, "-n", "3"] for name in NAMES]


def test_a_shell_closes_a_quote_that_was_opened(typing):
    assert typing("ltgc extend --class 'Tro\t -n 3", 'ltgc extend --class "O\t -n 3') == [
        ["extend", "--class", "Trogon rufus", "-n", "3"],
        ["extend", "--class", "O'Brien's gull", "-n", "3"],
    ]


def test_a_shell_types_commands_flags_models_and_files(typing):
    assert typing(
        "ltgc ren\t --t2\t litellm:gpt-image-1-m\t",
        "ltgc eval --compare=pl\t",
        "ltgc extend -i ltgc.t\t",
        "ltgc extend --llm gpt-4o-mini-2\t --cl\t Tro\t",
    ) == [
        ["render", "--t2i", "litellm:gpt-image-1-mini"],
        ["eval", "--compare=places-lt"],
        ["extend", "-i", "ltgc.toml"],
        ["extend", "--llm", "gpt-4o-mini-2024-07-18", "--class", "Trogon rufus"],
    ]


# --- installing


def test_what_a_person_wrote_into_a_shell_s_file_stays_and_the_line_is_added_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'")

    installed = [install("bash", {}) for _ in range(2)][1]
    assert installed.script.read_text() == SCRIPTS["bash"]
    assert (tmp_path / ".bashrc").read_text().splitlines() == [
        "alias ll='ls -l'",
        f"[ -f {installed.script} ] && source {installed.script}  # ltgc: completion",
    ]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_that_a_person_wrote_is_left_and_one_of_ltgc_is_written_anew(tmp_path, monkeypatch, shell):
    monkeypatch.setenv("HOME", str(tmp_path))
    script = install(shell, {}).script
    script.write_text(SCRIPTS[shell] + "# of an earlier version\n")
    assert install(shell, {}).script.read_text() == SCRIPTS[shell]

    script.write_text("complete -c ltgc -a mine\n")
    with pytest.raises(InputError, match="is there and not by ltgc; move it away"):
        install(shell, {})
    assert script.read_text() == "complete -c ltgc -a mine\n"
    assert [path.name for path in script.parent.iterdir()] == [script.name]


def test_a_link_to_where_a_person_keeps_such_files_stays_one(tmp_path):
    kept, link = tmp_path / "kept" / "ltgc.fish", tmp_path / "fish" / "completions" / "ltgc.fish"
    for path in (kept, link):
        path.parent.mkdir(parents=True)
    link.symlink_to(kept)
    install("fish", {"XDG_CONFIG_HOME": str(tmp_path)})
    assert (link.is_symlink(), kept.read_text()) == (True, SCRIPTS["fish"])


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_folder_of_any_name_can_be_sourced_from(tmp_path, monkeypatch):
    home = tmp_path / "it's $HOME"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    install("bash", {})
    code = f"source {shlex.quote(str(home / '.bashrc'))} && complete -p ltgc"
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True)
    assert (done.stderr, "_ltgc_completion ltgc" in done.stdout) == ("", True)


def test_shells_find_the_script_where_the_person_keeps_such_files(tmp_path):
    homes = {"XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_DATA_HOME": str(tmp_path / "d"), "ZDOTDIR": str(tmp_path)}
    assert install("fish", homes).script == tmp_path / "c" / "fish" / "completions" / "ltgc.fish"
    assert install("zsh", homes).sourced_by == tmp_path / ".zshrc"


def test_the_script_can_be_shown(inside):
    assert inside("--show-completion", "fish").out == SCRIPTS["fish"]


def test_a_shell_without_a_script_is_said_so(inside):
    ran = inside("--install-completion", "bsh")
    assert (ran.code, ran.err) == (
        2,
        "ltgc: completion for 'bsh': one of bash, zsh, fish is wanted; did you mean bash?\n",
    )
