from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
import torch
from classifiers import CLASSES, LORA, explicit, images, moved
from torch import nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn import checkpoints
from ltgc_cli.learn.attention import unfuse
from ltgc_cli.learn.checkpoints import MERGED, Saved, add_merged, average, load
from ltgc_cli.learn.model import Classifier, start
from ltgc_cli.learn.tuning import TUNE
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.settings import Training

CURVE = ({"step": 10.0, "loss": 0.5, "lr": 1e-3},)
PRIOR = torch.tensor([0.75, 0.25])
HASHES = frozenset([b"sixteen bytes 02", b"sixteen bytes 01"])
CHOSE = frozenset([b"sixteen bytes 02"])


def of(clip: Loaded, settings: Training) -> Classifier:
    """A classifier as training leaves it."""
    return moved(start(clip, CLASSES, settings)).eval().requires_grad_(False)


def save(folder: Path, classifier: Classifier, settings: Training, clip: Loaded, *curve: dict, **more: Any) -> None:
    checkpoints.save(folder, Saved(classifier, CLASSES, settings, curve, **more), clip)


@pytest.fixture
def trained(clip: Loaded) -> Classifier:
    return of(clip, LORA)


@pytest.fixture
def plain_open_clip(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads a file as people do, into the architecture of the test's CLIP."""
    import open_clip
    from open_clip import factory

    config = json.loads((clip_folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", config)

    def loaded(file: Path) -> Any:
        with quiet():
            return open_clip.create_model_and_transforms("tiny", pretrained=str(file))[0].eval()

    return loaded


@pytest.mark.parametrize("head", ["cosine", "linear"])
@pytest.mark.parametrize("tune", TUNE)
def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path, tune: Any, head: Any, clip: Loaded) -> None:
    settings = Training(tune=tune, head=head, tune_blocks=1, rank=3, scale=20.0)
    classifier = of(clip, settings)
    save(tmp_path, classifier, settings, clip, *CURVE, prior=PRIOR, images=HASHES, val_images=CHOSE)
    saved = load(tmp_path, clip)
    assert torch.equal(saved.classifier(images()), classifier(images()))
    assert saved.classifier.below == classifier.below
    assert not any(weight.requires_grad for weight in saved.classifier.parameters())
    assert (saved.classes, saved.settings, saved.curve) == (CLASSES, settings, CURVE)
    assert saved.prior is not None and torch.equal(saved.prior, PRIOR)
    assert (saved.images, saved.val_images) == (HASHES, CHOSE)


@pytest.mark.parametrize(
    ("tune", "of_the_tower"),
    [
        ("lora", ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"]),
        ("bias", ["tower.safetensors"]),
        ("head", []),
    ],
)
def test_a_checkpoint_is_these_files(tmp_path: Path, tune: Any, of_the_tower: list[str], clip: Loaded) -> None:
    settings = Training(tune=tune)
    save(tmp_path, of(clip, settings), settings, clip, *CURVE, images=HASHES)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    inside = {"classes.json", "head.safetensors", "images.safetensors", "metrics.jsonl", "settings.json", *of_the_tower}
    assert files == inside | {"done.json"}
    assert json.loads((tmp_path / "done.json").read_bytes())["files"].keys() == inside


@pytest.mark.parametrize("tune", TUNE)
def test_the_same_classifier_is_saved_as_the_same_bytes(tmp_path: Path, tune: Any, clip: Loaded) -> None:
    settings = Training(tune=tune, rank=3)
    for folder in ("a", "b"):
        save(tmp_path / folder, of(clip, settings), settings, clip, *CURVE)
    assert (tmp_path / "a" / "done.json").read_bytes() == (tmp_path / "b" / "done.json").read_bytes()


def test_the_adapter_is_pefts_own_format_and_names_no_place_on_this_machine(
    tmp_path: Path, clip: Loaded, trained: Classifier
) -> None:
    from peft import PeftModel

    save(tmp_path, trained, LORA, clip)
    tower = PeftModel.from_pretrained(unfuse(clip.model.visual), tmp_path / "adapter").eval()
    assert torch.allclose(tower(images()), explicit(clip, trained.visual)(images()), atol=1e-5)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] is None


def test_a_loaded_adapter_can_be_saved_again(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    save(tmp_path / "a", trained, LORA, clip)
    save(tmp_path / "b", load(tmp_path / "a", clip).classifier, LORA, clip)
    assert (tmp_path / "a" / "done.json").read_bytes() == (tmp_path / "b" / "done.json").read_bytes()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Training(tune="bias", tune_blocks=1), {"attn.in_proj_bias", "attn.out_proj.bias", "mlp.c_fc.bias"}),
        (Training(tune="full", tune_blocks=1), {"attn.in_proj_weight", "ln_1.weight", "mlp.c_proj.weight"}),
        (Training(tune="adaptformer", tune_blocks=1), {"adaptformer.down.weight", "adaptformer.scale"}),
    ],
)
def test_the_tower_file_has_what_was_changed_under_open_clips_names(
    tmp_path: Path, settings: Training, names: set[str], clip: Loaded
) -> None:
    save(tmp_path, of(clip, settings), settings, clip)
    found = set(safetensors.torch.load_file(tmp_path / "tower.safetensors"))
    assert {f"transformer.resblocks.1.{name}" for name in names} <= found
    assert all(name.startswith("transformer.resblocks.1.") for name in found)
    assert any("adaptformer" not in name for name in found) == (settings.tune != "adaptformer")


def test_the_merged_checkpoint_of_lora_is_w_plus_scale_b_a_in_plain_open_clip(
    tmp_path: Path, clip: Loaded, trained: Classifier, plain_open_clip: Any
) -> None:
    save(tmp_path, trained, LORA, clip)
    add_merged(tmp_path, clip)
    plain = plain_open_clip(tmp_path / MERGED)
    assert type(plain.visual.transformer.resblocks[0].attn) is nn.MultiheadAttention
    assert torch.allclose(plain.encode_image(images()), explicit(clip, trained.visual)(images()), atol=1e-5)
    texts = clip.tokenizer(["A photo of crane."])
    assert torch.equal(plain.encode_text(texts), clip.model.encode_text(texts))


@pytest.mark.parametrize("tune", ["lora", "bias", "full", "head"])
def test_the_merged_checkpoint_gives_the_same_features_in_plain_open_clip(
    tmp_path: Path, tune: Any, clip: Loaded, plain_open_clip: Any
) -> None:
    settings = Training(tune=tune, rank=3)
    classifier = of(clip, settings)
    save(tmp_path, classifier, settings, clip)
    add_merged(tmp_path, clip)
    plain = plain_open_clip(tmp_path / MERGED)
    assert torch.allclose(plain.encode_image(images()), classifier.visual(images()), atol=1e-5)


def test_adaptformer_cannot_be_merged_and_nothing_is_written(tmp_path: Path, clip: Loaded) -> None:
    settings = Training(tune="adaptformer")
    save(tmp_path, of(clip, settings), settings, clip)
    with pytest.raises(InputError, match="cannot be merged into one file; use lora, bias or full"):
        add_merged(tmp_path, clip)
    assert not (tmp_path / MERGED).exists()


def test_a_merge_for_which_the_disk_is_too_small_leaves_the_checkpoint_whole(
    tmp_path: Path, clip: Loaded, trained: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError("No space left on device")

    save(tmp_path, trained, LORA, clip)
    monkeypatch.setattr("ltgc_cli.learn.checkpoints.write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        add_merged(tmp_path, clip)
    assert torch.equal(load(tmp_path, clip).classifier(images()), trained(images()))


def test_a_checkpoint_of_an_older_version_is_read(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    """It has fewer settings and some that are gone, and neither a prior nor the images' hashes."""
    save(tmp_path, trained, LORA, clip)
    other = {
        "mix": "balancemix",
        "loss": "ce",
        "rank": 3,
        "lora_alpha": 12.0,
        "crop": 0.7,
        "syn_ratio": 2.0,
        "gate": True,
    }
    (tmp_path / "settings.json").write_bytes(msgspec.json.encode(other))
    done = json.loads((tmp_path / "done.json").read_bytes())
    del done["files"]["settings.json"]
    (tmp_path / "done.json").write_bytes(msgspec.json.encode(done))
    saved = load(tmp_path, clip)
    assert torch.equal(saved.classifier(images()), trained(images()))
    assert (saved.settings.tune, saved.prior, saved.images) == ("lora", None, frozenset())


def test_a_checkpoint_of_another_clip_model_is_refused(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    save(tmp_path, trained, LORA, clip)
    with pytest.raises(InputError, match="trained on the CLIP model clip@.*, not ViT-B-32/openai"):
        load(tmp_path, clip._replace(identity="ViT-B-32/openai", spec="ViT-B-32/openai"))


def test_a_checkpoint_whose_clip_was_changed_where_it_lies_says_so(
    tmp_path: Path, clip: Loaded, trained: Classifier
) -> None:
    save(tmp_path, trained, LORA, clip)
    assert json.loads((tmp_path / "done.json").read_bytes())["lies_at"] == clip.spec
    add_merged(tmp_path, clip)
    with pytest.raises(
        InputError, match=f"its CLIP model at {clip.spec} was changed since .it is clip@1 now, not clip@"
    ):
        load(tmp_path, clip._replace(identity="clip@1"))


def test_a_checkpoint_of_the_embedded_clip_names_no_place(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    save(tmp_path, trained, LORA, clip._replace(spec="embedded"))
    assert json.loads((tmp_path / "done.json").read_bytes()).keys() == {"clip", "files"}


def test_a_checkpoint_that_is_not_whole_is_refused(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    save(tmp_path, trained, LORA, clip)
    head = safetensors.torch.load_file(tmp_path / "head.safetensors")
    safetensors.torch.save_file({"weight": head["weight"] * 2}, tmp_path / "head.safetensors")
    with pytest.raises(InputError, match=r"head\.safetensors is missing or was changed"):
        load(tmp_path, clip)
    (tmp_path / "done.json").unlink()
    with pytest.raises(InputError, match=r"no whole checkpoint \(done\.json is missing\)"):
        load(tmp_path, clip)


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_no_pickle_is_in_a_checkpoint(tmp_path: Path, tune: Any, clip: Loaded) -> None:
    settings = Training(tune=tune)
    save(tmp_path, of(clip, settings), settings, clip, images=HASHES)
    add_merged(tmp_path, clip)
    files = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {".json", ".jsonl", ".safetensors"}


# ---- the mean of several


def trained_so(clip: Loaded, settings: Training, by: float = 1.0) -> Classifier:
    """A classifier that is moved so many times as far as `of` moves it."""
    start_, end = start(clip, CLASSES, settings), of(clip, settings)
    with torch.no_grad():
        for name, weight in start_.named_parameters():
            weight.lerp_(end.get_parameter(name), by)
    return start_.eval().requires_grad_(False)


@pytest.mark.parametrize("head", ["cosine", "linear"])
def test_an_average_has_the_mean_of_the_merged_weights(tmp_path: Path, clip: Loaded, head: Any) -> None:
    lora, full = msgspec.structs.replace(LORA, head=head), Training(tune="full", tune_blocks=1, head=head)
    made = [trained_so(clip, lora), trained_so(clip, lora, -0.7), trained_so(clip, full, 0.4)]
    for name, classifier, settings in zip("abc", made, (lora, lora, full), strict=True):
        save(tmp_path / name, classifier, settings, clip)
    found = average(tmp_path / "a", [("b@1", tmp_path / "b"), ("c@2", tmp_path / "c")], clip)

    towers = [explicit(clip, made[0].visual), explicit(clip, made[1].visual), checkpoints.fuse(made[2].visual)]
    states = [tower.state_dict() for tower in towers]
    for name, value in found.classifier.visual.state_dict().items():
        expected = sum(state[name].double() for state in states) / 3
        assert torch.allclose(value.double(), expected, atol=1e-6), name
    for name, value in found.classifier.head.state_dict().items():
        assert torch.allclose(value.double(), sum(one.head.state_dict()[name].double() for one in made) / 3, atol=1e-6)
    assert found.averaged == ("b@1", "c@2") and found.settings == lora


def test_an_average_is_read_as_it_was_saved_and_merged_as_any_other(
    tmp_path: Path, clip: Loaded, plain_open_clip: Any
) -> None:
    save(tmp_path / "a", trained_so(clip, LORA), LORA, clip, *CURVE, prior=PRIOR, images=HASHES)
    one, other = frozenset([b"sixteen bytes 03"]), torch.tensor([0.25, 0.75])
    save(tmp_path / "b", trained_so(clip, LORA, 0.5), LORA, clip, prior=other, images=one, val_images=one)
    made = average(tmp_path / "a", [("b@1", tmp_path / "b")], clip)
    checkpoints.save(tmp_path / "c", made, clip)
    read = load(tmp_path / "c", clip)
    assert torch.allclose(read.classifier(images()), made.classifier(images()), atol=1e-5)
    assert not any(weight.requires_grad for weight in read.classifier.parameters())
    assert (read.images, read.val_images, read.curve, read.averaged) == (HASHES | one, one, CURVE, ("b@1",))
    assert read.prior is not None and read.prior.tolist() == [0.5, 0.5]
    names = {path.name for path in (tmp_path / "c").iterdir()}
    assert "tower.safetensors" in names and "adapter" not in names

    add_merged(tmp_path / "c", clip)
    plain = plain_open_clip(tmp_path / "c" / MERGED)
    assert torch.allclose(plain.encode_image(images()), made.classifier.visual(images()), atol=1e-5)
    again = average(tmp_path / "c", [("c@3", tmp_path / "c")], clip)
    assert torch.allclose(again.classifier(images()), read.classifier(images()), atol=1e-5), "an average of averages"


@pytest.mark.parametrize("tune", ["lora", "bias", "full", "head"])
def test_an_average_of_a_model_with_itself_is_that_model(tmp_path: Path, tune: Any, clip: Loaded) -> None:
    settings = Training(tune=tune, rank=3, tune_blocks=1)
    classifier = of(clip, settings)
    save(tmp_path / "a", classifier, settings, clip)
    checkpoints.save(tmp_path / "b", average(tmp_path / "a", [("a@1", tmp_path / "a")], clip), clip)
    assert torch.allclose(load(tmp_path / "b", clip).classifier(images()), classifier(images()), atol=2e-5)
