from __future__ import annotations

import numpy as np
import pytest
import torch
from classifiers import CLASSES
from torch.nn.functional import normalize

from ltgc_cli.learn.model import HEADS, CosineHead, LinearHead, TwoHeads, at_random, class_text, from_means, from_texts
from ltgc_cli.providers.clip.open_clip import Loaded, encode_texts

NAMES = ["A photo of seal (marine mammal).", "A photo of crane."]
FEATURES = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))


def test_the_cosine_head_is_scaled_cosine() -> None:
    f, w = FEATURES.double(), ROWS.double()
    expected = 25 * (f / f.norm(dim=1, keepdim=True)) @ (w / w.norm(dim=1, keepdim=True)).T
    assert torch.allclose(CosineHead(ROWS, 25.0)(FEATURES).double(), expected, atol=1e-5)


def test_the_linear_head_is_a_linear_layer_on_features_of_length_scale() -> None:
    head = LinearHead(ROWS, 25.0)
    head.bias.data = torch.tensor([1.0, -2.0, 3.0])
    f = FEATURES.double()
    expected = (25 * f / f.norm(dim=1, keepdim=True)) @ ROWS.double().T + torch.tensor([1.0, -2.0, 3.0])
    assert torch.allclose(head(FEATURES).double(), expected, atol=1e-4)


def test_both_heads_start_alike_from_rows_of_length_one() -> None:
    rows = normalize(ROWS, dim=-1)
    assert torch.allclose(LinearHead(rows, 25.0)(FEATURES), CosineHead(rows, 25.0)(FEATURES), atol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_logits_stay_float32_under_autocast(kind: str) -> None:
    head = HEADS[kind](ROWS, 25.0)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(FEATURES.bfloat16())
    assert logits.dtype == torch.float32
    assert torch.equal(logits, head(FEATURES.bfloat16().float()))


def test_a_class_starts_from_its_name_and_sense(clip: Loaded) -> None:
    assert [class_text(info) for info in CLASSES] == NAMES
    assert torch.allclose(from_texts(clip, CLASSES), encode_texts(clip, NAMES), atol=1e-6)


def test_a_class_starts_from_the_mean_of_its_name_and_its_descriptions(clip: Loaded) -> None:
    texts = {7: ["A photo of crane with a red cap.", "A photo of crane in a marsh, " + "very tall reeds, " * 60]}
    rows = from_texts(clip, CLASSES, texts)
    name, cap, marsh = encode_texts(clip, [NAMES[1], *texts[7]]).double()
    mean = (name + cap + marsh) / 3
    assert torch.allclose(rows[1].double(), mean / mean.norm(), atol=1e-6)
    assert torch.allclose(rows[0], encode_texts(clip, NAMES)[0], atol=1e-6), "a class without descriptions has its name"


def test_texts_are_encoded_part_by_part_with_the_same_result(clip: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {3: [f"A photo of seal number {number}." for number in range(7)], 7: ["A photo of crane in a marsh."]}
    whole = from_texts(clip, CLASSES, texts)
    monkeypatch.setattr("ltgc_cli.learn.model._TEXTS", 2)
    assert torch.allclose(from_texts(clip, CLASSES, texts), whole, atol=1e-6)


def test_a_class_starts_from_the_mean_of_its_images_or_from_its_text_where_it_has_none() -> None:
    features = np.array([[3, 0], [0, 4], [0, -5]], dtype=np.float32)
    otherwise = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    rows = from_means(features[:2], [1, 1], otherwise)
    assert torch.allclose(rows, torch.tensor([[0.6, 0.8], [0.5**0.5, 0.5**0.5]]), atol=1e-6)
    rows = from_means(features, [0, 1, 0], otherwise)
    assert torch.allclose(rows, torch.tensor([[3 / 18**0.5, -3 / 18**0.5], [0.0, 1.0]]), atol=1e-6), "length counts not"


def test_random_rows_have_length_one_and_come_from_the_seed() -> None:
    rows = at_random(4, 6, seed=1)
    assert torch.allclose(rows.norm(dim=1), torch.ones(4))
    assert torch.equal(rows, at_random(4, 6, seed=1)) and not torch.equal(rows, at_random(4, 6, seed=2))


@pytest.mark.parametrize("kind", HEADS)
def test_a_second_head_starts_alike_and_no_gradient_of_a_generated_row_reaches_the_first(kind: str) -> None:
    first = HEADS[kind](ROWS, 25.0)
    heads = TwoHeads(first).train()
    generated = torch.tensor([False, True, True, False, True])
    features = FEATURES.clone().requires_grad_()
    logits = TwoHeads.own(heads(features), generated)
    assert torch.equal(logits, first(features))
    (logits[generated] ** 2).sum().backward()
    assert all(torch.equal(weight.grad, torch.zeros_like(weight)) for weight in heads.real.parameters())
    assert all(weight.grad.abs().max() > 0 for weight in heads.generated.parameters())
    assert features.grad[generated].abs().min(dim=1).values.max() > 0, "they reach the tower"
    assert torch.equal(heads.eval()(FEATURES), first(FEATURES)), "where nothing is trained, the first head alone"
