"""`embedded`: a vision-language model that is CLIP, scoring the same phrases that the grammar speaks in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ltgc_cli.errors import ProviderError, Refused
from ltgc_cli.ports import Answer, Ask, Question
from ltgc_cli.prompts import choices
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import open_clip as clip
from ltgc_cli.providers.images import decode
from ltgc_cli.providers.llm.embedded import FREE, banks_for, sentence
from ltgc_cli.providers.opened import AskOptions, Opened, folder_identity, with_notice

if TYPE_CHECKING:
    import torch

NOTICE = (
    "the embedded vision model is a small CLIP that picks from a list of phrases, and knows written digits only; "
    "--lmm gpt-4o, or any vision model that litellm names, sees more"
)
_BANKS_NAMED = 4


def identity() -> str:
    """Returns what the model is called in keys and records. A change of the banks needs a new number in it."""
    return folder_identity("embedded/lmm-1", clip.EMBEDDED)


def open_port(_: str, options: AskOptions) -> Opened[Ask]:
    """Returns the model, with a notice of what it is when it is first asked."""
    return with_notice(Opened(identity(), ask_port(objects=options.objects)), options.notice, NOTICE)


def ask_port(*, objects: Callable[[str], bytes], spec: str = "embedded", device: str | None = None) -> Ask:
    """Returns the port that describes an image; CLIP is loaded by the first question, and asked by one at a time."""
    lock = threading.Lock()
    loaded: list[clip.Loaded] = []
    known: dict[str, dict[str, torch.Tensor]] = {}

    def scores(key: str, image: str, banks: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
        """Returns how alike an image is to each text of some banks, which are encoded once for each key."""
        pixels = decode(objects(image), image)
        with lock:
            if not loaded:
                loaded.append(clip.load(spec, torch_setup.device(device)))
            if key not in known:
                known[key] = {name: clip.encode_texts(loaded[0], texts) for name, texts in banks.items()}
            (seen,) = clip.encode_images(loaded[0], [pixels])
        return {name: (texts @ seen).tolist() for name, texts in known[key].items()}

    def description(question: Question) -> str:
        subject, banks = question.subject, banks_for(question.subject)
        texts = {name: [f"A photo of {subject}, {p}." for p in phrases] for name, phrases in banks.items()}
        return sentence(subject, best(banks, scores(subject, question.images[0], texts)))

    def choice(question: Question) -> str:
        names = choices(question.text)
        if not names:
            raise Refused("the embedded vision model can only choose from a list of names, and these are too many")
        found = scores(question.text, question.images[0], {"": [f"A photo of {name}." for name in names]})
        return names[_first(found[""])]

    def ask(question: Question) -> Answer:
        if question.task not in ("describe", "recognize"):
            raise ProviderError(f"the embedded vision model only describes; ask {question.task} of --llm")
        if len(question.images) != 1:
            raise Refused("the embedded vision model looks at one image at a time")
        text = choice(question) if question.task == "recognize" else description(question)
        return Answer(text=text, usage=FREE)

    return ask


def best(banks: Mapping[str, Sequence[str]], scores: Mapping[str, Sequence[float]]) -> list[str]:
    """Returns the likeliest phrase of the banks that are clearest about theirs, in the banks' order.

    >>> best({"weight": ["thin", "bold"], "slant": ["left", "right"]}, {"weight": [0.1, 0.3], "slant": [0.2, 0.1]})
    ['bold', 'left']
    """
    highest = {name: sorted(scores[name])[-2:] for name in banks}
    clearest = sorted(banks, key=lambda name: highest[name][0] - highest[name][-1])[:_BANKS_NAMED]
    return [phrases[_first(scores[name])] for name, phrases in banks.items() if name in clearest]


def _first(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)
