"""On a terminal `ltgc init` asks for what no flag says, checks each answer at once, and leaves nothing on Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from commands import heeds_ctrl_c

Typed = Callable[[Sequence[str], Sequence[str]], tuple[int, str]]
CTRL_C, END = "\x03", "\x04"  # END is Ctrl-D
NOT_HERE = "ViT-B-32/laion2b_s34b_b79k"  # so init does not try it
QUESTIONS = ["--data", "--test", "--lmm", "--llm", "--t2i", "--clip", "-k", "--max-cost"]


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    for place in ("birds", "birds-test"):
        for name in ("crane", "seal"):
            (tmp_path / place / name).mkdir(parents=True)
            for number in range(3):
                (tmp_path / place / name / f"{number}.jpg").write_bytes(b"no photo")
    return tmp_path


@pytest.fixture
def typed(environment: dict[str, str], tmp_path: Path) -> Typed:
    """Runs `ltgc` on a pseudo-terminal, types an answer behind each question, and returns status and what is shown."""

    def run(arguments: Sequence[str], answers: Sequence[str]) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "ltgc_cli", *arguments],
            env=environment | {"NO_COLOR": "1", "COLUMNS": "120"},
            cwd=tmp_path,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=controls_its_terminal,
        )
        os.close(theirs)
        shown, rest = b"", list(answers)
        late = threading.Timer(60, process.kill)
        late.start()
        with suppress(OSError):  # Linux says so when the other side has closed
            while True:
                if not select.select([ours], [], [], 1)[0]:
                    # Python misses a signal that comes just before it begins to wait for a line.
                    os.write(ours, CTRL_C.encode() if answers and answers[-1] == CTRL_C and not rest else b"")
                    continue
                if not (block := os.read(ours, 4096)):
                    break
                shown += block
                if rest and shown.endswith(b"]: "):
                    os.write(ours, rest.pop(0).encode())
        late.cancel()
        os.close(ours)
        assert not rest, shown.decode()
        return process.wait(timeout=60), shown.decode().replace("\r\n", "\n")

    return run


def controls_its_terminal() -> None:
    """Makes the terminal a child's own, as its preexec_fn, so that Ctrl-C typed there reaches it."""
    heeds_ctrl_c()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def asked(shown: str) -> list[str]:
    """The flags that were asked for, in order."""
    return [line.split()[0] for line in shown.splitlines() if line.startswith("-") and "]: " in line]


def test_it_asks_for_all_that_is_not_known_with_a_default_each(typed, birds):
    code, shown = typed(["init"], ["birds\n", "birds-test\n", *"\n\n\n", f"{NOT_HERE}\n", "2\n", "\n"])
    assert (code, asked(shown)) == (0, QUESTIONS), shown
    assert "--data [digits-lt]: birds\n" in shown and "--lmm [embedded]: \n" in shown and "-k [100]: 2\n" in shown
    assert "--test [the data's own, if it has any]: " in shown and "--max-cost [no limit]: " in shown
    written = tomllib.loads((birds / "ltgc.toml").read_text())
    assert (written["data"], written["run"], written["reflect"]) == ("birds", {"test": "birds-test"}, {"k": 2})


def test_what_a_flag_says_is_not_asked_for(typed, birds):
    flags = ["--data", "birds", "--lmm", "embedded", "--llm", "embedded", "--t2i", "blank", "-k", "2"]
    _, shown = typed(["init", *flags], ["\n", "\n", END])
    assert asked(shown) == ["--test", "--clip", "--max-cost"], shown


def test_an_answer_that_cannot_be_is_refused_with_its_reason_and_asked_for_again(typed, birds):
    places = ["none\n", "birds\n", "fish\n", "\n"]
    models = ["gpt4o\n", *"\n\n\n", "vit\n", "\n"]
    _, shown = typed(["init"], [*places, *models, "0\n", "8\n", "much\n", END])
    for refused in (
        "ltgc: none: not a folder",
        "ltgc: fish: not a folder",
        "ltgc: --lmm gpt4o: litellm knows no such model",
        "ltgc: --clip 'vit' names no CLIP model",
        "ltgc: -k 0: 1 or more is wanted",
        "ltgc: --max-cost much: a number is wanted",
    ):
        assert refused in shown, shown
    assert asked(shown) == [name for name in QUESTIONS for _ in range(1 if name in ("--llm", "--t2i") else 2)]


def test_a_limit_that_cannot_hold_is_refused_and_the_price_that_nobody_knows_asked_for(typed, birds):
    models = ["--data", "birds", "--test", "birds-test", "--lmm", "openai/mine", "--llm", "openai/mine"]
    flags = [*models, "--api-base", "http://127.0.0.1:1/v1", "--t2i", "blank", "--clip", "embedded", "-k", "2"]
    _, shown = typed(["init", *flags], ["\n", "5\n", END])
    assert asked(shown) == ["--price", "--max-cost", "--max-cost"], shown
    assert "ltgc: --max-cost cannot hold: the price of openai/mine is not known" in shown


@pytest.mark.parametrize("end", [CTRL_C, END], ids=["Ctrl-C", "Ctrl-D"])
def test_a_person_who_stops_leaves_nothing(typed, birds, end):
    code, shown = typed(["init"], ["birds\n", end])
    assert (code, (birds / "ltgc.toml").exists()) == (130, False)
    assert "ltgc: interrupted" in shown and "Traceback" not in shown


def test_a_file_that_is_there_is_said_before_any_question(typed, birds):
    (birds / "ltgc.toml").write_text("# mine\n")
    code, shown = typed(["init"], [])
    assert code == 2 and shown.startswith("ltgc: ltgc.toml is there already and "), shown


def test_without_a_terminal_nothing_is_asked(inside, birds):
    ran = inside("init", input="birds\n" * 20)
    assert (ran.code, ran.out, ran.err) == (2, "", "ltgc: init needs --data\n")


def test_a_limit_that_cannot_hold_is_refused_without_a_terminal_too(inside, birds):
    flags = ["--llm", "openai/mine", "--max-cost", 5]
    ran = inside("init", "--data", "birds", *flags)
    assert ran.code == 2 and ran.err.startswith("ltgc: --max-cost cannot hold: the price of openai/mine is not known")
    assert not (birds / "ltgc.toml").exists()
    assert inside("init", "--data", "birds", *flags, "--price", "2.5,10").code == 0


def test_the_address_of_an_image_api_is_written_for_the_run(inside, birds):
    flags = ["--t2i", "litellm:openai/mine", "--t2i-api-base", "http://127.0.0.1:1/v1"]
    assert inside("init", "--data", "birds", "-k", 2, *flags).code == 0
    assert tomllib.loads((birds / "ltgc.toml").read_text())["t2i-api-base"] == "http://127.0.0.1:1/v1"
