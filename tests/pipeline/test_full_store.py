"""A disk that fills up while questions are under way: each was paid for, and each is kept."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from commands import Ltgc, Ran
from ports.openai_chat import Body, Chat, chat
from server import serving

CLASSES = 300
MEGABYTES = 2**20


@pytest.fixture
def disk() -> Iterator[Callable[[Path, int], None]]:
    """Gives a folder a disk of so many bytes, or more once it is there, where one can be mounted."""
    made: list[Path] = []

    def sized(folder: Path, size: int) -> None:
        there = "remount," if folder in made else ""
        folder.mkdir(exist_ok=True)
        how = ["mount", "-t", "tmpfs", "-o", f"{there}size={size}", "none", str(folder)]
        if subprocess.run(how, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        if not there:
            made.append(folder)

    try:
        yield sized
    finally:
        for folder in made:
            # lazily: the command that said how it ended may not be gone yet
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small(disk: Callable[[Path, int], None], store: Path) -> Callable[[int], None]:
    """Gives the store such a disk."""
    return partial(disk, store)


@pytest.fixture
def model() -> Chat:
    """A model that writes much, and takes a moment for it."""

    def answer(body: Body) -> str:
        (name, *_) = re.findall(r"kind x\d+y", json.dumps(body["messages"]))
        return "\n".join(f"{n}. A photo of the class {name}, seen {n} times in a year." for n in range(1, 41))

    return chat(answer, latency=0.05)


@pytest.fixture
def extend(model: Chat, forked: Ltgc, tmp_path: Path) -> Iterator[Callable[..., Ran]]:
    """Asks about many classes, 16 at once."""
    names = [word for number in range(CLASSES) for word in ("-c", f"kind x{number}y")]
    with serving(model) as address:
        flags = ("-n", 40, "--concurrency", 16, "--llm", "openai/gpt-4o", "--api-base", f"{address}/v1", "-o", "out")
        yield lambda *more: forked("extend", *names, *flags, *more, OPENAI_API_KEY="sk-none")


def questions(model: Chat) -> Counter[str]:
    return Counter(seen.text for seen in model.seen)


def test_what_is_under_way_when_the_disk_fills_up_is_kept_and_no_question_is_asked_twice(
    extend: Callable[..., Ran], model: Chat, store: Path, small: Callable[[int], None]
) -> None:
    small(4 * MEGABYTES)
    ran = extend()
    (told,) = (line for line in ran.err.splitlines() if line.startswith("ltgc: "))  # the stage's artifact, or answers
    assert ran.code == 3 and f"{store}/" in told and "make room, and run the same command again" in told
    assert 16 < len(model.seen) < CLASSES
    small(64 * MEGABYTES)
    assert extend().code == 0
    assert set(questions(model).values()) == {1} and len(model.seen) == CLASSES


def test_without_room_for_what_would_be_under_way_nothing_is_asked(
    extend: Callable[..., Ran], model: Chat, store: Path, small: Callable[[int], None]
) -> None:
    small(MEGABYTES)
    ran = extend()
    assert (ran.code, model.seen) == (3, [])
    assert ran.err.splitlines()[-1].startswith(f"ltgc: {store}/answers: No space left on device; make room, and run")


def test_what_is_held_has_no_name_and_goes_with_the_command(
    extend: Callable[..., Ran], model: Chat, store: Path, small: Callable[[int], None]
) -> None:
    small(64 * MEGABYTES)
    assert extend().code == 0
    named = sum(path.stat().st_blocks * 512 for path in store.rglob("*"))
    assert shutil.disk_usage(store).used <= named + MEGABYTES  # tmpfs counts its own folders too
    assert not list(store.rglob(".tmp-*"))


@pytest.mark.parametrize("flag", ["-o", "--record"])
def test_where_the_output_has_no_room_at_all_nothing_is_asked(
    extend: Callable[..., Ran], model: Chat, tmp_path: Path, disk: Callable[[Path, int], None], flag: str
) -> None:
    full = tmp_path / "full"
    disk(full, 65536)
    (full / "old").write_bytes(bytes(65536))
    ran = extend(flag, full / "new.jsonl")
    assert (ran.code, model.seen) == (3, [])
    assert f"{full}/new.jsonl: No space left on device; make room" in ran.err.splitlines()[-1]
    (full / "old").unlink()
    assert extend(flag, full / "new.jsonl", "--max-cost", 0).code == 4
