"""render by an image API, litellm as it is, against a server on this machine: what it costs, and what is kept."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from fakes import a_class, a_description
from PIL import Image
from ports.openai_images import Reply, drawn, fails, images
from server import serving

from ltgc_cli.records import dump

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
CRANE = a_class("crane", 1)
MINE = ("render", "--t2i", "litellm:openai/mine", "--price", "0.04")


def descriptions(count: int) -> str:
    rows = [CRANE, *(a_description(CRANE, f"in marsh {number}") for number in range(count))]
    return "".join(dump(row) + "\n" for row in rows)


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 200, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_budget_holds_at_the_price_that_the_user_gives(forked):
    routes = images(lambda body: drawn(picture()))
    with serving(routes) as address:
        flags = ("--t2i-api-base", f"{address}/v1", "--max-cost", 0.10)
        first = forked(*MINE, *flags, input=descriptions(4), OPENAI_API_KEY=KEY)
        second = forked(*MINE, *flags, input=descriptions(4), OPENAI_API_KEY=KEY)
    assert (first.code, second.code, len(routes.seen)) == (4, 0, 4)
    assert "--max-cost 0.1 is reached: $0.08 spent" in first.err
    assert "2 images asked, 2 of 4 images from the store, $0.08" in second.err


def test_a_budget_wants_the_price_of_a_picture(forked):
    ran = forked("render", "--t2i", "litellm:openai/mine", "--max-cost", 1, input=descriptions(1))
    assert (ran.code, "give it in US dollars per image: --price 0.04" in ran.err) == (2, True)


@pytest.mark.parametrize("command", [("render",), ("render", "--dry-run"), ("filter", "--llm", "gpt-4o")])
def test_a_setting_that_an_api_does_not_take_is_said_before_anything_is_asked(forked, command):
    flags = ("--t2i", "litellm:gpt-image-1", "--steps", 4, "--from-original", 0.5)
    ran = forked(*command, *flags, input=descriptions(1))
    said = "ltgc: litellm:gpt-image-1 is an image API, which takes no --from-original, --steps; leave it out\n"
    assert (ran.code, ran.err) == (2, said)


@pytest.mark.slow
def test_a_run_that_is_killed_has_kept_every_picture_that_had_come(forked, environment, tmp_path):
    asked: list[Any] = []
    all_asked = threading.Event()

    def answer(body: dict[str, Any]) -> Reply:
        asked.append(body)
        if len(asked) == 6:
            all_asked.set()
        return drawn(picture()) if len(asked) <= 3 else fails(429, Retry_After="60")

    rows = tmp_path / "in.jsonl"
    rows.write_text(descriptions(6))
    with serving(images(answer)) as address:
        flags = ("-i", rows, "--t2i-api-base", f"{address}/v1")
        command = [sys.executable, "-m", "ltgc_cli", *map(str, (*MINE, *flags))]
        with subprocess.Popen(command, env=environment | {"OPENAI_API_KEY": KEY}, stdout=subprocess.DEVNULL) as run:
            assert all_asked.wait(60)
            time.sleep(0.5)  # for the third picture's way into the store
            run.kill()
        again = forked(*MINE, *flags, "--dry-run")
    assert again.err.splitlines()[1].split()[2:4] == ["3", "3"]  # in the store, to ask
