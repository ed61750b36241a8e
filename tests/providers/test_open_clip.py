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


def test_on_a_gpu_convolutions_keep_all_of_a_float32_while_clip_computes():
    import torch

    before = torch.backends.cudnn.allow_tf32
    with clip._exactly("cuda:0"):
        assert torch.backends.cudnn.allow_tf32 is False and torch.backends.cudnn.enabled
    assert torch.backends.cudnn.allow_tf32 is before


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


# ---- weights in a file


@pytest.fixture
def architecture(clip_folder, monkeypatch):
    """A function that makes the test's model one of open_clip's, under these names and with these published weights."""

    def architecture(*names, **tags):
        from open_clip import factory, pretrained

        config = json.loads((clip_folder / "open_clip_config.json").read_text())["model_cfg"]
        for name in names:
            quick = {"quick_gelu": True} if name.endswith("-quickgelu") else {}
            monkeypatch.setitem(factory._MODEL_CONFIGS, name, config | quick)
            monkeypatch.setitem(pretrained._PRETRAINED, name, tags)

    return architecture


@pytest.fixture
def weights_file(tmp_path, clip_folder):
    """A function that writes the test's weights to a file, and returns the file."""
    import torch
    from safetensors.torch import load_file

    def weights_file(name, wrap=lambda weights: weights, change=lambda weights: None):
        weights = load_file(clip_folder / "open_clip_model.safetensors")
        change(weights)
        if name.endswith(".safetensors"):
            from safetensors.torch import save_file

            save_file(weights, tmp_path / name)
        else:
            torch.save(wrap(weights), tmp_path / name)
        return tmp_path / name

    return weights_file


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("weights.safetensors", None),
        ("weights.pt", lambda weights: weights),
        ("epoch_9.pt", lambda weights: {"epoch": 9, "state_dict": {f"module.{k}": v for k, v in weights.items()}}),
        ("pytorch_model.bin", lambda weights: weights),
    ],
)
def test_weights_in_a_file_are_the_model_that_they_are_in_a_folder(clip_folder, architecture, weights_file, name, wrap):
    import torch

    architecture("ViT-tiny")
    file = weights_file(name, wrap)
    loaded, folder = clip.load(f"ViT-tiny={file}"), clip.load(f"local-dir:{clip_folder}")

    assert torch.equal(clip.encode_texts(loaded, ["a", "b"]), clip.encode_texts(folder, ["a", "b"]))
    assert loaded.spec == f"ViT-tiny={file}" and loaded.identity == clip.identity(f"ViT-tiny={file}")


def test_a_file_of_weights_is_called_by_its_model_and_what_it_holds(tmp_path, weights_file, monkeypatch):
    file = weights_file("weights.safetensors")
    name = clip.identity(f"ViT-B-32={file}")
    moved = file.rename(tmp_path / "a=b.safetensors")
    monkeypatch.chdir(tmp_path)

    assert name.startswith("ViT-B-32@") and len(name) == len("ViT-B-32@") + 12
    assert name == clip.identity(f"ViT-B-32={moved}") == clip.identity("ViT-B-32=a=b.safetensors")
    assert clip.placed("ViT-B-32=a=b.safetensors") == f"ViT-B-32={moved}"
    assert clip.placed("local-dir:clip") == f"local-dir:{tmp_path / 'clip'}"
    moved.write_bytes(b"other")
    assert clip.identity(f"ViT-B-32={moved}") != name


def test_a_file_that_is_none_of_weights_is_an_input_error(tmp_path):
    (tmp_path / "model.zip").write_bytes(b"")
    for file, said in (("none.pt", "no such file"), ("model.zip", "in a file that ends in .safetensors, .pt")):
        with pytest.raises(InputError, match=said):
            clip.identity(f"ViT-B-32={tmp_path / file}")


def test_a_file_of_a_model_that_open_clip_does_not_know_is_an_error_with_the_nearest_one(weights_file):
    with pytest.raises(InputError, match=r"open_clip knows no model 'VitB32'; .*; did you mean ViT-B-32\?"):
        clip.load(f"VitB32={weights_file('weights.pt')}")


def test_weights_of_another_model_are_an_error_in_one_line_that_counts_what_does_not_fit(architecture, weights_file):
    import torch

    def change(weights):
        weights["text_projection"] = torch.zeros(8, 24)
        weights["visual.proj"] = torch.zeros(16, 24)
        weights["visual.more"] = torch.zeros(2)
        for name in [name for name in weights if name.startswith("visual.transformer.resblocks.1.")]:
            del weights[name]

    architecture("ViT-tiny")
    with pytest.raises(ProviderError) as raised:
        clip.load(f"ViT-tiny={weights_file('weights.safetensors', change=change)}")
    assert "these weights are not those of ViT-tiny: 2 have another shape (text_projection: 8, 24, not 8, 16), " in str(
        raised.value
    )
    assert "12 are missing (visual.transformer.resblocks.1.ln_1.weight, …), 1 are unknown to it (visual.more)" in str(
        raised.value
    )


def test_a_pickle_that_holds_more_than_weights_is_an_error_and_is_not_run(tmp_path, architecture, weights_file):
    class Harm:
        def __reduce__(self):
            return type(tmp_path).touch, (tmp_path / "harmed",)

    architecture("ViT-tiny")
    file = weights_file("weights.pt", wrap=lambda weights: {"state_dict": weights, "harm": Harm()})
    with pytest.raises(ProviderError, match="a pickle that holds more than weights, and could run code; save its wei"):
        clip.load(f"ViT-tiny={file}")
    assert not (tmp_path / "harmed").exists()


def test_a_program_of_torchscript_as_openai_publishes_its_models_is_an_error_that_names_the_way(tmp_path, architecture):
    import torch

    architecture("ViT-tiny")
    with pytest.warns(DeprecationWarning):
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "ViT-B-32.pt")
    with pytest.raises(ProviderError, match="is a TorchScript archive, a program .*; OpenAI's own are MODEL/openai"):
        clip.load(f"ViT-tiny={tmp_path / 'ViT-B-32.pt'}")


def test_a_file_is_prepared_for_as_all_published_weights_of_its_model_are(architecture, weights_file):
    siglip = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "resize_mode": "squash"}
    architecture("ViT-tiny", webli=siglip | {"interpolation": "bicubic"}, other=siglip | {"interpolation": "bilinear"})
    said = []
    loaded = clip.load(f"ViT-tiny={weights_file('weights.pt')}", notice=said.append)

    assert loaded.model.visual.preprocess_cfg["mean"] == (0.5, 0.5, 0.5)
    assert loaded.model.visual.preprocess_cfg["resize_mode"] == "squash"
    assert loaded.model.visual.preprocess_cfg["interpolation"] == "bicubic", "open_clip's usual one"
    assert ["differ in how images are prepared (interpolation)" in text for text in said] == [True]


def test_of_a_model_that_there_is_with_quickgelu_too_one_line_says_which_is_used(architecture, weights_file):
    architecture("ViT-tiny", "ViT-tiny-quickgelu")
    file, said = weights_file("weights.pt"), []
    for name, activation in (("ViT-tiny", "GELU"), ("ViT-tiny-quickgelu", "QuickGELU")):
        loaded = clip.load(f"{name}={file}", notice=said.append)
        assert type(loaded.model.visual.transformer.resblocks[0].mlp.gelu).__name__ == activation
    assert len(said) == 1
    assert f"for weights trained with QuickGELU, as OpenAI's, write ViT-tiny-quickgelu={file}" in said[0]


def test_a_file_after_a_slash_is_an_error_that_shows_how_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="are named MODEL=FILE, as in ViT-B-32=dir/b.pt; a folder .* local-dir:PATH"):
        clip.identity("ViT-B-32/dir/b.pt")


def test_models_of_the_hub_are_called_what_the_hub_calls_them():
    assert clip.identity("hf-hub:laion/CLIP") == "hf-hub:laion/CLIP"
    assert clip.identity("ViT-B-32/openai") == "ViT-B-32/openai"
