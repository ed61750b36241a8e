"""What ltgc asks of the world, as frozen requests and answers, and the protocols of what answers them.

A request is the whole question: everything that can change the answer is in it and nothing else is
(no path, no time, no batch, no order), because its canonical JSON is the cache's key.
A port is a plain function, so a test's fake is a lambda.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

Task = Literal["describe", "extend", "reflect", "template", "refine", "sense", "recognize"]
Schema = Literal["descriptions", "description", "numbers", "sense", "name"]
ImageFormat = Literal["png", "webp"]

# A field that a request got after its first version is UNSET where it is not used: it is then in no JSON, and
# the keys of all requests that do without it, and the answers paid for under them, stay what they were.


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer used: tokens, and US dollars where the price is known (`None` is "unknown", not 0).

    >>> Usage(prompt_tokens=-5, completion_tokens=3, dollars=-0.5)
    Usage(prompt_tokens=0, completion_tokens=3, dollars=None)
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = None

    def __post_init__(self) -> None:
        """Takes back what cannot be, which an earlier version kept as a server said it: it would lower every sum."""
        if self.prompt_tokens < 0 or self.completion_tokens < 0:
            for name in ("prompt_tokens", "completion_tokens"):
                msgspec.structs.force_setattr(self, name, max(0, getattr(self, name)))
        if self.dollars is not None and not 0 <= self.dollars < math.inf:
            msgspec.structs.force_setattr(self, "dollars", None)


def used(usage: Usage) -> bool:
    """Returns whether tokens or dollars were used."""
    return bool(usage.prompt_tokens or usage.completion_tokens or usage.dollars)


def unpriced(model: str, usage: Usage) -> bool:
    """Returns whether something was paid for at a price that is not known: tokens, or an image by an image API.

    What used nothing and was made by a model on one's own machine cost nothing.

    >>> unpriced("gpt-4o", Usage(prompt_tokens=9)), unpriced("litellm:my-images", Usage())
    (True, True)
    >>> unpriced("sd-turbo", Usage())
    False
    """
    return usage.dollars is None and (used(usage) or model.startswith("litellm:"))


_OWN_SERVERS = frozenset({"hosted_vllm", "lemonade", "llamafile", "lm_studio", "ollama", "ollama_chat"})


def own_server(model: str) -> bool:
    """Returns whether a model's name says that a server of one's own runs it, which costs nothing.

    >>> own_server("hosted_vllm/Qwen/Qwen3-8B"), own_server("openai/gpt-4o")
    (True, False)
    """
    return model.partition("/")[0] in _OWN_SERVERS


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a language or vision-language model."""

    model: str
    task: Task
    subject: str  # the class as the question names it: its name, with its sense in brackets where it has one
    text: str  # the whole prompt, as sent
    images: tuple[str, ...] = ()  # sha256 of each image shown; the bytes are in the store's objects
    want: int = 1
    temperature: float = 1.0
    max_tokens: int = 2048
    attempt: int = 0
    image_size: int | msgspec.UnsetType = msgspec.UNSET  # pixels of the images' longest side; UNSET: as they are
    schema: Schema | msgspec.UnsetType = msgspec.UNSET  # JSON that a model that can is held to; UNSET: plain text
    retry: int | msgspec.UnsetType = msgspec.UNSET  # how often it was asked before to no use; UNSET: never
    reasoning_effort: str | msgspec.UnsetType = msgspec.UNSET  # how long it thinks; UNSET: as it does by itself


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model's answer, word for word."""

    text: str
    usage: Usage = msgspec.field(default_factory=Usage)  # made, not shared: so it is in every JSON, as it always was
    cut_off: bool = False  # whether it ended at the most tokens that it may have (`max_tokens`), not of itself
    raw: str = ""  # the response's JSON, where no text was found in it: kept, so that a later version may read it


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An image to be generated. `None` leaves the choice to the model's own default."""

    model: str
    text: str
    seed: int
    attempt: int = 0
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""
    scheduler: str | msgspec.UnsetType = msgspec.UNSET  # diffusers' class name of the scheduler
    original: str | msgspec.UnsetType = msgspec.UNSET  # sha256 of the image that it starts from (image to image)
    strength: float | msgspec.UnsetType = msgspec.UNSET  # how much of `original` is changed, in (0, 1]
    format: ImageFormat | msgspec.UnsetType = msgspec.UNSET  # what the image is written as; UNSET is PNG
    retry: int | msgspec.UnsetType = msgspec.UNSET  # how often it was asked for before to no use; UNSET: never


class GeneratedImage(msgspec.Struct, frozen=True, kw_only=True):
    """A generated image: the sha256 of its bytes, which lie in the store's objects.

    What an image API gave and nobody could read is kept in the same way (`unread`): it was paid for.
    """

    sha256: str
    format: str = "png"
    usage: Usage = Usage()
    unread: bool | msgspec.UnsetType = msgspec.UNSET  # True: the bytes are those of the response, with no image found


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """How alike an image (by its sha256) and a text are, according to a CLIP model."""

    model: str
    image: str
    text: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Which text of many an image (by its sha256) is most alike, its own left out, according to a CLIP model.

    `among` is the sha256 of the texts, a JSON list in the store's objects: thousands of texts would be in every key.
    Where `of` says so, the list is of images by their sha256, and `own` is the image's.
    """

    model: str
    image: str
    own: str  # the text that does not count: the image's own class
    among: str
    of: Literal["images"] | msgspec.UnsetType = msgspec.UNSET  # what is in the list; UNSET: texts


class NearestClass(msgspec.Struct, frozen=True, kw_only=True):
    """The text, or the sha256 of the image, that an image is most alike, its own left out, and the raw cosine."""

    text: str
    cosine: float


# Each request and its answer, by the name that the store and recordings have it under. The names are those of the
# first version: another name is another key, and every answer paid for again.
REQUESTS: dict[str, tuple[type[Question | ImageRequest | Match | Comparison], type[Any]]] = {
    "Question": (Question, Answer),
    "Drawing": (ImageRequest, GeneratedImage),
    "Match": (Match, float),
    "Rival": (Comparison, NearestClass),
}
NAMES: dict[type, str] = {request: name for name, (request, _) in REQUESTS.items()}


def request_name(request: msgspec.Struct) -> str:
    """Returns the name that the store and recordings have a request's type under."""
    return NAMES.get(type(request), type(request).__name__)


Ask = Callable[[Question], Answer]
"""Returns the answer to one question. Called from many threads.

Raises Refused (TooLong where the same in parts would be answered) or ProviderError.
"""
Tries = Callable[[Question], Iterable[Question]]
"""Returns a question and then, as long as none of its answers was of use, the same asked again."""
# Each of these returns an answer per request, in order, or a Refused in the place of one that failed.
Generate = Callable[[Sequence[ImageRequest]], Sequence[GeneratedImage | Exception]]
Score = Callable[[Sequence[Match]], Sequence[float | Exception]]  # the raw cosine in [-1, 1] of each match
Compare = Callable[[Sequence[Comparison]], Sequence[NearestClass | Exception]]  # the nearest other one of each
