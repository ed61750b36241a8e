"""What a worker answers, and what a session makes of workers; Ray itself is in tests/pipeline/test_ray.py."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from types import SimpleNamespace

import msgspec
import pytest

from ltgc_cli.config import configure
from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.keys import key
from ltgc_cli.pipeline.session import Session
from ltgc_cli.ports import Comparison, GeneratedImage, ImageRequest, Match
from ltgc_cli.providers.t2i.blank import painted
from ltgc_cli.providers.workers import joining, pool
from ltgc_cli.providers.workers.worker import Held, PortWanted, Worker
from ltgc_cli.settings import Workers
from ltgc_cli.store import Store

BLANK = PortWanted("generate", "blank", "blank", (("batch", 4),))


def requests(count: int) -> list[ImageRequest]:
    return [ImageRequest(model="blank", text=f"A photo of crane {n}.", seed=n) for n in range(count)]


# --- a worker


def test_a_worker_sends_back_the_bytes_of_what_it_made_and_keeps_none() -> None:
    worker = Worker()
    answered = worker.answer(BLANK, requests(2), [])
    assert [image.sha256 for image in answered.answers] == [Held().add(data) for data in answered.images]
    assert answered.images == [painted(one) for one in requests(2)]
    assert len(worker._held) == 0


def test_what_ends_a_run_comes_back_as_an_answer_in_its_own_words() -> None:
    other = Worker().answer(BLANK._replace(model="blank@other"), requests(1), [])
    assert isinstance(other.answers, ProviderError)
    assert str(other.answers).startswith("blank is another model where a worker runs (blank) than here (blank@other)")


def test_what_nobody_foresaw_refuses_the_one_image_that_it_is_about(monkeypatch) -> None:
    def painting(spec: str, keep, **_):
        def port(several):
            if any(one.seed == 1 for one in several):
                raise KeyError("prompt")
            return [GeneratedImage(sha256=keep(painted(one))) for one in several]

        return "blank", port

    monkeypatch.setitem(vars(sys.modules[Worker.__module__])["_OPEN"], "generate", painting)
    answers = Worker().answer(BLANK, requests(3), []).answers
    assert [isinstance(one, GeneratedImage) for one in answers] == [True, False, True]
    assert str(answers[1]) == "the provider failed in a way that ltgc does not know (KeyError: 'prompt')"


def test_bytes_that_two_batches_need_are_held_until_both_are_done() -> None:
    held = Held()
    name = held.add(b"photo")
    held.add(b"photo")
    held.drop(name)
    assert held.get(name) == b"photo"
    held.drop(name)
    assert len(held) == 0


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (ImageRequest(model="m", text="t", seed=0), ()),
        (ImageRequest(model="m", text="t", seed=0, original="a"), ("a",)),
        ("b", ("b",)),
    ],
)
def test_a_worker_is_sent_the_objects_that_a_request_names(request_, names) -> None:
    assert pool.shown(request_) == names


def test_paths_name_the_same_files_in_another_folder_and_names_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "embedded").mkdir()
    assert pool._placed_spec("generate", "model") == str(tmp_path / "model")
    assert pool._placed_spec("encode", "local-dir:model") == f"local-dir:{tmp_path / 'model'}"
    names = ["embedded", "stabilityai/sd-turbo"]
    assert [pool._placed_spec("generate", name) for name in names] == names


# --- a session with workers


class TwoWorkers:
    """Stands for Ray's: each batch is answered by a worker in this process; what was asked is in `seen`."""

    def __init__(self, settings: Workers, notice: object) -> None:
        self.worker, self.seen, self.now, self.most = Worker(), [], 0, 0
        self.fails_at = -1
        self.lock = threading.Lock()
        self.closed = False

    def answer(self, wanted, asked, images):
        with self.lock:
            self.seen.append(list(asked))
            failing = len(self.seen) == self.fails_at
            self.now += 1
            self.most = max(self.most, self.now)
        if failing:
            self.others_are_kept()
            raise ProviderError("no worker is left")
        answered = self.worker.answer(wanted, asked, images)
        with self.lock:
            self.now -= 1
        return answered

    def close(self):
        self.closed = True


@pytest.fixture
def session(store, monkeypatch):
    monkeypatch.setattr(pool, "Pool", TwoWorkers)
    return Session(store, engine=Workers(engine="ray", workers=2))


def test_workers_give_what_this_process_gives_in_the_order_asked(session, tmp_path) -> None:
    asked = requests(11)
    here = Session(tmp_path / "other").generate("blank", batch=4)
    there = session.generate("blank", batch=4)
    assert there.model == here.model
    assert list(there.port(asked)) == list(here.port(asked))
    assert sorted(map(len, session._workers._pool.seen)) == [3, 4, 4]
    assert session.store.get_object(there.port(asked[:1])[0].sha256) == painted(asked[0])
    assert len(session._workers._pool.seen) == 3, "an answer from the store asks no worker"


def test_what_is_asked_twice_at_once_is_generated_once(session) -> None:
    one, same = session.generate("blank", batch=1).port(requests(1) * 2)
    assert one == same and len(session._workers._pool.seen) == 1


def test_no_more_batches_are_under_way_than_the_workers_take(session) -> None:
    session.generate("blank", batch=1).port(requests(100))
    assert session._workers._pool.most <= pool.calls_at_once(Workers(workers=2)) == 4


def test_each_batch_is_kept_as_it_comes(session) -> None:
    def others_are_kept():
        while len(session.store) < 4:
            time.sleep(0.01)

    session._workers._pool.fails_at, session._workers._pool.others_are_kept = 3, others_are_kept
    generate = session.generate("blank", batch=2).port
    with pytest.raises(ProviderError, match="no worker is left"):
        generate(requests(40))
    asked_before = [one for one in requests(40) if key(one) in session.store]
    assert len(asked_before) >= 4
    session._workers._pool.seen.clear()
    generate(asked_before)
    asked_again = [one for batch in session._workers._pool.seen for one in batch if one in asked_before]
    assert asked_again == []  # a batch that was under way may still be asked behind the error


def test_an_image_that_a_worker_was_refused_is_refused_here_and_the_others_stay(session, monkeypatch) -> None:
    def answer(wanted, asked, images):
        answered = session._workers._pool.worker.answer(wanted, asked, images)
        return answered._replace(answers=[Refused("held back")] * len(asked))

    monkeypatch.setattr(session._workers._pool, "answer", answer)
    (refused,) = session.generate("blank", batch=1).port(requests(1))
    assert isinstance(refused, Refused) and len(session.store) == 0


def test_image_apis_and_recordings_are_asked_by_this_process(session) -> None:
    assert not pool.spreads("litellm:gpt-image-1") and not pool.spreads("replay:answers.jsonl")
    assert session.at_once("litellm:gpt-image-1", 32) == 32
    assert session.at_once("stabilityai/sd-turbo", 32) == 32 * 2 * 2


def test_a_session_ends_its_workers(session) -> None:
    session.close()
    assert session._workers._pool.closed


def test_workers_encode_images_and_each_once_for_its_score_and_its_comparison(session, tmp_path) -> None:
    here = Session(tmp_path / "other")
    texts = [f"A photo of the digit {name}." for name in ("three", "seven")]
    found = []
    for one in (here, session):
        images = [one.keep(painted(request)) for request in requests(5)]
        among = one.keep(msgspec.json.encode(texts))
        clip, score = one.score("embedded", batch=2, device=None)
        compare = one.compare("embedded", batch=2, device=None).port
        scores = list(score([Match(model=clip, image=image, text=texts[0]) for image in images]))
        some = [Comparison(model=clip, image=image, own=texts[0], among=among) for image in images[1:4]]
        found.append((clip, scores, list(compare(some))))
    assert found[0] == found[1]
    assert sorted(map(len, session._workers._pool.seen)) == [1, 2, 2]


# --- settings, and what is said


def test_who_answers_is_in_no_artifacts_hash() -> None:
    config = configure(
        "render", {"engine": "ray", "workers": 4, "num_gpus": 0.5, "ray_address": "auto"}, environment={}
    )
    assert config.hashed(Workers) == {}


def test_ray_is_left_also_where_no_worker_could_be_had_of_it(monkeypatch) -> None:
    left = []
    monkeypatch.setattr(pool, "check", lambda _: None)
    monkeypatch.setattr(pool, "connect", lambda *_: lambda: left.append("left"))
    monkeypatch.setattr(pool, "needed", lambda *_, **__: 1 / 0)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(cluster_resources=dict))
    workers = pool.Pool(Workers(engine="ray"), print)

    with pytest.raises(ZeroDivisionError):
        workers.answer(BLANK, requests(1), [])
    workers.close()
    assert left == ["left"]


def test_without_ray_it_is_a_sentence_before_anything_is_asked(inside, monkeypatch, tmp_path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else found(name, *more))
    (tmp_path / "in.jsonl").write_text('{"kind":"class","label":0,"class":"crane","tail":true}\n')
    for command in ("render", "filter"):
        ran = inside(command, "-i", "in.jsonl", "--engine", "ray")
        assert (ran.code, ran.err) == (2, "ltgc: --engine ray needs one more package: pip install 'ltgc[ray]'\n")


def test_more_workers_than_this_machine_can_start_are_refused_before_anything_is_asked(monkeypatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with pytest.raises(InputError, match=r"--workers 200: this machine has 2 cores, and starts 16 workers at the most"):
        pool.check(Workers(workers=200))
    pool.check(Workers(workers=16))
    pool.check(Workers(workers=200, ray_address="auto"))


def test_nobody_who_gives_up_waits_for_ray_to_start(monkeypatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(joining, "_init", lambda *_: never.wait())
    workers = pool.Pool(Workers(), notice=print)
    asking = threading.Thread(target=lambda: pytest.raises(ProviderError, workers.answer, BLANK, requests(1), []))
    asking.start()
    workers.close()
    asking.join(5)
    assert not asking.is_alive()
    never.set()


@pytest.mark.parametrize("port", ["99999", "9" * 5000, "²", ""])
def test_a_port_that_cannot_be_is_said(port):
    with pytest.raises(InputError, match="write auto, or HOST:PORT"):
        joining.reach(f"a:{port}")


def test_an_address_that_is_none_says_what_is_wanted() -> None:
    with pytest.raises(InputError, match=r"write auto, or HOST:PORT of the head"):
        joining.reach("ray://cluster")


def test_no_room_says_what_a_worker_takes_and_what_is_free() -> None:
    said = pool._no_place(pool.Need("GPU", 1.0), {"GPU": 2.0, "CPU": 8.0}, {"CPU": 8.0})
    assert "it takes 1 GPU, and of 2 in all 0 are free" in said


def test_images_generated_by_workers_are_found_again_without_them(session, store) -> None:
    made = session.generate("blank", batch=2).port(requests(3))
    here = Session(store)
    assert list(here.generate("blank", batch=2).port(requests(3))) == list(made)
    assert here.meter.asked == {} and all(isinstance(one, GeneratedImage) for one in made)
    assert isinstance(here.store, Store)
