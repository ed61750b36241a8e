"""CLIP loaded by open_clip: what a spec names, and that its own weights are in it."""

from __future__ import annotations

import json
import shutil

import pytest

from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.providers.clip import open_clip as clip
from ltgc_cli.providers.images import decode


def test_features_are_normalised(clip_folder, png):
    loaded = clip.load(f"local-dir:{clip_folder}")
    seen = clip.encode_images(loaded, [decode(png((n * 30, 200 - n * 20, n * 10))) for n in range(8)])
    texts = clip.encode_texts(loaded, ["a", "b"])

    assert seen.shape == (8, 16) and texts.shape == (2, 16)
    assert seen.norm(dim=1).tolist() == pytest.approx([1] * 8)
    assert not seen.requires_grad and not seen.is_inference()


@pytest.fixture
def folder(tmp_path, clip_folder):
    """A copy of the model's folder."""
    return shutil.copytree(clip_folder, tmp_path / "clip")


def weights(folder, name):
    (folder / "open_clip_model.safetensors").rename(folder / name)


@pytest.mark.parametrize("use", [clip.identity, clip.load])
def test_a_folder_without_weights_is_an_error_and_never_a_random_model(folder, use):
    (folder / "open_clip_model.safetensors").unlink()

    with pytest.raises(ProviderError, match="has no weights of a CLIP model; it needs open_clip_model.safetensors"):
        use(f"local-dir:{folder}")


def test_an_adapter_is_not_taken_for_the_weights(folder):
    weights(folder, "adapter_model.safetensors")

    with pytest.raises(
        ProviderError, match=r"no weights of a CLIP model, only an adapter \(adapter_model.safetensors\)"
    ):
        clip.load(f"local-dir:{folder}")


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "model.safetensors"])
def test_an_adapter_beside_the_weights_is_left_alone(folder, name):
    weights(folder, name)
    (folder / "adapter_model.safetensors").write_bytes(b"of another model")

    assert clip.load(f"local-dir:{folder}").model is not None


def test_an_adapter_that_open_clip_would_prefer_to_the_weights_is_an_error(folder):
    weights(folder, "best.safetensors")
    assert clip.load(f"local-dir:{folder}").model is not None
    (folder / "adapter_model.safetensors").write_bytes(b"of another model")

    with pytest.raises(
        ProviderError, match="would take adapter_model.safetensors .*rename best.safetensors to open_clip"
    ):
        clip.load(f"local-dir:{folder}")


@pytest.mark.parametrize("damage", [b"", b"no weights", None])
def test_weights_that_are_damaged_are_an_error_in_one_line(folder, damage):
    path = folder / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000] if damage is None else damage)

    with pytest.raises(
        ProviderError, match="cannot be loaded: .*; the folder needs open_clip_config.json and"
    ) as raised:
        clip.load(f"local-dir:{folder}")
    assert "\n" not in str(raised.value)


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


def test_unknown_weights_are_an_error_that_lists_those_of_the_model():
    with pytest.raises(ProviderError, match="of ViT-B-32 it has: openai, laion400m_e31, .*; write embedded, MODEL/PRE"):
        clip.load("ViT-B-32/no-such-weights")


@pytest.mark.parametrize(("tag", "activation"), [("openai", "QuickGELU"), ("laion2b", "GELU")])
def test_weights_get_the_activation_that_they_were_trained_with(clip_folder, tmp_path, monkeypatch, tag, activation):
    from open_clip import factory, pretrained

    config = json.loads((clip_folder / "open_clip_config.json").read_text())["model_cfg"]
    file = str(clip_folder / "open_clip_model.safetensors")
    tags = {"openai": {"file": file, "quick_gelu": True}, "laion2b": {"file": file}}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-tiny", config)
    monkeypatch.setitem(pretrained._PRETRAINED, "ViT-tiny", tags)

    loaded = clip.load(f"ViT-tiny/{tag}")

    assert type(loaded.model.visual.transformer.resblocks[0].mlp.gelu).__name__ == activation
    assert type(loaded.model.transformer.resblocks[0].mlp.gelu).__name__ == activation


@pytest.mark.parametrize(
    ("name", "tag", "quick"),
    [
        ("ViT-B-32", "openai", True),
        ("ViT-L-14", "openai", True),
        ("ViT-B-32", "laion2b_s34b_b79k", False),
        ("ViT-B-32-quickgelu", "metaclip_400m", True),
        ("ViT-SO400M-14-SigLIP-384", "webli", False),
    ],
)
def test_open_clip_s_own_table_says_which_weights_want_quickgelu(name, tag, quick):
    assert clip._quick_gelu(name, tag) is quick


def test_models_of_the_hub_are_called_what_the_hub_calls_them():
    assert clip.identity("hf-hub:laion/CLIP") == "hf-hub:laion/CLIP"
    assert clip.identity("ViT-B-32/openai") == "ViT-B-32/openai"
