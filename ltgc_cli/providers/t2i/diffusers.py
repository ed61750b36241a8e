"""Text to image, by diffusers: `embedded`, a model id of the Hugging Face hub, a folder or a .safetensors file."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

import ltgc_cli.embedded
from ltgc_cli.errors import InputError, LtgcError, ProviderError, Refused
from ltgc_cli.ports import Generate, GeneratedImage, ImageFormat, ImageRequest, Usage
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.images import decode, encoded, format_of
from ltgc_cli.providers.opened import (
    Dtype,
    GenerateOptions,
    Keep,
    Objects,
    Opened,
    file_identity,
    folder_identity,
    with_notice,
)
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.providers.t2i import files, loras, model_settings, pipelines
from ltgc_cli.providers.t2i.pipelines import LoadedPipeline
from ltgc_cli.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

EMBEDDED = Path(ltgc_cli.embedded.__file__).parent / "t2i"
SPECS = (
    "embedded, blank, replay:FILE, a diffusers model id (stabilityai/sd-turbo), a folder that holds one "
    "or a FILE.safetensors with a whole model"
)
NOTICE = (
    "the embedded text-to-image model is a tiny diffusion that knows written digits and nothing else; "
    "--t2i stabilityai/sd-turbo, or any model that diffusers loads, knows more"
)
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|ALLOC_FAILED", re.IGNORECASE)
_FREE = Usage(dollars=0.0)
_WRITERS = 4
"""Threads that encode and store images while the next batch is generated: PNGs of a fast model fill more than one."""


def open_port(spec: str, options: GenerateOptions) -> Opened[Generate]:
    """Returns the model of a spec. Raises InputError for a spec or a LoRA that is none."""
    name = identity(spec, options.lora, options.dtype, options.t2i_config, options.lora_scale)
    opened = Opened(name, generate_port(spec, options))
    return with_notice(opened, options.notice, NOTICE) if spec == "embedded" else opened


def identity(
    spec: str,
    lora: str | None = None,
    dtype: Dtype | None = None,
    config: str | None = None,
    lora_scale: float | None = None,
) -> str:
    """Returns what the model is called in keys and records, with the LoRA and the precision that it was asked for.

    config -- of a single file: where its parts' configs are; lora_scale -- the LoRA's strength, None for its own
    Raises InputError for a spec or a LoRA that is none.
    """
    name = _model(spec)
    if config:
        name += f" + {_config(spec, config)}"
    if lora:
        name += f" + {loras.identity(lora)}" + (f" at {lora_scale:g}" if lora_scale is not None else "")
    return f"{name} ({dtype})" if dtype else name


def look(spec: str, lora: str | None, scheduler: str | None, config: str | None) -> None:
    """Raises InputError or ProviderError where a model could not be used so. Headers and configs are read, no weights.

    scheduler -- None for the model's own; config -- of a single file
    """
    if spec == "blank" or spec.startswith(("litellm:", "replay:")):
        return
    if lora:
        loras.look(lora)
    where = str(EMBEDDED) if spec == "embedded" else spec
    if pipelines.is_single_file(spec):
        where = str(files.configs(Path(spec), config))
    if scheduler:
        pipelines.check_scheduler(where, scheduler)


def load(spec: str, **options: Any) -> LoadedPipeline:
    """Returns the pipeline of a spec; `options` are pipelines.load's. Raises its errors."""
    if spec == "embedded":
        torch_setup.one_thread()
        return pipelines.load(spec, folder=EMBEDDED, **options)
    return pipelines.load(spec, folder=Path(spec) if os.path.isdir(spec) else None, **options)


def generated(
    loaded: LoadedPipeline, requests: Sequence[ImageRequest], originals: Sequence[Image] = ()
) -> list[Image | Refused]:
    """Returns the images of requests that share their settings, in order, a Refused for each one held back.

    A generator for each image makes what it shows independent of the others; only rounding depends on them.

    originals -- for image to image, what each request starts from, in its size

    Raises InputError for settings that the model cannot generate with, before it does.
    """
    import torch

    pipeline, settings = ready(loaded, requests[0])
    negatives = model_settings.negatives(pipeline, requests)
    if negatives:
        settings["negative_prompt"] = negatives
    if originals:
        settings["image"] = list(originals)
    with quiet():
        result = pipeline(
            prompt=[request.text for request in requests],
            generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
            **settings,
        )
    # DeepFloyd has a name of its own for the flags; most families have none, and no checker.
    found = getattr(result, "nsfw_content_detected", None) or getattr(result, "nsfw_detected", None)
    flags = found or [False] * len(requests)
    held = Refused("the model's safety checker held the image back (NSFW)")
    return [held if flag else image for image, flag in zip(result.images, flags, strict=True)]


def ready(loaded: LoadedPipeline, request: ImageRequest) -> tuple[Any, dict[str, Any]]:
    """Returns the pipeline for a request, with the scheduler that it asks for, and its arguments.

    Raises InputError for settings that the model cannot generate with.
    """
    pipeline = loaded.pipeline if request.original is UNSET else pipelines.image_to_image(loaded)
    pipeline.scheduler = (
        loaded.scheduler if request.scheduler is UNSET else pipelines.scheduler(loaded.scheduler, request.scheduler)
    )
    return pipeline, model_settings.arguments(pipeline, request, loaded.defaults)


def generate_port(spec: str, options: GenerateOptions) -> Generate:
    """Returns the port that generates with this model, which is loaded when it is first used.

    The user is notified once of the settings in use, and when the memory holds fewer images at once.
    """
    at_once = options.batch
    lock = threading.Lock()
    notify_once = functools.cache(options.notice)

    @functools.cache
    def opened() -> LoadedPipeline:
        names = ("device", "dtype", "lora", "lora_scale", "compile", "attention_slicing")
        return load(
            spec, config=options.t2i_config, notice=options.notice, **{name: getattr(options, name) for name in names}
        )

    def checked(requests: Sequence[ImageRequest]) -> None:
        """Raises InputError for a setting that the model cannot generate with, and shows the settings in use."""
        with lock:
            for request in reversed(requests):  # the first comes last: its scheduler is in place when it is described
                pipeline, _ = ready(opened(), request)
            words = model_settings.described(pipeline, requests[0], opened().defaults)
        if spec != "embedded":
            notify_once(f"{spec}: {words}")

    def in_batches(requests: Sequence[ImageRequest]) -> Iterator[Image | Refused]:
        """Returns the images of requests with one setting, as many at once as the memory holds."""
        nonlocal at_once
        start = 0
        while start < len(requests):
            part = requests[start : start + at_once]
            with lock:
                images = generated_together(spec, opened(), part, options.objects)
            if images is not None:
                yield from images
                start += len(part)
            elif len(part) > 1:
                at_once = len(part) // 2
                options.notice(f"{spec}: out of memory with {len(part)} images at once; going on with {at_once}")
            else:
                raise ProviderError(
                    f"{spec}: out of memory with a single image; set a smaller --width and --height, "
                    "--attention-slicing, --dtype float16, or --device cpu"
                )

    def generate(requests: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
        groups = _alike(requests)
        if groups:
            checked([requests[indices[0]] for indices in groups])
        writing: dict[int, Future[GeneratedImage | Exception]] = {}
        with ThreadPoolExecutor(_WRITERS) as writers:  # left only when every image so far is kept, after errors too
            for indices in groups:
                for index, image in zip(indices, in_batches([requests[index] for index in indices]), strict=True):
                    writing[index] = writers.submit(_kept, image, format_of(requests[index]), options.keep)
        return [writing[index].result() for index in range(len(requests))]

    return generate


def generated_together(
    spec: str, loaded: LoadedPipeline, requests: Sequence[ImageRequest], objects: Objects | None
) -> list[Image | Refused] | None:
    """Returns the images of requests that share their settings, in order; None where the memory does not hold them.

    Raises InputError for what cannot be asked of the model, ProviderError for what fails.
    """
    import torch

    try:
        originals = [_original(loaded, request, objects) for request in requests]
        good = [request for request, start in zip(requests, originals, strict=True) if not isinstance(start, Refused)]
        starts = [original for original in originals if original is not None and not isinstance(original, Refused)]
        images = iter(generated(loaded, good, starts) if good else ())
        return [original if isinstance(original, Refused) else next(images) for original in originals]
    except LtgcError:
        raise
    except Exception as error:
        if not out_of_memory(error):
            raise ProviderError(
                f"{spec} cannot generate {len(requests)} at once: {one_line(error)}; "
                "set --batch lower, or check --width, --height, --steps, --guidance and --scheduler"
            ) from None
    # Here, where the error is gone and with it every reference to the tensors of the attempt.
    gc.collect()
    for backend in (torch.cuda, torch.mps):
        with contextlib.suppress(RuntimeError):  # where there is no such device
            backend.empty_cache()
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


def _alike(requests: Sequence[ImageRequest]) -> list[list[int]]:
    """Returns the indices of requests that can be generated together: one setting for all.

    With a negative prompt and without are two settings: SDXL takes an empty one for another thing than none.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for index, one in enumerate(requests):
        over = (one.original is UNSET, one.strength)
        setting = (one.width, one.height, *over, one.steps, one.guidance, one.scheduler, bool(one.negative))
        alike.setdefault(setting, []).append(index)
    return list(alike.values())


def _original(loaded: LoadedPipeline, request: ImageRequest, objects: Objects | None) -> Image | Refused | None:
    """Returns what an image starts from, cropped to its shape and in its size; None to start from nothing."""
    if request.original is UNSET:
        return None
    if objects is None:
        raise InputError("--from-original: the originals' bytes are not at hand")
    size = model_settings.size(loaded.pipeline, request, loaded.defaults)
    if size is None:
        family = model_settings.kind(loaded.pipeline)
        raise InputError(f"{family} does not say how large its images are; set --width, --height")
    from PIL import ImageOps

    try:
        return ImageOps.fit(decode(objects(request.original), request.original), size)
    except Refused as refused:
        return refused


def _kept(image: Image | Refused, format: ImageFormat, keep: Keep) -> GeneratedImage | Exception:
    if isinstance(image, Refused):
        return image
    if image.getbbox() is None:  # every pixel is 0: what diffusers makes of numbers that are none
        return Refused(
            "the model's image is nothing but black: its numbers overflowed; --dtype bfloat16 or float32 helps"
        )
    return GeneratedImage(sha256=keep(encoded(image, format)), format=format, usage=_FREE)


def _model(spec: str) -> str:
    if spec == "embedded":
        return folder_identity("embedded/t2i", _folder(EMBEDDED))
    if os.path.isdir(spec):  # not Path.is_dir(), which raises for a name that is too long
        return folder_identity("t2i", _folder(Path(spec)))
    if pipelines.is_single_file(spec):
        return _single(Path(spec))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", spec) or spec.startswith("."):
        raise InputError(f"{spec!r} names no text-to-image model and is no folder; write {SPECS}")
    return spec


def _single(path: Path) -> str:
    """Returns the name of a whole model in one file: by what it holds."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; write {SPECS}")
    if path.suffix.lower() != files.SINGLE:
        raise InputError(
            f"{path} is a pickle, which runs code of whoever made it when it is read; "
            f"use the model's {files.SINGLE} file, or convert it where you trust it"
        )
    return file_identity("t2i", path)


def _config(spec: str, config: str) -> str:
    if not pipelines.is_single_file(spec):
        raise InputError(f"--t2i-config is for a {files.SINGLE} file; {spec} has configs of its own: leave it out")
    if os.path.isdir(config):
        return folder_identity("config", _folder(Path(config)))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", config) or config.startswith("."):
        raise InputError(
            f"--t2i-config {config}: no such folder, and no id on the hub; name a diffusers model's folder"
        )
    return f"config:{config}"


def _folder(path: Path) -> Path:
    if not (path / "model_index.json").is_file():
        raise ProviderError(f"{path} is no folder of a diffusers model: it has no model_index.json")
    return path
