from __future__ import annotations

from typing import Any

import pytest
import torch
from classifiers import LAYERS, LORA, explicit, images, moved
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn.attention import blocks
from ltgc_cli.learn.tuning import TUNE, AdaptFormer, LoraLinear, adapt, frozen_parts, merged, parts
from ltgc_cli.providers.clip.open_clip import Loaded, load
from ltgc_cli.providers.torch_setup import mend_torchvision
from ltgc_cli.settings import Training

BIASES = [f"{layer}.bias" for layer in ("ln_1", "ln_2", *LAYERS)]
ADAPTFORMER = ["norm.weight", "norm.bias", "down.weight", "down.bias", "up.weight", "up.bias", "scale"]


def resnet() -> nn.Module:
    from open_clip.modified_resnet import ModifiedResNet

    return ModifiedResNet((1, 1, 1, 1), 8, 2, image_size=32, width=8).eval()


def vit(**options: Any) -> nn.Module:
    from open_clip.transformer import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(32, 16, 16, 3, 2, 4.0, output_dim=8, **options).eval()


def quick_gelu() -> Any:
    from open_clip.transformer import QuickGELU

    return QuickGELU


def trainable(module: nn.Module) -> set[str]:
    return {name for name, weight in module.named_parameters() if weight.requires_grad}


def in_block(number: int, names: list[str]) -> set[str]:
    return {f"transformer.resblocks.{number}.{name}" for name in names}


# ---- what is tuned


@pytest.mark.parametrize("tune", TUNE)
def test_every_way_to_tune_starts_at_the_models_own_output(tune: Any, clip: Loaded) -> None:
    own = clip.model.visual(images())
    adapted = adapt(clip.model.visual, Training(tune=tune, rank=3)).eval()
    assert torch.allclose(adapted(images()), own, atol=1e-6)
    moved(adapted)
    assert torch.equal(clip.model.visual(images()), own), "the model that came in was changed"
    assert torch.allclose(adapted(images()), own, atol=1e-3) == (tune == "head")


def test_lora_trains_two_matrices_beside_each_linear_layer_of_a_block(clip: Loaded) -> None:
    matrices = [f"{layer}.lora_{side}.weight" for layer in LAYERS for side in "AB"]
    assert trainable(adapt(clip.model.visual, LORA)) == in_block(0, matrices) | in_block(1, matrices)


@pytest.mark.parametrize(("where", "layers"), [("both", LAYERS), ("attention", LAYERS[:4]), ("mlp", LAYERS[4:])])
def test_lora_is_put_on_attention_or_mlp_of_the_last_blocks(where: Any, layers: tuple[str, ...], clip: Loaded) -> None:
    names = trainable(adapt(clip.model.visual, Training(lora_on=where, tune_blocks=1)))
    assert {name.split(".lora_")[0] for name in names} == in_block(1, list(layers))


def test_bias_trains_every_bias_of_the_tuned_blocks_and_no_weight(clip: Loaded) -> None:
    everywhere = adapt(clip.model.visual, Training(tune="bias"))
    assert trainable(everywhere) == in_block(0, BIASES) | in_block(1, BIASES)
    assert trainable(adapt(clip.model.visual, Training(tune="bias", tune_blocks=1))) == in_block(1, BIASES)


def test_adaptformer_trains_its_branch_alone(clip: Loaded) -> None:
    names = [f"adaptformer.{name}" for name in ADAPTFORMER]
    assert trainable(adapt(clip.model.visual, Training(tune="adaptformer"))) == in_block(0, names) | in_block(1, names)
    assert trainable(adapt(clip.model.visual, Training(tune="adaptformer", tune_blocks=1))) == in_block(1, names)


def test_full_trains_the_whole_tower_or_its_last_blocks(clip: Loaded) -> None:
    tower = adapt(clip.model.visual, Training(tune="full"))
    assert trainable(tower) == {name for name, _ in tower.named_parameters()}
    last = trainable(adapt(clip.model.visual, Training(tune="full", tune_blocks=1)))
    assert last == {name for name in trainable(tower) if name.startswith("transformer.resblocks.1.")}


def test_head_trains_nothing_of_the_tower(clip: Loaded) -> None:
    assert not trainable(adapt(clip.model.visual, Training(tune="head")))


@pytest.mark.parametrize("tune", TUNE)
def test_what_is_trained_is_float32_whatever_the_model_was_loaded_in(tune: Any) -> None:
    adapted = adapt(vit().half(), Training(tune=tune))
    assert {weight.dtype for weight in adapted.parameters()} == {torch.float32}


@pytest.mark.parametrize("tune", TUNE)
def test_any_tower_can_be_tuned_as_a_whole_or_not_at_all_and_nothing_between(tune: Any) -> None:
    visual = resnet()
    if tune in ("full", "head"):
        adapted = adapt(visual, Training(tune=tune))
        assert torch.equal(adapted(images()), visual(images()))
        assert len(trainable(adapted)) == (len(list(visual.parameters())) if tune == "full" else 0)
    else:
        with pytest.raises(InputError, match="has no plain transformer blocks"):
            adapt(visual, Training(tune=tune))
    with pytest.raises(InputError, match="has no plain transformer blocks"):
        adapt(visual, Training(tune="full", tune_blocks=1))


def test_more_blocks_than_there_are_cannot_be_tuned(clip: Loaded) -> None:
    with pytest.raises(InputError, match="--tune-blocks 3: the CLIP model's vision tower has 2 blocks"):
        adapt(clip.model.visual, Training(tune_blocks=3))


def test_a_model_with_its_own_text_tower_class_is_adapted_too() -> None:
    import open_clip

    config = {"image_size": 32, "patch_size": 16, "width": 16, "layers": 1, "head_width": 8}
    text = {"context_length": 77, "vocab_size": 64, "width": 8, "heads": 2, "layers": 1}
    model = open_clip.CustomTextCLIP(8, config, text)
    assert torch.allclose(adapt(model.visual, LORA).eval()(images()), model.visual(images()), atol=1e-6)


@pytest.mark.parametrize("tune", ["lora", "adaptformer"])
def test_first_weights_come_from_the_seed_and_leave_the_random_state_alone(tune: Any, clip: Loaded) -> None:
    state = torch.get_rng_state()
    one, same, other = (
        next(
            weight
            for name, weight in adapt(clip.model.visual, Training(tune=tune, seed=seed)).named_parameters()
            if "lora_A" in name or "down.weight" in name
        )
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


# ---- what comes out


def test_the_adapted_tower_is_w_plus_scale_b_a(clip: Loaded) -> None:
    """peft applies the output projection's update twice where attention is fused; only a reference shows it."""
    adapted = moved(adapt(clip.model.visual, LORA)).eval()
    reference = explicit(clip, adapted)(images())
    assert (reference - clip.model.visual(images())).abs().max() > 0.1, "the update must be one that can be seen"
    assert torch.allclose(adapted(images()), reference, atol=1e-5)


@pytest.mark.parametrize(("autocast", "tolerance"), [(False, 1e-5), (True, 0.05)])
def test_lora_and_its_gradients_are_pefts_own_on_a_plain_layer(autocast: bool, tolerance: float) -> None:
    mend_torchvision()
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(0)
    ours = moved(LoraLinear(nn.Linear(16, 24).requires_grad_(False), 4, 12.0))
    plain = nn.Linear(16, 24)
    plain.load_state_dict({"weight": ours.weight, "bias": ours.bias})
    theirs = inject_adapter_in_model(LoraConfig(r=4, lora_alpha=12.0, target_modules=["0"]), nn.Sequential(plain))[0]
    a, b = theirs.lora_A["default"], theirs.lora_B["default"]
    a.load_state_dict(ours.lora_A.state_dict())
    b.load_state_dict(ours.lora_B.state_dict())

    def run(layer: nn.Module, *trained: Tensor) -> tuple[Tensor, ...]:
        x = torch.linspace(-1, 1, 2 * 5 * 16).view(2, 5, 16).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = layer(x)
        return (y, *torch.autograd.grad(y.float().square().mean(), (x, *trained)))

    expected = run(theirs, a.weight, b.weight)
    found = run(ours, ours.lora_A.weight, ours.lora_B.weight)
    assert found[0].dtype == expected[0].dtype == (torch.bfloat16 if autocast else torch.float32)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=tolerance, rtol=tolerance)


def test_the_merged_tower_is_w_plus_scale_b_a_and_the_adapted_one_is_as_before(clip: Loaded) -> None:
    adapted = moved(adapt(clip.model.visual, LORA)).eval()
    before = adapted(images())
    plain = merged(adapted)
    assert type(plain.transformer.resblocks[0].attn) is nn.MultiheadAttention
    assert torch.allclose(plain(images()), explicit(clip, adapted)(images()), atol=1e-5)
    assert torch.equal(adapted(images()), before)


@pytest.mark.parametrize("tune", ["bias", "full", "head"])
def test_a_merged_tower_is_a_plain_one_with_the_same_output(tune: Any, clip: Loaded) -> None:
    adapted = moved(adapt(clip.model.visual, Training(tune=tune))).eval()
    plain = merged(adapted)
    assert plain.state_dict().keys() == clip.model.visual.state_dict().keys()
    assert torch.allclose(plain(images()), adapted(images()), atol=1e-5)


def test_an_adaptformer_block_is_the_block_and_a_branch_beside_its_mlp(clip: Loaded) -> None:
    """The reference: open_clip's own block with its MLP left out, and all the rest by hand in float64."""
    adapted = moved(adapt(clip.model.visual, Training(tune="adaptformer", rank=3))).eval()
    block, plain = blocks(adapted)[1], clip.model.visual.transformer.resblocks[1]
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(3))
    middle = (x + plain.attention(plain.ln_1(x))).double()
    branch = {name: weight.detach().double() for name, weight in block.adaptformer.named_parameters()}
    assert set(branch) == set(ADAPTFORMER)
    mean, var = middle.mean(-1, keepdim=True), middle.var(-1, unbiased=False, keepdim=True)
    normed = (middle - mean) / (var + 1e-5).sqrt() * branch["norm.weight"] + branch["norm.bias"]
    inner = (normed @ branch["down.weight"].T + branch["down.bias"]).clamp(min=0)
    beside = branch["scale"] * (inner @ branch["up.weight"].T + branch["up.bias"])
    assert beside.abs().max() > 0.1, "the branch must be one that can be seen"
    assert torch.allclose(block(x).double(), plain(x).double() + beside, atol=1e-5)


# ---- dropout


@pytest.mark.parametrize("tune", ["lora", "adaptformer"])
def test_dropout_is_applied_in_training_and_only_there(tune: Any, clip: Loaded) -> None:
    adapted = moved(adapt(clip.model.visual, Training(tune=tune, dropout=0.5)))
    assert not torch.equal(adapted.train()(images()), adapted(images()))
    assert torch.equal(adapted.eval()(images()), adapted(images()))


def many(module: nn.Module, x: Tensor) -> Tensor:
    """20,000 runs of a module on the same input, each with its own dropout."""
    torch.manual_seed(0)
    return module.train()(x.expand(20_000, -1))


def test_loras_input_is_dropped_and_what_remains_makes_up_for_it(clip: Loaded) -> None:
    adapted = moved(adapt(clip.model.visual, Training(dropout=0.25)))
    layer = adapted.get_submodule("transformer.resblocks.1.attn.out")
    x = torch.randn(1, 32, generator=torch.Generator().manual_seed(3))
    dropped = many(layer, x)
    assert torch.allclose(dropped.mean(0), layer.eval()(x)[0], atol=0.05)
    a, b = layer.lora_A.weight, layer.lora_B.weight
    spread = ((2.0 * b @ a * x) ** 2 * 0.25 / 0.75).sum(dim=1).sqrt()
    assert torch.allclose(dropped.std(0), spread, rtol=0.05)


def test_adaptformers_inside_is_dropped_and_what_remains_makes_up_for_it() -> None:
    torch.manual_seed(0)
    branch = moved(AdaptFormer(16, 8, dropout=0.25))
    x = torch.randn(1, 16)
    dropped = many(branch, x)
    assert dropped.std(0).min() > 0.01
    assert torch.allclose(dropped.mean(0), branch.eval()(x)[0], atol=0.02)


# ---- a tower in parts

TOWERS: dict[str, Any] = {
    "plain": lambda: vit(),
    "quickgelu": lambda: vit(act_layer=quick_gelu()),
    "mean of tokens, norm after": lambda: vit(pool_type="avg", final_ln_after_pool=True),
    "no norm before": lambda: vit(no_ln_pre=True, pos_embed_type="sin_cos_2d"),
    "layer scale": lambda: vit(ls_init_value=0.1),
    "patch dropout": lambda: vit(patch_dropout=0.5),
    "attentional pooling": lambda: vit(attentional_pool=True, attn_pooler_queries=4, attn_pooler_heads=2),
    "tokens too": lambda: vit(output_tokens=True),
    "resnet": resnet,
    "embedded": lambda: load("embedded").model.visual,
}


@pytest.mark.parametrize("name", TOWERS)
def test_the_parts_of_a_tower_one_after_the_other_are_its_own_forward(name: str) -> None:
    tower = TOWERS[name]()
    expected = tower(images())
    x = images()
    for part in parts(tower):
        x = part(x)
    assert torch.equal(x, expected[0] if isinstance(expected, tuple) else expected)


def test_parts_are_the_patches_each_block_and_the_pooling_or_the_whole() -> None:
    assert len(parts(vit())) == 1 + 3 + 1
    assert len(parts(resnet())) == 1


@pytest.mark.parametrize(
    ("settings", "frozen"),
    [
        (Training(), 1),
        (Training(tune_blocks=1), 3),
        (Training(tune="adaptformer", tune_blocks=2), 2),
        (Training(tune="bias"), 1),
        (Training(tune="full", tune_blocks=3), 1),
        (Training(tune="full"), 0),
        (Training(tune="head"), 5),
    ],
)
def test_the_parts_below_the_lowest_tuned_block_are_frozen(settings: Training, frozen: int) -> None:
    assert frozen_parts(adapt(vit(), settings), settings) == frozen


def test_a_tower_of_one_part_is_frozen_for_the_head_alone() -> None:
    assert frozen_parts(resnet(), Training(tune="head")) == 1
    assert frozen_parts(resnet(), Training(tune="full")) == 0
