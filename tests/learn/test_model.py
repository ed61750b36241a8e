from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.learn.model import (
    MERGED,
    Classifier,
    CosineHead,
    SplitAttention,
    adapt,
    class_text,
    fuse,
    load,
    merged,
    save,
    start,
    unfuse,
    zero_shot,
)
from ltgc_cli.learn.settings import Settings
from ltgc_cli.providers.clip.open_clip import Loaded, encode_texts
from ltgc_cli.providers.quiet import quiet

CLASSES = (
    ClassInfo(label=3, name="seal", sense="marine mammal", count=120),
    ClassInfo(label=7, name="crane", count=4),
)
SETTINGS = Settings(rank=3, lora_alpha=12.0)
SCALE = 12.0 / 3
LAYERS = ("attn.q", "attn.k", "attn.v", "attn.out", "mlp.c_fc", "mlp.c_proj")


def images(batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def with_random_b(adapted: nn.Module) -> nn.Module:
    """LoRA starts at B = 0, where every mistake is invisible."""
    generator = torch.Generator().manual_seed(2)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data = 0.2 * torch.randn(weight.shape, generator=generator)
    return adapted


def explicit(clip: Loaded, adapted: nn.Module) -> nn.Module:
    """The reference: plain open_clip's tower, and each W replaced with W + (alpha / rank) B A in float64, by hand."""
    tower = unfuse(clip.model.visual)
    lora = {name: weight.detach().double() for name, weight in adapted.named_parameters() if "lora_" in name}
    for number, block in enumerate(tower.transformer.resblocks):
        for layer in LAYERS:
            prefix = f"base_model.model.transformer.resblocks.{number}.{layer}"
            a, b = (lora.pop(f"{prefix}.lora_{side}.default.weight") for side in "AB")
            weight = block.get_submodule(layer).weight
            weight.data = (weight.double() + SCALE * b @ a).float()
    assert not lora, "LoRA is somewhere else too"
    return fuse(tower)


# ---- attention


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mask", ["none", "float", "bool", "by head"])
def test_split_attention_equals_multihead_attention(batch_first: bool, bias: bool, mask: str) -> None:
    torch.manual_seed(0)
    whole = nn.MultiheadAttention(16, 4, bias=bias, batch_first=batch_first).eval()
    nn.init.normal_(whole.out_proj.weight)
    x = torch.randn(2, 5, 16) if batch_first else torch.randn(5, 2, 16)
    later = torch.ones(5, 5).triu(1).bool()
    attn_mask: Any = {
        "none": None,
        "float": torch.zeros(5, 5).masked_fill(later, float("-inf")),
        "bool": later,
        "by head": torch.randn(8, 5, 5),
    }[mask]
    expected = whole(x, x, x, need_weights=False, attn_mask=attn_mask)[0]
    split = SplitAttention(whole)
    assert torch.allclose(split(x, x, x, need_weights=False, attn_mask=attn_mask)[0], expected, atol=1e-6)
    again = split.fused()(x, x, x, need_weights=False, attn_mask=attn_mask)[0]
    assert torch.equal(again, expected)


def test_a_tower_gives_the_same_features_taken_apart_and_is_itself_again_when_fused(clip: Loaded) -> None:
    tower = clip.model.visual
    split = unfuse(tower)
    assert torch.allclose(split(images()), tower(images()), atol=1e-6)
    assert isinstance(tower.transformer.resblocks[0].attn, nn.MultiheadAttention), "the model that came in was changed"
    back = fuse(split).state_dict()
    assert back.keys() == tower.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in tower.state_dict().items())


@pytest.mark.parametrize("kind", ["resnet", "fused differently", "no blocks"])
def test_a_vision_tower_without_plain_blocks_is_refused(kind: str, clip: Loaded) -> None:
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transformer import VisionTransformer

    towers: dict[str, Any] = {
        "resnet": lambda: ModifiedResNet((1, 1, 1, 1), 8, 2, image_size=32, width=8),
        "fused differently": lambda: VisionTransformer(32, 16, 32, 1, 4, 4.0, output_dim=8, qk_norm=True),
        "no blocks": lambda: nn.Linear(2, 2),
    }
    with pytest.raises(InputError, match="no plain transformer blocks to put LoRA on"):
        adapt(towers[kind](), SETTINGS)


def test_a_model_with_its_own_text_tower_class_is_adapted_too() -> None:
    import open_clip

    config = {"image_size": 32, "patch_size": 16, "width": 16, "layers": 1, "head_width": 8}
    text = {"context_length": 77, "vocab_size": 64, "width": 8, "heads": 2, "layers": 1}
    model = open_clip.CustomTextCLIP(8, config, text)
    assert torch.allclose(adapt(model.visual, SETTINGS).eval()(images()), model.visual(images()), atol=1e-6)


# ---- LoRA


def test_lora_starts_at_the_models_own_output_and_trains_itself_alone(clip: Loaded) -> None:
    adapted = adapt(clip.model.visual, SETTINGS)
    assert torch.allclose(adapted(images()), clip.model.visual(images()), atol=1e-6)
    trainable = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert all("lora_" in name for name in trainable)
    assert len(trainable) == 2 * 2 * len(LAYERS)


def test_the_adapted_tower_is_w_plus_scale_b_a(clip: Loaded) -> None:
    """peft applies the output projection's update twice where attention is fused; only a reference shows it."""
    adapted = with_random_b(adapt(clip.model.visual, SETTINGS)).eval()
    reference = explicit(clip, adapted)(images())
    assert (reference - clip.model.visual(images())).abs().max() > 0.1, "the update must be one that can be seen"
    assert torch.allclose(adapted(images()), reference, atol=1e-5)


def test_the_merged_tower_is_w_plus_scale_b_a_and_the_adapted_one_is_as_before(clip: Loaded) -> None:
    adapted = with_random_b(adapt(clip.model.visual, SETTINGS)).eval()
    before = adapted(images())
    plain = merged(adapted)
    assert type(plain.transformer.resblocks[0].attn) is nn.MultiheadAttention
    assert torch.allclose(plain(images()), explicit(clip, adapted)(images()), atol=1e-5)
    assert torch.equal(adapted(images()), before)


def test_lora_s_first_weights_come_from_the_seed_and_leave_the_random_state_alone(clip: Loaded) -> None:
    state = torch.get_rng_state()
    one, same, other = (
        next(w for name, w in adapt(clip.model.visual, Settings(seed=seed)).named_parameters() if "lora_A" in name)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_is_applied_in_training_and_only_there(clip: Loaded) -> None:
    adapted = with_random_b(adapt(clip.model.visual, Settings(dropout=0.5)))
    assert not torch.equal(adapted.train()(images()), adapted(images()))
    assert torch.equal(adapted.eval()(images()), adapted(images()))


# ---- the classifier


def test_the_head_is_scaled_cosine() -> None:
    features, weight = torch.randn(5, 8), torch.randn(3, 8)
    f, w = features.double(), weight.double()
    expected = 25 * (f / f.norm(dim=1, keepdim=True)) @ (w / w.norm(dim=1, keepdim=True)).T
    assert torch.allclose(CosineHead(weight, 25.0)(features).double(), expected, atol=1e-5)


def test_a_class_starts_from_its_name_and_sense() -> None:
    assert [class_text(info) for info in CLASSES] == ["A photo of seal (marine mammal).", "A photo of crane."]


def test_training_starts_from_clips_own_predictions(clip: Loaded) -> None:
    classifier = start(clip, CLASSES, SETTINGS)
    features = nn.functional.normalize(clip.model.visual(images()), dim=-1)
    texts = encode_texts(clip, ["A photo of seal (marine mammal).", "A photo of crane."])
    assert torch.allclose(classifier(images()), 25 * features @ texts.T, atol=1e-4)
    assert torch.equal(zero_shot(clip, CLASSES)(images()), zero_shot(clip, CLASSES)(images()))


# ---- checkpoints


@pytest.fixture
def trained(clip: Loaded) -> Classifier:
    classifier = start(clip, CLASSES, SETTINGS)
    with_random_b(classifier.visual)
    classifier.head.weight.data += 0.1
    return classifier.eval().requires_grad_(False)


CURVE = [{"step": 10.0, "loss": 0.5, "lr": 1e-3}]


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    save(tmp_path, trained, CLASSES, SETTINGS, clip, CURVE)
    saved = load(tmp_path, clip)
    assert torch.equal(saved.classifier(images()), trained(images()))
    assert (saved.classes, saved.settings, list(saved.curve)) == (CLASSES, SETTINGS, CURVE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "adapter", "classes.json", "done.json", "head.safetensors", "metrics.jsonl", "settings.json"
    ]  # fmt: skip


def test_the_same_classifier_is_saved_as_the_same_bytes(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    for folder in ("a", "b"):
        save(tmp_path / folder, trained, CLASSES, SETTINGS, clip, CURVE)
    assert (tmp_path / "a" / "done.json").read_bytes() == (tmp_path / "b" / "done.json").read_bytes()


def test_the_adapter_is_pefts_own_format(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    from peft import PeftModel

    save(tmp_path, trained, CLASSES, SETTINGS, clip)
    tower = PeftModel.from_pretrained(unfuse(clip.model.visual), tmp_path / "adapter").eval()
    assert torch.allclose(tower(images()), explicit(clip, trained.visual)(images()), atol=1e-5)


def test_the_merged_checkpoint_loads_in_plain_open_clip(
    tmp_path: Path, clip: Loaded, clip_folder: Path, trained: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip
    from open_clip import factory

    save(tmp_path, trained, CLASSES, SETTINGS, clip, merge=True)
    config = json.loads((clip_folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", config)
    with quiet():
        plain = open_clip.create_model_and_transforms("tiny", pretrained=str(tmp_path / MERGED))[0].eval()
    assert type(plain.visual.transformer.resblocks[0].attn) is nn.MultiheadAttention
    assert torch.allclose(plain.encode_image(images()), trained.visual(images()), atol=1e-5)
    texts = clip.tokenizer(["A photo of crane."])
    assert torch.equal(plain.encode_text(texts), clip.model.encode_text(texts))


def test_a_checkpoint_of_another_clip_model_is_refused(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    save(tmp_path, trained, CLASSES, SETTINGS, clip)
    with pytest.raises(InputError, match="trained on the CLIP model clip@.*, not ViT-B-32/openai"):
        load(tmp_path, clip._replace(identity="ViT-B-32/openai"))


def test_a_checkpoint_that_is_not_whole_is_refused(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    save(tmp_path, trained, CLASSES, SETTINGS, clip)
    head = safetensors.torch.load_file(tmp_path / "head.safetensors")
    safetensors.torch.save_file({"weight": head["weight"] * 2}, tmp_path / "head.safetensors")
    with pytest.raises(InputError, match=r"head\.safetensors is missing or was changed"):
        load(tmp_path, clip)
    (tmp_path / "done.json").unlink()
    with pytest.raises(InputError, match=r"no whole checkpoint \(done\.json is missing\)"):
        load(tmp_path, clip)


def test_no_pickle_is_in_a_checkpoint(tmp_path: Path, clip: Loaded, trained: Classifier) -> None:
    save(tmp_path, trained, CLASSES, SETTINGS, clip, merge=True)
    files = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {".json", ".jsonl", ".md", ".safetensors"}
