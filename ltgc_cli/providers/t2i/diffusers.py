"""Text to image, by diffusers: `embedded`, a model id of the Hugging Face hub, or a folder."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

import ltgc_cli.embedded
from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import Drawing, Paint, Picture, Usage
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.identity import folder_identity
from ltgc_cli.providers.images import png
from ltgc_cli.providers.quiet import no_progress_bars, one_line, quiet

if TYPE_CHECKING:
    from PIL.Image import Image

EMBEDDED = Path(ltgc_cli.embedded.__file__).parent / "t2i"
SPECS = "embedded, blank, replay:FILE, a diffusers model id (stabilityai/sd-turbo) or a folder that holds one"
NOTICE = (
    "the embedded text-to-image model is a tiny diffusion that draws written digits and nothing else; "
    "--t2i stabilityai/sd-turbo, or any model that diffusers loads, draws more"
)
DEFAULTS = "ltgc_defaults.json"
"""In a model's folder: the steps, guidance, width and height to draw with where a drawing leaves them open."""
_BATCH = 16
_EMBEDDED_BATCH = 50
_FREE = Usage(dollars=0.0)


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model's folder says it is best drawn with."""

    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None


class Loaded(NamedTuple):
    """A pipeline ready for use, and the settings that its folder asks for."""

    pipeline: Any
    defaults: Defaults


def identity(spec: str) -> str:
    """Returns what the model is called in keys and records. Raises InputError for a spec that is none."""
    if spec == "embedded":
        return folder_identity("embedded/t2i", _folder(EMBEDDED))
    if spec and Path(spec).is_dir():
        return folder_identity("t2i", _folder(Path(spec)))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", spec) or spec.startswith("."):
        raise InputError(f"{spec!r} names no text-to-image model and is no folder; write {SPECS}")
    return spec


def load(spec: str, device: str = "cpu") -> Loaded:
    """Returns the pipeline of a spec. Raises ProviderError where it or its weights cannot be had."""
    folder = EMBEDDED if spec == "embedded" else Path(spec)
    if spec == "embedded":
        torch_setup.one_thread()
    with quiet():
        torch_setup.mend_torchvision()
        import diffusers
        import torch
        import transformers

        no_progress_bars()
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()
        # Half of 32 bits is enough for a drawing; bfloat16 overflows in no model, as float16 does in some.
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        try:
            where = str(folder) if folder.is_dir() else spec
            pipeline = diffusers.DiffusionPipeline.from_pretrained(where, torch_dtype=dtype).to(device)
        except Exception as error:  # diffusers, transformers and the hub raise all kinds
            raise ProviderError(
                f"text-to-image model {spec} cannot be loaded: {one_line(error)}; "
                "check the name, the network or the folder, or set --t2i (LTGC_T2I) to another"
            ) from None
    pipeline.set_progress_bar_config(disable=True)
    return Loaded(pipeline, _defaults(folder))


def draw(loaded: Loaded, drawings: Sequence[Drawing]) -> list[Image | Refused]:
    """Returns the images of drawings that share their settings, in order, a Refused for each one held back.

    A generator for each image makes what it shows independent of the others; only rounding depends on them.
    """
    import torch

    settings = _settings(drawings[0], loaded.defaults)
    if any(drawing.negative for drawing in drawings):
        settings["negative_prompt"] = [drawing.negative for drawing in drawings]
    with quiet():
        result = loaded.pipeline(
            prompt=[drawing.text for drawing in drawings],
            generator=[torch.Generator("cpu").manual_seed(drawing.seed) for drawing in drawings],
            **settings,
        )
    flags = getattr(result, "nsfw_content_detected", None) or [False] * len(drawings)
    held = Refused("the model's safety checker held the picture back (NSFW)")
    return [held if flag else image for image, flag in zip(result.images, flags, strict=True)]


def paint_port(
    spec: str, *, keep: Callable[[bytes], str], batch: int | None = None, device: str | None = None
) -> Paint:
    """Returns the port that draws with this model, which is loaded when it is first used.

    `keep` stores a picture's bytes and returns their sha256.
    """
    size = batch or (_EMBEDDED_BATCH if spec == "embedded" else _BATCH)
    lock = threading.Lock()
    loaded: list[Loaded] = []

    def painted(drawings: Sequence[Drawing]) -> list[Image | Refused]:
        with lock:
            if not loaded:
                loaded.append(load(spec, device or torch_setup.device()))
            try:
                return draw(loaded[0], drawings)
            except Exception as error:  # out of memory, a size that the model cannot draw, a setting it does not have
                raise ProviderError(
                    f"{spec} cannot draw {len(drawings)} at once: {one_line(error)}; "
                    "set --batch lower, or check --width, --height, --steps and --guidance"
                ) from None

    def paint(drawings: Sequence[Drawing]) -> list[Picture | Exception]:
        answers: list[Picture | Exception] = [Refused("not drawn")] * len(drawings)
        for places in _batches(drawings, size):
            for place, image in zip(places, painted([drawings[place] for place in places]), strict=True):
                answers[place] = image if isinstance(image, Refused) else _picture(image, keep)
        return answers

    return paint


def _batches(drawings: Sequence[Drawing], size: int) -> Iterator[list[int]]:
    """Returns the places of drawings that can be drawn together, at most `size` of them: one setting for all."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, drawing in enumerate(drawings):
        alike.setdefault((drawing.width, drawing.height, drawing.steps, drawing.guidance), []).append(place)
    for places in alike.values():
        yield from (places[start : start + size] for start in range(0, len(places), size))


def _settings(drawing: Drawing, defaults: Defaults) -> dict[str, Any]:
    """Returns diffusers' arguments: what the drawing says, else the model's folder; the rest is the pipeline's own."""
    named = {"width": "width", "height": "height", "steps": "num_inference_steps", "guidance": "guidance_scale"}
    values = {
        theirs: getattr(defaults, ours) if getattr(drawing, ours) is None else getattr(drawing, ours)
        for ours, theirs in named.items()
    }
    return {name: value for name, value in values.items() if value is not None}


def _picture(image: Image, keep: Callable[[bytes], str]) -> Picture:
    return Picture(sha256=keep(png(image)), usage=_FREE)


def _defaults(folder: Path) -> Defaults:
    path = folder / DEFAULTS
    if not path.is_file():
        return Defaults()
    try:
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), Defaults)
    except (ValueError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {one_line(error)}; it may hold steps, guidance, width and height") from None


def _folder(path: Path) -> Path:
    if not (path / "model_index.json").is_file():
        raise ProviderError(f"{path} is no folder of a diffusers model: it has no model_index.json")
    return path
