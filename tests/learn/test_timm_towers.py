"""CLIPs whose vision tower is timm's: SigLIP, EVA and others, each as small as it can be, with random weights."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from classifiers import CLASSES, LORA, SCALE, images, moved
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn import checkpoints
from ltgc_cli.learn.attention import blocks, fuse, unfuse
from ltgc_cli.learn.checkpoints import MERGED, Saved
from ltgc_cli.learn.model import start
from ltgc_cli.learn.tuning import adapt, frozen_parts, merged, parts
from ltgc_cli.providers.clip.open_clip import Loaded
from ltgc_cli.providers.torch_setup import mend_torchvision
from ltgc_cli.settings import Training

TINY = {"img_size": 32, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 4}
TOWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SigLIP, pooled by attention": ("vit_base_patch16_siglip_224", {"global_pool": "map"}),
    "ViT, as MobileCLIP's": ("vit_base_patch16_clip_224", {}),
    "ViT with a scale in each layer": ("vit_base_patch16_clip_224", {"init_values": 0.5}),
    "ViT with relative places": ("vit_relpos_medium_patch16_cls_224", {}),
    "EVA02, its q, k and v apart": ("eva02_base_patch16_clip_224", {}),
    "EVA01, the biases of q and v beside": ("eva_giant_patch14_224", {"mlp_ratio": 2}),
    "EVA02-E, its norms behind": ("eva02_enormous_patch14_clip_224", {"mlp_ratio": 2}),
    "PE, with rotary places": ("vit_pe_core_base_patch16_224", {"global_pool": "map"}),
}
QKV = ("q", "k", "v")


@cache
def tower(name: str) -> Any:
    """A tower with features of 16, every weight of it random, as open_clip wraps it."""
    mend_torchvision()
    import timm
    from open_clip.timm_model import TimmModel

    torch.manual_seed(0)
    model, options = TOWERS[name]
    wrapped = TimmModel("test_vit", embed_dim=16, image_size=32)
    wrapped.trunk = timm.create_model(model, pretrained=False, num_classes=0, **TINY | options)
    wrapped.head = nn.Linear(32, 16, bias=False)
    with torch.no_grad():
        for weight in wrapped.parameters():
            weight += 0.1 * torch.randn(weight.shape)
    return wrapped.eval()


OFTEN = ("SigLIP, pooled by attention", "ViT, as MobileCLIP's", "EVA02, its q, k and v apart")


@pytest.fixture(params=[name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in TOWERS])
def visual(request: Any) -> Any:
    return tower(request.param)


def with_updates(visual: nn.Module, adapted: nn.Module) -> nn.Module:
    """The reference: the plain tower in float64, each W replaced with W + (alpha / rank) B A, by hand."""
    reference = copy.deepcopy(visual).double()
    lora = {name: weight.detach().double() for name, weight in adapted.named_parameters() if "lora_" in name}
    for layer in sorted({name.split(".lora_")[0] for name in lora}):
        update = SCALE * lora.pop(f"{layer}.lora_B.weight") @ lora.pop(f"{layer}.lora_A.weight")
        *above, last = layer.split(".")
        if above[-1] == "qkv":  # rows of one matrix: q's, then k's, then v's
            weight = reference.get_submodule(".".join(above)).weight
            weight.data.chunk(3)[QKV.index(last)].add_(update)
        else:
            reference.get_submodule(layer).weight.data.add_(update)
    assert not lora
    return reference


def same(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found.double(), expected, atol=1e-4, rtol=1e-4)


def test_a_tower_taken_apart_is_the_same_and_itself_again_when_fused(visual: Any) -> None:
    split = unfuse(visual)
    assert torch.allclose(split(images()), visual(images()), atol=1e-5)
    back = fuse(split).state_dict()
    assert back.keys() == visual.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in visual.state_dict().items())
    assert set(dict(fuse(split).named_parameters())) == set(dict(visual.named_parameters()))


@pytest.mark.parametrize("where", ["both", "attention", "mlp"])
def test_lora_is_w_plus_scale_b_a_beside_merged_saved_and_loaded(
    visual: Any, where: Any, tmp_path: Path, clip: Loaded
) -> None:
    settings = Training(rank=LORA.rank, lora_alpha=LORA.lora_alpha, lora_on=where)
    model = copy.deepcopy(clip.model)
    model.visual = visual
    own = clip._replace(model=model)
    classifier = moved(start(own, CLASSES, settings)).eval().requires_grad_(False)
    reference = with_updates(visual, classifier.visual)(images().double())
    assert (reference - visual(images())).abs().max() > 0.1, "the update must be one that can be seen"
    assert same(classifier.visual(images()), reference)
    assert same(merged(classifier.visual)(images()), reference)

    checkpoints.save(tmp_path, Saved(classifier, CLASSES, settings), own)
    assert torch.equal(checkpoints.load(tmp_path, own).classifier(images()), classifier(images()))
    checkpoints.add_merged(tmp_path, own)
    plain = copy.deepcopy(model)
    plain.load_state_dict(safetensors.torch.load_file(tmp_path / MERGED), strict=True)
    assert same(plain.encode_image(images()), reference)


def test_lora_has_a_matrix_pair_of_its_own_for_each_of_q_k_v_and_leaves_the_attention_pool_alone() -> None:
    adapted = adapt(tower("SigLIP, pooled by attention"), LORA)
    names = {name.split(".lora_")[0] for name, weight in adapted.named_parameters() if weight.requires_grad}
    layers = ("attn.qkv.q", "attn.qkv.k", "attn.qkv.v", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert names == {f"trunk.blocks.{number}.{layer}" for number in (0, 1) for layer in layers}
    last = adapt(tower("EVA02, its q, k and v apart"), Training(tune_blocks=1, lora_on="attention"))
    assert {name.split(".lora_")[0] for name, weight in last.named_parameters() if weight.requires_grad} == {
        f"trunk.blocks.1.attn.{layer}" for layer in ("q_proj", "k_proj", "v_proj", "proj")
    }


@pytest.mark.parametrize("where", ["both", "attention", "mlp"])
def test_the_adapter_is_one_that_peft_reads(visual: Any, where: Any, tmp_path: Path, clip: Loaded) -> None:
    from peft import PeftModel

    settings = Training(rank=3, lora_on=where)
    own = clip._replace(model=copy.deepcopy(clip.model))
    own.model.visual = visual
    classifier = moved(start(own, CLASSES, settings)).eval().requires_grad_(False)
    checkpoints.save(tmp_path, Saved(classifier, CLASSES, settings), own)
    theirs = PeftModel.from_pretrained(unfuse(visual), tmp_path / "adapter").eval()
    assert torch.allclose(theirs(images()), classifier.visual(images()), atol=1e-4)


@pytest.mark.parametrize(
    "settings", [Training(tune="bias"), Training(tune="full"), Training(tune="full", tune_blocks=1)]
)
def test_biases_blocks_and_the_whole_tower_are_tuned_under_timms_own_names(
    visual: Any, settings: Training, tmp_path: Path, clip: Loaded
) -> None:
    own = clip._replace(model=copy.deepcopy(clip.model))
    own.model.visual = visual
    classifier = moved(start(own, CLASSES, settings)).eval()
    changed = {name for name, weight in classifier.visual.named_parameters() if weight.requires_grad}
    assert changed and changed <= set(dict(visual.named_parameters()))
    if settings.tune == "bias":
        assert all(name.endswith("bias") for name in changed)
    if settings.tune_blocks:
        assert changed == {name for name, _ in visual.named_parameters() if name.startswith("trunk.blocks.1.")}
    checkpoints.save(tmp_path, Saved(classifier.requires_grad_(False), CLASSES, settings), own)
    assert torch.equal(checkpoints.load(tmp_path, own).classifier(images()), classifier(images()))
    assert torch.allclose(merged(classifier.visual)(images()), classifier.visual(images()), atol=1e-5)


def test_adaptformer_is_a_branch_beside_the_mlp_of_each_block(visual: Any, tmp_path: Path, clip: Loaded) -> None:
    settings = Training(tune="adaptformer", rank=3)
    if type(blocks(visual)[0]).__name__ not in ("Block", "EvaBlock"):
        with pytest.raises(
            InputError, match="--tune adaptformer: .* add up in a way of their own; use lora, bias or full"
        ):
            adapt(visual, settings)
        return
    own = clip._replace(model=copy.deepcopy(clip.model))
    own.model.visual = visual
    assert torch.allclose(adapt(visual, settings).eval()(images()), visual(images()), atol=1e-6)
    classifier = moved(start(own, CLASSES, settings)).eval().requires_grad_(False)
    middle: list[Tensor] = []
    plain, adapted = blocks(visual)[1], blocks(classifier.visual)[1]
    x = torch.randn(2, 5 - (visual.trunk.num_prefix_tokens == 0), 32, generator=torch.Generator().manual_seed(3))
    options = {"rope": visual.trunk.rope.get_embed()} if getattr(visual.trunk, "rope", None) is not None else {}
    heard = plain.norm2.register_forward_pre_hook(lambda module, given: middle.append(given[0]))
    expected = plain(x, **options)
    heard.remove()
    assert torch.allclose(adapted(x, **options), expected + adapted.adaptformer(middle[0]), atol=1e-5)
    assert adapted.adaptformer(middle[0]).abs().max() > 0.1, "the branch must be one that can be seen"
    checkpoints.save(tmp_path, Saved(classifier, CLASSES, settings), own)
    assert torch.equal(checkpoints.load(tmp_path, own).classifier(images()), classifier(images()))


def test_an_average_has_the_mean_of_the_weights_in_timms_own_tower(visual: Any, tmp_path: Path, clip: Loaded) -> None:
    own = clip._replace(model=copy.deepcopy(clip.model))
    own.model.visual = visual
    made = {"still": start(own, CLASSES, LORA).eval(), "updated": moved(start(own, CLASSES, LORA)).eval()}
    for name, classifier in made.items():
        checkpoints.save(tmp_path / name, Saved(classifier.requires_grad_(False), CLASSES, LORA), own)
    mean = checkpoints.average(tmp_path / "still", [("updated@1", tmp_path / "updated")], own)
    checkpoints.save(tmp_path / "mean", mean, own)
    found = checkpoints.load(tmp_path / "mean", own).classifier
    reference, plain = with_updates(visual, made["updated"].visual), visual.state_dict()
    for name, value in reference.state_dict().items():
        reference.state_dict()[name].copy_((value + plain[name].double()) / 2)
    assert same(found.visual(images()), reference(images().double()))
    assert same(found(images()), mean.classifier(images()).double())


def test_a_tower_of_timm_is_one_part_and_what_is_frozen_of_it_evaluates(clip: Loaded) -> None:
    visual = tower("SigLIP, pooled by attention")
    assert len(parts(visual)) == 1
    assert [frozen_parts(visual, Training(tune=tune)) for tune in ("lora", "head")] == [0, 1]  # type: ignore[arg-type]
    own = clip._replace(model=copy.deepcopy(clip.model))
    own.model.visual = visual
    assert not any(part.training for part in start(own, CLASSES, Training(tune="head")).train().visual.modules())


def test_a_tower_without_attention_is_refused_with_what_can_be_tuned_instead() -> None:
    mend_torchvision()
    from open_clip.timm_model import TimmModel

    visual = TimmModel("convnext_atto", embed_dim=8, image_size=32).eval()
    with pytest.raises(InputError, match=r"\(TimmModel, ConvNeXt\) has no plain transformer blocks; .* \(head, full\)"):
        adapt(visual, LORA)
    assert torch.equal(adapt(visual, Training(tune="full")).eval()(images()), visual(images()))
