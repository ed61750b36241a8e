"""What models cost: the price list that litellm ships with, read without importing litellm, and estimates of tokens.

An unknown price is None and never 0; 0 is what a server of one's own costs.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.ports import Question, Task, own_server
from ltgc_cli.text import nearest

_LIST = "model_prices_and_context_window_backup.json"
_FAMILIES = ("bedrock", "cohere", "fireworks_ai", "vertex_ai")
"""Providers whose models the list has under several names, which begin alike (`vertex_ai-language-models`)."""
_QUALITY = re.compile(r"(?:^|(?<=/))(?:low|medium|high|xhigh|max|standard|hd|\d+-steps|max-steps)/")
_SIZE = re.compile(r"(?:^|(?<=/))(\d+)-x-(\d+)/")


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs in US dollars, and how much it reads and writes. `None` is "not in the list"."""

    input: float = 0.0  # a token of the prompt
    output: float = 0.0  # a token of the answer; of an image model's, a token of the image
    batch_input: float | None = None
    batch_output: float | None = None
    image: float | None = None  # an image, whatever its size
    pixel: float | None = None  # a pixel of an image
    images: dict[str, float] = {}
    """An image of a size ("1024x1024"); where it depends on the quality, of the dearest, as the API may choose it."""
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


def find(spec: str, given: str | None = None) -> Price | None:
    """Returns what a model costs, by its name as litellm has it, or None where nobody knows.

    `given` is the user's own: dollars per million tokens "IN,OUT", or one number, dollars per image; what else the
    list knows of the model stays. Raises InputError where that is neither.

    >>> find("openai/gpt-4o") == find("gpt-4o"), find("my-own-model")
    (True, None)
    >>> find("my-own-model", "2.50,10").input
    2.5e-06
    """
    listed = _listed(spec)
    if given is None:
        return listed
    costs = _given(given)
    free: dict[str, Any] = {"batch_input": None, "batch_output": None, "image": None, "pixel": None, "images": {}}
    return msgspec.structs.replace(listed or Price(), **{**free, "input": 0.0, "output": 0.0, **costs})


def takes_schema(spec: str) -> bool | None:
    """Returns whether a model's answers can be held to a JSON schema, by the list; None where it cannot say.

    What a server of one's own takes depends on that server, whatever the model is.

    >>> takes_schema("gpt-4o"), takes_schema("gpt-4"), takes_schema("ollama/llama3.1"), takes_schema("my-own-model")
    (True, False, None, None)
    """
    _, entry = _entry(spec)
    if not entry or own_server(spec):
        return None
    return bool(entry.get("supports_response_schema"))


def sees(spec: str) -> bool | None:
    """Returns whether a model takes images, by the list; None where it does not say, as of many that do.

    >>> sees("gpt-4o"), sees("o3-mini"), sees("gpt-4"), sees("my-own-model")
    (True, False, None, None)
    """
    _, entry = _entry(spec)
    said = entry.get("supports_vision") if entry.get("mode") == "chat" else None
    return said if isinstance(said, bool) else None


_MODES = {"text": ("chat", "responses", "completion"), "image": ("image_generation",)}
_PREFIXED = frozenset({"anthropic", "openai"})
"""Providers whose models the list has by their bare names, and many people write with the provider's."""


def names(what: Literal["text", "image"], *, sees: bool = False) -> list[str]:
    """Returns the models in the list, as they are typed: those that answer in text or in images, in its order.

    sees -- those alone that see images

    >>> {"gpt-4o", "openai/gpt-4o"} <= set(names("text", sees=True)), "gpt-4o" in names("image")
    (True, False)
    """
    found: dict[str, None] = {}
    for listed in _prices():
        entry = _said(listed)
        if entry.get("mode") in _MODES[what] and (entry.get("supports_vision") or not sees):
            name = _QUALITY.sub("", _SIZE.sub("", _QUALITY.sub("", listed)))
            found[name] = None
            if "/" not in name and entry.get("litellm_provider") in _PREFIXED:
                found[f"{entry['litellm_provider']}/{name}"] = None
    return list(found)


def nearest_model(spec: str, what: Literal["text", "image"] = "text") -> str:
    """Returns the end of an error about a model that nobody knows: which one was meant, where one is close.

    >>> nearest_model("gpt4o"), nearest_model("my-own-model")
    ('; did you mean gpt-4o?', '')
    """
    known = names(what)
    return "" if spec in known else nearest(spec, known)


def dollars(price: Price, prompt_tokens: int, completion_tokens: int) -> float:
    """Returns what the tokens cost.

    >>> dollars(Price(input=2.5e-6, output=1e-5), 1000, 100)
    0.0035
    """
    return round(price.input * prompt_tokens + price.output * completion_tokens, 10)


def in_batch(price: Price) -> Price:
    """Returns the price with its tokens at what a batch API takes: as listed, else half, as those providers say.

    >>> batch = in_batch(Price(input=3e-6, output=1.2e-5, batch_output=4e-6))
    >>> batch.input, batch.output
    (1.5e-06, 4e-06)
    """
    halves = (price.input / 2, price.output / 2)
    given = (price.batch_input, price.batch_output)
    lower = [half if listed is None else listed for half, listed in zip(halves, given, strict=True)]
    return msgspec.structs.replace(price, input=lower[0], output=lower[1])


def per_image(price: Price, width: int | None = None, height: int | None = None) -> float | None:
    """Returns what an image costs, 1024 by 1024 where no size is given, or None where the list does not say.

    >>> per_image(Price(images={"1024x1024": 0.04, "1024x1792": 0.08}), 1024, 1792)
    0.08
    """
    width, height = width or 1024, height or 1024
    if f"{width}x{height}" in price.images:
        return price.images[f"{width}x{height}"]
    if price.image is None and price.pixel is not None:
        return price.pixel * width * height
    return price.image


_PIECES = re.compile(r"[^\W\d_]+|\d{1,3}|\s*\n\s*|[^\w\s]+|_+")


def prompt_tokens(text: str) -> int:
    """Returns about how many tokens a text is as the one message of a chat, the message's own seven included.

    Words, numbers by three digits, runs of punctuation and line ends are counted; long and capitalised words are
    more than one. Against litellm.token_counter ("gpt-4o") over prompts of this package for 60 of ImageNet's classes,
    lists of 60 descriptions among them, the sum was 2% high, a prompt 4% off in the mean and 16% at most; for 15
    Latin names 6% low, 12% at most. Other scripts are rougher still: see `most_prompt_tokens`.

    >>> prompt_tokens("A photo of the class crane, at dusk.")
    17
    """
    return 7 + round(sum(_tokens(piece.group()) for piece in _PIECES.finditer(text)))


def most_prompt_tokens(text: str) -> int:
    """Returns how many tokens a text is at most: a token of a byte-level vocabulary is at least one byte.

    64 more are for what chat templates put around a message.

    >>> most_prompt_tokens("鶴")
    67
    """
    return 64 + len(text.encode(errors="replace"))


# Base and tile, from OpenAI's guide to images; the longest beginning of a model's name decides.
_TILES = {"gpt-4o-mini": (2833, 5667), "gpt-5": (70, 140), "o1": (75, 150), "o3": (75, 150)}
_PATCHES = {"gpt-4.1-mini": 1.62, "gpt-4.1-nano": 2.46, "o4-mini": 1.72, "gpt-5-mini": 1.62, "gpt-5-nano": 2.46}
_MOST_PATCHES = 1536


def image_tokens(width: int, height: int, spec: str) -> int:
    """Returns about how many tokens an image is, after the provider has scaled it, by the formula that it publishes.

    OpenAI: tiles of 512 pixels once the image fits 2048 x 2048 and its shorter side 768, or patches of 32 pixels;
    Anthropic: an area of 750 pixels a token, the longer side at most 1568; Gemini: tiles of 258 tokens.
    For all others OpenAI's for gpt-4o.

    >>> [image_tokens(1024, 768, spec) for spec in ("gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash")]
    [765, 1049, 1032]
    """
    name = spec.rpartition("/")[2].lower()
    if "claude" in name:
        shrunk = min(1.0, 1568 / max(width, height), math.sqrt(1600 * 750 / (width * height)))
        return math.ceil(width * shrunk * height * shrunk / 750)
    if "gemini" in name:
        unit = max(1, math.floor(min(width, height) / 1.5))
        return 258 * (1 if max(width, height) <= 384 else math.ceil(width / unit) * math.ceil(height / unit))
    patches = [(len(start), factor) for start, factor in _PATCHES.items() if name.startswith(start)]
    if patches:
        return math.ceil(max(patches)[1] * min(_MOST_PATCHES, math.ceil(width / 32) * math.ceil(height / 32)))
    base, tile = max([(len(s), cost) for s, cost in _TILES.items() if name.startswith(s)], default=(0, (85, 170)))[1]
    shrunk = min(1.0, 2048 / max(width, height))
    shrunk = min(shrunk, 768 / min(width, height))
    return base + tile * math.ceil(round(width * shrunk) / 512) * math.ceil(round(height * shrunk) / 512)


LARGEST = 2048
"""The longest side, in pixels, of an image that a model is shown without being told to scale it."""


def asked_tokens(question: Question) -> int:
    """Returns about how many tokens a question is, with its images."""
    side = question.image_size if isinstance(question.image_size, int) else LARGEST
    image = image_tokens(side, side, question.model) if question.images else 0
    return prompt_tokens(question.text) + len(question.images) * image


# What answers are long, in tokens: a sentence in Template 1 is 20 to 45, and a list has as many as were asked for.
# A model that reasons writes, and is paid for, hundreds more.
_ANSWERS: dict[Task, int] = {
    "describe": 45, "extend": 35, "reflect": 40, "template": 45, "refine": 40, "sense": 15, "recognize": 10,
}  # fmt: skip


def completion_tokens(task: Task, want: int = 1) -> int:
    """Returns about how many tokens an answer to a task has.

    >>> completion_tokens("describe"), completion_tokens("extend", want=50)
    (45, 1750)
    """
    return _ANSWERS[task] * (max(1, want) if task == "extend" else 1)


def _tokens(piece: str) -> float:
    if not piece[0].isalpha():
        return 1.0
    if not piece.isascii():
        return max(1.0, 0.75 * len(piece))
    length = 1.0 if len(piece) <= 6 else 1.1 if len(piece) <= 9 else len(piece) / 6
    return length + (0.4 if piece[0].isupper() and len(piece) >= 4 else 0.0)


def _given(text: str) -> dict[str, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0 <= number < math.inf for number in numbers):
        raise InputError(
            f"--price {text!r} is no price; write dollars per million tokens as IN,OUT (2.5,10), "
            "or dollars per image as one number (0.04)"
        )
    if len(numbers) == 1:
        return {"image": numbers[0]}
    return {"input": numbers[0] / 1e6, "output": numbers[1] / 1e6}


@functools.cache
def _listed(spec: str) -> Price | None:
    name, entry = _entry(spec)
    images = _images().get(name or spec, {})
    draws = bool(images) or entry.get("mode") == "image_generation"
    free = own_server(spec)  # a 0 that the list has for others is a gap in it
    per_token = _paid(entry, "input_cost_per_token"), _paid(entry, "output_cost_per_token")
    if draws:
        per_token = per_token[0], _paid(entry, "output_cost_per_image_token") or per_token[1]
    image = (_paid(entry, "output_cost_per_image") or _paid(entry, "input_cost_per_image")) if draws else None
    pixel = _paid(entry, "input_cost_per_pixel") if draws else None
    if not free and None in per_token and not (draws and (image or pixel or images)):
        return None
    return Price(
        input=per_token[0] or 0.0,
        output=per_token[1] or 0.0,
        batch_input=_paid(entry, "input_cost_per_token_batches"),
        batch_output=_paid(entry, "output_cost_per_token_batches"),
        image=image,
        pixel=pixel,
        images=images,
        max_input_tokens=_whole(entry.get("max_input_tokens")),
        max_output_tokens=_whole(entry.get("max_output_tokens")),
    )


def _entry(spec: str) -> tuple[str | None, dict[str, Any]]:
    """Returns the list's name for a model and what it says of it: as litellm finds it, the most particular first."""
    provider, slash, rest = spec.partition("/")
    undated = re.sub(r"-\d{4}-\d{2}-\d{2}$|(?<=.)(?::[^:]*){3}$", "", spec)
    if provider in ("databricks", "gemini", "vertex_ai"):
        undated = re.sub(r"-\d+$", "", spec)
    for name in (spec, rest, undated, undated.partition("/")[2]):
        found = _lowercase().get(name.lower()) if name else None
        if found and (not slash or name in (spec, undated) or _same(provider, _said(found))):
            return found, _said(found)
    return None, {}


def _same(provider: str, entry: dict[str, Any]) -> bool:
    listed = str(entry.get("litellm_provider"))
    return listed == provider or provider in _FAMILIES and listed.startswith(provider)


def _paid(entry: dict[str, Any], name: str) -> float | None:
    value = entry.get(name)
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None


@functools.cache
def _prices() -> dict[str, msgspec.Raw]:
    """Returns litellm's list as it is, or nothing where litellm is not installed.

    An entry is read when it is wanted: a command wants one of the thousands.
    """
    found = importlib.util.find_spec("litellm")
    if found is None or found.origin is None:
        return {}
    try:
        prices = msgspec.json.decode((Path(found.origin).parent / _LIST).read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError):  # a litellm that keeps it elsewhere: no price is known then
        return {}
    prices.pop("sample_spec", None)
    return prices


def _said(name: str) -> dict[str, Any]:
    """Returns what the list says of a model by its own name for it; nothing where that is no object."""
    try:
        return msgspec.json.decode(_prices()[name], type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


@functools.cache
def _lowercase() -> dict[str, str]:
    return {name.lower(): name for name in reversed(_prices())} | {name: name for name in _prices()}


@functools.cache
def _images() -> dict[str, dict[str, float]]:
    """Returns by model and size what the list has under names like `high/1024-x-1024/gpt-image-1`."""
    found: dict[str, dict[str, float]] = {}
    for name in _prices():
        size = _SIZE.search(name) if "-x-" in name else None
        if size is None:
            continue
        entry = _said(name)
        pixels = int(size[1]) * int(size[2])
        cost = _paid(entry, "input_cost_per_image") or _paid(entry, "output_cost_per_image")
        cost = cost or pixels * (_paid(entry, "input_cost_per_pixel") or 0.0)
        sizes = found.setdefault(_QUALITY.sub("", _SIZE.sub("", name)), {})
        sizes[f"{size[1]}x{size[2]}"] = max(cost, sizes.get(f"{size[1]}x{size[2]}", 0.0))
    return {name: {size: round(cost, 6) for size, cost in sizes.items() if cost} for name, sizes in found.items()}
