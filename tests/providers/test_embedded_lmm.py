from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ltgc_cli.embedded.banks import WRITTEN
from ltgc_cli.errors import ProviderError, Refused
from ltgc_cli.ports import Question
from ltgc_cli.providers.clip import open_clip as clip
from ltgc_cli.providers.images import decode
from ltgc_cli.providers.llm import embedded, embedded_lmm

THREE = "three (written digit)"


@pytest.fixture(scope="module")
def images(png):
    return {str(n): png((40 * n, 255 - 30 * n, 90)) for n in range(6)} | {"broken": b"no image"}


@pytest.fixture
def ask(clip_folder, images):
    return embedded_lmm.ask_port(objects=images.__getitem__, spec=f"local-dir:{clip_folder}", device="cpu")


def question(*images: str, subject: str = THREE, task: str = "describe") -> Question:
    return Question(model="embedded/lmm", task=task, subject=subject, text="Please …", images=images)


def test_it_says_the_phrases_that_clip_finds_likeliest_in_the_image(ask, clip_folder, images):
    answer = ask(question("3")).text

    loaded = clip.load(f"local-dir:{clip_folder}")
    seen = clip.encode_images(loaded, [decode(images["3"])])
    likeliest = {
        phrases[int((clip.encode_texts(loaded, [f"A photo of {THREE}, {p}." for p in phrases]) @ seen.T).argmax())]
        for phrases in WRITTEN.values()
    }
    said = embedded.features(answer, WRITTEN)
    assert answer == embedded.sentence(THREE, list(said.values()))
    assert len(said) == 4 and set(said.values()) <= likeliest


def test_of_many_threads_each_gets_its_own_images_answer(ask):
    alone = [ask(question(str(n))).text for n in range(6)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda n: ask(question(str(n))).text, list(range(6)) * 4))

    assert together == alone * 4


def test_the_phrases_are_encoded_once_a_class(ask, monkeypatch):
    encoded: list[str] = []
    encode = clip.encode_texts
    monkeypatch.setattr(clip, "encode_texts", lambda loaded, texts: encoded.extend(texts) or encode(loaded, texts))

    for image in "012":
        ask(question(image))

    assert len(encoded) == len(set(encoded)) == sum(map(len, WRITTEN.values()))


def test_a_broken_image_is_refused(ask):
    with pytest.raises(Refused, match="cannot be read"):
        ask(question("broken"))


@pytest.mark.parametrize("images", [(), ("1", "2")])
def test_it_looks_at_one_image_at_a_time(ask, images):
    with pytest.raises(Refused, match="one image at a time"):
        ask(question(*images))


def test_it_only_describes(ask):
    with pytest.raises(ProviderError, match="ask extend of --llm"):
        ask(question("1", task="extend"))
