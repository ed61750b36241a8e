"""CLIP as a judge: scores, and the text of many that an image is nearest to, by a real open_clip model."""

from __future__ import annotations

import gc
import json
import random
import threading
import weakref
from pathlib import Path

import numpy
import pytest

from ltgc_cli.errors import InputError, Refused, Unreadable
from ltgc_cli.ports import Comparison, Match, NearestClass
from ltgc_cli.providers.clip import judge
from ltgc_cli.providers.clip import open_clip as clip
from ltgc_cli.providers.images import decode
from ltgc_cli.providers.opened import ClipOptions

NAMES = [f"{n:064x}" for n in range(8)]


def match(image: str, text: str = "A photo of the digit three.") -> Match:
    return Match(model="clip", image=image, text=text)


@pytest.fixture(scope="module")
def images(png):
    return {name: png((n * 30, 200 - n * 20, n * 10)) for n, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def score(clip_folder, images):
    return port(clip_folder, images)


def port(folder: Path, images: dict[str, bytes]):
    """A port that has seen nothing: ports of the same objects share what they have seen."""
    return score_port(folder, dict(images))


def score_port(folder: Path, images: dict[str, bytes], **options):
    options = ClipOptions(objects=images.__getitem__, device="cpu", **options)
    return judge.open_score(f"local-dir:{folder}", options).port


def compare_port(folder: Path, images: dict[str, bytes], **options):
    options = ClipOptions(objects=images.__getitem__, device="cpu", **options)
    return judge.open_compare(f"local-dir:{folder}", options).port


def test_a_score_is_the_cosine_that_plain_open_clip_gives(clip_folder, images, score):
    import io

    import open_clip
    import torch
    from PIL import Image

    name = f"local-dir:{clip_folder}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    image, text = NAMES[3], "A photo of a crane (bird)."
    with torch.no_grad():
        seen = model.encode_image(preprocess(Image.open(io.BytesIO(images[image]))).unsqueeze(0), normalize=True)
        read = model.encode_text(open_clip.get_tokenizer(name)([text]), normalize=True)

    assert score([match(image, text)]) == [pytest.approx(float(seen @ read.T), abs=1e-6)]


def test_a_score_does_not_depend_on_its_batch(clip_folder, images):
    matches = [match(image, f"A photo of {n} birds.") for n, image in enumerate(NAMES)]
    # A port of its own each time: what one remembers would hide a difference.
    alone = [port(clip_folder, images)([one])[0] for one in matches]

    assert port(clip_folder, images)(matches) == pytest.approx(alone, abs=1e-5)
    assert len(set(alone)) == len(alone)


@pytest.fixture
def computed(monkeypatch):
    """How many images, and how many texts, the model sees in each call."""
    computed = {"encode_image": [], "encode_text": []}
    load = clip.load

    def counted(spec, device="cpu", notice=None):
        loaded = load(spec, device)
        for name, sizes in computed.items():
            encode = getattr(loaded.model, name)
            monkeypatch.setattr(loaded.model, name, lambda x, f=encode, to=sizes: to.append(len(x)) or f(x))
        return loaded

    monkeypatch.setattr(judge, "load", counted)
    return computed


def test_each_image_and_text_is_computed_once(clip_folder, images, computed):
    score = port(clip_folder, images)
    two, texts = NAMES[:2], ["one", "two", "three"]

    score([match(image, text) for image in two for text in texts])
    score([match(image, text) for image in two for text in texts])

    assert computed == {"encode_image": [2], "encode_text": [1, 1, 1]}


@pytest.mark.parametrize(("batch", "sizes"), [(3, [3, 3, 2]), (8, [8]), (100, [8])])
def test_no_batch_is_larger_than_wanted(clip_folder, images, computed, batch, sizes):
    kept = dict(images)
    score = score_port(clip_folder, kept, batch=batch)
    score([match(image) for image in NAMES])

    assert computed["encode_image"] == sizes


def test_the_next_batch_is_read_while_the_model_has_one(clip_folder, images, monkeypatch):
    third_is_read, waited = threading.Event(), []
    encode = clip.features

    def objects(image):
        if image == NAMES[2]:
            third_is_read.set()
        return images[image]

    def features(*args):
        waited.append(third_is_read.wait(5))
        return encode(*args)

    monkeypatch.setattr(judge, "features", features)
    judge.see(clip.load(f"local-dir:{clip_folder}"), NAMES[:4], objects, batch=2)

    assert waited == [True, True]


def test_images_are_prepared_as_the_model_s_own_preprocessing_does(clip_folder, images):
    loaded = clip.load(f"local-dir:{clip_folder}")
    seen = judge.see(loaded, NAMES, images.__getitem__)
    expected = clip.encode_images(loaded, [decode(images[name]) for name in NAMES])

    assert [one.tolist() for one in seen] == expected.tolist()


def test_a_preprocessing_of_another_kind_is_used_as_it_is(clip_folder, images):
    loaded = clip.load(f"local-dir:{clip_folder}")
    own = loaded._replace(preprocess=lambda image: loaded.preprocess(image).flip(0))
    expected = clip.encode_images(own, [decode(images[name]) for name in NAMES])

    assert [one.tolist() for one in judge.see(own, NAMES, images.__getitem__)] == expected.tolist()


def test_what_is_remembered_is_bounded_and_still_right():
    asked: list[str] = []
    upper = judge.remembering(lambda keys: asked.extend(keys) or [key.upper() for key in keys], keep=2)

    assert upper(["a", "b", "c"]) == {"a": "A", "b": "B", "c": "C"}
    assert upper(["a", "c"]) == {"a": "A", "c": "C"}
    assert asked == ["a", "b", "c", "a"]


def test_a_broken_image_is_refused_in_its_place_and_the_others_are_scored(clip_folder, png):
    broken = {"b" * 64: b"", "c" * 64: b"no image", "d" * 64: png((1, 2, 3))[:60]}
    good = "a" * 64
    score = port(clip_folder, {good: png((9, 9, 9)), **broken})

    first, *refused, last = score([match(good), *map(match, broken), match(good)])

    assert isinstance(first, float) and first == last
    assert [type(answer) for answer in refused] == [Unreadable] * 3
    assert "image bbbbbbbbbbbb cannot be read" in str(refused[0])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_every_kind_of_image_is_scored(clip_folder, png, mode):
    (value,) = port(clip_folder, {"a": png((90, 9, 9), mode=mode)})([match("a")])

    assert isinstance(value, float)


def test_text_longer_than_the_model_reads_is_cut(score):
    (value,) = score([match(NAMES[0], "word " * 500)])

    assert -1 <= value <= 1


# --- the nearest of many texts


TEXTS = [f"A photo of {n} {kind}." for n in range(40) for kind in ("cranes", "herons")]


def listed(kept, texts=TEXTS, name="f" * 64):
    kept[name] = json.dumps(texts).encode()
    return name


def rival(image: str, own: str, among: str) -> Comparison:
    return Comparison(model="clip", image=image, own=own, among=among)


def test_the_nearest_other_text_is_that_of_a_loop_over_all(clip_folder, images):
    loaded = clip.load(f"local-dir:{clip_folder}")
    kept = dict(images)
    among = listed(kept)
    seen = clip.encode_images(loaded, [decode(images[name]) for name in NAMES]).numpy().astype(numpy.float64)
    read = clip.encode_texts(loaded, TEXTS).numpy().astype(numpy.float64)
    # Each image's best text is its own now and then, so that leaving it out makes a difference.
    own = [TEXTS[int((read @ image).argmax())] if n % 2 else TEXTS[n] for n, image in enumerate(seen)]

    answers = compare_port(clip_folder, kept)([rival(*pair, among) for pair in zip(NAMES, own, strict=True)])

    for image, mine, answer in zip(seen, own, answers, strict=True):
        cosines = {}
        for text, features in zip(TEXTS, read, strict=True):
            if text != mine:
                cosines[text] = float(image @ features)
        best = max(cosines.values())
        assert answer.cosine == pytest.approx(best, abs=2e-6) and answer.text != mine
        assert cosines[answer.text] == pytest.approx(best, abs=2e-6)
        assert answer.cosine == round(answer.cosine, 6)


def test_rivals_of_several_lists_are_answered_in_their_order_in_any_batch(clip_folder, images):
    kept = dict(images)
    lists = [listed(kept, TEXTS[:30], "e" * 64), listed(kept, TEXTS[30:], "d" * 64)]
    rng = random.Random(0)
    rivals = [rival(rng.choice(NAMES), rng.choice(TEXTS), rng.choice(lists)) for _ in range(200)]
    compare = compare_port(clip_folder, kept)

    together = compare(rivals)
    alone = [compare([one])[0] for one in rivals]
    assert [answer.text for answer in alone] == [answer.text for answer in together]
    assert [answer.cosine for answer in alone] == pytest.approx([answer.cosine for answer in together], abs=2e-6)
    for one, answer in zip(rivals, together, strict=True):
        assert (answer.text in TEXTS[:30]) == (one.among == lists[0])


def test_the_texts_of_a_list_are_computed_once(clip_folder, images, computed):
    kept = dict(images)
    compare = compare_port(clip_folder, kept)
    for image in NAMES:
        compare([rival(image, TEXTS[0], listed(kept))])

    assert computed == {"encode_image": [1] * 8, "encode_text": [64, 16]}


def test_score_and_compare_share_the_model_and_what_it_has_seen(clip_folder, images, computed):
    kept = dict(images)
    score = score_port(clip_folder, kept)
    compare = compare_port(clip_folder, kept)
    score([match(image) for image in NAMES])
    compare([rival(image, TEXTS[0], listed(kept)) for image in NAMES])

    assert computed["encode_image"] == [8]


def test_a_model_that_no_port_needs_any_more_is_let_go(clip_folder, images, monkeypatch):
    models = []
    load = clip.load
    monkeypatch.setattr(judge, "load", lambda *args: models.append(load(*args)) or models[-1])
    score = port(clip_folder, images)
    score([match(NAMES[0])])
    model = weakref.ref(models.pop().model)
    assert model() is not None

    del score
    gc.collect()
    assert model() is None


def test_of_two_texts_that_are_equally_near_the_first_is_the_nearest():
    import torch

    texts = judge.Listed(["a", "b", "c", "b"], torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))
    image = torch.tensor([0.6, 0.8])

    assert judge.nearest(texts, [image] * 4, ["none", "a", "b", "c"]) == [
        NearestClass(text="a", cosine=0.8),
        NearestClass(text="b", cosine=0.6),
        NearestClass(text="a", cosine=0.8),
        NearestClass(text="a", cosine=0.8),
    ]


def test_where_there_is_no_other_text_or_no_image_it_is_refused_in_its_place(clip_folder, images):
    kept = {**images, "b" * 64: b"no image"}
    compare = compare_port(clip_folder, kept)
    alone, many = listed(kept, ["mine", "mine"], "1" * 64), listed(kept, TEXTS, "3" * 64)
    rivals = [rival(NAMES[0], "mine", alone), rival("b" * 64, "mine", many), rival(NAMES[0], "mine", many)]

    *refused, good = compare(rivals)
    assert [type(answer) for answer in refused] == [Refused, Unreadable]
    assert "no other text" in str(refused[0]) and "image bbbbbbbbbbbb cannot be read" in str(refused[1])
    assert isinstance(good, NearestClass)


@pytest.mark.parametrize("data", [b"", b"[]", b"[1]", b'{"a": 1}', b"\xff"])
def test_a_list_that_is_none_is_an_input_error(clip_folder, images, data):
    with pytest.raises(InputError, match="no list of texts"):
        compare_port(clip_folder, {**images, "9" * 64: data})([rival(NAMES[0], "mine", "9" * 64)])


# --- the nearest of many images


def likeness(image: str, among: str) -> Comparison:
    return Comparison(model="clip", image=image, own=image, among=among, of="images")


def test_the_nearest_other_image_is_that_of_a_loop_over_all_in_float64(clip_folder, images):
    loaded = clip.load(f"local-dir:{clip_folder}")
    kept = dict(images)
    among = listed(kept, NAMES[:5])
    seen = clip.encode_images(loaded, [decode(images[name]) for name in NAMES]).numpy().astype(numpy.float64)

    answers = compare_port(clip_folder, kept)([likeness(name, among) for name in NAMES])

    for image, mine, answer in zip(seen, NAMES, answers, strict=True):
        cosines = {name: float(image @ other) for name, other in zip(NAMES[:5], seen, strict=False) if name != mine}
        assert answer.cosine == pytest.approx(max(cosines.values()), abs=2e-6)
        assert cosines[answer.text] == pytest.approx(max(cosines.values()), abs=2e-6)


def test_the_same_pixels_in_another_file_are_found(clip_folder, images):
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(images[NAMES[1]])).save(file, "BMP")
    kept = dict(images) | {"a" * 64: file.getvalue()}
    (answer,) = compare_port(clip_folder, kept)([likeness("a" * 64, listed(kept, NAMES))])

    assert answer.text == NAMES[1] and answer.cosine > 0.9999


def test_an_image_of_a_list_that_cannot_be_read_is_left_out(clip_folder, images):
    kept = dict(images) | {NAMES[0]: b"no image"}
    compare = compare_port(clip_folder, kept)
    (some,) = compare([likeness(NAMES[1], listed(kept, NAMES[:3], "f" * 64))])
    (none,) = compare([likeness(NAMES[1], listed(kept, NAMES[:1], "e" * 64))])

    assert some.text == NAMES[2] and isinstance(none, Refused)


def test_a_list_of_images_is_not_taken_for_the_same_list_of_texts(clip_folder, images):
    kept = dict(images)
    among = listed(kept, NAMES[:3])
    compare = compare_port(clip_folder, kept)
    by_text, by_image = compare([rival(NAMES[5], "", among), likeness(NAMES[5], among)])

    assert by_text.cosine != by_image.cosine


# --- a text of several lines


def test_a_text_of_several_lines_is_the_mean_of_them_in_float64(clip_folder, images):
    loaded = clip.load(f"local-dir:{clip_folder}")
    lines = ["A photo of a crane.", "A photo of a crane with a red cap."]
    mean = clip.encode_texts(loaded, lines).numpy().astype(numpy.float64).mean(axis=0)
    (seen,) = clip.encode_images(loaded, [decode(images[NAMES[2]])]).numpy().astype(numpy.float64)
    cosine = float(seen @ mean / numpy.linalg.norm(mean))
    kept = dict(images)
    both = "\n".join(lines)

    assert score_port(clip_folder, kept)([match(NAMES[2], both)]) == [pytest.approx(cosine, abs=2e-6)]
    among = listed(kept, ["own", both])
    (answer,) = compare_port(clip_folder, kept)([rival(NAMES[2], "own", among)])
    assert answer == NearestClass(text=both, cosine=pytest.approx(cosine, abs=2e-6))
