"""The store keeps what was paid for: once, for good, and for whoever asks the same."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import diskcache
import msgspec
import pytest

from ltgc_cli import database as database_module
from ltgc_cli.errors import InputError, OutputError, Refused
from ltgc_cli.ports import Answer, GeneratedImage, ImageRequest, Match, Question, Usage, request_name
from ltgc_cli.store import Store, cached, cached_batch, entry_for, existing, key

QUESTION = Question(model="gpt-4o", task="describe", subject="crane", text="Please describe.", images=("ab" * 32,))
DRAWING = ImageRequest(model="sd", text="A photo of crane.", seed=7)
MATCH = Match(model="ViT-B-32/openai", image="ab" * 32, text="A photo of crane.")


@pytest.fixture
def store(tmp_path):
    with closing(Store(tmp_path)) as store:
        yield store


def question(text: str) -> Question:
    return Question(model="m", task="extend", subject="crane", text=text)


def python(code: str, *arguments: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env=os.environ | environment
    )


def database(folder: Path) -> Path:
    return folder / "answers" / "cache.db"


def plant(folder: Path, name: str, value: object, mode: int) -> None:
    """Writes a row as any other program could, ltgc's guards passed by."""
    with closing(sqlite3.connect(database(folder))) as connection, connection:
        connection.execute(
            "INSERT INTO Cache(key, raw, store_time, mode, value) VALUES (?, 1, 0, ?, ?)", (name, mode, value)
        )


def pragma(store: Store, name: str) -> object:
    """What holds for the connection that writes."""
    return store._answers.write(lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0])


# --- keys


def test_keys_are_pinned_because_a_changed_key_makes_every_user_pay_again():
    assert key(QUESTION) == "acc2dd52bafdca49e551e5270cf4c8bcbe46dab3f6cc3bdf32dd110d4c1f0056"
    assert key(DRAWING) == "e50515dc1ed25431645f098ed7d372e8c39ed31c8cc0255d94373ffb549e6a57"
    assert key(MATCH) == "0774d0bb6614d2d80e766e232e739a2d9ec1d16526fc3297a15090d84a61c4f9"


def test_a_key_is_the_sha256_of_the_schema_the_type_and_every_field_in_canonical_json():
    text = f'[1,"Match",{{"image":"{"ab" * 32}","model":"ViT-B-32/openai","text":"A photo of crane."}}]'

    assert key(MATCH) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "gpt-4"},
        {"task": "extend"},
        {"subject": "crane (bird)"},
        {"text": "Please describe!"},
        {"images": ("cd" * 32,)},
        {"images": ()},
        {"want": 2},
        {"temperature": 0.5},
        {"max_tokens": 64},
        {"attempt": 1},
    ],
    ids=str,
)
def test_whatever_can_change_an_answer_changes_its_key(changed):
    fields = {name: getattr(QUESTION, name) for name in QUESTION.__struct_fields__}

    assert key(Question(**fields | changed)) != key(QUESTION)


def test_the_order_in_which_a_request_was_spelled_out_is_not_in_its_key():
    assert key(ImageRequest(seed=7, text="A photo of crane.", model="sd")) == key(DRAWING)


def test_another_process_with_another_hash_seed_and_folder_has_the_same_key(tmp_path):
    code = (
        "import os, sys; os.chdir(sys.argv[1]); from ltgc_cli.ports import ImageRequest;"
        "from ltgc_cli.store import key;"
        "print(key(ImageRequest(model='sd', text='A photo of crane.', seed=7)))"
    )
    one, two = (python(code, str(tmp_path), PYTHONHASHSEED=seed) for seed in ("1", "2"))

    assert {one.communicate()[0].strip(), two.communicate()[0].strip()} == {key(DRAWING)}


# --- cached(f, store)(x) == f(x), and f runs only for an x not seen before


def test_a_cached_function_equals_the_function_and_runs_once(store):
    calls = []
    ask = cached(lambda q: calls.append(q) or Answer(text=q.text.upper()), store, Answer)

    assert ask(question("a")) == Answer(text="A")
    assert ask(question("a")) == Answer(text="A")
    assert ask(question("b")) == Answer(text="B")
    assert calls == [question("a"), question("b")]


def test_an_answer_comes_back_whole_with_what_it_used(store):
    answer = Answer(
        text="鶴 \N{GRINNING FACE} עגור\n{with}", usage=Usage(prompt_tokens=3, completion_tokens=4, dollars=0.1)
    )
    cached(lambda _: answer, store, Answer)(QUESTION)

    assert cached(lambda _: 1 / 0, store, Answer)(QUESTION) == answer


def test_the_entry_says_what_was_asked_so_that_a_person_can_read_the_store(store):
    cached(lambda _: Answer(text="tall"), store, Answer)(question("a"))

    entry = store.get(key(question("a")))
    assert entry["answer"] == {"text": "tall", "usage": {}}
    assert entry["request"]["type"] == "Question" and entry["request"]["text"] == "a"


def test_an_answer_that_was_cut_off_is_kept_as_such_and_all_others_are_written_as_they_always_were(store):
    old = json.loads('{"text": "tall", "usage": {}}')
    assert msgspec.to_builtins(Answer(text="tall")) == msgspec.to_builtins(msgspec.convert(old, Answer)) == old
    cut = Answer(text="tal", usage=Usage(dollars=0.1), cut_off=True)
    cached(lambda _: cut, store, Answer)(question("a"))

    assert store.get(key(question("a")))["answer"] == {"text": "tal", "usage": {"dollars": 0.1}, "cut_off": True}
    assert cached(lambda _: 1 / 0, store, Answer)(question("a")) == cut


def test_an_answer_is_there_after_the_store_was_closed_and_opened_again(tmp_path):
    with closing(Store(tmp_path)) as store:
        cached(lambda _: Answer(text="kept"), store, Answer)(QUESTION)
    with closing(Store(tmp_path)) as store:
        assert cached(lambda _: 1 / 0, store, Answer)(QUESTION) == Answer(text="kept")
        assert len(store) == 1


def test_an_answer_is_in_the_store_before_anyone_sees_it(store):
    seen = []
    ask = cached(lambda _: Answer(text="a"), store, Answer, lambda q, a, hit: seen.append(store.get(key(q))["answer"]))

    ask(QUESTION)
    assert seen == [{"text": "a", "usage": {}}]


def test_eight_threads_that_ask_the_same_at_once_share_one_call(store):
    calls, answers, together = [], [], threading.Barrier(8)

    def slow(q):
        calls.append(q)
        time.sleep(0.05)
        return Answer(text=f"answer {len(calls)}")

    ask = cached(slow, store, Answer)

    def run():
        together.wait()
        answers.append(ask(QUESTION))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(calls), answers) == (1, [Answer(text="answer 1")] * 8)


def test_threads_that_ask_different_things_do_not_wait_for_each_other(store):
    both = threading.Barrier(2, timeout=5)
    ask = cached(lambda q: Answer(text=str(both.wait() < 2)), store, Answer)
    threads = [threading.Thread(target=ask, args=(question(text),)) for text in "ab"]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken and len(store) == 2


def test_a_refusal_is_raised_and_never_kept(store):
    answers = iter([Refused("not now"), Answer(text="now")])

    def port(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ask = cached(port, store, Answer)
    with pytest.raises(Refused, match="not now"):
        ask(QUESTION)
    assert len(store) == 0
    assert ask(QUESTION) == Answer(text="now")


def test_memory_stays_flat_however_many_questions_pass(store):
    def refuse(_):
        raise Refused("no")

    ask = cached(refuse, store, Answer)

    def pass_by(count):
        for number in range(count):
            with pytest.raises(Refused):
                ask(question(str(number)))

    pass_by(100)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    pass_by(1100)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 200_000  # a lock kept for each would be more than twice that


def test_every_answer_is_tallied_as_asked_or_found(store):
    tally = []
    ask = cached(
        lambda _: Answer(text="a"), store, Answer, lambda q, a, *, hit: tally.append((request_name(q), a.text, hit))
    )
    ask(QUESTION)
    ask(QUESTION)

    assert tally == [("Question", "a", False), ("Question", "a", True)]


# --- batches


def pictures(drawings):
    return [GeneratedImage(sha256=hashlib.sha256(drawing.text.encode()).hexdigest()) for drawing in drawings]


def drawing(text: str) -> ImageRequest:
    return ImageRequest(model="sd", text=text, seed=1)


def test_the_answers_of_a_batch_are_found_with_one_statement(store, monkeypatch):
    keep = cached_batch(lambda questions: [Answer(text=q.text.upper()) for q in questions], store, Answer)
    keep([question(letter) for letter in "abc"])
    read, statements = store._answers.read, []
    monkeypatch.setattr(store._answers, "read", lambda *asked: statements.append(asked) or read(*asked))
    found = cached_batch(lambda _: 1 / 0, store, Answer)([question(letter) for letter in "caba"])
    assert [answer.text for answer in found] == ["C", "A", "B", "A"] and len(statements) == 1


def test_more_answers_than_one_statement_takes_are_found(store):
    questions = [question(str(number)) for number in range(250)]
    cached_batch(lambda asked: [Answer(text=q.text) for q in asked], store, Answer)(questions)
    found = cached_batch(lambda _: 1 / 0, store, Answer)(questions)
    assert [answer.text for answer in found] == [str(number) for number in range(250)]


def test_a_batch_passes_on_only_what_is_new_and_keeps_the_order(store):
    store.put_object(b"b"), store.put_object(b"d")
    batches = []
    generate = cached_batch(
        lambda batch: batches.append([d.text for d in batch]) or pictures(batch), store, GeneratedImage
    )

    generate([drawing("b"), drawing("d")])
    assert generate([drawing(text) for text in "abcde"]) == pictures([drawing(text) for text in "abcde"])
    assert batches == [["b", "d"], ["a", "c", "e"]]


def test_a_batch_that_is_all_there_asks_nothing(store):
    store.put_object(b"a")
    cached_batch(pictures, store, GeneratedImage)([drawing("a")])

    assert cached_batch(lambda _: 1 / 0, store, GeneratedImage)([drawing("a")]) == pictures([drawing("a")])
    assert cached_batch(lambda _: 1 / 0, store, GeneratedImage)([]) == []


def test_what_stands_twice_in_a_batch_is_asked_once_and_answered_twice(store):
    batches = []
    generate = cached_batch(
        lambda batch: batches.append([d.text for d in batch]) or pictures(batch), store, GeneratedImage
    )

    assert generate([drawing(text) for text in "abaab"]) == pictures([drawing(text) for text in "abaab"])
    assert batches == [["a", "b"]]


def test_a_failure_in_a_batch_stands_in_its_place_and_is_not_kept(store):
    refused = Refused("not that one")
    generate = cached_batch(
        lambda batch: [refused if d.text == "b" else p for d, p in zip(batch, pictures(batch), strict=True)],
        store,
        GeneratedImage,
    )
    answers = generate([drawing(text) for text in "abb"])

    assert answers == [*pictures([drawing("a")]), refused, refused]
    assert len(store) == 1


def test_an_answer_too_few_is_an_error_and_nothing_is_mistaken_for_another(store):
    generate = cached_batch(lambda batch: pictures(batch)[1:], store, GeneratedImage)

    with pytest.raises(ValueError, match="shorter"):
        generate([drawing("a"), drawing("b")])


def test_the_answers_of_a_batch_are_kept_together_and_earlier_ones_hold(store):
    store.add("b", {"answer": "first"})

    assert store.add_all({"a": {"answer": "mine"}, "b": {"answer": "mine"}}) == {
        "a": {"answer": "mine"},
        "b": {"answer": "first"},
    }
    assert (store.get("a"), store.get("b")) == ({"answer": "mine"}, {"answer": "first"})


def test_threads_with_batches_that_overlap_all_see_the_same_answers(store):
    def run(worker):
        numbers = [(worker + number) % 20 for number in range(20)]  # each begins at another place
        held = store.add_all({str(number): {"answer": worker} for number in numbers})
        return [held[str(number)] for number in range(20)]

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(run, range(8)))
    assert seen == [[store.get(str(number)) for number in range(20)]] * 8


def test_scores_are_plain_numbers_and_kept_to_the_last_bit(store):
    value = 0.1 + 0.2
    cached_batch(lambda batch: [value] * len(batch), store, float)([MATCH])

    assert cached_batch(lambda _: 1 / 0, store, float)([MATCH]) == [value]


# --- several processes


RACING = """
import os, sys, time
from pathlib import Path
from ltgc_cli.ports import Answer, Question
from ltgc_cli.store import Store, cached
folder, me, other = sys.argv[1:]
store = Store(Path(folder))
def slow(question):
    (Path(folder) / me).touch()  # asked, and not yet answered: wait until the other one asked too
    while not (Path(folder) / other).exists():
        time.sleep(0.005)
    return Answer(text=me)
print(cached(slow, store, Answer)(Question(model="m", task="extend", subject="crane", text="both")).text)
"""


def test_of_two_processes_that_race_the_first_answer_wins_and_both_see_it(tmp_path):
    Store(tmp_path).close()
    racers = [python(RACING, str(tmp_path), *names) for names in (("one", "two"), ("two", "one"))]
    said = [racer.communicate(timeout=20)[0].strip() for racer in racers]

    assert (tmp_path / "one").exists() and (tmp_path / "two").exists()  # both did ask
    assert said[0] == said[1] and said[0] in ("one", "two")


WRITING = """
import sys, threading
from pathlib import Path
from ltgc_cli.ports import Answer, Question
from ltgc_cli.store import Store, cached
store = Store(Path(sys.argv[1]))
ask = cached(lambda q: Answer(text="answer to " + q.text), store, Answer)
def write(worker):
    for number in range(100_000):
        text = f"{worker}-{number}"
        ask(Question(model="m", task="extend", subject="crane", text=text))
        sys.stdout.write(text + "\\n")
        sys.stdout.flush()
for worker in range(4):
    threading.Thread(target=write, args=(worker,)).start()
"""


def test_a_process_killed_while_it_writes_loses_no_answer_that_it_had_acknowledged(tmp_path):
    writer = python(WRITING, str(tmp_path))
    acknowledged = [writer.stdout.readline().strip() for _ in range(200)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [line.strip() for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]

    with closing(sqlite3.connect(database(tmp_path))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(Store(tmp_path)) as store:
        found = [store.get(key(question(text))) for text in acknowledged]
    assert writer.returncode == -signal.SIGKILL and len(acknowledged) >= 200
    assert [entry and entry["answer"]["text"] for entry in found] == [f"answer to {text}" for text in acknowledged]


# --- what someone else put into it


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_planted_in_the_store_is_refused_and_does_not_run(tmp_path):
    payload = pickle.dumps(_Bomb(tmp_path / "it ran"))
    Store(tmp_path).close()
    plant(tmp_path, key(QUESTION), payload, mode=4)

    with closing(Store(tmp_path)) as store:
        with pytest.raises(InputError, match="never writes"):
            store.get(key(QUESTION))
        with pytest.raises(InputError, match="never writes"):
            store.add(key(QUESTION), {"answer": "mine"})
    assert not (tmp_path / "it ran").exists()
    pickle.loads(payload)
    assert (tmp_path / "it ran").exists()  # so it was a live one


@pytest.mark.parametrize("mode", [2, 3, 4], ids=["bytes in a file", "text in a file", "a pickle in a file"])
def test_a_planted_row_that_points_to_a_file_is_refused_and_the_file_is_not_opened(tmp_path, mode):
    Store(tmp_path).close()
    plant(tmp_path, key(QUESTION), None, mode)
    with closing(sqlite3.connect(database(tmp_path))) as connection, connection:
        connection.execute("UPDATE Cache SET filename = '../../../../etc/passwd'")

    with closing(Store(tmp_path)) as store, pytest.raises(InputError, match="never writes"):
        store.get(key(QUESTION))


@pytest.mark.parametrize("text", ["not JSON", "7", "{}", '{"answer":"tall"}'])
def test_a_row_that_is_no_entry_of_ours_is_refused_in_a_line(tmp_path, text):
    Store(tmp_path).close()
    plant(tmp_path, key(QUESTION), text, mode=1)

    with closing(Store(tmp_path)) as store, pytest.raises(InputError, match="store"):
        cached(lambda _: 1 / 0, store, Answer)(QUESTION)


def test_nothing_is_ever_pickled_either(store):
    with pytest.raises(TypeError, match="text"):
        store._answers.cache.set("a", {"not": "text"})
    with pytest.raises(TypeError, match="text"):
        store._answers.cache.set(("not", "text"), "a")


# --- nothing is evicted


def test_the_store_has_no_size_at_which_it_would_delete_answers(store):
    answers = store._answers.cache

    assert (answers.eviction_policy, answers.cull_limit) == ("none", 0)
    assert answers.size_limit >= 2**50  # diskcache's own is 1 GiB


def test_nothing_is_evicted_when_the_store_has_long_outgrown_its_limit(store):
    store._answers.cache.reset("size_limit", 1, update=False)
    for number in range(30):
        store.add(str(number), {"answer": "x" * 10_000})

    assert len(store) == 30 and all(store.get(str(number)) for number in range(30))


def test_an_answer_is_synced_to_the_disk_and_survives_a_crash_of_the_machine(store):
    assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 2)


def test_an_answer_of_any_size_lies_in_the_database_because_side_files_are_not_synced(store, tmp_path):
    store.add("long", {"answer": "x" * 5_000_000})

    assert list((tmp_path / "answers").rglob("*.val")) == []


def test_a_store_with_settings_that_would_evict_is_opened_with_ours(tmp_path):
    foreign = diskcache.Cache(
        str(tmp_path / "answers"), eviction_policy="least-recently-used", size_limit=1000, cull_limit=10
    )
    foreign.close()
    with closing(Store(tmp_path)) as store:
        for number in range(30):
            store.add(str(number), {"answer": "x" * 10_000})
        assert len(store) == 30

    with closing(diskcache.Cache(str(tmp_path / "answers"))) as again:  # and ours are what is in the file now
        assert (again.eviction_policy, again.cull_limit) == ("none", 0)


def test_a_store_whose_settings_would_not_survive_a_crash_is_opened_with_ours(tmp_path):
    diskcache.Cache(str(tmp_path / "answers"), sqlite_journal_mode="off", sqlite_synchronous=0).close()

    with closing(Store(tmp_path)) as store:
        assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 2)


def test_a_store_of_another_kind_of_disk_is_refused_in_a_line(tmp_path):
    diskcache.Cache(str(tmp_path / "answers"), disk=diskcache.JSONDisk, disk_compress_level=6).close()

    with pytest.raises(InputError, match="store"):
        Store(tmp_path).close()


def test_a_store_that_is_no_database_is_refused_in_a_line(tmp_path):
    database(tmp_path).parent.mkdir(parents=True)
    database(tmp_path).write_bytes(b"this is no database, though it is long enough to be looked at " * 20)

    with pytest.raises(InputError, match="store"):
        Store(tmp_path).close()


def test_a_store_where_a_file_lies_is_refused_in_a_line(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(InputError, match="/file: the store cannot be opened: Not a directory"):
        Store(tmp_path / "file")


def test_an_image_whose_bytes_are_gone_is_asked_again_and_the_new_answer_holds(store, capsys):
    sizes = iter([b"first", b"another", b"third"])

    def generate(requests):
        return [GeneratedImage(sha256=store.put_object(next(sizes))) for _ in requests]

    (first,) = cached_batch(generate, store, GeneratedImage)([drawing("a")])
    assert cached_batch(generate, store, GeneratedImage)([drawing("a")]) == [first]
    for damage in (Path.unlink, lambda path: path.write_bytes(b"")):
        (before,) = cached_batch(generate, store, GeneratedImage)([drawing("a")])
        damage(store.object_path(before.sha256))
        (after,) = cached_batch(generate, store, GeneratedImage)([drawing("a")])
        assert after.sha256 != before.sha256 and store.get_object(after.sha256)
        assert cached_batch(lambda _: 1 / 0, store, GeneratedImage)([drawing("a")]) == [after]
    assert capsys.readouterr().err.count("are gone from") == 1 and len(store) == 1


def test_of_two_that_replace_a_lost_image_the_first_holds(store):
    entries = [entry_for(drawing("a"), GeneratedImage(sha256=name * 64)) for name in "abc"]
    k = key(drawing("a"))
    store.add(k, entries[0])
    lost = store.texts([k])
    assert store.add_all({k: entries[1]}, lost) == {k: entries[1]}
    assert store.add_all({k: entries[2]}, lost) == {k: entries[1]}


@pytest.mark.parametrize("how", ["emptied", "missing", "without its folder", "a folder"])
def test_answers_that_are_gone_beside_a_full_store_are_damage_and_the_advice_helps(store, tmp_path, how):
    store.put_object(b"paid for")
    store.close()
    database = store.folder / "answers" / "cache.db"
    for path in (store.folder / "answers").iterdir():
        path.unlink()
    if how == "emptied":
        database.touch()
    elif how == "a folder":
        database.mkdir()
    elif how == "without its folder":
        database.parent.rmdir()

    for opened in (Store, existing):
        with pytest.raises(
            InputError, match=r"answers: the database is damaged \(cache.db is .*; move that folder away"
        ):
            opened(store.folder)
    if database.parent.exists():
        database.parent.rename(tmp_path / "away")
    Store(store.folder, anew=True).close()  # as `ltgc cache import` opens it
    Store(store.folder).close()


@pytest.fixture
def answered(tmp_path) -> Path:
    """The database of a store that has an answer, and nothing else."""
    with closing(Store(tmp_path)) as store:
        store.add(key(drawing("a")), entry_for(drawing("a"), GeneratedImage(sha256="a" * 64)))
    return tmp_path / "answers" / "cache.db"


def dropped(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE Cache")


def replaced(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE Mine (value)")


def gone_but_for_its_log(path: Path) -> None:
    path.rename(path.with_name("cache.db-wal"))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (dropped, "has no table of answers"),
        (replaced, "has no table of answers"),
        (gone_but_for_its_log, "is gone, though its log is there"),
    ],
)
def test_answers_that_are_gone_from_a_store_of_nothing_else_are_damage_and_the_advice_helps(
    answered, tmp_path, damage, why
):
    damage(answered)
    for opened in (Store, existing):
        with pytest.raises(InputError, match=rf"answers: the database is damaged \(cache.db {why}\); move that folder"):
            opened(tmp_path)
    answered.parent.rename(tmp_path / "away")
    Store(tmp_path, anew=True).close()
    assert len(Store(tmp_path)) == 0


def test_an_import_takes_the_place_of_an_emptied_database(answered, tmp_path):
    answered.write_bytes(b"")
    Store(tmp_path, anew=True).close()
    Store(tmp_path).close()


def test_whoever_is_killed_while_it_makes_a_database_leaves_a_folder_that_is_new(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(database_module.os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            Store(tmp_path)
    assert not (tmp_path / "answers" / "cache.db").exists()
    assert len(Store(tmp_path)) == 0


def test_without_links_a_database_is_made_in_its_place(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(database_module.os, "link", none)
    with closing(Store(tmp_path)) as store:
        assert len(store) == 0
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_folder_without_locks_is_named_at_once(tmp_path, monkeypatch, number):
    def none(*_):
        raise OSError(number, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    with pytest.raises(OutputError, match=r"answers: locks do not work in this folder \(No locks available\)"):
        Store(tmp_path)


def test_a_store_that_has_only_notes_is_new(tmp_path):
    (tmp_path / "written.txt").write_text("a" * 64)
    (tmp_path / "artifacts" / "extend").mkdir(parents=True)
    Store(tmp_path).close()


def test_nothing_is_asked_whose_answer_could_not_be_kept(store, monkeypatch):
    def full(size):
        raise OutputError("the disk is full")

    monkeypatch.setattr(store._answers.reserve, "hold", full)
    asked = []
    with pytest.raises(OutputError, match="the disk is full"):
        cached(asked.append, store, GeneratedImage)(drawing("a"))
    assert asked == []


def test_an_image_that_comes_as_the_disk_fills_up_is_kept_in_the_room_that_was_held(store, monkeypatch):
    put = Store._put

    def full(store, path, *given, **named):
        if store._answers.reserve._held:
            raise OutputError(f"{path}: No space left on device")
        put(store, path, *given, **named)

    monkeypatch.setattr(Store, "_put", full)
    with store.room_for(2**16):
        sha256 = store.put_object(b"paid for")
    assert store.get_object(sha256) == b"paid for"


# --- objects


def test_bytes_lie_under_their_sha256_and_come_back(store):
    sha256 = store.put_object(b"a picture")

    assert sha256 == hashlib.sha256(b"a picture").hexdigest()
    assert store.object_path(sha256) == store.folder / "objects" / sha256[:2] / sha256
    assert store.get_object(sha256) == b"a picture"


def test_the_same_bytes_are_written_once(store):
    sha256 = store.put_object(b"a picture")
    before = store.object_path(sha256).stat()
    store.put_object(b"a picture")

    assert store.object_path(sha256).stat() == before


def test_what_lies_there_under_its_hash_is_not_read_again(store, monkeypatch):
    sha256 = store.put_object(b"a picture")
    monkeypatch.setattr(Path, "read_bytes", lambda path: 1 / 0)

    assert store.put_object(b"a picture") == sha256


def test_what_a_person_writes_to_a_photo_later_leaves_its_object_as_it_was(store, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"a picture")
    sha256 = store.put_object(b"a picture", tmp_path / "photo.jpg")
    with (tmp_path / "photo.jpg").open("r+b") as file:
        file.write(b"A")

    assert store.get_object(sha256) == b"a picture"


def test_bytes_that_are_not_what_their_name_says_are_an_error(store):
    sha256 = store.put_object(b"a picture")
    store.object_path(sha256).write_bytes(b"a pict")

    with pytest.raises(InputError, match="not what the name says; delete the file"):
        store.get_object(sha256)


def test_putting_bytes_mends_an_object_that_was_damaged(store):
    sha256 = store.put_object(b"a picture")
    store.object_path(sha256).write_bytes(b"")
    store.put_object(b"a picture")

    assert store.get_object(sha256) == b"a picture"


def test_a_missing_object_is_an_error_that_says_what_to_do(store):
    with pytest.raises(InputError, match="image cdcdcdcdcdcd… is not in the store .* use the --cache-dir"):
        store.get_object("cd" * 32)


@pytest.mark.parametrize(
    "name",
    ["", "../../../etc/passwd", "/etc/passwd", "ab" * 31 + "/a", "../" + "a" * 61, "AB" * 32, "a" * 65, "\0" * 64],
)
def test_a_name_that_is_no_sha256_is_refused(store, name):
    with pytest.raises(InputError, match="is no sha256"):
        store.get_object(name)


def test_an_entry_is_plain_json_that_other_tools_read(store, tmp_path):
    store.add("name", {"answer": {"text": "鶴"}})

    with closing(sqlite3.connect(database(tmp_path))) as connection:
        ((mode, text),) = connection.execute("SELECT mode, value FROM Cache").fetchall()
    assert (mode, json.loads(text)) == (1, {"answer": {"text": "鶴"}})
    assert "鶴" in text


def test_an_answer_cut_in_the_middle_of_an_emoji_is_kept(store):
    half = "\ud83d"  # what some servers send when max_tokens cuts a surrogate pair
    first = cached(lambda _: Answer(text=f"tall {half}"), store, Answer)(QUESTION)

    assert first == cached(lambda _: 1 / 0, store, Answer)(QUESTION) == Answer(text="tall ?")


def test_several_keys_are_looked_up_at_once(store):
    store.add("a1", {"request": {}, "answer": 1})

    assert store.held(["a1", "b2"]) == {"a1"}
