from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltgc_cli import config, settings_file
from ltgc_cli.config import Config, configure
from ltgc_cli.errors import InputError
from ltgc_cli.settings import COMMANDS, Reflect

FILE = Path("ltgc.toml")
WANTED = "a whole number is wanted"


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str, command: str) -> Config:
    """The settings of a command by the text of ltgc.toml alone."""
    FILE.write_text(text)
    return configure(command, {}, (settings_file.load() or {})[command], {})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("n = 2.7", f"n = 2.7: {WANTED}"),
        ("n = true", f"n = True: {WANTED}"),
        ('n = "3"', f"n = '3': {WANTED}"),
        ("n = [3]", f"n = [3]: {WANTED}"),
        ("n = 1e400", f"n = inf: {WANTED}"),
        ("n = 1979-05-27", f"n = 1979-05-27: {WANTED}"),
        ("n = {a = 1}", f"n = {{'a': 1}}: {WANTED}"),
        ("n = 9223372036854775808", "n = 9223372036854775808: a number of at most 63 bits is wanted"),
        ("time-limit = 1e400", "time-limit = inf: a finite number is wanted"),
        ("time-limit = nan", "time-limit = nan: a finite number is wanted"),
        ("time_limit = true", "time-limit = True: a number is wanted"),
        ('llm = ["a"]', "llm = ['a']: a text is wanted"),
        ("llm = 3", "llm = 3: a text is wanted"),
        (r'llm = "a\u0000"', r"llm = 'a\x00': a text is wanted"),
        ("class = {a = 1}", "class = {'a': 1}: a list of texts is wanted"),
        ("batch = 1", "batch = 1: true or false is wanted"),
        ('senses = ""', "senses = '': a path is wanted"),
        ('senses = "~nobody-of-this-name/x"', "senses = '~nobody-of-this-name/x': a path is wanted"),
        ("reasoning-effort = 2", "reasoning-effort = 2: one of none, minimal, low, medium, high, xhigh is wanted"),
    ],
)
def test_a_value_of_another_type_is_refused_and_not_bent(inside, line, said):
    with pytest.raises(InputError) as error:
        read(f"[extend]\n{line}", "extend")
    assert str(error.value) == f"ltgc.toml: [extend] {said}"


def test_a_number_is_a_text_where_its_text_is_a_number(inside):
    assert read("tail = 20", "describe").get("tail") == "20"
    with pytest.raises(InputError, match=r"^ltgc.toml: tail = inf: a text is wanted$"):
        read("tail = inf", "describe")


def test_a_value_of_another_command_is_wrong_before_anything_is_asked(inside):
    with pytest.raises(InputError, match=r"^ltgc.toml: \[mix-train\] lr = 'low': a number is wanted$"):
        read('[mix-train]\nlr = "low"', "extend")


def test_a_key_at_the_top_is_wrong_where_no_command_takes_it_and_for_those_that_do_not(inside):
    assert read('format = "webp"', "render").get("format") == "webp"
    with pytest.raises(InputError, match=r"^ltgc.toml: format = webp: one of imagefolder, list, metadata is wanted"):
        read('format = "webp"', "export")
    with pytest.raises(InputError, match=r"^ltgc.toml: format = gif: one of "):
        read('format = "gif"', "extend")


def test_all_that_is_wrong_is_said_at_once(inside):
    with pytest.raises(InputError) as error:
        read("k = 0\n[extend]\nn = 2.5", "reflect")
    assert str(error.value) == "ltgc.toml: k = 0: 1 or more is wanted; ltgc.toml: [extend] n = 2.5: " + WANTED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[extend]\nimage-size = 64", "ltgc extend has no flag --image-size; [describe] has one"),
        ("[extend]\nmax-tokens = 64\nmax_tokens = 65", "[extend] max-tokens is there with - and with _; take one out"),
        ("[describe]\nlmm = 'a'\nllm = 'b'", "[describe] has one setting by two names (lmm, llm); take one out"),
        ("extend.k.n = 3", "ltgc extend has no flag --k; [demo] has one"),
        ("[[extend]]\nn = 3", "no command has a flag --extend"),
        ('"a\\nb" = 1', "no command has a flag --a b"),
        ('["a\\nb"]', "[a b] is no command"),
    ],
)
def test_a_key_that_is_not_where_it_belongs_is_said_in_one_line(inside, text, said):
    with pytest.raises(InputError) as error:
        read(text, "extend")
    assert str(error.value).startswith(f"ltgc.toml: {said}") and "\n" not in str(error.value)


@pytest.mark.parametrize("given", [2.7, float("nan"), 2**63, True, ["a"], datetime.date(1979, 5, 27), object(), b"3"])
def test_a_keyword_is_refused_as_a_line_of_the_file_is(given):
    with pytest.raises(InputError, match=r"^-k [^\n]*is wanted$"):
        configure("reflect", {"k": given}, environment={})


def test_text_is_read_where_all_is_text_on_the_command_line_and_in_variables():
    found = configure("reflect", {"k": "3"}, environment={"LTGC_CONCURRENCY": "4"})
    assert (found.get("k"), found.get("concurrency")) == (3, 4)


def test_a_negative_zero_is_zero_so_that_one_value_has_one_hash():
    assert repr(configure("reflect", {"near": -0.0}, environment={})[Reflect].near) == "0.0"


# --- whatever it says

_scalars = st.one_of(
    st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.dates(), st.times(), st.datetimes(),
    st.text(st.characters(codec="utf-8"), max_size=12), st.sampled_from(["3", "nan", "1e400", "~x/y", "0.5:0", "true"]),
)  # fmt: skip
_values = st.recursive(
    _scalars, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=3), of), max_leaves=5
)
_settings = [
    (command, one) for command in COMMANDS if " " not in command for one in config.command_settings(command).values()
]


@given(place=st.sampled_from(_settings), value=_values)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
def test_any_value_of_any_setting_makes_settings_or_one_line_with_file_and_key(place, value):
    command, one = place
    key = one.flag.lstrip("-")
    where = config.in_file(key, FILE, command)
    try:
        found = config.value_of(one, value, where, typed=True)
        read = configure(command, {}, {one.name: found}, {})
    except InputError as error:
        assert "ltgc.toml: " in str(error) and f"{key} =" in str(error)
        assert "\n" not in str(error) and len(str(error)) < 600
    else:
        assert type(read.get(one.name)) in (bool, int, float, str, tuple, type(Path()))
        assert read.get(one.name) == found
