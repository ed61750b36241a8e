"""CLIP, loaded by open_clip: `embedded`, MODEL/PRETRAINED, MODEL=FILE, hf-hub:ID or local-dir:PATH."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import ltgc_cli.embedded
from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip import weights_file
from ltgc_cli.providers.opened import Notice, file_identity, folder_identity
from ltgc_cli.providers.quiet import no_progress_bars, quiet
from ltgc_cli.text import nearest

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

EMBEDDED = Path(ltgc_cli.embedded.__file__).parent / "clip"
SPECS = (
    "embedded, MODEL/PRETRAINED (ViT-B-32/laion2b_s34b_b79k), MODEL=FILE (ViT-B-32=weights.safetensors), hf-hub:ID "
    "or local-dir:PATH"
)
NOTICE = (
    "the embedded CLIP is tiny and knows written digits and nothing else; "
    "--clip ViT-B-32/laion2b_s34b_b79k, or any model that open_clip loads, knows more"
)
BATCH = 64  # images, or texts, that a model sees at once
_WEIGHTS = (".safetensors", ".bin", ".pth")
_PREFERRED = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
"""The names that open_clip takes the weights in a folder from, before any other."""

V = TypeVar("V")


class Loaded(NamedTuple):
    """A CLIP model ready for use, and what it is called in keys and records."""

    model: Any
    preprocess: Callable[[Image], torch.Tensor]
    tokenizer: Callable[[list[str]], torch.Tensor]
    identity: str
    device: str = "cpu"
    spec: str = ""  # what loads it again on this machine


def identity(spec: str) -> str:
    """Returns what the model is called in keys and records. Raises InputError for a spec that is none."""
    if spec == "embedded":
        return folder_identity("embedded/clip", _folder(EMBEDDED))
    if spec.startswith("local-dir:"):
        return folder_identity("clip", _folder(Path(spec.removeprefix("local-dir:"))))
    if spec.startswith("hf-hub:") and spec != "hf-hub:":
        return spec
    if in_file := weights_file.named_by(spec):
        return file_identity(in_file.name, in_file.path)
    name, slash, pretrained = spec.partition("/")
    if not (name and slash and pretrained) or ":" in name:
        raise InputError(f"{spec!r} names no CLIP model; write {SPECS}")
    if "/" in pretrained or Path(pretrained).exists():
        raise InputError(
            f"{spec}: weights in a file are named MODEL=FILE, as in {name}={pretrained}; "
            "a folder that has them and their open_clip_config.json local-dir:PATH"
        )
    return spec


def placed(spec: str) -> str:
    """Returns a spec that names the same model from any folder of this machine.

    >>> placed("ViT-B-32/openai"), placed("local-dir:/models/clip")
    ('ViT-B-32/openai', 'local-dir:/models/clip')
    """
    if spec.startswith("local-dir:"):
        return f"local-dir:{os.path.abspath(spec.removeprefix('local-dir:'))}"
    in_file = weights_file.named_by(spec)
    return f"{in_file.name}={os.path.abspath(in_file.path)}" if in_file else spec


def load(spec: str, device: str = "cpu", notice: Notice = lambda text: None) -> Loaded:
    """Returns the model of a spec, all of it frozen. Raises ProviderError where it or its weights cannot be had.

    notice -- told of what cannot be known of weights in a file, and changes the features
    """
    identified = identity(spec)
    if spec == "embedded":
        torch_setup.one_thread()
    with quiet(), torch_setup.loading:
        torch_setup.mend_torchvision()
        import open_clip

        no_progress_bars()
        name, pretrained = _names(spec)
        in_file = weights_file.named_by(spec)
        if pretrained is not None:
            _check_known(spec, name, None if in_file else pretrained)
        try:
            # Without weights open_clip makes a random model and warns; this function of its own refuses to.
            model, preprocess = open_clip.create_model_from_pretrained(
                name,
                pretrained,
                device=device,
                force_quick_gelu=_quick_gelu(name, pretrained),
                **(weights_file.preprocessing(name) if in_file else {}),
            )
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # open_clip and the hub raise all kinds
            here = spec.startswith("local-dir:") or spec == "embedded"
            files = "the folder needs open_clip_config.json and open_clip_model.safetensors"
            advice = files if here else f"check the name and the network, or write {SPECS}"
            raise ProviderError(f"CLIP {spec} cannot be loaded: {weights_file.reason(error, name)}; {advice}") from None
        for doubt in weights_file.doubts(in_file) if in_file else ():
            notice(f"{spec}: {doubt}")
    return Loaded(model.eval().requires_grad_(False), preprocess, tokenizer, identified, device, placed(spec))


def encode_images(loaded: Loaded, images: Sequence[Image]) -> torch.Tensor:
    """Returns the images' features (n, d), float32, normalised, on the CPU."""
    import torch

    def encode(part: Sequence[Image]) -> torch.Tensor:
        return loaded.model.encode_image(torch.stack([loaded.preprocess(image) for image in part]).to(loaded.device))

    return features(loaded, encode, images)


def encode_texts(loaded: Loaded, texts: Sequence[str]) -> torch.Tensor:
    """Returns the texts' features (n, d), float32, normalised, on the CPU. Text over the model's length is cut."""
    return features(
        loaded, lambda part: loaded.model.encode_text(loaded.tokenizer(list(part)).to(loaded.device)), texts
    )


def features(
    loaded: Loaded, encode: Callable[[Sequence[V]], torch.Tensor], items: Sequence[V], batch: int = BATCH
) -> torch.Tensor:
    """Returns what a tower makes of the items: float32 (n, d), normalised, on the CPU.

    Raises ProviderError where that is no number: a score of NaN would reject, or keep, without a word.
    """
    import torch

    with torch.no_grad(), _exactly(loaded.device):
        parts = [encode(items[start : start + batch]) for start in range(0, len(items), batch)]
        found = torch.nn.functional.normalize(torch.cat(parts).float(), dim=-1).cpu()
    if not found.isfinite().all():
        raise ProviderError(f"{loaded.spec or loaded.identity}: its features are no numbers (NaN, inf); get it again")
    return found


def _exactly(device: str) -> AbstractContextManager[None]:
    """Returns a context in which convolutions on a GPU keep all of a float32: TF32 keeps three of a score's digits."""
    import torch

    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if device.startswith("cuda") else nullcontext()


def _check_known(spec: str, name: str, pretrained: str | None) -> None:
    """Raises InputError for a model that open_clip does not know, ProviderError for weights that it has no such of."""
    import open_clip

    if name not in open_clip.list_models():
        close = nearest(name, open_clip.list_models())
        raise InputError(f"{spec}: open_clip knows no model {name!r}; write {SPECS}{close}")
    if pretrained is not None and not open_clip.is_pretrained_cfg(name, pretrained):
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise ProviderError(
            f"{spec}: open_clip has no such weights; of {name} it has: {', '.join(tags) or 'none'}; "
            f"write {SPECS}{nearest(pretrained, tags)}"
        )


def _quick_gelu(name: str, pretrained: str | None) -> bool:
    """Returns whether weights were trained with QuickGELU, as OpenAI's were: open_clip warns, and uses GELU."""
    import open_clip

    return bool(pretrained and open_clip.get_pretrained_cfg(name, pretrained).get("quick_gelu", False))


def _names(spec: str) -> tuple[str, str | None]:
    """Returns what open_clip calls the spec: a model's name, and its weights where the name does not say them."""
    if spec == "embedded":
        return f"local-dir:{EMBEDDED}", None
    if spec.startswith(("local-dir:", "hf-hub:")):
        return spec, None
    if in_file := weights_file.named_by(spec):
        return in_file.name, str(in_file.path)
    name, _, pretrained = spec.partition("/")
    return name, pretrained


def _folder(path: Path) -> Path:
    """Returns the folder of a CLIP model. Raises ProviderError where it has no config or no weights of its own."""
    if not (path / "open_clip_config.json").is_file():
        raise ProviderError(f"{path} is no folder of a CLIP model: it has no open_clip_config.json")
    files = sorted(file.name for file in path.iterdir() if file.suffix in _WEIGHTS)
    own = [name for name in files if not name.startswith("adapter_")]
    if not own:
        beside = f", only an adapter ({files[0]})" if files else ""
        raise ProviderError(f"{path} has no weights of a CLIP model{beside}; it needs open_clip_model.safetensors")
    if own != files and not set(own) & set(_PREFERRED):
        raise ProviderError(
            f"{path}: open_clip would take {files[0]} for the weights; "
            f"rename {own[0]} to open_clip_model.safetensors, or keep the adapter in a folder of its own"
        )
    return path
