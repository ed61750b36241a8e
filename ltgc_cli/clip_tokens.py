"""How many tokens a text has for CLIP, counted without torch."""

from __future__ import annotations

import gzip
import html
import re
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MOST = 77  # what CLIP's text encoder takes, start and end included; what is over it is cut off
_PIECE = re.compile(r"[a-z]+|\d|[^\sa-z\d]", re.IGNORECASE)
_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def over(text: str) -> bool:
    """Returns whether CLIP would cut a text off."""
    return may_be_over(text) and count(text) > _MOST


def may_be_over(text: str) -> bool:
    """Returns whether a text is long enough to be worth counting.

    CLIP's vocabulary has nearly every pair of letters, so a word hardly ever has more tokens than half its letters.
    """
    if not text.isascii():
        return True
    letters = len(text) - text.count(" ")
    return len(text) > 1.5 * _MOST and (letters + len(_PIECE.findall(text))) // 2 + 2 > _MOST


def count(text: str) -> int:
    """Returns the number of tokens of a text as open_clip's tokenizer makes them, start and end included."""
    if not text.isascii():
        import ftfy  # open_clip's own cleaning: curly quotes become straight ones

        text = ftfy.fix_text(text)
    plain = " ".join(html.unescape(html.unescape(text)).split())
    with _building:  # threads that need it at once would each build one, in a tenth of a second
        tokenizer = _tokenizer()
    return len(tokenizer.encode(plain).ids) + 2


_building = threading.Lock()


@cache
def _tokenizer() -> Tokenizer:
    """Returns CLIP's byte-pair encoding, with the vocabulary that open_clip ships; open_clip itself brings torch."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    spec = find_spec("open_clip")
    assert spec and spec.submodule_search_locations  # ltgc requires it
    file = Path(spec.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
    rows = gzip.decompress(file.read_bytes()).decode().split("\n")[1 : 49_152 - 256 - 2 + 1]
    merges = [(first, second) for first, second in map(str.split, rows)]
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *map("".join, merges)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Lowercase()
    split = pre_tokenizers.Split(Regex(_PATTERN), behavior="removed", invert=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    return tokenizer
