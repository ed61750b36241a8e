"""`ltgc cache show`: what is in the store is listed, and one record shown with what it was made from."""

from __future__ import annotations

import hashlib
from contextlib import closing

import pytest
from filled_store import (
    AGAIN,
    BOUGHT,
    COMPARISON,
    GENERATE,
    GENERATED,
    MATCH,
    ORIGINAL,
    OURS,
    PAID,
    REJECTED,
    SHA,
    TEXT,
    artifact,
    damage,
    old,
    put,
    rows,
)

from ltgc_cli.ports import (
    Answer,
    Question,
)
from ltgc_cli.records import dump, evolve
from ltgc_cli.store import Store, key


def test_answers_are_listed_in_the_order_in_which_they_came(filled, inside):
    found = rows(inside("cache", "show").out)
    assert [(row["key"], row["stage"], row["subject"]) for row in found[:3]] == [
        (key(PAID), "extend", "crane (bird)"),
        (key(AGAIN), "reflect", "seal"),
        (key(OURS), "filter", "cranefly"),
    ]
    assert (found[0]["tokens"], found[0]["dollars"], found[1]["dollars"]) == (100, 0.25, None)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--stage", "render"], [GENERATE, BOUGHT]),
        (["--model", "gpt-4o"], [PAID, AGAIN]),
        (["--model", "gpt-4o@localhost:8000/v1"], [AGAIN]),
        (["--class", "CRANE"], [PAID, GENERATE, MATCH, COMPARISON]),
        (["--class", "crane", "--stage", "extend"], [PAID]),
        (["--model", "nobody's"], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0] if value else "", str) else "",
)
def test_the_list_is_of_a_stage_a_model_a_class(filled, inside, flags, expected):
    assert [row["key"] for row in rows(inside("cache", "show", *flags).out)] == [key(request) for request in expected]


def test_what_chooses_from_the_list_says_nothing_of_an_id(filled, inside):
    assert inside("cache", "show", key(PAID), "--stage", "extend").code == 2
    assert inside("cache", "show", key(PAID), "--artifacts").code == 2
    assert inside("cache", "show", "--children").code == 2


def test_what_other_tools_call_a_listing_names_what_lists_here(filled, inside):
    ran = inside("cache", "ls", "--stage", "extend")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "did you mean show?" in ran.err


def test_a_person_gets_the_first_rows_and_how_many_more_there_are(filled, inside, person):
    with closing(Store(filled)) as opened:
        for number in range(40):
            put(opened, Question(model="m", task="extend", subject="crane", text=str(number)), Answer(text="At dusk."))
    out = inside("cache", "show")
    assert len(out.out.splitlines()) == 1 + 40 and "… and 7 more" in out.err
    assert "gpt-4o" in out.out and key(PAID)[:12] in out.out and key(PAID) not in out.out


def test_artifacts_are_listed_too(filled, inside, person):
    (found,) = rows(inside("cache", "show", "--artifacts", "--json").out)
    assert (found["stage"], found["whole"], found["kinds"]) == ("render", True, {"image": 1})
    assert "1 image" in inside("cache", "show", "--artifacts").out
    assert inside("cache", "show", "--artifacts", "--model", "x").code == 2


def test_a_record_is_shown_with_all_that_it_was_made_from(filled, inside, person):
    out = inside("cache", "show", GENERATED.id[:6]).out
    lines = [line.strip("│├└─ ") for line in out.splitlines()]
    assert lines[0] == f"image {GENERATED.id}, class crane, origin generated, score 0.75, threshold 0.5"
    assert "made by sd-turbo, seed 7, attempt 1" in lines
    assert "image 0: score 0.25, dddddddddddd: first" in lines
    assert f"description {TEXT.id}, class crane, origin described" in lines
    assert "made by gpt-4o, prompt describe, 90 tokens, $0.25" in lines
    assert f"image {ORIGINAL.id}, class crane, origin original, name crane/1.jpg" in lines
    assert "0123456789abcdef (in no artifact of this store)" in lines


def test_what_a_model_wrote_is_text_and_neither_markup_nor_a_terminal_s_command(filled, inside, person):
    out = inside("cache", "show", TEXT.id).out
    assert "[red]at dusk[/red]" in out and "\x1b" not in out


def test_programs_get_each_record_once_as_it_lies_there(filled, inside):
    assert inside("cache", "show", GENERATED.id).out.splitlines() == [dump(GENERATED), dump(TEXT), dump(ORIGINAL)]


def test_children_are_shown_when_wanted(filled, inside):
    found = rows(inside("cache", "show", TEXT.id, "--children").out)
    assert [row["id"] for row in found] == [TEXT.id, ORIGINAL.id, GENERATED.id, REJECTED.id]


def test_an_image_is_found_by_its_hash_also_one_that_was_generated_again(filled, inside):
    assert [row["id"] for row in rows(inside("cache", "show", SHA[:10]).out)][0] == GENERATED.id
    assert {row["id"] for row in rows(inside("cache", "show", "dddd").out)} >= {GENERATED.id, REJECTED.id}


def test_an_image_in_no_record_is_found_by_its_request(filled, inside):
    (found,) = rows(inside("cache", "show", hashlib.sha256(b"a seal").hexdigest()).out)
    assert (found["kind"], found["request"]["text"]) == ("answer", BOUGHT.text)


def test_an_answer_is_shown_by_its_key(filled, inside, person):
    (found,) = rows(inside("cache", "show", key(PAID)[:8], "--json").out)
    assert (found["key"], found["answer"]["text"]) == (key(PAID), "At dusk.")
    out = inside("cache", "show", key(PAID)).out
    assert "answer" in out and "text: What else?" in out and "100 tokens, $0.25" in out
    assert "score: 0.25" in inside("cache", "show", key(MATCH)).out


@pytest.mark.parametrize(("name", "message"), [("abc", "at least 4"), ("zzzz", "no record"), ('a"bcd', "give an id")])
def test_what_is_not_there_is_one_line(filled, inside, name, message):
    ran = inside("cache", "show", name)
    assert (ran.code, message in ran.err, ran.out) == (2, True, "")


def test_a_beginning_that_is_not_enough_names_those_that_begin_so(filled, inside):
    twins = [evolve(TEXT, id=f"feed{number}") for number in range(2)]
    with closing(Store(filled)) as opened:
        artifact(opened, "extend", [dump(twin) for twin in twins])
    ran = inside("cache", "show", "feed")
    assert (ran.code, "several ids begin so: feed0, feed1" in ran.err) == (2, True)
    assert inside("cache", "show", "feed1").code == 0


def test_records_that_were_made_from_each_other_end_all_the_same(filled, inside, person):
    one, two = evolve(TEXT, id="aaaa1", parents=("aaaa2",)), evolve(TEXT, id="aaaa2", parents=("aaaa1",))
    with closing(Store(filled)) as opened:
        artifact(opened, "extend", [dump(one), dump(two)])
    assert "(shown above)" in inside("cache", "show", "aaaa1").out


def test_the_newest_artifact_that_has_a_record_counts(filled, inside):
    with closing(Store(filled)) as opened:
        newer = artifact(opened, "filter", [dump(evolve(GENERATED, score=0.875))])
    old(*[path for path in (filled / "artifacts").rglob("*.jsonl") if path != newer])
    found = rows(inside("cache", "show", GENERATED.id).out)
    assert (found[0]["score"], [row["id"] for row in found[1:]]) == (0.875, [TEXT.id, ORIGINAL.id])


def test_a_key_is_looked_up_and_the_store_is_not_scanned_for_it(filled, inside, monkeypatch):
    monkeypatch.setattr(Store, "rows", lambda store: pytest.fail("the whole store was read"))
    assert rows(inside("cache", "show", key(PAID)).out)[0]["key"] == key(PAID)
    assert rows(inside("cache", "show", key(MATCH)[:9]).out)[0]["answer"] == 0.25


def test_a_damaged_answer_is_one_line(filled, inside):
    damage("swapped", filled)
    ran = inside("cache", "show", key(PAID))
    assert (ran.code, ran.err.count("\n"), "ltgc cache verify" in ran.err) == (2, 1, True)
