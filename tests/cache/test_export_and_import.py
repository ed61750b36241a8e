"""`ltgc cache export` and `import`: what one paid for, another does not."""

from __future__ import annotations

import json
import tarfile
from contextlib import closing

from filled_store import (
    AGAIN,
    CRANE,
    GENERATE,
    GENERATED,
    PAID,
    keys,
    put,
)
from ports.openai_chat import chat
from server import serving

from ltgc_cli.ports import (
    Answer,
    Question,
)
from ltgc_cli.records import dump, evolve
from ltgc_cli.store import Store, key
from ltgc_cli.text import counted


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
    assert (imported.code, f"{counted(asked, 'answer')} and 0 images were new" in imported.err) == (0, True)

    again = inside(*command, "--api-base", base, "--json", "--cache-dir", theirs)  # the server is gone by now

    assert again.out == bought.out and len(routes.seen) == asked
    assert f"{asked} question" in again.err and "from the store" in again.err and "asked" not in again.err
    assert b"sk-a-key" not in (tmp_path / "shared.tar").read_bytes()


def test_generated_images_travel_with_their_answers(inside, tmp_path):
    described = inside("extend", "--class", "crane", "-n", 2).out
    generated = inside("render", "--t2i", "blank", input=described)
    inside("cache", "export", "shared.tar", "--stage", "render")
    inside("cache", "import", "shared.tar", "--cache-dir", tmp_path / "theirs")
    again = inside("render", "--t2i", "blank", "--cache-dir", tmp_path / "theirs", input=described)
    assert again.out == generated.out and "asked" not in again.err
    assert inside("cache", "verify", "--cache-dir", tmp_path / "theirs").code == 0


def test_an_export_is_of_a_stage_a_model_or_what_a_stream_is_about(filled, inside, tmp_path):
    (tmp_path / "records.jsonl").write_text("".join(dump(record) + "\n" for record in [CRANE, GENERATED]))

    def exported(*flags: object) -> set[str]:
        (tmp_path / "a.tar").unlink(missing_ok=True)
        ran = inside("cache", "export", "a.tar", *flags)
        assert ran.code == 0, ran.err
        with tarfile.open(tmp_path / "a.tar") as tar:
            return {json.loads(line)["key"] for line in tar.extractfile("answers.jsonl")}

    assert exported("--stage", "extend") == {key(PAID)}
    assert exported("--model", "gpt-4o") == {key(PAID), key(AGAIN)}
    assert exported("--artifact", "records.jsonl") == {key(GENERATE)}
    (tmp_path / "records.jsonl").write_text(dump(evolve(CRANE, sense="bird")) + "\n")
    assert exported("--artifact", "records.jsonl") == {key(PAID)}
    (tmp_path / "records.jsonl").write_text("")
    assert "nothing to write" in inside("cache", "export", "b.tar", "--artifact", "records.jsonl").err
    ran = inside("cache", "export", "b.tar", "--artifact", ".")
    assert (ran.code, ran.err.count("\n")) == (2, 1)


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
    assert (ran.code, "3 answers seem to hold a key, and were left out" in ran.err) == (0, True)
    data = (tmp_path / "a.tar").read_bytes()
    assert not any(secret.encode() in data for secret in secrets.values())
    assert key(long).encode() in data


def test_an_import_says_how_many_were_new_and_makes_the_store(filled, inside, tmp_path):
    inside("cache", "export", "a.tar")
    folder = tmp_path / "new"
    assert "7 answers and 2 images were new" in inside("cache", "import", "a.tar", "--cache-dir", folder).err
    assert "0 answers and 0 images were new" in inside("cache", "import", "a.tar", "--cache-dir", folder).err
    assert keys(folder) == keys(filled)


def test_what_cannot_be_exported_or_imported_is_a_line(filled, inside, tmp_path):
    (tmp_path / "there.tar").write_text("mine")
    for command in (["export", "there.tar"], ["import", "there.tar"], ["import", "none.tar"], ["export", "no/a.tar"]):
        ran = inside("cache", *command)
        assert (ran.code, ran.err.count("\n"), ran.err.startswith("ltgc: ")) == (2, 1, True), ran.err
    assert (tmp_path / "there.tar").read_text() == "mine"
    ran = inside("cache", "export", "a.tar", "--model", "nobody's")
    assert (ran.code, "nothing to write" in ran.err, (tmp_path / "a.tar").exists()) == (2, True, False)
