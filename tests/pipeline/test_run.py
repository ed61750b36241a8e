"""`ltgc run`: the commands one after another, from one file. Killed it goes on; what a person made it leaves alone."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from commands import COUNTED, heeds_ctrl_c
from fakes import says
from trained import digits

from ltgc_cli import providers
from ltgc_cli.errors import BudgetError, OutputError, Refused
from ltgc_cli.pipeline.run import steps
from ltgc_cli.pipeline.training import fit
from ltgc_cli.ports import Answer, Question, Usage
from ltgc_cli.providers import Opened, prices
from ltgc_cli.providers.prices import Price

SETTINGS = """
data = "digits"
tail = 3
t2i = "blank"
[extend]
n = 4
[reflect]
k = 4
[filter]
mode = "score"
[mix-train]
steps = 2
batch = 4
min-steps = 1
[run]
recipe = "ltgc"
[eval]
zero-shot = true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three digits, and settings that draw nothing that takes time."""
    digits(tmp_path / "digits", test=2)
    (tmp_path / "ltgc.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def language(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """What a language model, that answers at once, is asked."""
    asked = []

    def ask(question: Question) -> Answer:
        asked.append(question)
        seen = (
            f"A photo of the class {question.subject}, seen {n} times in year {question.attempt}." for n in range(4)
        )
        return Answer(text="none" if question.task == "reflect" else "\n".join(seen))

    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: Opened("mine", ask))
    return asked


def outputs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.jsonl"))}


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.slow
def test_a_run_is_what_a_chain_of_the_commands_with_files_is(inside, folder):
    ran = inside("run", "--until", "eval")
    assert ran.code == 0, ran.err
    assert re.findall(r"^run: (\d+/\d+ .*)$", ran.err, re.MULTILINE)[:11] == [
        "1/10 describe (embedded)",
        "2/10 extend (embedded)",
        "3/10 reflect (embedded)",
        "4/10 render (blank)",
        "5/10 filter (embedded, blank)",
        "6/10 mix-train of fine-tuning (embedded)",
        "7/10 mix-train of fine-tuning + logit adjustment (embedded)",
        "8/10 mix-train of logit adjustment + CutMix (embedded)",
        "9/10 mix-train (embedded)",
        "10/10 eval",
    ]
    methods = ["zero-shot CLIP", "fine-tuning", "fine-tuning + logit adjustment", "logit adjustment + CutMix", "LTGC"]
    assert [line.split("  ")[0] for line in ran.out.splitlines()[2:]] == methods
    assert "run: it cost nothing; every record is in ltgc-run/eval.jsonl" in ran.err

    # The settings file holds for the commands alone, too; nothing is asked, for all of it is there.
    plain = ["--no-generated", "--mix", "none"]
    cutmix = ["--loss", "la", "--mix", "cutmix", "--mix-prob", "0.5", "--sampler", "instance"]
    chain = [
        ["describe"], ["extend"], ["reflect"], ["render"], ["filter"],
        ["mix-train", *plain, "--name", "fine-tuning"],
        ["mix-train", *plain, "--loss", "la", "--name", "fine-tuning + logit adjustment"],
        ["mix-train", "--no-generated", *cutmix, "--name", "logit adjustment + CutMix"],
        ["mix-train"], ["eval"],
    ]  # fmt: skip
    for number, command in enumerate(chain):
        read = ["-i", f"{number}.jsonl"] if number else []
        done = inside(*command, *read, "-o", f"{number + 1}.jsonl")
        assert done.code == 0 and "answered by" in done.err, done.err
    written = list(outputs(folder / "ltgc-run"))
    names = [
        "describe",
        "extend",
        "reflect",
        "render",
        "filter",
        "fine-tuning",
        "fine-tuning-la",
        "fine-tuning-cutmix",
        "mix-train",
        "eval",
    ]
    assert sorted(f"{name}.jsonl" for name in names) == written
    for number, name in enumerate(names, start=1):
        assert (folder / f"{number}.jsonl").read_bytes() == (folder / "ltgc-run" / f"{name}.jsonl").read_bytes()

    again = inside("run", "--until", "eval")
    assert (again.code, again.out) == (0, ran.out) and "asked" not in again.err and "loss" not in again.err


@pytest.mark.slow
def test_a_run_killed_at_any_of_its_writes_goes_on_and_ends_as_if_nothing_had_been(forked, folder):
    def ltgc_run(out: str, **variables: str) -> int:
        return forked("run", "--until", "render", "--out", out, **variables).code

    assert ltgc_run("undisturbed", LTGC_CACHE_DIR=str(folder / "other store")) == 0
    expected, statuses = outputs(folder / "undisturbed"), []
    for writes in range(1, 99):
        statuses.append(ltgc_run("out", KILLED_AFTER_WRITES=str(writes)))
        assert outputs(folder / "out").items() <= expected.items(), "a stage that is killed leaves nothing half done"
        if statuses[-1] == 0:
            break
    killed = 128 + signal.SIGKILL
    assert len(statuses) > 6 and set(statuses[:-1]) == {killed} and statuses[-1] == 0
    assert outputs(folder / "out") == expected


@pytest.mark.slow
def test_a_run_killed_in_each_stage_goes_on_there(environment, folder, store):
    def begun(out: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ltgc_cli", "run", "--until", "eval", "--out", out],
            env=environment | variables,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    undisturbed = begun("undisturbed", LTGC_CACHE_DIR=str(folder / "other store"))
    expected, err = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, err
    stages = sum(step.command != "report" for step in steps(baselines=True))
    for stage, delay in itertools.product(range(1, stages + 1), (0.0, 0.3)):
        process = begun("out")
        for line in process.stderr:
            if line.startswith(f"run: {stage}/"):
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=60)
    last = begun("out")
    out, err = last.communicate(timeout=300)
    assert (last.returncode, out) == (0, expected), err
    assert outputs(folder / "out") == outputs(folder / "undisturbed")


def test_interrupted_by_hand_it_says_in_which_stage_and_how_to_go_on(environment, folder):
    command = [sys.executable, str(COUNTED), "log", "2", "run"]
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=heeds_ctrl_c
    )
    for line in process.stderr:
        if line.startswith("run: 2/"):
            break
    while "extend" not in (folder / "log").read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in err
    assert "run: stopped in extend\n" in err and "run the same command again to go on" in err


def test_what_a_person_changed_is_not_overwritten_but_gone_on_from(inside, folder, language):
    assert inside("run", "--until", "reflect").code == 0
    extended = folder / "ltgc-run" / "extend.jsonl"
    changed = extended.read_text().replace("A photo", "A fine photo")
    extended.write_text(changed)
    stopped = inside("run", "--until", "reflect")
    assert (stopped.code, stopped.err) == (
        2,
        "ltgc: ltgc-run/extend.jsonl is not as a stage left it, and would be overwritten: "
        "go on from it with ltgc run --until reflect --from reflect, or move it away\n",
    )
    assert extended.read_text() == changed
    assert inside("run", "--from", "reflect", "--until", "reflect").code == 0
    assert "A fine photo" in (folder / "ltgc-run" / "reflect.jsonl").read_text()


def test_what_is_said_to_go_on_has_all_flags_that_were_typed(inside, folder, language):
    flags = ["--out", "the run", "--no-baselines"]
    ran = inside("run", *flags, "--until", "reflect")
    assert ran.err.endswith("run: ltgc run --out 'the run' --no-baselines goes on after reflect\n")
    (folder / "the run" / "extend.jsonl").write_text("{}")
    stopped = inside("run", *flags, "--from=describe", "--until", "reflect")
    assert (
        "go on from it with ltgc run --out 'the run' --no-baselines --until reflect --from reflect, or" in stopped.err
    )
    early = inside("run", *flags, "--from", "filter", "--dry-run")
    assert "ltgc run --out 'the run' --no-baselines --until render makes it" in early.err


@pytest.mark.parametrize("name", ["describe.jsonl", "report.html"])
def test_a_folder_in_the_place_of_a_file_is_left_alone(inside, folder, language, name):
    (folder / "ltgc-run" / name).mkdir(parents=True)
    ran = inside("run", "--from", "describe", *([] if name == "report.html" else ["--until", "describe"]))
    assert (ran.code, len(ran.err.splitlines()), language) == (2, 1, [])
    assert f"ltgc: ltgc-run/{name}" in ran.err and (folder / "ltgc-run" / name).is_dir()


def test_a_report_of_ones_own_stops_it_before_anything_is_asked(inside, folder, language):
    (folder / "ltgc-run").mkdir()
    (folder / "ltgc-run" / "report.html").write_text("<p>mine")
    ran = inside("run")
    assert (ran.code, language) == (2, []) and "report.html is there already and ltgc did not write it" in ran.err
    assert inside("run", "--until", "describe").code == 0


def test_so_does_a_picture_of_ones_own_where_the_contact_sheet_goes(inside, folder, language):
    (folder / "ltgc-run").mkdir()
    (folder / "ltgc-run" / "contact-sheet.png").write_bytes(b"\x89PNG mine")
    ran = inside("run")
    assert (ran.code, language) == (2, []) and "contact-sheet.png is there already and ltgc did not write it" in ran.err
    assert (folder / "ltgc-run" / "contact-sheet.png").read_bytes() == b"\x89PNG mine"


@pytest.mark.parametrize("while_it_runs", ["describe", "extend"])
def test_what_a_person_makes_while_a_run_goes_on_is_not_overwritten(inside, folder, monkeypatch, while_it_runs):
    asked = []

    def ask(question: Question) -> Answer:
        asked.append(question.task)
        if question.task == while_it_runs:
            (folder / "ltgc-run" / "extend.jsonl").write_text("mine")
        return Answer(text=f"A photo of the class {question.subject}, thin.")

    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: Opened("mine", ask))
    (folder / "ltgc.toml").write_text(SETTINGS.replace("n = 4", "n = 1"))
    ran = inside("run", "--until", "reflect")
    assert ran.code == 2 and "extend.jsonl is not as a stage left it, and would be overwritten: go on" in flat(ran.err)
    assert (folder / "ltgc-run" / "extend.jsonl").read_text() == "mine"
    assert sorted(path.name for path in (folder / "ltgc-run").iterdir()) == ["describe.jsonl", "extend.jsonl"]
    assert set(asked) == ({"describe"} if while_it_runs == "describe" else {"describe", "extend"})


def test_the_limit_typed_for_a_run_goes_before_what_a_variable_or_the_top_of_the_file_says(inside, folder, paid):
    (folder / "ltgc.toml").write_text("max-cost = 0.001\n" + SETTINGS)
    assert inside("run", "--until", "describe").code == BudgetError.exit_code
    ran = inside("run", "--until", "describe", "--max-cost", 50, LTGC_MAX_COST="0.001")
    assert ran.code == 0 and len(paid) == 2, ran.err


def test_a_file_that_the_command_alone_has_made_is_no_persons_work(inside, folder, language):
    (folder / "ltgc-run").mkdir()
    assert inside("describe", "-o", "ltgc-run/describe.jsonl").code == 0
    assert inside("run", "--until", "describe").code == 0


def test_what_was_refused_is_asked_again_and_its_output_made_anew_and_the_run_goes_on_meanwhile(
    inside, folder, monkeypatch
):
    answers = {"two": Refused("not this one")}

    def ask(question: Question) -> Answer:
        if question.subject in answers:
            raise answers[question.subject]
        return Answer(text=f"A photo of the class {question.subject}, thin.")

    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: Opened(spec, ask))
    ran = inside("run", "--until", "extend")
    assert ran.code == 1 and ": not this one" in ran.err
    assert list(outputs(folder / "ltgc-run")) == ["describe.jsonl", "extend.jsonl"]
    assert not list((folder / "store" / "artifacts" / "describe").glob("*.json")), "its artifact is not whole"
    answers.clear()
    again = inside("run", "--until", "describe")
    assert again.code == 0 and "2 questions asked" in again.err, again.err


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """What a language model is asked whose answers cost a cent, and may cost two."""
    asked = says(lambda question: f"1. A photo of the class {question.subject}, thin.", usage=Usage(dollars=0.01))
    monkeypatch.setattr(providers, "open_ask", lambda spec, **_: Opened(spec, asked))
    monkeypatch.setattr(prices, "find", lambda *_: Price(output=1e-5))
    return asked.seen


def test_the_limit_holds_for_all_stages_together_and_the_next_run_goes_on(inside, folder, paid):
    # An answer of 2,048 tokens may cost 2.05 cents: that much is free for the second photo, and not for extend.
    (folder / "ltgc.toml").write_text(
        'lmm = "mine"\nllm = "mine"\nmax-cost = 0.04\ndata = "digits"\ntail = 3\n[extend]\nn = 1'
    )
    ran = inside("run")
    assert ran.code == 4 and len(paid) == 2, ran.err
    assert "ltgc: in extend: --max-cost 0.02 is reached" in ran.err
    assert "($0.02 of --max-cost 0.04 went to the stages before); ltgc run goes on there" in flat(ran.err)
    (folder / "ltgc.toml").write_text((folder / "ltgc.toml").read_text().replace("max-cost = 0.04\n", ""))
    again = inside("run", "--until", "extend")
    assert again.code == 0 and len(paid) == 3, again.err
    assert "run: it cost $0.03, $0.01 of it now" in again.err


def test_where_a_limit_is_too_low_for_one_question_running_again_is_not_advised(inside, folder, paid):
    (folder / "ltgc.toml").write_text('lmm = "mine"\nllm = "mine"\ndata = "digits"\ntail = 3\n')
    ran = inside("run", "--max-cost", "0.02")
    assert (ran.code, paid) == (4, [])
    assert ran.err.endswith("one more can cost up to $0.02; raise it, or lower --max-tokens\n")
    some = inside("run", "--max-cost", "0.03")
    assert (some.code, len(paid)) == (4, 1), some.err
    assert flat(some.err).endswith("up to $0.02; ltgc run --max-cost 0.03 goes on there")


def test_a_provider_that_cannot_be_used_stops_the_run_and_the_stage_is_named(inside, folder):
    (folder / "none.jsonl").write_text("")
    ran = inside("run", LTGC_LLM="replay:none.jsonl")
    assert ran.code == 3 and "ltgc: in extend: " in ran.err and ran.err.endswith("; ltgc run goes on there\n")
    assert list(outputs(folder / "ltgc-run")) == ["describe.jsonl"]


def test_a_dry_run_rehearses_the_chain_and_sums_it_up(inside, folder, paid):
    (folder / "ltgc.toml").write_text('lmm = "gpt-4o"\nllm = "gpt-4o"\n' + SETTINGS)
    ran = inside("run", "--dry-run", "--until", "eval")
    assert ran.code == 0 and paid == [], ran.err
    rows = {line[:18].strip(): line.split() for line in ran.out.splitlines()}
    assert rows["describe"][:4] == ["describe", "gpt-4o", "0", "2"]
    assert rows["extend"][:4] == ["extend", "gpt-4o", "0", "1"]
    assert "render: generate" in rows and "filter: score" in rows
    assert float(rows["all"][-1]) > 0
    assert "run: mix-train, eval cannot be tried" in ran.err
    assert not (folder / "ltgc-run").exists()


def test_a_folder_without_settings_is_told_what_to_do_in_five_lines(inside):
    ran = inside("run")
    lines = ran.err.splitlines()
    assert (ran.code, ran.out, len(lines)) == (2, "", 5)
    assert "ltgc init --data birds/" in ran.err and "ltgc demo" in ran.err


def test_another_file_takes_the_place_of_ltgc_toml_with_runs_own_flags_too(inside, folder, language):
    (folder / "sets").mkdir()
    (folder / "sets" / "few.toml").write_text('data = "digits"\ntail = 3\n[run]\nout = "few"\nuntil = "describe"\n')
    ran = inside("run", "sets/few.toml")
    assert ran.code == 0, ran.err
    rows = [json.loads(line) for line in (folder / "few" / "describe.jsonl").read_text().splitlines()]
    assert [row["tail"] for row in rows if row["kind"] == "class"] == [False, True, False]
    missing = inside("run", "none.toml")
    assert missing.code == 2 and missing.err.startswith("ltgc: none.toml: no such file; ltgc init")


@pytest.mark.parametrize(
    ("settings", "flags", "message"),
    [
        ("", [], 'no data is named; write data = "birds/" at the top of the settings'),
        ('data = "digits/train"', [], "digits/train has no test images beside those to train on: name others"),
        ('data = "digits"', ["--from", "filter", "--until", "extend"], "--from filter comes after --until extend"),
        ('data = "digits"', ["--from", "filter"], "ltgc-run/render.jsonl is not there; ltgc run --until render makes"),
        ('data = "digits"\n[mix-train]\nout = "digits"', [], "digits is there already, and no checkpoint; name a new"),
        ('data = "digits"\n[run]\nbaseline = true', [], "ltgc run has no flag --baseline; did you mean baselines?"),
        ('data = "digits"\n[reflect]\nk = "many"', [], "ltgc.toml: [reflect] k = 'many': a whole number is wanted"),
        ('data = "digits"\n[run]\ntest = "nosuch"', [], "nosuch: not a folder"),
        ('data = "digits"\nclip = "ViT-B-33/openai"', [], "ViT-B-33"),
        ('data = "digits"\n[mix-train]\naccumulate = 7', [], "accumulate"),
        ('data = "digits"\n[filter]\nthreshold = 500', [], "threshold"),
        ('data = "digits"\nt2i = "litellm:my/model"\n[run]\nmax-cost = 20', [], "--max-cost cannot hold"),
        ('data = "digits"\n[describe]\ndry-run = true', [], "describe.jsonl would not be made: dry-run"),
    ],
)
def test_what_would_stop_it_late_stops_it_before_anything_is_asked(inside, folder, settings, flags, message):
    (folder / "ltgc.toml").write_text(settings)
    ran = inside("run", *flags)
    assert ran.code == 2 and message in flat(ran.err), ran.err
    assert not (folder / "ltgc-run").exists()
    tried = inside("run", *flags, "--dry-run")
    assert tried.code == 2 or "dry-run = true" in settings, "a dry run finds it too"


@pytest.mark.parametrize("flags", [(), ("--until", "extend")])
def test_a_broken_image_that_training_would_stop_on_stops_the_run_before_anything_is_asked(
    inside, folder, language, flags
):
    next((folder / "digits" / "train").rglob("*.png")).write_bytes(b"half an image")
    ran = inside("run", *flags)
    assert (ran.code, language) == (2, [])
    assert "not a whole image" in ran.err and not (folder / "ltgc-run").exists()


@pytest.mark.slow
def test_other_test_images_are_measured_on_by_the_run_and_by_eval_alone(inside, folder):
    (folder / "digits" / "test").rename(folder / "digits-test")
    (folder / "ltgc.toml").write_text(
        SETTINGS.replace("[run]", '[run]\ntest = "digits-test"\nbaselines = false\nuntil = "mix-train"')
    )
    assert inside("run").code == 0
    alone = inside("eval", "-i", "ltgc-run/mix-train.jsonl")
    assert alone.code == 0, alone.err
    ran = inside("run", "--from", "eval", "--until", "eval")
    assert ran.code == 0 and "answered by" in ran.err, ran.err


@pytest.mark.slow
def test_the_baselines_are_plain_whatever_mix_train_is_set_to_and_it_can_be_averaged_with_one_of_them(
    inside, folder, language
):
    own = 'steps = 2\nmix = "cutmix"\nloss = "la"\nsyn-prob = "0.5:0"\nsyn-prior = true\nsyn-head = true\n'
    own += 'average = "fine-tuning + logit adjustment"\n'
    (folder / "ltgc.toml").write_text(SETTINGS.replace("steps = 2\nbatch = 4", f"{own}batch = 4"))
    ran = inside("run", "--until", "mix-train")
    assert ran.code == 0, ran.err
    lines = map(json.loads, (folder / "ltgc-run" / "mix-train.jsonl").read_text().splitlines())
    plain, adjusted, strongest, best = (line for line in lines if line["kind"] == "checkpoint")
    assert [one["settings"]["loss"] for one in (plain, adjusted, strongest, best)] == ["ce", "la", "la", "la"]
    assert not any(
        {"averaged", "syn_prior", "syn_head"} & one["settings"].keys() for one in (plain, adjusted, strongest)
    )
    assert not re.search(r"--(syn-\S+|mix\S*) has no effect", ran.err)
    assert best["settings"]["averaged"] == ["fine-tuning + logit adjustment"] and best["parents"] == [adjusted["id"]]
    assert best["settings"]["syn_head"] is True and best["settings"]["syn_prob"] == "0.5:0"


def test_a_disk_that_does_not_take_the_copy_of_the_checkpoint_stops_neither_eval_nor_the_report(
    inside, folder, monkeypatch
):
    (folder / "ltgc.toml").write_text(SETTINGS.replace("steps = 2", 'steps = 2\nout = "mine"'))
    monkeypatch.setattr(fit, "copy_out", Mock(side_effect=OutputError("mine: No space left on device")))
    ran = inside("run", "--no-baselines")
    assert (ran.code, (folder / "ltgc-run" / "report.html").exists()) == (2, True)
    assert "ltgc: all is done but [mix-train] out: mine: No space left on device; ltgc run" in ran.err


def test_a_checkpoint_of_ones_own_is_copied_once_and_a_run_that_goes_on_leaves_it(inside, folder):
    (folder / "ltgc.toml").write_text(SETTINGS.replace("steps = 2", 'steps = 2\nout = "mine"'))
    ran = inside("run", "--no-baselines", "--until", "mix-train")
    assert ran.code == 0 and (folder / "mine" / "done.json").exists(), ran.err
    before = (folder / "mine").stat().st_ctime_ns
    assert inside("run", "--no-baselines", "--until", "mix-train").code == 0
    assert (folder / "mine").stat().st_ctime_ns == before
    (folder / "mine" / "done.json").write_text("{}")  # another checkpoint
    other = inside("run", "--no-baselines")
    assert other.code == 2 and "run: the report is ltgc-run/report.html, with contact-sheet.png beside it" in other.err
    assert (folder / "ltgc-run" / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")
    assert other.err.endswith(
        "ltgc: all is done but [mix-train] out: mine is there already; name a new folder; "
        "ltgc run --no-baselines then copies it there\n"
    )
    assert (folder / "mine" / "done.json").read_text() == "{}"
