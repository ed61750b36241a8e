"""A setting is declared once: flags, keywords, ltgc.toml, checks and hashes all come from its line in settings.py."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from ltgc_cli import settings_file
from ltgc_cli.config import check, command_settings, configure
from ltgc_cli.errors import InputError
from ltgc_cli.settings import COMMANDS, Asking, Extend, Filter, Judging, Reflect, Storage, Training, settings_of

NOWHERE: dict[str, str] = {}


def extend(**given):
    return configure("extend", given, environment=NOWHERE)


# --- every setting


@pytest.mark.parametrize("command", COMMANDS)
def test_no_two_settings_of_a_command_share_a_name_or_a_flag(command):
    settings = [one for kind in COMMANDS[command] for one in settings_of(kind)]
    flags = [flag for one in settings for flag in one.flags]

    assert len({one.name for one in settings}) == len(settings)
    assert len(set(flags)) == len(flags)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_has_a_help_text_and_a_default_within_its_own_bounds(command):
    for kind in COMMANDS[command]:
        check(kind())
        assert all(one.help.endswith(".") or one.help[-1] in ")]+1234567890" for one in settings_of(kind)), kind


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused_by_name_for_every_number_of_every_command(bad):
    for command in COMMANDS:
        for name, one in command_settings(command).items():
            if one.base is float:
                with pytest.raises(InputError, match=f"{one.flag} -?(nan|inf): a finite number is wanted"):
                    configure(command, {name: bad}, environment=NOWHERE)


# --- where a value comes from


def test_what_is_given_goes_before_a_variable_a_variable_before_the_file_and_the_file_before_the_default():
    def llm(given=None, file=None, variable=None):
        environment = {"LTGC_LLM": variable} if variable else NOWHERE
        return configure("extend", {"llm": given}, {"llm": file} if file else None, environment)[Extend].llm

    assert llm() == "embedded"
    assert llm(file="a") == "a"
    assert llm(file="a", variable="b") == "b"
    assert llm("c", file="a", variable="b") == "c"


def test_a_value_is_given_by_its_name_or_by_its_flag():
    assert extend(class_="crane")[Extend].class_ == ("crane",)
    assert extend(**{"class": ["crane", "seal"]})[Extend].class_ == ("crane", "seal")
    assert configure("describe", {"batch": True}, environment=NOWHERE).get("half_price") is True


def test_text_becomes_what_the_setting_is():
    config = configure("extend", {"cache_dir": "~/store"}, environment={"LTGC_CONCURRENCY": "4"})
    assert config[Storage].cache_dir == Path("~/store").expanduser()
    assert config[Asking].concurrency == 4


def test_a_name_that_a_command_does_not_have_is_a_type_error_with_the_nearest():
    with pytest.raises(TypeError, match=r"extend\(\) got an unexpected keyword argument 'clas'; did you mean class_\?"):
        extend(clas="crane")


@pytest.mark.parametrize(
    ("command", "given", "message"),
    [
        ("extend", {"n": 0}, "-n 0: 1 or more is wanted"),
        ("extend", {"n": "many"}, "-n many: a whole number is wanted"),
        ("extend", {"n": 2.5}, "-n 2.5: a whole number is wanted"),
        ("reflect", {"near": 1.5}, "--near 1.5: from 0 to 1 is wanted"),
        ("mix-train", {"dropout": 1.0}, "--dropout 1.0: 0 or more and below 1 is wanted"),
        ("mix-train", {"lr": 0}, "--lr 0.0: above 0 is wanted"),
        ("filter", {"scale": "cosin"}, "--scale cosin: one of calibrated, cosine, paper, clipscore, margin is wanted; "
         "did you mean cosine?"),
        ("cost", {"by": ["stage", "modl"]}, "--by modl: one of stage, model, class is wanted; did you mean model?"),
        ("describe", {"root": "/none/such"}, "--root /none/such: no such file or folder"),
        ("mix-train", {"lr": -1, "rank": -1}, "--rank -1: 0 or more is wanted; --lr -1.0: above 0 is wanted"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_by_its_flag_and_all_of_it_at_once(command, given, message):
    with pytest.raises(InputError) as error:
        configure(command, given, environment=NOWHERE)
    assert str(error.value) == message


def test_changed_settings_keep_the_others():
    config = extend(n=3, llm="mine").changed(n=4)
    assert (config[Extend].n, config[Extend].llm) == (4, "mine")
    with pytest.raises(InputError):
        config.changed(n=0)


# --- what an artifact's hash covers


def test_what_changes_no_output_is_in_no_hash():
    slow, fast = extend(concurrency=1, time_limit=5, api_base="http://a"), extend(concurrency=64)
    assert slow.hashed(Extend, Asking) == fast.hashed(Extend, Asking)


def test_what_changes_the_output_is_in_the_hash_with_what_stands_for_a_file_or_a_model():
    assert extend(n=3).hashed(Extend, Asking, llm="gpt-4o@1") == {"class_": (), "n": 3, "llm": "gpt-4o@1"}
    assert extend(n=3, max_tokens=99).hashed(Asking) == {"max_tokens": 99}


def test_a_threshold_that_is_not_set_is_the_scale_s_own():
    assert Judging().level == 10.0
    assert Judging(scale="cosine").level == 0.3
    assert Judging(scale="cosine", threshold=0.0).level == 0.0


# --- ltgc.toml


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "ltgc.toml").write_text(text)
        return settings_file.load(tmp_path / "ltgc.toml")

    return write


def test_without_a_file_nothing_is_set(tmp_path):
    assert settings_file.load(tmp_path / "ltgc.toml") is None


def test_a_key_at_the_top_is_for_every_command_that_has_it_and_a_table_for_one(file):
    found = file('llm = "gpt-4o"\n[reflect]\nk = 7\nllm = "other"')
    assert found["extend"] == {"llm": "gpt-4o"}
    assert found["reflect"] == {"k": 7, "llm": "other"}
    assert found["render"] == {}


def test_a_table_takes_the_flag_s_name_and_the_top_means_the_same_for_all(file):
    found = file("batch = 8\n[describe]\nbatch = true\nllm = 'sees'\n[eval]\nlmm = 'asked'")
    assert found["describe"] == {"half_price": True, "lmm": "sees"}
    assert found["render"] == {"batch": 8} and found["mix-train"] == {}
    assert found["eval"] == {"direct": "asked"}


def test_eval_measures_on_the_test_images_that_a_run_names(file):
    assert file('data = "a"\n[run]\ntest = "b"')["eval"]["data"] == "b"
    assert file('data = "a"\n[run]\ntest = "b"\n[eval]\ndata = "c"')["eval"]["data"] == "c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[extent]\nn = 3", r"\[extent\] is no command; did you mean extend\?"),
        ("[extend]\nk = 3", "ltgc extend has no flag --k"),
        ("lml = 'x'", r"no command has a flag --lml; did you mean l[lm]m\?"),
        ("lr = 0.1", r"lr is how mix-train trains; put it under \[mix-train\]"),
        ("rank = 4", r"rank is how mix-train trains; put it under \[mix-train\]"),
        ("from_classes = 4", r"from_classes is how adapt trains; put it under \[adapt\]"),
        ("[mix-train]\ngate = true", "--gate is gone: its probe of the head did not foresee .*; take the line out"),
        ("[mix-train]\nsyn-ratio = 2", "--syn-ratio is gone: it made no difference"),
        ("n = ", "ltgc.toml: no TOML that can be read: .*; `ltgc init` writes one"),
    ],
)
def test_a_key_that_nothing_has_is_said_with_the_nearest_and_one_that_is_gone_with_the_reason(file, text, message):
    with pytest.raises(InputError, match=message):
        file(text)


def test_the_file_that_init_writes_has_every_setting_it_offers_as_a_comment_with_its_default(tmp_path, file):
    text = settings_file.text({("reflect", "k"): 8, ("extend", "llm"): "gpt-4o"}, ["Mine."])
    assert tomllib.loads(text)["llm"] == "gpt-4o" and tomllib.loads(text)["reflect"] == {"k": 8}
    lines = [line[1:] if line.startswith("#") and not line.startswith("# ") and line != "#" else line for line in
             text.splitlines()]  # fmt: skip
    found = file("\n".join(lines))
    for command in ("describe", "extend", "reflect", "render", "filter", "mix-train", "eval"):
        for name, one in command_settings(command).items():
            if one.known("offered"):
                assert name in found[command], (command, name)
                if one.default is not None and (command, name) not in {("reflect", "k")} and name != "llm":
                    assert found[command][name] == one.default, (command, name)
    assert found["mix-train"]["lr"] == Training().lr and found["filter"]["scale"] == "calibrated"
    assert Filter().preview is False and "preview" not in found["filter"], "typed for one run"
    assert Reflect().k == 100


def test_adapt_s_table_is_a_comment_for_it_turns_the_stage_on(tmp_path, file):
    text = settings_file.text({}, [])
    assert "\n#[adapt]\n" in text and "adapt" not in tomllib.loads(text)
    file("steps = 20\n[adapt]\n")
    assert settings_file.tables(tmp_path / "ltgc.toml") == {"adapt"}
    assert "steps" not in file("steps = 20\n[adapt]\n")["adapt"], "render's, as a key at the top"


def test_a_whole_number_for_a_number_is_the_number_so_that_one_value_has_one_hash():
    assert repr(configure("mix-train", {"epochs": 10})[Training].epochs) == "10.0"
    assert repr(configure("extend", {"n": np.int64(20)})[Extend].n) == "20"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (0.15, 0.15), ("0.15", 0.15), (np.float32(0.5), 0.5), (0, 0.0), ("0.15:.15", 0.15),
        ("0.5:0", "0.5:0"), (" 0.50 : 0.0", "0.5:0"), ("0.1234567:1", "0.1234567:1"),
    ],
)  # fmt: skip
def test_one_schedule_is_one_text_and_one_that_stays_is_a_number_so_that_it_has_one_hash(given, kept):
    for config in (
        configure("mix-train", {"syn_prob": given}, environment=NOWHERE),
        configure("mix-train", {}, {"syn_prob": given}, NOWHERE),
    ):
        assert repr(config[Training].syn_prob) == repr(kept)


@pytest.mark.parametrize("given", ["0.5:", ":0", "a:b", "1.2:0", "0:-0.1", "nan", "0.5:nan", "1:0:1", True, [0.5, 0]])
def test_what_is_no_schedule_of_a_chance_is_refused_in_one_line(given):
    with pytest.raises(InputError, match=r"^--syn-prob [^;\n]+ is wanted$"):
        configure("mix-train", {"syn_prob": given}, environment=NOWHERE)


@pytest.mark.parametrize(
    ("given", "file", "environment", "said"),
    [
        ({"k": "many"}, {}, {}, "-k many: a whole number is wanted"),
        ({}, {"k": "many"}, {}, "ltgc.toml: k = many: a whole number is wanted"),
        ({}, {}, {"LTGC_CONCURRENCY": "abc"}, "LTGC_CONCURRENCY, abc: a whole number is wanted"),
        ({}, {"near": 7.0}, {}, "ltgc.toml: near = 7.0: from 0 to 1 is wanted"),
    ],
)
def test_a_wrong_value_is_said_by_where_it_came_from(given, file, environment, said):
    with pytest.raises(InputError, match=re.escape(said)):
        configure("reflect", given, file, environment)


def test_one_setting_has_one_value_and_a_class_is_a_text():
    with pytest.raises(TypeError, match="two values for 'lmm'"):
        configure("describe", {"lmm": "a", "llm": "b"})
    with pytest.raises(InputError, match="a list of texts is wanted"):
        configure("extend", {"class_": [7]})
