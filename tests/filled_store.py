"""A store with an answer of each kind, and what can be wrong with it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from fakes import a_class, a_description

from ltgc_cli.ports import Answer, Comparison, GeneratedImage, ImageRequest, Match, NearestClass, Question, Usage
from ltgc_cli.records import Image, Made, Rejected, Step, dump, evolve, identify
from ltgc_cli.store import Store, cached, cached_batch, key

PAID = Question(model="gpt-4o", task="extend", subject="crane (bird)", text="What else?")
AGAIN = Question(model="gpt-4o@localhost:8000/v1", task="extend", subject="seal", text="And?", attempt=1)
OURS = Question(model="embedded/grammar-1", task="refine", subject="cranefly", text="Refine.")
GENERATE = ImageRequest(model="sd-turbo", text="A photo of the class crane, at dusk.", seed=7)
BOUGHT = ImageRequest(model="litellm:dall-e-3", text="A photo of the class seal, on ice.", seed=8)
MATCH = Match(model="clip", image="ab" * 32, text="A photo of the class crane.")
COMPARISON = Comparison(model="clip", image="ab" * 32, own="crane", among="cd" * 32)
BYTES = b"a crane"
SHA = hashlib.sha256(BYTES).hexdigest()


def put(store: Store, request, answer) -> str:
    cached(lambda _: answer, store, type(answer))(request)
    return key(request)


def fill(folder: Path) -> None:
    """A store with an answer of each kind, and an artifact whose records name the image."""
    with closing(Store(folder)) as store:
        put(store, PAID, Answer(text="At dusk.", usage=Usage(prompt_tokens=90, completion_tokens=10, dollars=0.25)))
        put(store, AGAIN, Answer(text="On ice.", usage=Usage(prompt_tokens=9, completion_tokens=1)))
        put(store, OURS, Answer(text="Legs."))
        put(store, GENERATE, GeneratedImage(sha256=store.put_object(BYTES), usage=Usage(dollars=0.0)))
        put(store, BOUGHT, GeneratedImage(sha256=store.put_object(b"a seal")))
        cached_batch(lambda _: [0.25], store, float)([MATCH])
        put(store, COMPARISON, NearestClass(text="seal", cosine=0.5))
        artifact(store, "render", [dump(record) for record in RECORDS])


CRANE = a_class("crane")
ORIGINAL = identify(Image(label=3, class_="crane", sha256="ee" * 32, origin="original", name="crane/1.jpg"), "o")
TEXT = evolve(
    a_description(CRANE, "[red]at dusk[/red]\x1b[31m", "described"),
    parents=(ORIGINAL.id,),
    made=Made(model="gpt-4o", prompt="describe", usage=Usage(prompt_tokens=90, dollars=0.25)),
)
GENERATED = identify(
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
RECORDS = [CRANE, ORIGINAL, TEXT, GENERATED, REJECTED]


def artifact(store: Store, stage: str, lines: list[str], name: str = "") -> Path:
    """A whole artifact, with its manifest."""
    data = "".join(line + "\n" for line in lines).encode()
    folder = store.folder / "artifacts" / stage
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name or hashlib.sha256(data).hexdigest()[:32]}.jsonl"
    path.write_bytes(data)
    output = hashlib.sha256(data).hexdigest()
    manifest = {"stage": stage, "flags": {}, "input": "", "kinds": {"image": 1}, "output": output}
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path


def rows(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def keys(folder: Path) -> set[str]:
    with closing(Store(folder)) as opened:
        return {row.key for row in opened.sorted_rows()}


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


def damage(kind: str, folder: Path) -> None:
    (lines,) = (folder / "artifacts" / "render").glob("*.jsonl")
    image = folder / "objects" / SHA[:2] / SHA
    trained = folder / "checkpoints" / ("cc" * 32)
    if kind == "bytes":
        image.write_bytes(b"a pict")
    elif kind == "lost":
        image.unlink()
    elif kind == "link":
        image.unlink()
        image.symlink_to("/etc/passwd")
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
    elif kind == "manifest":
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
    "manifest": {"artifact"},
    "checkpoint": {"checkpoint"},
    "outside": {"checkpoint"},
}
