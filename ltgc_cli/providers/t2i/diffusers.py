"""Text to image, by diffusers: `embedded`, a model id of the Hugging Face hub, or a folder."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

import ltgc_cli.embedded
from ltgc_cli.errors import InputError, LtgcError, ProviderError, Refused
from ltgc_cli.ports import Generate, GeneratedImage, ImageFormat, ImageRequest, Usage
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.identity import file_identity, folder_identity
from ltgc_cli.providers.images import decode
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.providers.t2i import own_settings, pipelines
from ltgc_cli.providers.t2i.pipelines import Dtype, Loaded
from ltgc_cli.providers.t2i.writing import encoded, format_of
from ltgc_cli.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

Objects = Callable[[str], bytes]

EMBEDDED = Path(ltgc_cli.embedded.__file__).parent / "t2i"
SPECS = "embedded, blank, replay:FILE, a diffusers model id (stabilityai/sd-turbo) or a folder that holds one"
NOTICE = (
    "the embedded text-to-image model is a tiny diffusion that draws written digits and nothing else; "
    "--t2i stabilityai/sd-turbo, or any model that diffusers loads, draws more"
)
_BATCH = 16
_EMBEDDED_BATCH = 50
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|ALLOC_FAILED", re.IGNORECASE)
_FREE = Usage(dollars=0.0)
_WRITERS = 4
"""Threads that encode and store pictures while the next batch is drawn: PNGs of a fast model fill more than one."""


def identity(spec: str, lora: str | None = None, dtype: Dtype | None = None) -> str:
    """Returns what the model is called in keys and records, with the LoRA and the precision that it was asked for.

    Raises InputError for a spec or a LoRA that is none.
    """
    name = _model(spec)
    if lora:
        where, file = pipelines.lora_file(lora)
        here = file and os.path.isdir(where)
        name += f" + {file_identity('lora', Path(where, file or '')) if here else f'lora:{lora}'}"
    return f"{name} ({dtype})" if dtype else name


def load(spec: str, **options: Any) -> Loaded:
    """Returns the pipeline of a spec; `options` are pipelines.load's. Raises its errors."""
    if spec == "embedded":
        torch_setup.one_thread()
        return pipelines.load(spec, folder=EMBEDDED, **options)
    return pipelines.load(spec, folder=Path(spec) if os.path.isdir(spec) else None, **options)


def draw(loaded: Loaded, drawings: Sequence[ImageRequest], originals: Sequence[Image] = ()) -> list[Image | Refused]:
    """Returns the images of drawings that share their settings, in order, a Refused for each one held back.

    A generator for each image makes what it shows independent of the others; only rounding depends on them.

    originals -- for image to image, what each drawing is drawn over, in its size

    Raises InputError for settings that the model cannot draw with, before it draws.
    """
    import torch

    pipeline, settings = ready(loaded, drawings[0])
    negatives = own_settings.negatives(pipeline, drawings)
    if negatives:
        settings["negative_prompt"] = negatives
    if originals:
        settings["image"] = list(originals)
    with quiet():
        result = pipeline(
            prompt=[drawing.text for drawing in drawings],
            generator=[torch.Generator("cpu").manual_seed(drawing.seed) for drawing in drawings],
            **settings,
        )
    # DeepFloyd has a name of its own for the flags; most families have none, and no checker.
    found = getattr(result, "nsfw_content_detected", None) or getattr(result, "nsfw_detected", None)
    flags = found or [False] * len(drawings)
    held = Refused("the model's safety checker held the picture back (NSFW)")
    return [held if flag else image for image, flag in zip(result.images, flags, strict=True)]


def ready(loaded: Loaded, drawing: ImageRequest) -> tuple[Any, dict[str, Any]]:
    """Returns the pipeline for a drawing, with the scheduler that it asks for, and its arguments.

    Raises InputError for settings that the model cannot draw with.
    """
    pipeline = loaded.pipeline if drawing.original is UNSET else pipelines.image_to_image(loaded)
    pipeline.scheduler = (
        loaded.scheduler if drawing.scheduler is UNSET else pipelines.scheduler(loaded.scheduler, drawing.scheduler)
    )
    return pipeline, own_settings.arguments(pipeline, drawing, loaded.defaults)


def paint_port(
    spec: str,
    *,
    keep: Callable[[bytes], str],
    objects: Objects | None = None,
    batch: int | None = None,
    notice: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> Generate:
    """Returns the port that draws with this model, which is loaded when it is first used.

    keep    -- stores a picture's bytes and returns their sha256; called from several threads
    objects -- returns an original's bytes, by their sha256
    batch   -- how many are drawn at once, or fewer once the memory has run out
    notice  -- told once which settings are in use, and when fewer are drawn at once
    options -- pipelines.load's: device, dtype, lora, compile, slicing
    """
    at_once = batch or (_EMBEDDED_BATCH if spec == "embedded" else _BATCH)
    lock = threading.Lock()
    opened = functools.cache(lambda: load(spec, **options))
    tell = functools.cache(notice)

    def checked(drawings: Sequence[ImageRequest]) -> None:
        """Raises InputError for a setting that the model cannot draw with, and shows the settings in use."""
        with lock:
            for drawing in reversed(drawings):  # the first comes last: its scheduler is in place when it is described
                pipeline, _ = ready(opened(), drawing)
            words = own_settings.described(pipeline, drawings[0], opened().defaults)
        if spec != "embedded":
            tell(f"{spec}: {words}")

    def drawn(drawings: Sequence[ImageRequest]) -> Iterator[list[Image | Refused]]:
        """Returns the pictures of drawings with one setting, as many at once as the memory holds."""
        nonlocal at_once
        start = 0
        while start < len(drawings):
            part = drawings[start : start + at_once]
            with lock:
                images = drawn_together(spec, opened(), part, objects)
            if images is not None:
                yield images
                start += len(part)
            elif len(part) > 1:
                at_once = len(part) // 2
                notice(f"{spec}: out of memory with {len(part)} pictures at once; going on with {at_once}")
            else:
                raise ProviderError(
                    f"{spec}: out of memory with a single picture; set a smaller --width and --height, "
                    "--attention-slicing, --dtype float16, or --device cpu"
                )

    def generate(drawings: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
        groups = _alike(drawings)
        if groups:
            checked([drawings[places[0]] for places in groups])
        writing: dict[int, Future[GeneratedImage | Exception]] = {}
        with ThreadPoolExecutor(_WRITERS) as writers:  # left only when all that was drawn is kept, after errors too
            for places in groups:
                left = iter(places)
                for images in drawn([drawings[place] for place in places]):
                    for image in images:
                        place = next(left)
                        writing[place] = writers.submit(_picture, image, format_of(drawings[place]), keep)
        return [writing[place].result() for place in range(len(drawings))]

    return generate


def drawn_together(
    spec: str, loaded: Loaded, drawings: Sequence[ImageRequest], objects: Objects | None
) -> list[Image | Refused] | None:
    """Returns the images of drawings that share their settings, in order; None where the memory does not hold them.

    Raises InputError for what cannot be asked of the model, ProviderError for what fails.
    """
    try:
        originals = [_original(loaded, drawing, objects) for drawing in drawings]
        places = [place for place, original in enumerate(originals) if not isinstance(original, Refused)]
        starts = [original for original in originals if original is not None and not isinstance(original, Refused)]
        images = iter(draw(loaded, [drawings[place] for place in places], starts) if places else ())
        return [original if isinstance(original, Refused) else next(images) for original in originals]
    except LtgcError:
        raise
    except Exception as error:
        if not out_of_memory(error):
            raise ProviderError(
                f"{spec} cannot draw {len(drawings)} at once: {one_line(error)}; "
                "set --batch lower, or check --width, --height, --steps, --guidance and --scheduler"
            ) from None
    # Here, where the error is gone and with it every reference to the tensors of the attempt.
    _free_memory()
    return None


def out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that a device's memory did not suffice.

    >>> out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8.99 GB)"))
    True
    """
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None
    )


def _free_memory() -> None:
    import torch

    gc.collect()
    for backend in (torch.cuda, torch.mps):
        with contextlib.suppress(RuntimeError):  # where there is no such device
            backend.empty_cache()


def _alike(drawings: Sequence[ImageRequest]) -> list[list[int]]:
    """Returns the places of drawings that can be drawn together: one setting for all.

    With a negative prompt and without are two settings: SDXL takes an empty one for another thing than none.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, drawing in enumerate(drawings):
        size = (drawing.width, drawing.height)
        over = (drawing.original is UNSET, drawing.strength)
        setting = (*size, *over, drawing.steps, drawing.guidance, drawing.scheduler, bool(drawing.negative))
        alike.setdefault(setting, []).append(place)
    return list(alike.values())


def _original(loaded: Loaded, drawing: ImageRequest, objects: Objects | None) -> Image | Refused | None:
    """Returns what a drawing is drawn over, cropped to its shape and in its size; None to draw from nothing."""
    if drawing.original is UNSET:
        return None
    if objects is None:
        raise InputError("--from-original: the originals' bytes are not at hand")
    size = own_settings.size(loaded.pipeline, drawing, loaded.defaults)
    if size is None:
        raise InputError(f"{own_settings.kind(loaded.pipeline)} does not say how large it draws; set --width, --height")
    from PIL import ImageOps

    try:
        return ImageOps.fit(decode(objects(drawing.original), drawing.original), size)
    except Refused as refused:
        return refused


def _picture(image: Image | Refused, format: ImageFormat, keep: Callable[[bytes], str]) -> GeneratedImage | Exception:
    if isinstance(image, Refused):
        return image
    if image.getbbox() is None:  # every pixel is 0: what diffusers makes of numbers that are none
        return Refused("the model drew nothing but black: its numbers overflowed; --dtype bfloat16 or float32 helps")
    return GeneratedImage(sha256=keep(encoded(image, format)), format=format, usage=_FREE)


def _model(spec: str) -> str:
    if spec == "embedded":
        return folder_identity("embedded/t2i", _folder(EMBEDDED))
    if os.path.isdir(spec):  # not Path.is_dir(), which raises for a name that is too long
        return folder_identity("t2i", _folder(Path(spec)))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", spec) or spec.startswith("."):
        raise InputError(f"{spec!r} names no text-to-image model and is no folder; write {SPECS}")
    return spec


def _folder(path: Path) -> Path:
    if not (path / "model_index.json").is_file():
        raise ProviderError(f"{path} is no folder of a diffusers model: it has no model_index.json")
    return path
