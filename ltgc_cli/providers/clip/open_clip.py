"""CLIP, loaded by open_clip: `embedded`, MODEL/PRETRAINED, hf-hub:ID or local-dir:PATH."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import ltgc_cli.embedded
from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import Match, Score
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.identity import folder_identity
from ltgc_cli.providers.images import decode
from ltgc_cli.providers.quiet import no_progress_bars, one_line, quiet

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

EMBEDDED = Path(ltgc_cli.embedded.__file__).parent / "clip"
SPECS = "embedded, MODEL/PRETRAINED (ViT-B-32/laion2b_s34b_b79k), hf-hub:ID or local-dir:PATH"
NOTICE = (
    "the embedded CLIP is tiny and knows written digits and nothing else; "
    "--clip ViT-B-32/laion2b_s34b_b79k, or any model that open_clip loads, knows more"
)
_BATCH = 64
_KEEP = 4096  # features remembered between calls: 8 MB of 512 numbers each

K = TypeVar("K")
V = TypeVar("V")


class Loaded(NamedTuple):
    """A CLIP model ready for use, and what it is called in keys and records."""

    model: Any
    preprocess: Callable[[Image], torch.Tensor]
    tokenizer: Callable[[list[str]], torch.Tensor]
    identity: str
    device: str = "cpu"


def identity(spec: str) -> str:
    """Returns what the model is called in keys and records. Raises InputError for a spec that is none."""
    if spec == "embedded":
        return folder_identity("embedded/clip", _folder(EMBEDDED))
    if spec.startswith("local-dir:"):
        return folder_identity("clip", _folder(Path(spec.removeprefix("local-dir:"))))
    name, slash, pretrained = spec.partition("/")
    if spec.startswith("hf-hub:") and spec != "hf-hub:":
        return spec
    if not (name and slash and pretrained) or ":" in name:
        raise InputError(f"{spec!r} names no CLIP model; write {SPECS}")
    if "/" in pretrained or Path(pretrained).exists():
        raise InputError(
            f"{spec}: to use weights from a file, put them in a folder with their open_clip_config.json "
            "and write local-dir:PATH"
        )
    return spec


def load(spec: str, device: str = "cpu") -> Loaded:
    """Returns the model of a spec, all of it frozen. Raises ProviderError where it or its weights cannot be had."""
    identified = identity(spec)
    if spec == "embedded":
        torch_setup.one_thread()
    with quiet():
        torch_setup.mend_torchvision()
        import open_clip

        no_progress_bars()
        name, pretrained = _names(spec)
        if pretrained is not None and name not in open_clip.list_models():
            raise InputError(f"{spec}: open_clip knows no model {name!r}; write {SPECS}")
        try:
            model, preprocess = open_clip.create_model_from_pretrained(name, pretrained, device=device)
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # open_clip and the hub raise all kinds
            raise ProviderError(f"CLIP {spec} cannot be loaded: {one_line(error)}; {_advice(spec)}") from None
    return Loaded(model.eval().requires_grad_(False), preprocess, tokenizer, identified, device)


def encode_images(loaded: Loaded, images: Sequence[Image]) -> torch.Tensor:
    """Returns the images' features (n, d), float32, normalised, on the CPU."""
    import torch

    def encode(part: Sequence[Image]) -> torch.Tensor:
        return loaded.model.encode_image(torch.stack([loaded.preprocess(image) for image in part]).to(loaded.device))

    return _features(encode, images)


def encode_texts(loaded: Loaded, texts: Sequence[str]) -> torch.Tensor:
    """Returns the texts' features (n, d), float32, normalised, on the CPU. Text over the model's length is cut."""
    return _features(lambda part: loaded.model.encode_text(loaded.tokenizer(list(part)).to(loaded.device)), texts)


def score_port(spec: str, *, objects: Callable[[str], bytes], device: str | None = None) -> Score:
    """Returns the port that scores with this model, which is loaded when it is first used."""
    lock = threading.Lock()
    loaded: list[Loaded] = []

    def model() -> Loaded:
        if not loaded:
            loaded.append(load(spec, device or torch_setup.device()))
        return loaded[0]

    def see(images: Sequence[str]) -> list[torch.Tensor | Refused]:
        opened = [_opened(objects, image) for image in images]
        good = [image for image in opened if not isinstance(image, Refused)]
        features = iter(encode_images(model(), good) if good else ())
        return [image if isinstance(image, Refused) else next(features) for image in opened]

    def read(texts: Sequence[str]) -> list[torch.Tensor]:
        return list(encode_texts(model(), texts))

    seen = remembering(see, _KEEP)
    known = remembering(read, _KEEP)

    def score(matches: Sequence[Match]) -> list[float | Exception]:
        with lock:
            images = seen([match.image for match in matches])
            texts = known([match.text for match in matches])
        return [_cosine(images[match.image], texts[match.text]) for match in matches]

    return score


def remembering(f: Callable[[Sequence[K]], Sequence[V]], keep: int) -> Callable[[Sequence[K]], dict[K, V]]:
    """Returns f as a function to a dict, that asks f only for what it has not seen among the latest `keep`."""
    memory: dict[K, V] = {}

    def ask(keys: Sequence[K]) -> dict[K, V]:
        new = list(dict.fromkeys(key for key in keys if key not in memory))
        if new:
            memory.update(zip(new, f(new), strict=True))
        found = {key: memory[key] for key in keys}
        for key in list(memory)[: max(0, len(memory) - keep)]:
            del memory[key]
        return found

    return ask


def _opened(objects: Callable[[str], bytes], image: str) -> Image | Refused:
    try:
        return decode(objects(image), image)
    except Refused as refused:
        return refused


def _cosine(image: torch.Tensor | Refused, text: torch.Tensor) -> float | Exception:
    # Six decimals: the rest of a float32 depends on the batch that it was computed in.
    return image if isinstance(image, Refused) else round(float(image @ text), 6)


def _features(encode: Callable[[Sequence[V]], torch.Tensor], items: Sequence[V]) -> torch.Tensor:
    import torch

    with torch.no_grad():
        parts = [encode(items[start : start + _BATCH]) for start in range(0, len(items), _BATCH)]
        return torch.nn.functional.normalize(torch.cat(parts).float(), dim=-1).cpu()


def _names(spec: str) -> tuple[str, str | None]:
    """Returns what open_clip calls the spec: a model's name, and its weights where the name does not say them."""
    if spec == "embedded":
        return f"local-dir:{EMBEDDED}", None
    if spec.startswith(("local-dir:", "hf-hub:")):
        return spec, None
    name, _, pretrained = spec.partition("/")
    return name, pretrained


def _folder(path: Path) -> Path:
    if not (path / "open_clip_config.json").is_file():
        raise ProviderError(f"{path} is no folder of a CLIP model: it has no open_clip_config.json")
    return path


def _advice(spec: str) -> str:
    if spec.startswith("local-dir:") or spec == "embedded":
        return "the folder needs open_clip_config.json and open_clip_model.safetensors"
    return f"check the name and the network, or write {SPECS}"
