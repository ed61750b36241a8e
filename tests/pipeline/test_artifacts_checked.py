"""Artifacts are looked at before they are streamed: what is not as its run left it is made again, and asks nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Ltgc

EXTEND = ("extend", "--class", "7", "-n", 3)


def edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"7", b"8"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"{}\n")


def of_another_stage(path: Path) -> None:
    path = path.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stage": "render"}))


def with_a_manifest_of_nothing(path: Path) -> None:
    path.with_suffix(".json").write_text("{}")


def without_its_lines(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "damage", [edited, cut, emptied, longer, of_another_stage, with_a_manifest_of_nothing, without_its_lines]
)
def test_a_damaged_artifact_is_made_again_with_a_word_and_nothing_is_asked(
    inside: Ltgc, store: Path, damage: Callable[[Path], None]
) -> None:
    before = inside(*EXTEND).out
    (artifact,) = store.glob("artifacts/extend/*.jsonl")
    damage(artifact)
    ran = inside(*EXTEND)
    assert (ran.code, ran.out) == (0, before)
    assert "it is made again" in ran.err and "1 question from the store" in ran.err
    again = inside(*EXTEND)
    assert again.out == before and "answered by" in again.err


def test_the_artifact_of_other_flags_under_this_ones_name_is_none_of_it(inside: Ltgc, store: Path) -> None:
    three = inside(*EXTEND).out
    (artifact,) = store.glob("artifacts/extend/*.jsonl")
    inside(*EXTEND[:-1], 4)
    (other,) = set(store.glob("artifacts/extend/*.jsonl")) - {artifact}
    for suffix in (".jsonl", ".json"):
        artifact.with_suffix(suffix).write_bytes(other.with_suffix(suffix).read_bytes())

    ran = inside(*EXTEND)
    assert (ran.code, ran.out) == (0, three)
    assert f"{artifact} is not as it was left: it is made again" in ran.err


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_in_an_artifacts_place_is_named_and_once_moved_away_the_run_goes_on(
    inside: Ltgc, store: Path, tmp_path: Path, suffix: str, make: Callable[[Path], None]
) -> None:
    before = inside(*EXTEND).out
    path = next(store.glob("artifacts/extend/*.jsonl")).with_suffix(suffix)
    path.unlink()
    make(path)
    ran = inside(*EXTEND)
    assert ran.code == 2 and f"{path} is no file that ltgc wrote; move it away, and run the same" in ran.err
    path.rename(tmp_path / "away")
    assert inside(*EXTEND).out == before


def test_a_picture_that_is_gone_is_made_again_by_the_command_that_the_message_names(
    inside: Ltgc, store: Path, tmp_path: Path
) -> None:
    inside("extend", "--class", "7", "-n", 1, "-o", "extended.jsonl")
    render = ("render", "--t2i", "blank", "-i", "extended.jsonl", "-o", "rendered.jsonl")
    assert inside(*render).code == 0
    before = (tmp_path / "rendered.jsonl").read_bytes()
    picture = next(path for path in store.glob("objects/*/*"))
    data = picture.read_bytes()
    for damage in (lambda: picture.unlink(), lambda: picture.write_bytes(b""), lambda: picture.write_bytes(b"junk")):
        damage()
        if picture.exists() and picture.stat().st_size:
            ran = inside("export", "-i", "rendered.jsonl", "--out", "images")
            assert ran.code == 2 and "delete the file, and run the command that made it again" in ran.err
            picture.unlink()
        ran = inside("export", "-i", "rendered.jsonl", "--out", "images")
        assert ran.code == 2 and not (tmp_path / "images").exists()
        ran = inside(*render)
        assert ran.code == 0 and "1 image is gone from the store: it is made again" in ran.err
        assert "1 image asked" in ran.err and "refused" not in ran.err
        assert picture.read_bytes() == data and (tmp_path / "rendered.jsonl").read_bytes() == before
    assert inside("export", "-i", "rendered.jsonl", "--out", "images").code == 0


def test_images_that_were_never_in_this_store_make_no_stage_run_twice(
    inside: Ltgc, tmp_path: Path, store: Path
) -> None:
    lines = [
        {"kind": "class", "label": 0, "class": "7", "tail": True, "count": 1},
        {"kind": "image", "label": 0, "class": "7", "id": "a", "sha256": "a" * 64, "origin": "original"},
        {
            "kind": "description",
            "label": 0,
            "class": "7",
            "id": "b",
            "text": "A photo of the class 7.",
            "origin": "extended",
        },
    ]
    (tmp_path / "given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for said in ("1 image asked", "answered by"):
        ran = inside("render", "--t2i", "blank", "-i", "given.jsonl", "-o", "out.jsonl")
        assert ran.code == 0 and said in ran.err, ran.err


def test_the_advice_for_lost_answers_works_when_it_is_followed(inside: Ltgc, store: Path, tmp_path: Path) -> None:
    before = inside(*EXTEND).out
    assert inside("cache", "export", "answers.tar").code == 0
    (store / "answers" / "cache.db").write_bytes(b"")
    ran = inside("extend", "--class", "7", "-n", 4)
    assert ran.code == 2 and "answers: the database is damaged (" in ran.err
    (store / "answers").rename(tmp_path / "away")
    assert inside("extend", "--class", "7", "-n", 4).code == 2  # not yet
    assert inside("cache", "import", "answers.tar").code == 0
    next(store.glob("artifacts/extend/*.json")).unlink()
    ran = inside(*EXTEND)
    assert ran.out == before and "1 question from the store" in ran.err
    assert inside("extend", "--class", "7", "-n", 4, "--cache-dir", tmp_path / "other").code == 0


@pytest.fixture
def read_only(store: Path) -> Iterator[Callable[[], None]]:
    """Makes the store read-only, by a mount of the test's own where that is permitted."""
    mounted = []

    def make() -> None:
        ran = [
            subprocess.run(["mount", *how, str(store)], capture_output=True)
            for how in (("--bind", str(store)), ("-o", "remount,bind,ro"))
        ]
        if any(one.returncode for one in ran):
            pytest.skip("nothing can be mounted here")
        mounted.append(True)

    try:
        yield make
    finally:
        if mounted:
            # lazily: the command that said how it ended may not be gone yet
            subprocess.run(["umount", "--lazy", str(store)], check=True)


def test_a_read_only_store_is_read_and_said_to_be_so_where_it_must_be_written(
    inside: Ltgc, tmp_path: Path, store: Path, read_only: Callable[[], None]
) -> None:
    inside(*EXTEND, "-o", "extended.jsonl")
    render = ("render", "--t2i", "blank")
    made = inside(*render, "-i", "extended.jsonl").out
    read_only()
    lines = (tmp_path / "extended.jsonl").read_text()
    assert [inside(*render, "-i", "extended.jsonl").out, inside(*render, input=lines).out] == [made, made]
    for command in (["cache", "info"], ["cache", "show"], ["cache", "verify"], ["cost", "-i", "extended.jsonl"]):
        assert inside(*command).code == 0
    assert inside("report", "-i", "extended.jsonl", "-o", "report.html").code == 0
    for more in ((), ("--cache-dir", store / "new")):
        ran = inside("extend", "--class", "8", *more)
        assert (ran.code, ran.out) == (3, "") and f"{store}" in ran.err.splitlines()[-1]
        assert "Read-only file system; name another place" in ran.err


def test_a_full_store_is_named_and_not_the_file_that_is_written(
    inside: Ltgc, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltgc_cli.errors import place_error
    from ltgc_cli.files import NamedFile

    write = NamedFile.write

    def full(file: NamedFile, data: bytes) -> int:
        if "artifact" in str(file.named):
            raise place_error(file.named, OSError(28, "No space left on device"), writing=True)
        return write(file, data)

    with monkeypatch.context() as patched:
        patched.setattr(NamedFile, "write", full)
        ran = inside(*EXTEND, "-o", "out.jsonl")
    assert ran.code == 3 and f"ltgc: an artifact in {store}/artifacts/extend: No space left" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert "1 question from the store" in inside(*EXTEND, "-o", "out.jsonl").err  # what was answered is kept
