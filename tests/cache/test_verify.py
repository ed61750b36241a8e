"""`ltgc cache verify`: every byte is checked, and what mends the damage is named."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filled_store import (
    AGAIN,
    BOUGHT,
    COMPARISON,
    DAMAGES,
    GENERATED,
    MATCH,
    OURS,
    damage,
    keys,
    old,
    plant,
    rows,
)

from ltgc_cli.records import dump
from ltgc_cli.store import Store, key


def test_a_store_that_is_whole_is_called_whole(filled, inside):
    ran = inside("cache", "verify")
    assert (ran.code, ran.out) == (0, "")
    assert "all is well" in ran.err and "2 objects, 7 answers, 1 artifact" in ran.err


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_and_the_command_that_is_named_mends_it(filled, inside, kind):
    damage(kind, filled)
    ran = inside("cache", "verify")
    assert (ran.code, {row["what"] for row in rows(ran.out)}) == (1, DAMAGES[kind])
    assert "ltgc cache prune --damaged" in ran.err

    assert inside("cache", "prune", "--damaged", "--yes").code == 0
    assert inside("cache", "verify").code == 0
    assert keys(filled) >= {key(request) for request in (AGAIN, OURS, BOUGHT, MATCH, COMPARISON)}


def test_a_person_gets_the_damage_as_a_table(filled, inside, person):
    damage("bytes", filled)
    assert "the bytes of" in inside("cache", "verify").out


def test_what_is_unfinished_or_nobody_s_is_no_damage(filled, inside):
    (filled / "checkpoints" / ("cc" * 32)).mkdir(parents=True)
    (filled / "objects" / "ab" / ".DS_Store").parent.mkdir(exist_ok=True)
    (filled / "objects" / "ab" / ".DS_Store").write_text("mine")
    (filled / "artifacts" / "render" / ".tmp-1").write_text("half")
    (filled / "artifacts" / "render" / "fell-short.jsonl").write_text(dump(GENERATED) + "\n")
    assert inside("cache", "verify").code == 0


def test_a_damaged_database_is_one_line_and_another_mend(filled, inside):
    path = filled / "answers" / "cache.db"
    data = bytearray(path.read_bytes())
    for start in range(5 * 4096, len(data), 4096):
        data[start : start + 1024] = b"\xff" * 1024
    path.write_bytes(data)
    ran = inside("cache", "verify")
    assert (ran.code, ran.err.count("\n")) == (1, 1) and "ltgc cache import" in ran.err


def test_an_artifact_that_came_of_answers_beside_none_says_that_they_are_gone(filled, inside):
    path = next((filled / "artifacts").rglob("*.json"))
    made = json.loads(path.read_text()) | {"answers": {"Drawing": {"asked": 1}}}
    path.write_text(json.dumps(made))
    with closing(sqlite3.connect(filled / "answers" / "cache.db")) as connection, connection:
        connection.execute("DELETE FROM Cache")
    ran = inside("cache", "verify")
    assert ran.code == 1 and "it holds no answer, and 1 artifact came of some" in ran.out
    assert "move its folder `answers` away, and `ltgc cache import` what was exported" in ran.err


def of_another_version(folder: Path, request: dict, answer: dict) -> str:
    """The key of an answer as a version would have stored it whose questions have these fields."""
    name = request.pop("type")
    text = json.dumps([1, name, request], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    k = hashlib.sha256(text.encode()).hexdigest()
    entry = {"request": {"type": name, **request}, "answer": answer}
    plant(folder, k, json.dumps(entry, separators=(",", ":")))
    return k


OTHERS = {
    "more": {"type": "Drawing", "model": "sd-9", "text": "A crane.", "seed": 7, "light": "dusk"},
    "fewer": {"type": "Drawing", "model": "sd-0"},
    "unknown": {"type": "Film", "model": "f"},
}


@pytest.mark.parametrize("fields", OTHERS)
def test_an_answer_of_another_version_is_no_damage_and_stays_with_its_image(filled, inside, tmp_path, fields):
    with closing(Store(filled)) as opened:
        image = opened.put_object(b"an image of another version")
    theirs = of_another_version(filled, dict(OTHERS[fields]), {"sha256": image})
    old(*(filled / "objects").glob("*/*"))

    ran = inside("cache", "verify")
    assert (ran.code, ran.out) == (0, "") and "1 answer is of another version of ltgc" in ran.err
    damage("lost", filled)
    assert inside("cache", "prune", "--damaged", "--unused", "--yes").code == 0
    assert theirs in keys(filled) and (filled / "objects" / image[:2] / image).exists()

    ran = inside("cache", "export", "a.tar")
    assert ran.code == 0 and "1 answer of another version of ltgc was left out" in ran.err
