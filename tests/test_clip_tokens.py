"""How many tokens CLIP makes of a text, counted without torch."""

from __future__ import annotations

import pytest

from ltgc_cli import clip_tokens


@pytest.mark.parametrize(
    "text",
    [
        "A photo of seal (marine mammal), standing on 3 rocks at dawn.",
        "Tinca tinca, Xylocopa violacea; isn't it the crane's?",
        "“quoted” — naïve l'été 鶴 🙂 &amp; it's 12,345 #1 ice_cream",
        "qwrtpsdfg zyzzyva bxqz",
        "UPPER Case\tand  spaces\n",
        "",
    ],
)
def test_tokens_are_counted_as_open_clip_counts_them(text):
    from ltgc_cli.providers.torch_setup import mend_torchvision

    mend_torchvision()
    from open_clip.tokenizer import SimpleTokenizer

    assert clip_tokens.count(text) == len(SimpleTokenizer().encode(text)) + 2


def test_77_tokens_fit_and_78_do_not():
    assert clip_tokens.count("very " * 75) == 77
    assert not clip_tokens.over("very " * 75)
    assert clip_tokens.over("very " * 76)


def test_a_short_text_is_not_counted_at_all(monkeypatch):
    monkeypatch.setattr(clip_tokens, "count", lambda text: pytest.fail("counted"))

    assert not clip_tokens.over(
        "A photo of the class crane, standing in shallow water with its neck stretched out, next to green reeds."
    )
