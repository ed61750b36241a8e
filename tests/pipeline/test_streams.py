"""Commands chain in any shell: what goes in, what comes out, and with which exit status."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ltgc_cli import records
from ltgc_cli.pipeline.streams import read_again

CRANE = (
    '{"kind":"description","label":0,"class":"crane","text":"A photo of the class crane, %s.","origin":"extended"}\n'
)


@pytest.fixture
def ltgc(forked):
    return forked


def kinds(out: str) -> list[str]:
    return [json.loads(line)["kind"] for line in out.splitlines()]


def test_extend_lists_descriptions_of_a_class_that_is_only_named(ltgc):
    done = ltgc("extend", "--class", "Trogon rufus", "-n", 3)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0
    assert [row["kind"] for row in rows] == ["description"] * 3
    assert all(row["text"].startswith("A photo of the class Trogon rufus, ") for row in rows)
    assert [row["label"] for row in rows] == [0, 0, 0]


def test_a_stream_that_comes_once_is_read_again_from_a_file_that_nobody_sees(tmp_path):
    once = records.read([(CRANE % "grey").encode(), b'{"kind": "mine",  "n": 1}\n'])
    with read_again(once, tmp_path) as lines:
        first, second, third = list(lines()), list(lines()), list(lines())
        assert not list(tmp_path.iterdir())

    assert first == second == third and len(first) == 2


def test_a_second_run_gives_the_same_bytes_and_asks_nothing(ltgc):
    first = ltgc("extend", "--class", "crane", "--class", "seal")
    second = ltgc("extend", "--class", "crane", "--class", "seal")
    assert second.out == first.out
    assert "2 questions asked" in first.err
    assert "answered by" in second.err and "asked" not in second.err


def test_the_bytes_do_not_depend_on_how_much_is_asked_at_once(ltgc, tmp_path):
    names = [part for number in range(12) for part in ("--class", f"class {number}")]
    one = ltgc("extend", *names, "--concurrency", 1, "--cache-dir", tmp_path / "a")
    many = ltgc("extend", *names, "--concurrency", 16, "--cache-dir", tmp_path / "b")
    assert one.out == many.out


def test_a_file_and_a_pipe_give_the_same_bytes(ltgc, tmp_path):
    extended = ltgc("extend", "--class", "crane").out
    (tmp_path / "a.jsonl").write_text(extended)
    piped = ltgc("reflect", "-k", 25, input=extended)
    assert ltgc("reflect", "-k", 25, "-i", "a.jsonl", "-o", "b.jsonl").out == ""
    assert (tmp_path / "b.jsonl").read_text() == piped.out


def test_lines_that_a_stage_is_not_for_pass_through_byte_for_byte(ltgc):
    note = '{"note": "keys   in any order", "kind": "mine", "n": 1.50}\n'
    known = (CRANE % "grey").replace('"label":0', '"mine": [1,  2],"label":0')
    done = ltgc("extend", "-n", 2, input=note + known)
    assert done.out.startswith(note + known)
    assert kinds(done.out)[2:] == ["description", "description"]


@pytest.mark.parametrize("command", ["extend", "reflect", "render", "filter", "mix-train --data digits-lt"])
def test_a_stage_that_gets_no_records_says_so_for_the_command_before_it_may_have_failed(ltgc, tmp_path, command):
    (tmp_path / "empty.jsonl").touch()
    for words in (command.split(), [*command.split(), "-i", "empty.jsonl"]):
        done = ltgc(*words)
        stage = words[0]
        assert (done.code, done.out) == (2, "")
        assert done.err.splitlines()[-1].startswith(f"ltgc: {stage} got no records: the command before it wrote none")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("nonsense", "not JSON"),
        ("[1, 2]", "not a record"),
        ('{"label": 3}', "not a record"),
        ('{"kind":"description","label":"three","class":"x","text":"y","origin":"extended"}', "Expected `int`"),
        ('{"kind":"description","label":0,"class":"x"}', "missing required field `text`"),
    ],
)
def test_a_bad_line_stops_the_run_with_its_place_and_nothing_is_asked(ltgc, tmp_path, line, what):
    (tmp_path / "in.jsonl").write_text(CRANE % "grey" + line + "\n")
    done = ltgc("extend", "-i", "in.jsonl", "-o", "out.jsonl")
    assert done.code == 2
    assert "in.jsonl:2: " in done.err and what in done.err
    assert done.err.count("\n") == 1 and "Traceback" not in done.err
    assert not (tmp_path / "out.jsonl").exists()


def test_bytes_that_are_no_text_are_an_error_for_a_person(ltgc, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b"\xff\xfe\x00\n")
    done = ltgc("extend", "-i", "in.jsonl")
    assert done.code == 2 and "in.jsonl" in done.err and "Traceback" not in done.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes a device")
@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("extend -i zeros", "zeros"),
        ("extend -i <(cat zeros)", "/dev/fd/63"),
        ("extend -i /dev/stdin < zeros", "/dev/stdin"),
        ("extend --shard 1/2 < zeros", "stdin"),
        ("extend < zeros", "stdin"),
        ("cost -i zeros", "zeros"),
        ("cost < zeros", "stdin"),
    ],
)
def test_of_a_line_that_never_ends_no_more_is_read_than_a_record_may_have(environment, store, tmp_path, command, name):
    os.mknod(tmp_path / "zeros", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    line = f"ulimit -v 6000000; {sys.executable} -m ltgc_cli {command}"
    done = subprocess.run(["bash", "-c", line], env=environment, cwd=tmp_path, capture_output=True, text=True)

    said = f"ltgc: {name}:1: this line is longer than 16 MiB; ltgc reads JSONL, a record a line\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert not any(path.is_file() for path in store.glob("artifacts/**/*"))


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_folder_as_input_is_an_error_that_says_how_a_data_set_is_named(inside, tmp_path, more):
    done = inside("extend", "-i", tmp_path, *more)
    assert (done.code, done.err) == (2, f"ltgc: {tmp_path} is a folder; a data set is named by --data\n")


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_batch_of_a_model_without_a_batch_api_is_refused_in_a_dry_run_too(inside, more):
    done = inside("extend", "--class", "crane", "--batch", *more)
    assert (done.code, done.out, done.err) == (2, "", "ltgc: --batch: embedded has no batch API; leave it out\n")


def test_one_label_with_two_names_is_an_error(ltgc):
    other = CRANE.replace("crane", "seal") % "wet"
    done = ltgc("extend", input=CRANE % "grey" + other)
    assert done.code == 2 and "label 0 is 'crane' in one line and 'seal' in another" in done.err


def test_an_output_file_is_left_alone_when_the_run_fails(ltgc, tmp_path):
    (tmp_path / "out.jsonl").write_text("mine")
    assert ltgc("extend", "-o", "out.jsonl", input="nonsense\n").code == 2
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_closed_pipe_ends_quietly(environment, tmp_path):
    names = " ".join(f"--class 'class {number}'" for number in range(400))
    script = f"{sys.executable} -m ltgc_cli extend {names} -q | head -n 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc",
        "تروجون",
        '"quoted"',
        "-n",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("crane (bird)", "<b>bold</b>", "x" * 300, "C++ (a*)", "{y}")
        ),
    ],
)
def test_any_class_name_goes_through_the_chain(ltgc, store, tmp_path, name):
    extended = ltgc("extend", f"--class={name}", "-n", 4)
    rendered = ltgc("render", "--t2i", "blank", input=ltgc("reflect", "-k", 5, input=extended.out).out)
    rows = [json.loads(line) for line in rendered.out.splitlines()]
    assert {row["class"] for row in rows} == {name}
    assert sum(row["kind"] == "image" for row in rows) == 5
    # Files are named by hashes, wherever they lie.
    names = {path.name for path in [*store.rglob("*"), *tmp_path.iterdir()]}
    assert not any(part in found for found in names for part in ("etc", "crane", "xxx", "bold"))


def test_a_name_of_two_lines_is_no_name(ltgc):
    assert ltgc("extend", "--class", "a\nb").code == 2


def test_a_class_that_falls_short_is_said_so_and_the_run_ends_with_1(ltgc):
    done = ltgc("reflect", "-k", 500, "--near", 0.3, input=CRANE % "grey")
    assert done.code == 1
    assert "of 500 descriptions" in done.err
    assert kinds(done.out)[-1] == "failure"


def test_a_question_that_a_recording_does_not_hold_is_exit_3_with_the_question_shown(ltgc, tmp_path):
    tape = tmp_path / "tape.jsonl"
    recorded = ltgc("extend", "--class", "crane", "--record", tape)
    replayed = ltgc("extend", "--class", "crane", "--llm", f"replay:{tape}", "--cache-dir", tmp_path / "other")
    assert [json.loads(a)["text"] for a in replayed.out.splitlines()] == [
        json.loads(a)["text"] for a in recorded.out.splitlines()
    ]
    unknown = ltgc("extend", "--class", "wren", "--llm", f"replay:{tape}")
    assert unknown.code == 3 and "wren" in unknown.err and "Traceback" not in unknown.err


def test_settings_come_from_the_flag_then_the_variable_then_the_file(ltgc, tmp_path):
    (tmp_path / "ltgc.toml").write_text('llm = "replay:none.jsonl"\n[extend]\nn = 2\n')
    assert "none.jsonl" in ltgc("extend", "--class", "crane").err
    by_variable = ltgc("extend", "--class", "crane", LTGC_LLM="embedded")
    assert by_variable.out.count("\n") == 2
    assert ltgc("extend", "--class", "crane", "-n", 3, "--llm", "embedded").out.count("\n") == 3


def test_a_setting_that_no_command_has_is_an_error_with_the_nearest_one(ltgc, tmp_path):
    (tmp_path / "ltgc.toml").write_text("[extend]\nconcurency = 3\n")
    done = ltgc("extend", "--class", "crane")
    assert done.code == 2 and "did you mean concurrency?" in done.err


def test_a_rerun_that_asks_says_which_setting_changed(ltgc):
    ltgc("extend", "--class", "crane", "-n", 3)
    assert "asked because --n changed" in ltgc("extend", "--class", "crane", "-n", 4).err


def test_quiet_says_nothing_but_errors(ltgc):
    assert ltgc("extend", "--class", "crane", "-q").err == ""
    assert ltgc("extend", "-q", input="nonsense\n").err.startswith("ltgc: stdin:1: ")


def test_help_loads_nothing_heavy():
    code = (
        "import sys, typer; from ltgc_cli.cli.app import app\n"
        "group = typer.main.get_command(app)\n"
        "for name in group.list_commands(None): group.get_command(None, name).params\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "torch",
        "numpy",
        "PIL",
        "litellm",
        "diffusers",
        "open_clip",
        "peft",
        "rich",
        "diskcache",
        "sklearn",
        "pydantic",
    }
    assert heavy.isdisjoint(loaded)


def test_every_command_has_help_with_an_example(ltgc):
    for command in ("describe", "extend", "reflect", "render", "filter", "mix-train", "eval"):
        done = ltgc(command, "--help")
        assert done.code == 0 and f"ltgc {command} " in done.out.partition("\n\n")[2]


def test_an_artifact_answers_without_loading_a_model_library(ltgc, environment, tmp_path):
    (tmp_path / "a.jsonl").write_text(ltgc("extend", "--class", "crane", "-n", 3).out)
    ltgc("render", "--t2i", "blank", "-i", "a.jsonl")
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'litellm', 'diffusers', 'PIL'}\n"
        "atexit.register(lambda: print(*sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "sys.argv = ['ltgc', 'render', '--t2i', 'blank', '-i', 'a.jsonl', '-q']\n"
        "from ltgc_cli.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.count('"kind":"image"') == 3
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("words", [["extend", "--class", "crane", "-n", "3"], ["reflect", "-k", "3", "-i", "a.jsonl"]])
def test_an_artifact_answers_without_a_stage_a_reader_or_the_store(ltgc, environment, tmp_path, words):
    (tmp_path / "a.jsonl").write_text(ltgc("extend", "--class", "crane", "-n", 3).out)
    ltgc(*words)
    code = (
        "import atexit, sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, what: opened.append(event) if event.startswith('sqlite3') else None)\n"
        "wanted = ('diskcache', 'sqlite3', 'jsonlines', 'concurrent.futures', 'ssl', 'ltgc_cli.answers.read',\n"
        "    'ltgc_cli.stages', 'ltgc_cli.store', 'ltgc_cli.engine', 'ltgc_cli.learn.datasets', 'ltgc_cli.report',\n"
        "    'ltgc_cli.pipeline.dry_run', 'ltgc_cli.providers.llm.litellm')\n"
        "atexit.register(lambda: print(*opened, *(one for one in wanted if one in sys.modules), file=sys.stderr))\n"
        f"sys.argv = ['ltgc', *{words!r}, '-q']\n"
        "from ltgc_cli.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.count('"kind":"description"') == 3
    assert done.stderr.strip() == ""


def test_a_model_is_named_and_a_table_ready_without_what_asking_takes():
    code = (
        "import sys; from ltgc_cli import providers; from ltgc_cli.cli import show\n"
        "providers.open_ask('gpt-4o', kind='llm', objects=bytes)\n"
        "providers.open_score('embedded', objects=bytes)\n"
        "unwanted = {'ssl', 'email', 'http', 'urllib.request', 'logging', 'concurrent', 'ltgc_cli.stages'}\n"
        "print(unwanted & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_a_changed_flag_misses_the_artifact(ltgc):
    assert ltgc("extend", "--class", "crane", "-n", 3).out.count('"kind":"description"') == 3
    assert ltgc("extend", "--class", "crane", "-n", 4).out.count('"kind":"description"') == 4


def test_a_terminal_gets_a_table_and_a_pipe_gets_lines(environment, tmp_path):
    shown = subprocess.run(
        ["script", "-qec", f"{sys.executable} -m ltgc_cli extend --class crane -n 2", "/dev/null"],
        capture_output=True,
        text=True,
        env=environment | {"NO_COLOR": "1"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    ).stdout
    assert "A photo of the class crane" in shown and '{"kind"' not in shown and "all of it is in" in shown


def test_the_store_keeps_images_under_their_hash(ltgc, store):
    done = ltgc("render", "--t2i", "blank", input=CRANE % "grey")
    image = json.loads(done.out.splitlines()[-1])
    path = Path(store, "objects", image["sha256"][:2], image["sha256"])
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_table_of_settings_goes_by_flags_and_what_stands_above_it_means_the_same_for_all(ltgc, tmp_path):
    (tmp_path / "ltgc.toml").write_text('batch = 8\nllm = "replay:none.jsonl"\n[describe]\ndata = "digits-lt"\n')
    ran = ltgc("describe", "--dry-run", "--tail", 0)
    assert (ran.code, ran.err) == (0, "describe: nothing would be asked\n"), "neither --batch nor --llm were meant"

    (tmp_path / "ltgc.toml").write_text('[describe]\ndata = "digits-lt"\nbatch = true\n')
    ran = ltgc("describe", "--tail", 0)
    assert (ran.code, ran.err) == (2, "ltgc: --batch: embedded has no batch API; leave it out\n")
