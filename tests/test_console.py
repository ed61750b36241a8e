"""The console: records and tables on stdout, talk on stderr, and nothing that a name can do to a terminal."""

from __future__ import annotations

import io
import os
import sys
import threading

import pytest

from ltgc_cli import console


@pytest.fixture(autouse=True)
def not_quiet():
    yield
    console.configure(quiet=False)


def printed(*arguments: object) -> list[str]:
    out = io.StringIO()
    console.table(*arguments, stream=out)
    return [line.rstrip() for line in out.getvalue().splitlines()]


# --- stderr


def test_notices_go_to_stderr_a_line_each(capsys):
    console.notice("3 classes")

    assert capsys.readouterr() == ("", "3 classes\n")


def test_quiet_silences_notices_and_progress_but_no_error(capsys):
    console.configure(quiet=True)
    console.notice("3 classes")
    with console.progress("render", 10) as progress:
        progress.advance(10, "$1")
    console.error("birds: no such folder")

    assert capsys.readouterr() == ("", "ltgc: birds: no such folder\n")


def test_an_error_is_one_line_whatever_is_in_it(capsys):
    console.error("the server said:\n  <html>\r\n\tno\x1b[31m")

    assert capsys.readouterr().err == "ltgc: the server said: <html> no\N{REPLACEMENT CHARACTER}[31m\n"


def test_a_class_name_cannot_move_the_cursor(capsys):
    console.notice("class \x1b[2J\x07\rcrane\x9b1A \u202eenarc")

    err = capsys.readouterr().err
    assert "\x1b" not in err and "\r" not in err and "\x07" not in err and "\x9b" not in err and "\u202e" not in err
    assert "crane" in err


def test_names_in_any_script_are_shown_as_they_are(capsys):
    console.notice("עגור 鶴 \N{GRINNING FACE} naïve (bird)")

    assert capsys.readouterr().err == "עגור 鶴 \N{GRINNING FACE} naïve (bird)\n"


def test_a_reader_of_stderr_that_is_gone_is_no_error(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr(sys, "stderr", gone)
        console.notice("still here")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), gone.fileno())


# --- tables


def test_a_table_has_its_numbers_to_the_right_and_its_words_to_the_left():
    rows = [["crane", "5", "98.5%"], ["seal (animal)", "1,200", "7.25%"]]

    assert printed("Classes", ["class", "images", "accuracy"], rows) == [
        "Classes",
        "class          images  accuracy",
        "crane               5     98.5%",
        "seal (animal)   1,200     7.25%",
    ]


def test_a_table_without_a_title_begins_with_its_columns():
    assert printed("", ["class"], [["crane"]]) == ["class", "crane"]


def test_a_table_without_rows_is_its_columns():
    assert printed("Classes", ["class", "images"], []) == ["Classes", "class  images"]


def test_a_number_that_is_missing_does_not_turn_its_column_into_words():
    assert printed("", ["few"], [["12.5"], [""], ["–"], ["±1.0"], ["7"]])[1:] == ["12.5", "", "   –", "±1.0", "   7"]


def test_markup_in_a_name_is_shown_and_not_obeyed():
    assert printed("", ["class"], [["[bold]x[/bold]"], ["[/]"], ["<b>"], [":smile:"], ["https://a.b"]]) == [
        "class",
        "[bold]x[/bold]",
        "[/]",
        "<b>",
        ":smile:",
        "https://a.b",
    ]


def test_control_characters_in_a_cell_are_shown_as_such():
    assert printed("", ["class"], [["a\x1b[31mb\nc"]]) == [
        "class",
        "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c",
    ]


def test_wide_letters_keep_the_columns_apart():
    assert printed("", ["class", "n"], [["鶴", "1"], ["ab", "2"]]) == ["class  n", "鶴     1", "ab     2"]


def test_no_colour_goes_where_there_is_no_terminal():
    out = io.StringIO()
    console.table("Classes", ["class"], [["crane"]], stream=out)

    assert "\x1b" not in out.getvalue()


def test_a_table_goes_to_stdout_where_no_stream_is_given(capsys):
    console.table("", ["class"], [["crane"]])

    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["class", "crane"]


def test_a_long_name_is_not_cut_in_a_file():
    assert "".join(printed("", ["class"], [["n" * 300]])[1:]).replace(" ", "") == "n" * 300


# --- progress


def test_where_there_is_no_terminal_a_short_run_says_nothing(capsys):
    with console.progress("render", 10) as progress:
        progress.advance(10)

    assert capsys.readouterr() == ("", "")


def test_where_there_is_no_terminal_a_long_run_says_a_plain_line_now_and_then(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("render", 4000) as progress:
        for _ in range(40):
            now[0] += 1.0
            progress.advance(50, "$0.50")

    assert capsys.readouterr().err.splitlines() == [
        "render: 800/4,000, 50.0/s, 1m04s left, $0.50",
        "render: 1,600/4,000, 50.0/s, 48s left, $0.50",
    ]


def test_a_run_of_unknown_length_says_no_time_left(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    state = console.ProgressLine("extend", None, lambda _: None)
    now[0] += 10
    state.advance(20)

    assert state.line() == "extend: 20, 2.0/s"


def test_a_status_stays_until_there_is_another():
    lines = []
    state = console.ProgressLine("extend", 3, lambda progress: lines.append(progress.line().split(", ")[-1]))
    state.advance(1, "$1")
    state.advance(1)
    state.advance(1, "$2")

    assert lines == ["$1", "$1", "$2"]


def test_the_rate_goes_by_what_this_run_does(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    state = console.ProgressLine("training", 100, lambda _: None)
    state.go_on_from(60)
    now[0] += 2
    state.advance(20)

    assert state.line() == "training: 80/100, 10.0/s, 2s left"


def test_the_time_left_goes_by_the_last_half_minute(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    state = console.ProgressLine("extend", 1000, lambda _: None)
    state.advance(900)  # from the store, at once
    for _ in range(60):
        now[0] += 1
        state.advance(1)

    assert state.line() == "extend: 960/1,000, 1.0/s, 40s left"


def test_what_many_threads_have_done_is_counted(monkeypatch):
    state = console.ProgressLine("extend", 4000, lambda _: None)
    threads = [threading.Thread(target=lambda: [state.advance() for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert state.done == 4000


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_latest_rows_are_a_table_above_the_line(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(console, "_live", lambda: True)
    with console.progress("training", 400) as progress:
        for step in range(10, 210, 10):
            progress.advance(10, "loss 1.5", {"step": str(step), "lr\x1b[2J": "1e-3"})

    lines = sys.stderr.getvalue().splitlines()
    shown = [line.rstrip() for line in lines if "\x1b[2J" not in line]
    assert any(line.split() == ["200", "1e-3"] for line in shown) and any("200/400" in line for line in shown)
    assert not any(line.split() == ["50", "1e-3"] for line in shown), "a dozen rows are enough"
    assert "\x1b[2J" not in sys.stderr.getvalue()


def test_on_a_terminal_one_run_within_another_takes_its_place_for_so_long(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(console, "_live", lambda: True)
    with console.progress("outer") as outer:
        with console.progress("inner") as inner:
            inner.advance(3)
        assert len(console._lives) == 1 and console._lives[0].is_started
        outer.advance(2)

    assert console._lives == []
    assert "inner: 3" in sys.stderr.getvalue() and "outer: 2" in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (90_061, "25h01m")],
)
def test_time_left_is_said_as_people_say_it(seconds, text):
    assert console.duration(seconds) == text


def test_an_error_within_a_long_run_comes_through(capsys):
    with pytest.raises(ValueError, match="mine"), console.progress("render"):
        raise ValueError("mine")
