"""`ltgc cache`: what is in the store is found, checked, shared, and deleted only when somebody says so."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from fakes import a_class, a_description
from ports.openai_chat import chat
from server import serving

from ltgc_cli import console
from ltgc_cli.cache.entries import Choice
from ltgc_cli.cache.prune import delete, doomed
from ltgc_cli.cache.verify import verify
from ltgc_cli.ports import Answer, Comparison, GeneratedImage, ImageRequest, Match, NearestClass, Question, Usage
from ltgc_cli.records import Image, Made, Rejected, Step, dump, evolve, identify
from ltgc_cli.store import Store, cached, cached_batch, key

PAID = Question(model="gpt-4o", task="extend", subject="crane (bird)", text="What else?")
AGAIN = Question(model="gpt-4o@localhost:8000/v1", task="extend", subject="seal", text="And?", attempt=1)
OURS = Question(model="embedded/grammar-1", task="refine", subject="cranefly", text="Refine.")
DRAWN = ImageRequest(model="sd-turbo", text="A photo of the class crane, at dusk.", seed=7)
BOUGHT = ImageRequest(model="litellm:dall-e-3", text="A photo of the class seal, on ice.", seed=8)
MATCH = Match(model="clip", image="ab" * 32, text="A photo of the class crane.")
RIVAL = Comparison(model="clip", image="ab" * 32, own="crane", among="cd" * 32)
BYTES = b"a picture of a crane"
SHA = hashlib.sha256(BYTES).hexdigest()


def put(store: Store, request, answer) -> str:
    cached(lambda _: answer, store, type(answer))(request)
    return key(request)


def fill(folder: Path) -> None:
    """A store with an answer of each kind, and an artifact whose records name the picture."""
    with closing(Store(folder)) as store:
        put(store, PAID, Answer(text="At dusk.", usage=Usage(prompt_tokens=90, completion_tokens=10, dollars=0.25)))
        put(store, AGAIN, Answer(text="On ice.", usage=Usage(prompt_tokens=9, completion_tokens=1)))
        put(store, OURS, Answer(text="Legs."))
        put(store, DRAWN, GeneratedImage(sha256=store.put_object(BYTES), usage=Usage(dollars=0.0)))
        put(store, BOUGHT, GeneratedImage(sha256=store.put_object(b"a seal")))
        cached_batch(lambda _: [0.25], store, float)([MATCH])
        put(store, RIVAL, NearestClass(text="seal", cosine=0.5))
        artifact(store, "render", [dump(record) for record in RECORDS])


CRANE = a_class("crane")
ORIGINAL = identify(Image(label=3, class_="crane", sha256="ee" * 32, origin="original", name="crane/1.jpg"), "o")
TEXT = evolve(
    a_description(CRANE, "[red]at dusk[/red]\x1b[31m", "described"),
    parents=(ORIGINAL.id,),
    made=Made(model="gpt-4o", prompt="describe", usage=Usage(prompt_tokens=90, dollars=0.25)),
)
DRAWING = identify(
    Image(
        label=3,
        class_="crane",
        sha256=SHA,
        origin="generated",
        text=TEXT.text,
        parents=(TEXT.id, "0123456789abcdef"),
        score=0.75,
        threshold=0.5,
        made=Made(model="sd-turbo", seed=7, attempt=1),
        history=(Step(text="first", sha256="dd" * 32, score=0.25), Step(text="second", sha256=SHA, score=0.75)),
    ),
    "d",
)
REJECTED = identify(
    Rejected(label=3, class_="crane", of="image", reason="scored too low", sha256="dd" * 32, parents=(TEXT.id,)), "r"
)
RECORDS = [CRANE, ORIGINAL, TEXT, DRAWING, REJECTED]


def artifact(store: Store, stage: str, lines: list[str], name: str = "") -> Path:
    """A whole artifact, with its note."""
    data = "".join(line + "\n" for line in lines).encode()
    folder = store.folder / "artifacts" / stage
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name or hashlib.sha256(data).hexdigest()[:32]}.jsonl"
    path.write_bytes(data)
    note = {"stage": stage, "flags": {}, "input": "", "kinds": {"image": 1}, "output": hashlib.sha256(data).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(note))
    return path


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled") / "store"
    fill(folder)
    return folder


@pytest.fixture
def filled(once, store):
    shutil.copytree(once, store)
    return store


@pytest.fixture
def person(monkeypatch):
    """stdout is a terminal."""
    monkeypatch.setattr(console, "is_terminal", lambda: True)


def rows(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def keys(folder: Path) -> set[str]:
    with closing(Store(folder)) as opened:
        return set(opened.sorted_keys())


def plant(folder: Path, name: object, value: object, mode: int = 1, filename: str | None = None) -> None:
    with closing(sqlite3.connect(folder / "answers" / "cache.db")) as connection, connection:
        connection.execute(
            "INSERT INTO Cache(key, raw, store_time, mode, value, filename) VALUES (?, 1, 0, ?, ?, ?)",
            (name, mode, value, filename),
        )


def old(*paths: Path, days: float = 3) -> None:
    then = time.time() - days * 86_400
    for path in paths:
        os.utime(path, (then, then))


# --- the whole road: what one paid for, another does not


def test_a_colleague_asks_nothing_again_with_the_answers_that_were_exported(inside, tmp_path):
    routes = chat(lambda body: "\n".join(f"{n}. A photo of the class crane, seen {n} times." for n in range(1, 4)))
    command = ("extend", "--class", "crane", "-n", 3, "--llm", "gpt-4o", "--time-limit", 20)
    with serving(routes) as address:
        base = f"{address}/v1"
        bought = inside(*command, "--api-base", base, "--json", OPENAI_API_KEY="sk-a-key-that-nobody-may-see-1234")
    asked = len(routes.seen)
    assert asked and inside("cache", "export", "shared.tar").code == 0
    theirs = tmp_path / "theirs"
    imported = inside("cache", "import", "shared.tar", "--cache-dir", theirs)
    assert (imported.code, f"{asked} answers and 0 pictures were new" in imported.err) == (0, True)

    again = inside(*command, "--api-base", base, "--json", "--cache-dir", theirs)  # the server is gone by now

    assert again.out == bought.out and len(routes.seen) == asked
    assert f"{asked} question" in again.err and "from the store" in again.err and "asked" not in again.err
    assert b"sk-a-key" not in (tmp_path / "shared.tar").read_bytes()


def test_drawings_travel_with_their_pictures(inside, tmp_path):
    described = inside("extend", "--class", "crane", "-n", 2).out
    drawn = inside("render", "--t2i", "blank", input=described)
    inside("cache", "export", "shared.tar", "--stage", "render")
    inside("cache", "import", "shared.tar", "--cache-dir", tmp_path / "theirs")
    again = inside("render", "--t2i", "blank", "--cache-dir", tmp_path / "theirs", input=described)
    assert again.out == drawn.out and "asked" not in again.err
    assert inside("cache", "verify", "--cache-dir", tmp_path / "theirs").code == 0


# --- info, ls, dir


def test_info_sums_by_stage_and_model_and_an_unknown_price_is_no_price_of_0(filled, inside):
    found = {(row["kind"], row["stage"], row["model"]): row for row in rows(inside("cache", "info").out)}
    assert [(*group, row["entries"]) for group, row in found.items() if group[0] != "total"] == [
        ("answers", "extend", "gpt-4o", 1),
        ("answers", "filter", "clip", 2),
        ("answers", "filter", "embedded/grammar-1", 1),
        ("answers", "reflect", "gpt-4o@localhost:8000/v1", 1),
        ("answers", "render", "litellm:dall-e-3", 1),
        ("answers", "render", "sd-turbo", 1),
        ("artifacts", "render", "", 1),
        ("objects", "", "", 2),
    ]
    paid = {name[2]: (row["dollars"], row["unpriced"], row["tokens"]) for name, row in found.items() if name[2]}
    assert paid["gpt-4o"] == (0.25, 0, 100) and paid["sd-turbo"] == (0.0, 0, 0)
    assert paid["gpt-4o@localhost:8000/v1"] == (0.0, 1, 10) and paid["litellm:dall-e-3"] == (0.0, 1, 0)
    total = found["total", "", ""]
    assert (total["dollars"], total["unpriced"]) == (0.25, 2) and total["bytes"] > 20_000


def test_a_person_gets_a_table(filled, inside, person):
    out = inside("cache", "info").out
    lines = {" ".join(line.split()[:3]): line for line in out.splitlines()}
    assert lines["answers extend gpt-4o"].split()[-1] == "0.25"
    assert lines["answers reflect gpt-4o@localhost:8000/v1"].split()[-1] == "unknown"
    assert "at least 0.25" in out.splitlines()[-1]


def test_ls_lists_answers_in_the_order_in_which_they_came(filled, inside):
    found = rows(inside("cache", "ls").out)
    assert [(row["key"], row["stage"], row["subject"]) for row in found[:3]] == [
        (key(PAID), "extend", "crane (bird)"),
        (key(AGAIN), "reflect", "seal"),
        (key(OURS), "filter", "cranefly"),
    ]
    assert (found[0]["tokens"], found[0]["dollars"], found[1]["dollars"]) == (100, 0.25, None)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--stage", "render"], [DRAWN, BOUGHT]),
        (["--model", "gpt-4o"], [PAID, AGAIN]),
        (["--model", "gpt-4o@localhost:8000/v1"], [AGAIN]),
        (["--class", "CRANE"], [PAID, DRAWN, MATCH, RIVAL]),
        (["--class", "crane", "--stage", "extend"], [PAID]),
        (["--model", "nobody's"], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0] if value else "", str) else "",
)
def test_ls_of_a_stage_a_model_a_class(filled, inside, flags, expected):
    assert [row["key"] for row in rows(inside("cache", "ls", *flags).out)] == [key(request) for request in expected]


def test_ls_lists_artifacts_too(filled, inside, person):
    (found,) = rows(inside("cache", "ls", "--artifacts", "--json").out)
    assert (found["stage"], found["whole"], found["kinds"]) == ("render", True, {"image": 1})
    assert "1 image" in inside("cache", "ls", "--artifacts").out
    assert inside("cache", "ls", "--artifacts", "--model", "x").code == 2


def test_dir_prints_the_folder_and_makes_none(store, inside):
    assert (inside("cache", "dir").out, store.exists()) == (f"{store}\n", False)


def test_dir_imports_neither_models_nor_the_store():
    code = (
        "import sys; sys.argv = ['ltgc', 'cache', 'dir']; from ltgc_cli.cli import main\n"
        "try: main()\nfinally: print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "ltgc_cli.cli.cache" in loaded
    assert {"ltgc_cli.providers", "ltgc_cli.store", "ltgc_cli.pipeline.session"}.isdisjoint(loaded)


@pytest.mark.parametrize(
    "command", [["info"], ["ls"], ["show", "abcd"], ["verify"], ["prune", "--unused"], ["export", "a"]]
)
def test_looking_at_a_store_that_is_not_there_makes_none(store, inside, command):
    ran = inside("cache", *command)
    assert (ran.code, "no store is here yet" in ran.err, store.exists()) == (2, True, False)


def test_the_settings_file_names_the_store_of_these_commands_as_well(tmp_path, ltgc, environment):
    del environment["LTGC_CACHE_DIR"]
    (tmp_path / "ltgc.toml").write_text('cache-dir = "here"\nllm = "gpt-4o"\n')
    assert ltgc("cache", "dir").out == "here\n"
    (tmp_path / "ltgc.toml").write_text('[cache]\ncache-dir = "there"\n')
    assert ltgc("cache", "dir").out == "there\n"
    (tmp_path / "ltgc.toml").write_text("[cache]\nyes = true\n")
    assert "ltgc cache has no flag --yes" in ltgc("cache", "dir").err


# --- show


def test_a_record_is_shown_with_all_that_it_was_made_from(filled, inside, person):
    out = inside("cache", "show", DRAWING.id[:6]).out
    lines = [line.strip("│├└─ ") for line in out.splitlines()]
    assert lines[0] == f"image {DRAWING.id}, class crane, origin generated, score 0.75, threshold 0.5"
    assert "made by sd-turbo, seed 7, attempt 1" in lines
    assert "drawing 0: score 0.25, dddddddddddd: first" in lines
    assert f"description {TEXT.id}, class crane, origin described" in lines
    assert "made by gpt-4o, prompt describe, 90 tokens, $0.25" in lines
    assert f"image {ORIGINAL.id}, class crane, origin original, name crane/1.jpg" in lines
    assert "0123456789abcdef (in no artifact of this store)" in lines


def test_what_a_model_wrote_is_text_and_neither_markup_nor_a_terminal_s_command(filled, inside, person):
    out = inside("cache", "show", TEXT.id).out
    assert "[red]at dusk[/red]" in out and "\x1b" not in out


def test_programs_get_each_record_once_as_it_lies_there(filled, inside):
    assert inside("cache", "show", DRAWING.id).out.splitlines() == [dump(DRAWING), dump(TEXT), dump(ORIGINAL)]


def test_children_are_shown_when_wanted(filled, inside):
    found = rows(inside("cache", "show", TEXT.id, "--children").out)
    assert [row["id"] for row in found] == [TEXT.id, ORIGINAL.id, DRAWING.id, REJECTED.id]


def test_an_image_is_found_by_its_hash_also_one_that_was_drawn_again(filled, inside):
    assert [row["id"] for row in rows(inside("cache", "show", SHA[:10]).out)][0] == DRAWING.id
    assert {row["id"] for row in rows(inside("cache", "show", "dddd").out)} >= {DRAWING.id, REJECTED.id}


def test_a_picture_in_no_record_is_found_by_the_drawing(filled, inside):
    (found,) = rows(inside("cache", "show", hashlib.sha256(b"a seal").hexdigest()).out)
    assert (found["kind"], found["request"]["text"]) == ("answer", BOUGHT.text)


def test_an_answer_is_shown_by_its_key(filled, inside, person):
    (found,) = rows(inside("cache", "show", key(PAID)[:8], "--json").out)
    assert (found["key"], found["answer"]["text"]) == (key(PAID), "At dusk.")
    out = inside("cache", "show", key(PAID)).out
    assert "answer" in out and "text: What else?" in out and "100 tokens, $0.25" in out
    assert "score: 0.25" in inside("cache", "show", key(MATCH)).out


@pytest.mark.parametrize(("name", "said"), [("abc", "at least 4"), ("zzzz", "no record"), ('a"bcd', "give an id")])
def test_what_is_not_there_is_said_in_a_line(filled, inside, name, said):
    ran = inside("cache", "show", name)
    assert (ran.code, said in ran.err, ran.out) == (2, True, "")


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
        newer = artifact(opened, "filter", [dump(evolve(DRAWING, score=0.875))])
    old(*[path for path in (filled / "artifacts").rglob("*.jsonl") if path != newer])
    found = rows(inside("cache", "show", DRAWING.id).out)
    assert (found[0]["score"], [row["id"] for row in found[1:]]) == (0.875, [TEXT.id, ORIGINAL.id])


# --- verify


def test_a_store_that_is_whole_is_called_whole(filled, inside):
    ran = inside("cache", "verify")
    assert (ran.code, ran.out) == (0, "")
    assert "all is well" in ran.err and "2 objects, 7 answers, 1 artifacts" in ran.err


def damage(kind: str, folder: Path) -> None:
    (lines,) = (folder / "artifacts" / "render").glob("*.jsonl")
    picture = folder / "objects" / SHA[:2] / SHA
    trained = folder / "checkpoints" / ("cc" * 32)
    if kind == "bytes":
        picture.write_bytes(b"a pict")
    elif kind == "lost":
        picture.unlink()
    elif kind == "link":
        picture.unlink()
        picture.symlink_to("/etc/passwd")
    elif kind == "key":
        plant(folder, "ab" * 32, json.dumps({"request": {"type": "Match"}, "answer": 1}))
    elif kind == "swapped":
        with closing(sqlite3.connect(folder / "answers" / "cache.db")) as connection, connection:
            connection.execute("UPDATE Cache SET value = replace(value, 'What else?', 'What more?')")
    elif kind == "pickle":
        plant(folder, "ab" * 32, b"cos\nsystem\n", 4)
    elif kind == "file":
        plant(folder, "ab" * 32, None, 3, "../../../etc/passwd")
    elif kind == "lines":
        lines.write_bytes(lines.read_bytes()[:-30])
    elif kind == "no lines":
        lines.unlink()
    elif kind == "note":
        lines.with_suffix(".json").write_text("{")
    elif kind == "checkpoint":
        trained.mkdir(parents=True)
        (trained / "done.json").write_text(json.dumps({"clip": "c", "files": {"head.safetensors": "00" * 32}}))
        (trained / "head.safetensors").write_bytes(b"head")
    elif kind == "outside":
        trained.mkdir(parents=True)
        (trained / "done.json").write_text(json.dumps({"clip": "c", "files": {"../../../etc/passwd": "00" * 32}}))


DAMAGES = {
    "bytes": {"object", "answer", "artifact"},
    "lost": {"answer", "artifact"},
    "link": {"object", "answer", "artifact"},
    "key": {"answer"},
    "swapped": {"answer"},
    "pickle": {"answer"},
    "file": {"answer"},
    "lines": {"artifact"},
    "no lines": {"artifact"},
    "note": {"artifact"},
    "checkpoint": {"checkpoint"},
    "outside": {"checkpoint"},
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_and_the_command_that_is_named_mends_it(filled, inside, kind):
    damage(kind, filled)
    ran = inside("cache", "verify")
    assert (ran.code, {row["what"] for row in rows(ran.out)}) == (1, DAMAGES[kind])
    assert "ltgc cache prune --damaged" in ran.err

    assert inside("cache", "prune", "--damaged", "--yes").code == 0
    assert inside("cache", "verify").code == 0
    assert keys(filled) >= {key(request) for request in (AGAIN, OURS, BOUGHT, MATCH, RIVAL)}


def test_a_person_gets_the_damage_as_a_table(filled, inside, person):
    damage("bytes", filled)
    assert "the bytes of" in inside("cache", "verify").out


def test_what_is_unfinished_or_nobody_s_is_no_damage(filled, inside):
    (filled / "checkpoints" / ("cc" * 32)).mkdir(parents=True)
    (filled / "objects" / "ab" / ".DS_Store").parent.mkdir(exist_ok=True)
    (filled / "objects" / "ab" / ".DS_Store").write_text("mine")
    (filled / "artifacts" / "render" / ".tmp-1").write_text("half")
    (filled / "artifacts" / "render" / "fell-short.jsonl").write_text(dump(DRAWING) + "\n")
    assert inside("cache", "verify").code == 0


def test_a_damaged_database_is_one_line_and_another_mend(filled, inside):
    path = filled / "answers" / "cache.db"
    data = bytearray(path.read_bytes())
    for start in range(5 * 4096, len(data), 4096):
        data[start : start + 1024] = b"\xff" * 1024
    path.write_bytes(data)
    ran = inside("cache", "verify")
    assert (ran.code, ran.err.count("\n")) == (1, 1) and "ltgc cache import" in ran.err


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
def test_an_answer_of_another_version_is_no_damage_and_stays_with_its_picture(filled, inside, tmp_path, fields):
    with closing(Store(filled)) as opened:
        picture = opened.put_object(b"a picture of another version")
    theirs = of_another_version(filled, dict(OTHERS[fields]), {"sha256": picture})
    old(*(filled / "objects").glob("*/*"))

    ran = inside("cache", "verify")
    assert (ran.code, ran.out) == (0, "") and "1 answers are of another version of ltgc" in ran.err
    damage("lost", filled)
    assert inside("cache", "prune", "--damaged", "--unused", "--yes").code == 0
    assert theirs in keys(filled) and (filled / "objects" / picture[:2] / picture).exists()

    ran = inside("cache", "export", "a.tar")
    assert ran.code == 0 and "1 answers of another version of ltgc were left out" in ran.err


# --- prune


def test_what_is_damaged_is_said_by_kind_and_has_its_price(filled, inside):
    """A drawing that was bought lost its bytes, and an answer that was bought its question."""
    seal = hashlib.sha256(b"a seal").hexdigest()
    (filled / "objects" / seal[:2] / seal).write_bytes(b"a se")
    damage("swapped", filled)
    with closing(Store(filled)) as opened:
        opened.put_object(b"named by nobody")
    old(*(filled / "objects").glob("*/*"))
    said = inside("cache", "prune", "--damaged", "--unused", "--dry-run").err
    assert re.sub(r" \([\d.]+ MB\)|would delete: ", "", said).splitlines() == [
        "2 damaged answers: 1 to buy again, for US dollars: unknown; 1 of unknown price; "
        "1 that cannot be read, whatever they cost",
        "1 damaged object: no longer what was stored; drawn, or read from the data, again when it is wanted",
        "1 object: named by no answer and no artifact of this store; records that you keep elsewhere may name them",
    ]


def test_a_damaged_answer_that_was_paid_for_has_its_price(filled, inside):
    with closing(Store(filled)) as opened:
        bought = GeneratedImage(sha256=opened.put_object(b"lost"), usage=Usage(dollars=0.04))
        put(opened, ImageRequest(model="litellm:gpt-image-1", text="A seal.", seed=1), bought)
    (filled / "objects" / bought.sha256[:2] / bought.sha256).unlink()
    ran = inside("cache", "prune", "--damaged", "--dry-run")
    assert "1 damaged answer (0.000 MB): 1 to buy again, for US dollars: 0.04" in ran.err


def test_nothing_is_deleted_where_nobody_can_be_asked(filled, inside):
    before = keys(filled)
    ran = inside("cache", "prune", "--stage", "extend")
    assert (ran.code, "nothing was deleted" in ran.err, keys(filled)) == (1, True, before)


def test_a_dry_run_says_what_it_would_cost_to_buy_again_and_deletes_nothing(filled, inside):
    before = keys(filled)
    ran = inside("cache", "prune", "--older-than", 0, "--dry-run")
    assert ran.code == 0 and keys(filled) == before
    assert "7 answers" in ran.err
    assert "3 to buy again, for US dollars: at least 0.25; 2 of unknown price" in ran.err
    assert "1 answers, 1 drawings, 1 scores, 1 comparisons to compute again, for nothing but time" in ran.err


@pytest.mark.parametrize(
    ("typed", "gone"), [("y\n", True), ("yes\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_a_person_is_asked_and_only_yes_is_yes(filled, inside, monkeypatch, typed, gone):
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert console.agreed("Delete?") is gone
    assert sys.stderr.getvalue() == "Delete? [y/N] "


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (["--stage", "render"], [PAID, AGAIN, OURS, MATCH, RIVAL]),
        (["--model", "gpt-4o"], [OURS, DRAWN, BOUGHT, MATCH, RIVAL]),
        (["--model", "gpt-4o", "--stage", "reflect"], [PAID, OURS, DRAWN, BOUGHT, MATCH, RIVAL]),
        (["--older-than", "1"], [PAID, AGAIN, OURS, DRAWN, BOUGHT, MATCH, RIVAL]),
        (["--artifacts"], [PAID, AGAIN, OURS, DRAWN, BOUGHT, MATCH, RIVAL]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0] if value else "", str) else "",
)
def test_only_what_is_meant_is_deleted(filled, inside, flags, left):
    assert inside("cache", "prune", *flags, "--yes").code == 0
    assert keys(filled) == {key(request) for request in left}
    assert inside("cache", "verify").code == 0


def test_answers_that_are_old_enough_are_deleted(filled, inside):
    with closing(sqlite3.connect(filled / "answers" / "cache.db")) as connection, connection:
        connection.execute("UPDATE Cache SET store_time = store_time - 10 * 86400 WHERE key = ?", (key(PAID),))
    inside("cache", "prune", "--older-than", "9.5", "--yes")
    assert keys(filled) == {key(request) for request in (AGAIN, OURS, DRAWN, BOUGHT, MATCH, RIVAL)}


def test_a_picture_stays_as_long_as_an_artifact_or_an_answer_names_it(filled, inside):
    pictures = filled / "objects"
    old(*pictures.glob("*/*"))
    inside("cache", "prune", "--stage", "render", "--answers", "--unused", "--yes")
    assert [path.name for path in pictures.glob("*/*")] == [SHA]  # the artifact names it; the seal was named by nobody
    inside("cache", "prune", "--artifacts", "--unused", "--yes")
    assert list(pictures.glob("*/*")) == [] and list((filled / "artifacts").rglob("*.json*")) == []
    assert inside("cache", "verify").code == 0


def test_what_a_run_may_be_about_to_name_is_left(filled, inside):
    with closing(Store(filled)) as opened:
        fresh = opened.put_object(b"a picture whose answer is on its way")
    inside("cache", "prune", "--unused", "--yes")
    assert (filled / "objects" / fresh[:2] / fresh).exists()


def test_files_that_are_not_ours_are_left_and_half_written_ones_go(filled, inside):
    mine, half = filled / "objects" / SHA[:2] / "notes.txt", filled / "artifacts" / "render" / ".tmp-1"
    mine.write_text("mine")
    half.write_text("half")
    old(mine, half)
    inside("cache", "prune", "--unused", "--yes")
    assert (mine.exists(), half.exists()) == (True, False)


def test_a_checkpoint_goes_with_the_artifacts_that_would_keep_it_from_being_trained_again(filled, inside):
    name, other = "cc" * 32, "bb" * 32
    for sha in (name, other):
        (filled / "checkpoints" / sha).mkdir(parents=True)
        (filled / "checkpoints" / sha / "done.json").write_text('{"clip":"c","files":{}}')
    line = '{"kind":"checkpoint","id":"1","sha256":"%s"}'
    with closing(Store(filled)) as opened:
        gone = artifact(opened, "mix-train", [line % name])
        measured = artifact(opened, "eval", [line % name])
    old(*(filled / "checkpoints" / name).iterdir(), filled / "checkpoints" / name)
    ran = inside("cache", "prune", "--checkpoints", "--older-than", 1, "--yes")
    assert "trained again" in ran.err
    assert [path.name for path in (filled / "checkpoints").iterdir()] == [other]
    assert (gone.exists(), gone.with_suffix(".json").exists(), measured.exists()) == (False, False, True)


def test_a_checkpoint_in_training_is_left(filled, inside):
    (filled / "checkpoints" / ("cc" * 32)).mkdir(parents=True)
    (filled / "checkpoints" / ("cc" * 32) / "state.safetensors").write_bytes(b"step 7")
    inside("cache", "prune", "--checkpoints", "--yes")
    assert (filled / "checkpoints" / ("cc" * 32) / "state.safetensors").exists()


def test_no_link_leads_out_of_the_store(filled, inside, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("a.jsonl", "a.json", SHA):
        (mine / name).write_text("mine")
        old(mine / name)
    (filled / "artifacts" / "extend").symlink_to(mine)
    (filled / "artifacts" / "render" / "b.jsonl").symlink_to(mine / "a.jsonl")
    (filled / "objects" / "zz").symlink_to(mine)
    (filled / "checkpoints").mkdir()
    (filled / "checkpoints" / ("cc" * 32)).symlink_to(mine)
    inside("cache", "prune", "--artifacts", "--unused", "--checkpoints", "--damaged", "--yes")
    assert sorted(path.name for path in mine.iterdir()) == sorted(["a.jsonl", "a.json", SHA])

    shutil.move(filled / "objects", tmp_path / "objects")
    (filled / "objects").symlink_to(tmp_path / "objects")
    ran = inside("cache", "prune", "--unused", "--yes")
    assert (ran.code, "is a link" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "say what to delete"),
        (["--unused", "--model", "gpt-4o"], "--model chooses answers"),
        (["--checkpoints", "--stage", "render"], "--stage chooses answers and artifacts"),
        (["--damaged", "--older-than", "3"], "leave --older-than out"),
    ],
    ids=str,
)
def test_flags_that_say_nothing_of_each_other_are_refused(filled, inside, flags, said):
    ran = inside("cache", "prune", *flags, "--yes")
    assert (ran.code, said in ran.err, len(keys(filled))) == (2, True, 7)


@pytest.mark.parametrize("broken", ["", "lost", "bytes"])
def test_killed_after_any_step_it_leaves_a_store_that_is_no_worse_and_goes_on(filled, tmp_path, broken):
    old(*(filled / "objects").glob("*/*"))
    damage(broken, filled)
    trained = filled / "checkpoints" / ("cc" * 32)
    trained.mkdir(parents=True)
    (trained / "done.json").write_text('{"clip":"c","files":{}}')
    everything = frozenset(("answers", "artifacts", "checkpoints", "unused", "damaged"))
    for steps in range(20):
        copy = tmp_path / str(steps)
        shutil.copytree(filled, copy)
        with closing(Store(copy)) as store:
            going = delete(store, doomed(store, everything, Choice()))
            done = [count for count, _ in zip(going, range(steps), strict=False)]
            going.close()  # as a kill does
            damages = {one.kind for one in verify(store).damages}
            assert damages <= (DAMAGES[broken] if broken else set())
            for _ in delete(store, doomed(store, everything, Choice())):
                pass
            assert verify(store).damages == [] and len(store) == 0
        if len(done) < steps:
            return
    raise AssertionError("it never came to an end")


# --- export and import


def test_an_export_is_of_a_stage_a_model_or_what_a_stream_is_about(filled, inside, tmp_path):
    (tmp_path / "records.jsonl").write_text("".join(dump(record) + "\n" for record in [CRANE, DRAWING]))

    def exported(*flags: object) -> set[str]:
        (tmp_path / "a.tar").unlink(missing_ok=True)
        ran = inside("cache", "export", "a.tar", *flags)
        assert ran.code == 0, ran.err
        with tarfile.open(tmp_path / "a.tar") as tar:
            return {json.loads(line)["key"] for line in tar.extractfile("answers.jsonl")}

    assert exported("--stage", "extend") == {key(PAID)}
    assert exported("--model", "gpt-4o") == {key(PAID), key(AGAIN)}
    assert exported("--artifact", "records.jsonl") == {key(DRAWN)}
    (tmp_path / "records.jsonl").write_text(dump(evolve(CRANE, sense="bird")) + "\n")
    assert exported("--artifact", "records.jsonl") == {key(PAID)}


def test_an_answer_that_holds_a_key_is_left_out_and_named(filled, inside, monkeypatch, tmp_path):
    secrets = {
        "ordinary": "sk-proj-abcdefghijklmnopqrstuvwx",
        "of another form": "my very own passphrase",
        "in the question": "AKIAABCDEFGHIJKLMNOP",
    }
    monkeypatch.setenv("MY_SERVICE_TOKEN", secrets["of another form"])
    with closing(Store(filled)) as opened:
        for name, secret in secrets.items():
            asked = name == "in the question"
            question = Question(model="m", task="extend", subject=name, text=secret if asked else "?")
            put(opened, question, Answer(text="!" if asked else f"The key is {secret}."))
        long = Question(model="Mistral-7B-Instruct-v0-3-AWQ-4bit-gguf-long", task="extend", subject="crane", text="?")
        put(opened, long, Answer(text="At dusk."))
    ran = inside("cache", "export", "a.tar")
    assert (ran.code, "3 answers look as if they held a key" in ran.err) == (0, True)
    data = (tmp_path / "a.tar").read_bytes()
    assert not any(secret.encode() in data for secret in secrets.values())
    assert key(long).encode() in data


def test_an_import_says_how_many_were_new_and_makes_the_store(filled, inside, tmp_path):
    inside("cache", "export", "a.tar")
    folder = tmp_path / "new"
    assert "7 answers and 2 pictures were new" in inside("cache", "import", "a.tar", "--cache-dir", folder).err
    assert "0 answers and 0 pictures were new" in inside("cache", "import", "a.tar", "--cache-dir", folder).err
    assert keys(folder) == keys(filled)


def test_what_cannot_be_exported_or_imported_is_a_line(filled, inside, tmp_path):
    (tmp_path / "there.tar").write_text("mine")
    for command in (["export", "there.tar"], ["import", "there.tar"], ["import", "none.tar"], ["export", "no/a.tar"]):
        ran = inside("cache", *command)
        assert (ran.code, ran.err.count("\n"), ran.err.startswith("ltgc: ")) == (2, 1, True), ran.err
    assert (tmp_path / "there.tar").read_text() == "mine"
    ran = inside("cache", "export", "a.tar", "--model", "nobody's")
    assert (ran.code, "nothing to write" in ran.err, (tmp_path / "a.tar").exists()) == (2, True, False)


def test_an_answer_of_another_version_of_ltgc_is_no_damage_and_is_not_deleted_as_one(tmp_path):
    asked = {"type": "Question", "model": "gpt-9", "text": "?", "mood": "kind"}
    text = json.dumps(
        [1, "Question", {k: v for k, v in asked.items() if k != "type"}], sort_keys=True, separators=(",", ":")
    )
    theirs = hashlib.sha256(text.encode()).hexdigest()
    with closing(Store(tmp_path / "store")) as store:
        store.add(theirs, {"request": asked, "answer": {"text": "Yes."}})
        found = verify(store)
        assert (found.damages, found.others) == ([], 1)
        assert doomed(store, frozenset(("damaged",)), Choice()).answers == {}


def test_pruning_a_damaged_picture_does_not_say_that_nothing_names_it(filled, inside):
    path = next(path for path in (filled / "objects").rglob("*") if path.is_file())
    path.write_bytes(b"rot")
    said = inside("cache", "prune", "--damaged", "--dry-run").err
    assert "1 damaged object" in said and "named by no answer" not in said
