from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import Match
from ltgc_cli.providers.clip import open_clip as clip
from ltgc_cli.providers.images import decode

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
    return clip.score_port(f"local-dir:{folder}", objects=images.__getitem__, device="cpu")


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


def test_each_image_and_text_is_computed_once(clip_folder, images, monkeypatch):
    computed: list[int] = []
    for name in ("encode_images", "encode_texts"):
        encode = getattr(clip, name)
        monkeypatch.setattr(clip, name, lambda loaded, items, f=encode: computed.append(len(items)) or f(loaded, items))
    score = port(clip_folder, images)
    two, texts = NAMES[:2], ["one", "two", "three"]

    score([match(image, text) for image in two for text in texts])
    score([match(image, text) for image in two for text in texts])

    assert computed == [2, 3]


def test_what_is_remembered_is_bounded_and_still_right():
    asked: list[str] = []
    upper = clip.remembering(lambda keys: asked.extend(keys) or [key.upper() for key in keys], keep=2)

    assert upper(["a", "b", "c"]) == {"a": "A", "b": "B", "c": "C"}
    assert upper(["a", "c"]) == {"a": "A", "c": "C"}
    assert asked == ["a", "b", "c", "a"]


def test_a_broken_image_is_refused_in_its_place_and_the_others_are_scored(clip_folder, png):
    broken = {"b" * 64: b"", "c" * 64: b"no image", "d" * 64: png((1, 2, 3))[:60]}
    good = "a" * 64
    score = port(clip_folder, {good: png((9, 9, 9)), **broken})

    first, *refused, last = score([match(good), *map(match, broken), match(good)])

    assert isinstance(first, float) and first == last
    assert [type(answer) for answer in refused] == [Refused] * 3
    assert "image bbbbbbbbbbbb cannot be read" in str(refused[0])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_every_kind_of_image_is_scored(clip_folder, png, mode):
    (value,) = port(clip_folder, {"a": png((90, 9, 9), mode=mode)})([match("a")])

    assert isinstance(value, float)


def test_text_longer_than_the_model_reads_is_cut(score):
    (value,) = score([match(NAMES[0], "word " * 500)])

    assert -1 <= value <= 1


def test_features_are_normalised(clip_folder, images):
    loaded = clip.load(f"local-dir:{clip_folder}")
    seen = clip.encode_images(loaded, [decode(data) for data in images.values()])
    texts = clip.encode_texts(loaded, ["a", "b"])

    assert seen.shape == (8, 16) and texts.shape == (2, 16)
    assert seen.norm(dim=1).tolist() == pytest.approx([1] * 8)
    assert not seen.requires_grad and not seen.is_inference()


def test_a_folder_without_weights_is_an_error_and_never_a_random_model(tmp_path, clip_folder):
    shutil.copy(clip_folder / "open_clip_config.json", tmp_path)

    with pytest.raises(ProviderError, match="cannot be loaded: .*; the folder needs open_clip_config.json and"):
        clip.load(f"local-dir:{tmp_path}")


def test_weights_that_do_not_fit_are_an_error(tmp_path, clip_folder):
    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((clip_folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 24
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))

    with pytest.raises(ProviderError) as raised:
        clip.load(f"local-dir:{tmp_path}")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_a_folder_that_is_no_model_is_an_error(tmp_path):
    with pytest.raises(ProviderError, match="no folder of a CLIP model"):
        clip.identity(f"local-dir:{tmp_path}")


def test_loading_is_quiet(clip_folder, capfd, monkeypatch):
    import logging

    monkeypatch.setattr(logging.root, "handlers", [])
    clip.load(f"local-dir:{clip_folder}")

    assert capfd.readouterr() == ("", "")
    assert logging.root.handlers == [] and logging.root.manager.disable == logging.NOTSET


def test_the_identity_is_what_the_folder_holds_and_never_where_it_lies(tmp_path, clip_folder):
    name = clip.identity(f"local-dir:{clip_folder}")
    copy = tmp_path / "elsewhere"
    shutil.copytree(clip_folder, copy)
    (copy / "README.md").write_text("a model card")

    assert clip.identity(f"local-dir:{copy}") == name
    assert name.startswith("clip@") and len(name) == len("clip@") + 12 and "/" not in name
    (copy / "open_clip_config.json").write_text("{}")
    assert clip.identity(f"local-dir:{copy}") != name


@pytest.mark.parametrize("spec", ["", "ViT-B-32", "ViT-B-32/", "/laion2b", "hf-hub:", "openai:x/y", "ViT-B-32/a/b.pt"])
def test_a_spec_that_is_none_is_an_input_error(spec):
    with pytest.raises(InputError, match="local-dir:"):
        clip.identity(spec)


def test_an_unknown_model_is_an_input_error():
    with pytest.raises(InputError, match="open_clip knows no model 'ViT-Z-1'"):
        clip.load("ViT-Z-1/openai")


def test_unknown_weights_are_a_provider_error_that_says_what_can_be_written():
    with pytest.raises(ProviderError, match="write embedded, MODEL/PRETRAINED"):
        clip.load("ViT-B-32/no-such-weights")


def test_models_of_the_hub_are_called_what_the_hub_calls_them():
    assert clip.identity("hf-hub:laion/CLIP") == "hf-hub:laion/CLIP"
    assert clip.identity("ViT-B-32/openai") == "ViT-B-32/openai"
