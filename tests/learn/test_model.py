from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from classifiers import CLASSES, LORA, images, moved
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import Sample
from ltgc_cli.learn.model import Classifier, CosineHead, from_texts, groups, start, zero_shot
from ltgc_cli.learn.tuning import TUNE, adapt, frozen_parts
from ltgc_cli.providers.clip.open_clip import Loaded, encode_images, encode_texts
from ltgc_cli.settings import Training

NAMES = ["A photo of seal (marine mammal).", "A photo of crane."]


def gradients(classifier: Classifier) -> dict[str, bool]:
    """Which weights a step of training reaches, by name: True where the gradient is not 0."""
    torch.autograd.backward(cross_entropy(classifier.train()(images()), torch.tensor([0, 1, 0])))
    return {
        name: bool(weight.grad.abs().max() > 0)
        for name, weight in classifier.named_parameters()
        if weight.grad is not None
    }


# ---- the start


@pytest.mark.parametrize("head", ["cosine", "linear"])
@pytest.mark.parametrize("tune", TUNE)
def test_training_starts_from_clips_own_predictions(tune: Any, head: Any, clip: Loaded) -> None:
    classifier = start(clip, CLASSES, Training(tune=tune, head=head, rank=3))
    expected = 25 * normalize(clip.model.visual(images()), dim=-1) @ encode_texts(clip, NAMES).T
    assert torch.allclose(classifier(images()), expected, atol=1e-4)


def test_zero_shot_is_clip_itself(clip: Loaded) -> None:
    expected = 25 * normalize(clip.model.visual(images()), dim=-1) @ encode_texts(clip, NAMES).T
    assert torch.allclose(zero_shot(clip, CLASSES)(images()), expected, atol=1e-4)


def test_the_head_can_start_from_descriptions(clip: Loaded) -> None:
    texts = {7: ["A photo of crane with a red cap."]}
    head = start(clip, CLASSES, Training(head_init="descriptions"), texts=texts).head
    assert torch.equal(head.weight.data, from_texts(clip, CLASSES, texts))
    assert not torch.equal(head.weight.data, from_texts(clip, CLASSES))


def test_the_head_can_start_from_the_originals(clip: Loaded) -> None:
    from PIL import Image

    pictures = [Image.effect_noise((32, 32), 60).convert("RGB") for _ in range(3)]

    def sample(picture: Image.Image) -> Sample:
        data = io.BytesIO()
        picture.save(data, "PNG")
        return Sample(7, data.getvalue, "noise.png")

    head = start(clip, CLASSES, Training(head_init="means"), real=[sample(picture) for picture in pictures]).head
    assert torch.allclose(head.weight[1], normalize(encode_images(clip, pictures).mean(0), dim=0), atol=1e-3)
    assert torch.allclose(head.weight[0], encode_texts(clip, NAMES)[0], atol=1e-6), "no image of seal, so its name"


def test_the_head_can_start_at_random(clip: Loaded) -> None:
    one, two = (start(clip, CLASSES, Training(head_init="random", seed=seed)).head.weight for seed in (1, 2))
    assert one.shape == (2, 16) and not torch.equal(one, two)


# ---- frozen and tuned


@pytest.mark.parametrize("blocks", [0, 1])
@pytest.mark.parametrize("tune", TUNE)
def test_forward_is_what_is_tuned_of_what_is_frozen_bit_for_bit(tune: Any, blocks: int, clip: Loaded) -> None:
    classifier = moved(start(clip, CLASSES, Training(tune=tune, tune_blocks=blocks, rank=3))).train()
    kept = torch.stack([classifier.frozen(image[None])[0] for image in images()])
    assert not kept.requires_grad
    assert torch.equal(classifier.tuned(classifier.frozen(images())), classifier(images()))
    assert torch.allclose(classifier.tuned(kept), classifier(images()), atol=1e-5), "kept image by image"


def test_what_is_kept_is_the_features_where_the_head_alone_is_trained(clip: Loaded) -> None:
    classifier = start(clip, CLASSES, Training(tune="head")).train()
    assert torch.allclose(classifier.frozen(images()), clip.model.visual(images()), atol=1e-6)
    assert classifier.tuned(torch.ones(2, 16)).shape == (2, 2)


def test_nothing_is_kept_where_everything_is_trained(clip: Loaded) -> None:
    x = images()
    assert start(clip, CLASSES, Training(tune="full")).frozen(x) is x


def test_the_classifier_is_the_towers_own_forward_with_a_head(clip: Loaded) -> None:
    classifier = moved(start(clip, CLASSES, LORA)).eval()
    assert torch.equal(classifier(images()), classifier.head(classifier.visual(images())))


def test_any_module_and_head_make_a_classifier() -> None:
    classifier = Classifier(nn.Flatten(), CosineHead(torch.randn(4, 12), 10.0))
    assert classifier(torch.randn(2, 3, 2, 2)).shape == (2, 4)


# ---- training


@pytest.mark.parametrize("tune", TUNE)
def test_gradients_reach_all_that_is_tuned_and_nothing_else(tune: Any, clip: Loaded) -> None:
    classifier = moved(start(clip, CLASSES, Training(tune=tune, rank=3)))
    reached = gradients(classifier)
    assert reached.keys() == {name for name, weight in classifier.named_parameters() if weight.requires_grad}
    # A bias of the keys shifts all scores of a query alike, which softmax does not see.
    assert {name for name, moves in reached.items() if not moves and not name.endswith("attn.k.bias")} == set()


def test_frozen_parts_evaluate_while_the_others_train() -> None:
    from open_clip.transformer import VisionTransformer

    tower = VisionTransformer(32, 16, 16, 2, 2, 4.0, output_dim=16, patch_dropout=0.5)
    settings = Training(tune_blocks=1, dropout=0.5)
    visual = moved(adapt(tower, settings))
    classifier = Classifier(visual, CosineHead(torch.ones(2, 16), 25.0), frozen_parts(visual, settings)).train()
    kept = classifier.frozen(images())
    assert torch.equal(kept, classifier.frozen(images())), "no patch is dropped"
    assert not torch.equal(classifier.tuned(kept), classifier.tuned(kept)), "LoRA's input is"


def test_batch_norm_learns_no_statistics_of_mixes() -> None:
    from open_clip.modified_resnet import ModifiedResNet

    tower = ModifiedResNet((1, 1, 1, 1), 8, 2, image_size=32, width=8)
    classifier = Classifier(tower, CosineHead(torch.randn(2, 8), 25.0)).train()
    before = tower.bn1.running_mean.clone()
    classifier(images())
    assert torch.equal(tower.bn1.running_mean, before)


def test_weight_decay_is_for_the_towers_matrices_alone(clip: Loaded) -> None:
    classifier = start(clip, CLASSES, Training(tune="adaptformer", head="linear", weight_decay=0.1))
    layers = {id(weight): name.split(".")[-2] for name, weight in classifier.named_parameters()}
    found = [
        ({layers[id(weight)] for weight in group["params"]}, group["weight_decay"])
        for group in groups(classifier, Training(weight_decay=0.1))
    ]
    assert found == [({"down", "up"}, 0.1), ({"norm", "down", "up", "adaptformer"}, 0), ({"head"}, 0)]


def test_what_is_frozen_on_the_way_is_in_no_group(clip: Loaded) -> None:
    classifier = start(clip, CLASSES, LORA)
    classifier.visual.requires_grad_(False)
    assert [group["params"] for group in groups(classifier, LORA)] == [[classifier.head.weight]]


def test_a_tower_that_cannot_be_tuned_so_is_refused_before_anything_is_trained(clip: Loaded) -> None:
    with pytest.raises(InputError, match="--tune-blocks 9"):
        start(clip, CLASSES, Training(tune_blocks=9))
