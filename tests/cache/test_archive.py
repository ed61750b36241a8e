"""Paid answers travel as one file, of which nothing is believed."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from ltgc_cli.cache.archive import Shared, export, unpack
from ltgc_cli.errors import InputError
from ltgc_cli.ports import Answer, GeneratedImage, ImageRequest, Match, Question, Usage, request_name
from ltgc_cli.settings import Choice
from ltgc_cli.store import Store, cached, cached_batch, entry, key

QUESTION = Question(model="gpt-4o", task="extend", subject="crane", text="What else?", images=("ab" * 32,))
REQUEST = ImageRequest(model="sd", text="A photo of crane.", seed=7)
MATCH = Match(model="clip", image="ab" * 32, text="A photo of crane.")
IMAGE = b"an image"
SHA = hashlib.sha256(IMAGE).hexdigest()


def filled(folder: Path) -> Store:
    """A store with a question, a request for an image and a score."""
    store = Store(folder)
    answer = Answer(text="1. A photo of the class crane, at dusk. 鶴", usage=Usage(prompt_tokens=9, dollars=0.1 + 0.2))
    cached(lambda _: answer, store, Answer)(QUESTION)
    cached_batch(lambda _: [GeneratedImage(sha256=store.put_object(IMAGE))], store, GeneratedImage)([REQUEST])
    cached_batch(lambda _: [0.1 + 0.2], store, float)([MATCH])
    store.put_object(b"an original, which is nobody else's")
    return store


@pytest.fixture
def ours(tmp_path):
    with closing(filled(tmp_path / "ours")) as store:
        yield store


@pytest.fixture
def theirs(tmp_path):
    with closing(Store(tmp_path / "theirs")) as store:
        yield store


@pytest.fixture
def file(ours, tmp_path):
    export(ours, tmp_path / "shared.tar", Choice())
    return tmp_path / "shared.tar"


def archive(path: Path, *members: tuple[str | tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> Path:
    """A tar as someone else may write it."""
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def line(request, answer, k: str | None = None) -> bytes:
    asked = {"type": request_name(request), **{f: getattr(request, f) for f in request.__struct_fields__}}
    asked = {name: value for name, value in asked.items() if repr(value) != "UNSET"}
    return json.dumps({"key": k or key(request), "request": asked, "answer": answer}).encode() + b"\n"


GENERATED = line(REQUEST, {"sha256": SHA})
OBJECT = f"objects/{SHA[:2]}/{SHA}"


def test_a_colleague_has_every_answer_word_for_word_and_the_images_bytes(file, ours, theirs):
    assert unpack(theirs, file) == Shared(answers=3, images=1)
    assert {row.key: row.text for row in theirs.rows()} == {row.key: row.text for row in ours.rows()}
    assert theirs.get_object(SHA) == IMAGE
    assert cached(lambda _: 1 / 0, theirs, Answer)(QUESTION).usage.dollars == 0.1 + 0.2


def test_the_file_is_a_plain_tar_without_a_time_or_an_owner_and_without_originals(file):
    with tarfile.open(file) as tar:
        assert [(m.name, m.mtime, m.uid, m.uname) for m in tar] == [("answers.jsonl", 0, 0, ""), (OBJECT, 0, 0, "")]
        rows = [json.loads(row) for row in tar.extractfile("answers.jsonl")]
    assert [row["key"] for row in rows] == sorted(map(key, (QUESTION, REQUEST, MATCH)))


def test_the_same_answers_make_the_same_bytes_in_whatever_order_they_were_bought(file, theirs, tmp_path):
    unpack(theirs, file)
    export(theirs, tmp_path / "again.tar", Choice())
    assert (tmp_path / "again.tar").read_bytes() == file.read_bytes()


def test_only_what_is_meant_is_in_it(ours, theirs, tmp_path):
    done = []
    written = export(ours, tmp_path / "some.tar", Choice(stage="extend"), notify=done.append)
    assert written == Shared(1, 0) and sum(done) == 3
    assert unpack(theirs, tmp_path / "some.tar") == Shared(1, 0)


def test_importing_again_adds_nothing_and_of_two_answers_the_first_one_holds(file, theirs):
    cached(lambda _: Answer(text="mine"), theirs, Answer)(QUESTION)
    assert unpack(theirs, file) == Shared(2, 1)
    assert unpack(theirs, file) == Shared(0, 0)
    assert theirs.get(key(QUESTION))["answer"]["text"] == "mine"


def test_nothing_that_is_there_is_written_over_and_no_half_file_is_left(ours, tmp_path):
    (tmp_path / "there.tar").write_bytes(b"mine")
    with pytest.raises(InputError, match="there already"):
        export(ours, tmp_path / "there.tar", Choice())
    with pytest.raises(InputError, match="nothing to write"):
        export(ours, tmp_path / "none.tar", Choice(model="nobody's"))
    with pytest.raises(InputError, match="No such file"):
        export(ours, tmp_path / "no folder" / "a.tar", Choice())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "there.tar"]
    assert (tmp_path / "there.tar").read_bytes() == b"mine"


def test_what_is_damaged_is_not_handed_on(ours, tmp_path):
    ours.object_path(SHA).write_bytes(b"a pict")
    with pytest.raises(InputError, match="not what the name says"):
        export(ours, tmp_path / "a.tar", Choice())
    assert not (tmp_path / "a.tar").exists()


@pytest.mark.parametrize("cut", [0, 100, 512, 700, "in the second header", "in the image"])
def test_a_file_that_was_cut_anywhere_is_refused_and_nothing_is_stored(file, theirs, cut):
    with tarfile.open(file) as tar:
        image = tar.getmembers()[1]
    at = {"in the second header": image.offset + 100, "in the image": image.offset_data + 3}
    file.write_bytes(file.read_bytes()[: at.get(cut, cut)])
    with pytest.raises(InputError) as error:
        unpack(theirs, file)
    assert "\n" not in str(error.value)
    assert len(theirs) == 0 and list((theirs.folder / "objects").rglob("*")) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (line(QUESTION, {"text": "cheap"}, key(MATCH)), r"answers.jsonl:1: .*the key is not the one of what was asked"),
        (line(QUESTION, {"words": "cheap"}), "answers.jsonl:1: no entry"),
        (line(QUESTION, "cheap"), "no entry"),
        (b'{"key":"a","request":{"type":"Path"},"answer":1}\n', "no entry"),
        (b'{"key":"a","request":[],"answer":1}\n', "no entry"),
        (b'{"request":{}}\n', "key"),
        (b"[" * 100_000 + b"\n", "answers.jsonl:1"),
        (line(QUESTION, {"text": "a"})[:-1], "cut"),
        (GENERATED, "is not in it"),
    ],
    ids=["key", "answer", "no answer", "type", "request", "no key", "nested", "cut", "no image"],
)
def test_an_answer_that_was_not_given_to_its_question_is_refused_with_its_line(theirs, tmp_path, rows, message):
    path = archive(tmp_path / "a.tar", ("answers.jsonl", rows))
    with pytest.raises(InputError, match=message):
        unpack(theirs, path)
    assert len(theirs) == 0


def link(name: str, type: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "member",
    [
        ("../../evil", IMAGE),
        ("/etc/evil", IMAGE),
        (f"objects/../{SHA}", IMAGE),
        (f"objects/zz/{SHA}", IMAGE),
        (f"objects/{SHA[:2]}/{SHA}\n", IMAGE),
        ("answers.jsonl", GENERATED),
        ("answers/cache.db", IMAGE),
        (link(OBJECT, tarfile.SYMTYPE), b""),
        (link(OBJECT, tarfile.LNKTYPE), b""),
        (link(OBJECT, tarfile.DIRTYPE), b""),
        (link(OBJECT, tarfile.CHRTYPE), b""),
        (OBJECT, b"other bytes"),
        (f"objects/cd/{'cd' * 32}", b"other bytes"),
        ("x" * 300, IMAGE),
        (link(OBJECT, tarfile.FIFOTYPE), b""),
        (link(OBJECT, tarfile.BLKTYPE), b""),
        (link(OBJECT, tarfile.GNUTYPE_SPARSE), b""),
        (link(OBJECT, tarfile.GNUTYPE_LONGNAME), IMAGE),
        (link("@PaxHeader", tarfile.XHDTYPE), b"30 GNU.sparse.realsize=9999999\n"),
        (link("@PaxHeader", tarfile.XGLTYPE), b"11 path=/x\n"),
    ],
    ids=lambda member: str(getattr(member[0], "type", member[0]))[:20],
)
def test_a_member_that_export_does_not_write_is_refused_and_leads_nowhere(theirs, tmp_path, member):
    path = archive(tmp_path / "a.tar", ("answers.jsonl", GENERATED), member)
    with pytest.raises(InputError) as error:
        unpack(theirs, path)
    assert "\n" not in str(error.value) and "nothing was imported" in str(error.value)
    assert len(theirs) == 0 and list((theirs.folder / "objects").rglob("*")) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "theirs"]


def test_an_image_that_no_answer_names_is_refused(theirs, tmp_path):
    path = archive(tmp_path / "a.tar", ("answers.jsonl", line(MATCH, 0.5)), (OBJECT, IMAGE))
    with pytest.raises(InputError, match="no answer in it names"):
        unpack(theirs, path)


def test_an_image_that_is_there_twice_is_refused(theirs, tmp_path):
    path = archive(tmp_path / "a.tar", ("answers.jsonl", GENERATED), (OBJECT, IMAGE), (OBJECT, IMAGE))
    with pytest.raises(InputError, match="there twice"):
        unpack(theirs, path)
    assert len(theirs) == 0


def test_the_answers_come_first(theirs, tmp_path):
    for members in ([], [(OBJECT, IMAGE), ("answers.jsonl", GENERATED)]):
        with pytest.raises(InputError, match="does not begin with answers.jsonl"):
            unpack(theirs, archive(tmp_path / "a.tar", *members))


@pytest.mark.parametrize(
    "data", [b"", b"not a tar" * 200, bytes(300), b"\xff" * 2048], ids=["empty", "text", "zeros", "bytes"]
)
def test_what_is_no_tar_is_one_line(theirs, tmp_path, data):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(InputError) as error:
        unpack(theirs, tmp_path / "a.tar")
    assert "\n" not in str(error.value)


def test_what_an_earlier_version_of_ltgc_wrote_is_read(theirs, tmp_path):
    parts = []
    for name, data in (("answers.jsonl", GENERATED), (OBJECT, IMAGE)):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        parts += [info.tobuf(tarfile.GNU_FORMAT), data, bytes(-len(data) % 512)]
    (tmp_path / "a.tar").write_bytes(b"".join(parts) + bytes(1024))
    assert unpack(theirs, tmp_path / "a.tar") == Shared(1, 1)


def test_a_header_that_promises_more_than_the_file_has_is_refused(theirs, tmp_path):
    for name, size in (("answers.jsonl", 2**40), ("answers.jsonl", 2**33), (OBJECT, 2**28 + 1)):
        info = tarfile.TarInfo(name)
        info.size = size
        (tmp_path / "bomb.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
        with pytest.raises(InputError, match="not a whole file"):
            unpack(theirs, tmp_path / "bomb.tar")


@pytest.mark.parametrize("compressed", ["w:gz", "w:xz"])
def test_what_is_compressed_is_refused_as_it_may_hold_any_amount(theirs, tmp_path, compressed):
    with tarfile.open(tmp_path / "a.tgz", compressed) as tar:
        tar.addfile(tarfile.TarInfo("answers.jsonl"))
    with pytest.raises(InputError, match="not a whole file of"):
        unpack(theirs, tmp_path / "a.tgz")


def test_what_a_person_packed_with_gnu_tar_again_is_read(file, theirs, tmp_path):
    with tarfile.open(file) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    for number, format in enumerate((tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)):
        with closing(Store(tmp_path / str(number))) as store:
            assert unpack(store, archive(tmp_path / f"{number}.tar", *members, format=format)) == Shared(3, 1)


def test_a_file_that_is_not_there_is_an_error(theirs, tmp_path):
    with pytest.raises(InputError, match="No such file"):
        unpack(theirs, tmp_path / "none.tar")


# --- looking at what is there, and deleting it


def plant(folder: Path, name: object, value: object, mode: int, raw: int = 1, filename: str | None = None) -> None:
    with closing(sqlite3.connect(folder / "answers" / "cache.db")) as connection, connection:
        connection.execute(
            "INSERT INTO Cache(key, raw, store_time, mode, value, filename) VALUES (?, ?, 0, ?, ?, ?)",
            (name, raw, mode, value, filename),
        )


def sorted_keys(store: Store, prefix: str = "") -> list[str]:
    return [row.key for row in store.sorted_rows(prefix)]


def test_rows_come_in_the_order_stored_however_many_there_are(tmp_path):
    with closing(Store(tmp_path)) as store:
        names = [f"{number:03}" for number in reversed(range(250))]
        store.add_all({name: {"answer": name} for name in names})
        rows = list(store.rows())
        assert [row.key for row in rows] == names
        assert (rows[0].text, rows[0].size) == ('{"answer":"249"}', 16) and rows[0].stored > 1e9
        assert sorted_keys(store) == sorted(names)
        assert sorted_keys(store, "24") == [f"24{digit}" for digit in range(10)]
        assert sorted_keys(store, "007") == ["007"] and sorted_keys(store, "%") == []


def test_a_key_is_found_by_the_index_of_the_database(tmp_path, monkeypatch):
    plans = []
    run = Store._sql

    def explained(store, statement, values=()):
        plans.extend(run(store, f"EXPLAIN QUERY PLAN {statement}", values))
        return run(store, statement, values)

    with closing(Store(tmp_path)) as store:
        store.add("007", {"answer": 1})
        monkeypatch.setattr(Store, "_sql", explained)
        assert sorted_keys(store, "00") == ["007"]
    assert plans and all("USING INDEX" in plan[-1] for plan in plans)


def test_rows_that_others_planted_are_seen_and_not_read(tmp_path):
    Store(tmp_path).close()
    plant(tmp_path, "pickle", b"cos\nsystem\n", 4)
    plant(tmp_path, "file", None, 3, filename="../../etc/passwd")
    plant(tmp_path, b"pickled key", "text", 1, raw=0)
    with closing(Store(tmp_path)) as store:
        assert [(row.key, row.text) for row in store.rows()] == [("pickle", None), ("file", None), ("", None)]


def test_answers_are_deleted_by_row_and_key_and_the_count_is_right(tmp_path):
    with closing(Store(tmp_path)) as store:
        store.add_all({name: {"answer": name} for name in "abc"})
        a, b, _ = store.rows()
        store.discard([(a.number, "a"), (b.number, "another's by now")])
        assert (sorted_keys(store), len(store)) == (["b", "c"], 2)


def test_a_planted_row_that_names_a_file_takes_no_file_along_when_it_is_deleted(tmp_path):
    Store(tmp_path / "store").close()
    (tmp_path / "mine").write_text("mine")
    for name in ("by us", "by diskcache", "written over"):
        plant(tmp_path / "store", name, None, 3, filename="../../mine")
    with closing(Store(tmp_path / "store")) as store:
        store.discard([(row.number, row.key) for row in store.rows() if row.key == "by us"])
        store._answers.cache.delete("by diskcache")
        store._answers.cache.set("written over", "text")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_damaged_database_is_one_line(tmp_path):
    with closing(Store(tmp_path)) as store:
        store.add_all({f"{number:064}": {"answer": "x" * 500} for number in range(200)})
        assert store.sound() == ""
    path = tmp_path / "answers" / "cache.db"
    data = bytearray(path.read_bytes())
    for start in range(10 * 4096, len(data), 4096):
        data[start : start + 2048] = bytes(2048)
    path.write_bytes(data)
    with closing(Store(tmp_path)) as store:
        assert store.sound() != ""
        with pytest.raises(InputError, match="the database is damaged"):
            list(store.rows())


def test_an_entry_is_read_with_its_types_and_refused_under_another_key(ours):
    one = entry(key(MATCH), json.dumps(ours.get(key(MATCH))))
    assert one == (MATCH, 0.1 + 0.2)
    with pytest.raises(ValueError, match="not the one of what was asked"):
        entry(key(REQUEST), json.dumps(ours.get(key(MATCH))))
