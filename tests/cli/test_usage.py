"""What a person mistypes is said in one line, with what was meant; exit status 2, nothing asked."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest

from ltgc_cli import records


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("rendr", "there is no command 'rendr'; did you mean render? (ltgc --help)"),
        ("xyzzy", "there is no command 'xyzzy' (ltgc --help)"),
        ("cache prun", "there is no command 'prun'; did you mean prune? (ltgc cache --help)"),
        ("cache rm", "there is no command 'rm'; did you mean prune? (ltgc cache --help)"),
        ("cache delete x", "there is no command 'delete'; did you mean prune? (ltgc cache --help)"),
        ("cache clear", "there is no command 'clear'; did you mean prune? (ltgc cache --help)"),
        ("cache clean", "there is no command 'clean'; did you mean prune? (ltgc cache --help)"),
        ("cache list", "there is no command 'list'; did you mean show? (ltgc cache --help)"),
        ("cache check", "there is no command 'check'; did you mean verify? (ltgc cache --help)"),
        ("check", "there is no command 'check'; did you mean doctor? (ltgc --help)"),
        ("train --data x", "there is no command 'train'; did you mean mix-train? (ltgc --help)"),
        ("generate", "there is no command 'generate'; did you mean render? (ltgc --help)"),
        ("evaluate", "there is no command 'evaluate'; did you mean eval? (ltgc --help)"),
        ("test", "there is no command 'test'; did you mean eval? (ltgc --help)"),
        ("describe --lmm-model x", "describe has no flag --lmm-model; did you mean --lmm? (ltgc describe --help-all)"),
        ("extend --lmm-model x", "extend has no flag --lmm-model; did you mean --llm? (ltgc extend --help-all)"),
        ("render --model x", "render has no flag --model; did you mean --t2i? (ltgc render --help-all)"),
        ("describe --datas x", "describe has no flag --datas; did you mean --data? (ltgc describe --help-all)"),
        ("extend --budget 5", "extend has no flag --budget; did you mean --max-cost? (ltgc extend --help-all)"),
        ("cache import .", ".: a folder without a store; name a store's, or the file that `ltgc cache export` wrote"),
        ("--vrsion", "ltgc has no flag --vrsion; did you mean --version? (ltgc --help)"),
        ("extend --clas x", "extend has no flag --clas; did you mean --class? (ltgc extend --help-all)"),
        ("extend -z", "extend has no flag -z (ltgc extend --help-all)"),
        ("eval --zeroshot", "eval has no flag --zeroshot; did you mean --zero-shot? (ltgc eval --help-all)"),
        ("extend --class", "Option '--class' requires an argument."),
        ("extend --class a -n x", "-n x: a whole number is wanted"),
        ("extend --class a -n 0", "-n 0: 1 or more is wanted"),
        ("filter --threshold high", "--threshold high: a number is wanted"),
        ("render --format jpg", "--format jpg: one of png, webp is wanted; did you mean png?"),
        ("extend crane", "got unexpected extra argument(s) (crane) (ltgc extend --help)"),
        ("extend -i none.jsonl", "--input none.jsonl: no such file or folder"),
        ("mix-train", "mix-train needs --data"),
        ("predict --checkpoint .", "missing argument 'images' (ltgc predict --help)"),
        ("extend --class a -o new/", "--output new/ names a folder that is not there; name a file"),
        ("init -o new/", "--output new/ names a folder that is not there; name a file"),
        ("cache export new/", "new/ names a folder that is not there"),
        ("cache import /dev/null", "/dev/null is a device or a pipe; name a file"),
        ("cost --by sage", "--by sage: one of stage, model, class is wanted; did you mean stage?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_says_what_was_meant(inside, typed, said):
    ran = inside(*typed.split())

    assert (ran.code, ran.out, ran.err) == (2, "", f"ltgc: {said}\n")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["cache", "dir", "--cache-dir", ""], "--cache-dir '': a path is wanted"),
        (["extend", "--class", "a", "-o", ""], "--output '': a path is wanted"),
        (["extend", "-i", ""], "--input '': a path is wanted"),
        (["describe", "--data", ""], "--data '': a data set is wanted"),
        (["export", "--out", ""], "--out '': a path is wanted"),
        (["run", ""], "'': a path is wanted"),
        (["cache", "import", ""], "'': a path is wanted"),
        (["cache", "export", ""], "'': a path is wanted"),
        (["predict", "--checkpoint", ".", ""], "'': a path is wanted"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(inside, typed, said):
    ran = inside(*typed)

    assert (ran.code, ran.out, ran.err) == (2, "", f"ltgc: {said}\n")


def test_an_empty_variable_is_as_one_that_is_not_set_and_an_empty_setting_is_refused(inside, tmp_path):
    assert inside("cache", "dir", LTGC_CACHE_DIR="", HOME="/home/someone").out == "/home/someone/.ltgc\n"

    (tmp_path / "ltgc.toml").write_text('cache-dir = ""')
    assert inside("cache", "dir").err == "ltgc: ltgc.toml: cache-dir = '': a path is wanted\n"


def test_a_place_that_nothing_can_be_put_into_is_said_before_the_work(inside, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    ran = inside("init", "--data", "digits-lt")

    said = "Permission denied; name another place, or make it writable, and run the same command again"
    assert (ran.code, ran.out, ran.err) == (3, "", f"ltgc: ltgc.toml: {said}\n")


def test_a_model_whose_price_nobody_knows_may_be_a_mistyped_one(inside):
    ran = inside("extend", "--class", "crane", "--llm", "gpt4o", "--max-cost", 1)

    assert ran.code == 2 and ran.err.endswith("; did you mean gpt-4o?\n")


def test_a_flag_turned_off_is_suggested_too(inside):
    assert "did you mean --no-generated?" in inside("mix-train", "--no-generatd").err


def test_what_a_mistyped_flag_holds_cannot_move_the_cursor(inside):
    assert "\x1b" not in inside("extend", "--\x1b[2J").err


def test_a_command_given_nothing_at_all_shows_its_help(inside):
    ran = inside()
    assert "Usage: ltgc [OPTIONS] COMMAND" in ran.err + ran.out


_AGAIN = "what was answered is kept: run again to go on"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            f"a temporary file in {tempfile.gettempdir()} (TMPDIR): No space left on device; make room, and run the "
            "same command again: what was answered is kept",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/mnt/a"),
            "/mnt/a: Read-only file system; name another place, or make it writable, and run the same command again",
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            f"Too many open files (ulimit -n allows more, a smaller --concurrency needs less); {_AGAIN}",
        ),
        (
            MemoryError(),
            f"the memory of this machine is used up (a smaller --concurrency or --batch needs less); {_AGAIN}",
        ),
        (
            RuntimeError("can't start new thread"),
            "this machine starts no more threads (ulimit -u allows more of them, a smaller --concurrency needs less); "
            f"{_AGAIN}",
        ),
    ],
)
def test_what_the_machine_has_too_little_of_is_said_in_one_line_and_what_to_do(inside, monkeypatch, error, said):
    def fails(*_):
        raise error

    monkeypatch.setattr(records, "dump", fails)
    ran = inside("extend", "--class", "crane", "-n", "1", "--json")

    assert ran.code == 3
    assert ran.err.splitlines()[-1] == f"ltgc: {said}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("describe", "--data", "digits-lt", "--tail", "9" * 5000), "a number of training images is wanted"),
        (("describe", "--data", "digits-lt:" + "9" * 5000), "the seed of digits-lt is a whole number"),
        (("mix-train", "--data", "digits-lt", "--shard", "1/" + "9" * 5000), "--shard"),
    ],
)
def test_a_number_of_any_length_is_refused_in_one_line(ltgc, words, said):
    ran = ltgc(*words)
    assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1
