"""--shard I/N: what N runs write, put behind one another, is what one run writes, byte for byte."""

from pathlib import Path

import pytest
from commands import Ltgc
from PIL import Image

NAMES = ("crane", "seal", "owl", "newt", "ibis")


def written(inside: Ltgc, *command: object) -> str:
    done = inside(*command, "--json")
    assert done.code == 0, done.err
    return done.out


def in_shards(inside: Ltgc, of: int, *command: object) -> str:
    return "".join(written(inside, *command, "--shard", f"{number}/{of}") for number in range(1, of + 1))


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        (tmp_path / "birds" / name).mkdir(parents=True)
        for photo in range(1 + number % 2):
            image = Image.new("RGB", (16, 16), (50 * number, 90 * photo, 30))
            image.save(tmp_path / "birds" / name / f"{photo}.png")
    return tmp_path / "birds"


@pytest.mark.parametrize("of", [3, *(pytest.param(of, marks=pytest.mark.slow) for of in (1, 16))])
def test_the_parts_of_every_stage_are_the_bytes_of_the_whole(
    inside: Ltgc, birds: Path, tmp_path: Path, of: int
) -> None:
    describe = ("describe", "--data", birds)
    whole = written(inside, *describe)
    assert in_shards(inside, of, *describe) == whole
    stages = (
        ("describe",), ("extend", "-n", "4"), ("reflect", "-k", "6"), ("render", "--t2i", "blank"),
        ("filter", "--t2i", "blank", "--rounds", "2", "--margin", "0"),
    )  # fmt: skip
    for stage in stages:
        # Lines of no class stay where they are, in one part.
        (tmp_path / "given.jsonl").write_text(f'{{"kind":"note","says":"first"}}\n{whole}{{"kind":"note"}}\n')
        whole = written(inside, *stage, "-i", "given.jsonl")
        assert in_shards(inside, of, *stage, "-i", "given.jsonl") == whole
        assert whole.count('"kind":"note"') == 2
        whole = "".join(line for line in whole.splitlines(keepends=True) if '"note"' not in line)
    assert whole.count('"history"') == 30  # an image, or its rejection, for each description


def test_classes_that_are_only_named_are_parted_too_and_keep_their_labels(inside: Ltgc) -> None:
    named = ("extend", "-n", "3", *(part for name in NAMES for part in ("--class", name)))
    assert in_shards(inside, 2, *named) == written(inside, *named)
    assert '"label":4,"class":"ibis"' in written(inside, *named, "--shard", "5/5")


def test_a_pipe_is_parted_as_a_file_is(inside: Ltgc) -> None:
    named = written(inside, "extend", "-n", "3", "--class", "crane", "--class", "seal")
    parts = [inside("reflect", "-k", "3", "--json", "--shard", f"{n}/2", input=named).out for n in (1, 2)]
    assert "".join(parts) == inside("reflect", "-k", "3", "--json", input=named).out


def test_a_name_that_two_classes_have_is_doubtful_in_each_part(inside: Ltgc, birds: Path, tmp_path: Path) -> None:
    rows = [f'{{"kind":"class","id":"{n}","label":{n},"class":"sea lion","tail":true,"count":1}}\n' for n in range(2)]
    (tmp_path / "classes.jsonl").write_text("".join(rows))
    command = ("describe", "--disambiguate", "-i", "classes.jsonl")
    assert in_shards(inside, 2, *command) == written(inside, *command)


def test_a_part_without_a_class_is_empty_and_no_error(inside: Ltgc, tmp_path: Path) -> None:
    done = inside("extend", "--class", "crane", "--class", "seal", "--shard", "1/3", "--json")
    assert (done.code, done.out) == (0, "")
    assert "extend: none of 2 classes is in shard 1/3" in done.err
    after = inside("reflect", "--shard", "1/3", "--json", input="")
    assert (after.code, after.out) == (0, "")


def test_a_dry_run_of_a_part_counts_that_part(inside: Ltgc) -> None:
    named = written(inside, "extend", "-n", "3", *(part for name in NAMES for part in ("--class", name)))

    def asked(shard: str) -> int:
        done = inside("extend", "-n", "5", "--dry-run", "--shard", shard, input=named)
        row = next(line for line in done.err.splitlines() if "extend" in line and "embedded" in line)
        return int(row.split()[3])

    assert [asked("1/2"), asked("2/2"), asked("1/1")] == [2, 3, 5]


@pytest.mark.parametrize("shard", ["0/4", "5/4", "x", "1/0", "-1/4", "1/4/2"])
def test_what_is_no_part_is_said_in_one_line(inside: Ltgc, shard: str) -> None:
    done = inside("extend", "--class", "crane", f"--shard={shard}")
    assert done.code == 2
    assert f"--shard {shard}: one of the runs is wanted, 1/" in done.err and done.err.count("\n") == 1


def test_the_part_is_in_the_artifacts_name_and_not_in_the_stores_keys(inside: Ltgc) -> None:
    named = ("extend", "-n", "3", "--class", "crane", "--class", "seal")
    written(inside, *named)
    for shard in ("1/2", "2/2"):
        done = inside(*named, "--shard", shard, "--json")
        assert "1 question from the store" in done.err and "asked" not in done.err
