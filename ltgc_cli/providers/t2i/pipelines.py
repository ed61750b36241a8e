"""diffusers' pipelines, ready for use: loaded, with a LoRA, with another scheduler, from an image to an image."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.opened import Dtype, Notice
from ltgc_cli.providers.quiet import no_progress_bars, quiet
from ltgc_cli.providers.t2i import loras
from ltgc_cli.providers.t2i.model_settings import Defaults, defaults, denoiser, kind, parameters
from ltgc_cli.text import one_line

_UNFIT = {"DPMSolverSDEScheduler", "EDMEulerScheduler"}
"""Named as fitting by diffusers, and yet: the first takes its noise from a seed of its own, so that nobody could make
the image again; the second is for models trained as EDM prescribes, and with others' settings fails or makes mud."""
_ALSO_FIT = ("LCMScheduler", "TCDScheduler")
"""What LoRAs for few steps are used with; they say nothing of what they fit, and read the same settings."""


class LoadedPipeline(NamedTuple):
    """A pipeline ready for use, and the settings that the model asks for."""

    pipeline: Any
    defaults: Defaults
    scheduler: Any  # the model's own; a request may ask for another


def load(
    spec: str,
    *,
    folder: Path | None = None,
    device: str | None = None,
    dtype: Dtype | None = None,
    lora: str | None = None,
    compile: bool = False,
    attention_slicing: bool = False,
    notice: Notice = lambda text: None,
) -> LoadedPipeline:
    """Returns the pipeline of a model.

    spec    -- an id on the hub, or what errors call the model in `folder`
    device  -- "cuda", "cuda:1", "mps", "cpu"; None for the best one here
    dtype   -- None for bfloat16 on CUDA, else float32
    lora    -- see loras.lora_file
    compile -- torch.compile for the UNet or the transformer: the first image takes minutes, the others less
    attention_slicing -- attention in slices and one image at a time through the VAE: slower, in less memory
    notice  -- told of what is left out: weights that fit nothing, parts that are missing

    Raises ProviderError where the model or its weights cannot be had, InputError where its images come from no text.
    """
    with quiet(), torch_setup.loading:
        torch_setup.mend_torchvision()
        import diffusers
        import torch
        import transformers

        no_progress_bars()
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()
        where = torch.device(torch_setup.device(device))
        # Half of 32 bits is enough for an image; bfloat16 overflows in no model, as float16 does in some.
        kept = getattr(torch, dtype) if dtype else torch.bfloat16 if where.type == "cuda" else torch.float32
        try:
            pipeline = _pretrained(str(folder or spec), kept).to(where)
        except Exception as error:  # diffusers, transformers and the hub raise all kinds
            raise ProviderError(
                f"text-to-image model {spec} cannot be loaded: {one_line(error)}; "
                "check the name, the network or the folder, or set --t2i (LTGC_T2I) to another"
            ) from None
        _check(pipeline, spec)
        if lora:
            loras.add(pipeline, spec, lora, notice)
        if attention_slicing:
            _slice(pipeline)
        if compile:
            _compile(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    own = getattr(pipeline, "scheduler", None)
    return LoadedPipeline(pipeline, defaults(pipeline, "" if folder else spec, folder), own)


def image_to_image(loaded: LoadedPipeline) -> Any:
    """Returns the pipeline that starts from an image, with the same weights. Raises InputError where there is none."""
    with quiet():
        import diffusers

        try:
            pipeline = diffusers.AutoPipelineForImage2Image.from_pipe(loaded.pipeline)
        except (ValueError, TypeError):
            raise InputError(
                f"--from-original: {kind(loaded.pipeline)} cannot start from an image; leave it out, or set --t2i"
            ) from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def scheduler(own: Any, name: str) -> Any:
    """Returns diffusers' scheduler of this class with the settings of the model's own.

    Raises InputError for a class that does not exist or does not fit.
    """
    with quiet():
        import diffusers

        classes = getattr(own, "compatibles", [])
        if len(classes) > 1:  # a scheduler of flow matching fits itself alone
            classes += [getattr(diffusers, also) for also in _ALSO_FIT]
        fitting = {cls.__name__: cls for cls in classes if cls is type(own) or cls.__name__ not in _UNFIT}
        try:
            return fitting[name].from_config(own.config)
        except Exception as error:  # a KeyError here, all kinds (a library that is missing, settings that clash) there
            why = "not for this model" if isinstance(error, KeyError) else f"not for this model ({one_line(error)})"
            others = ", ".join(sorted(fitting.keys() - {name}))
            raise InputError(f"--scheduler {name} is {why}; these are: {others or 'none'}") from None


def _pretrained(where: str, dtype: Any) -> Any:
    """Returns the pipeline. Some models are there in half precision only, under names that must be asked for."""
    from diffusers import DiffusionPipeline

    try:
        return DiffusionPipeline.from_pretrained(where, torch_dtype=dtype)
    except OSError as error:
        if "no file named" in str(error):
            with contextlib.suppress(OSError, ValueError):
                return DiffusionPipeline.from_pretrained(where, torch_dtype=dtype, variant="fp16")
        raise


def _check(pipeline: Any, spec: str) -> None:
    missing = {"prompt", "generator"} - set(parameters(pipeline))
    if missing:
        raise InputError(
            f"{spec} is a {kind(pipeline)}, whose images come from no text and seed "
            f"(it takes no {' and no '.join(sorted(missing))}); set --t2i to a text-to-image model"
        )


def _compile(pipeline: Any) -> None:
    """In place, so that a pipeline that shares the network is compiled too."""
    network = denoiser(pipeline)
    if network is None:
        raise InputError(f"--compile: {kind(pipeline)} has no UNet and no transformer of its own; leave it out")
    network.compile()


def _slice(pipeline: Any) -> None:
    """No tiles in the VAE: they change the images, and then the model would need another name in keys."""
    pipeline.enable_attention_slicing()
    if hasattr(getattr(pipeline, "vae", None), "enable_slicing"):
        pipeline.vae.enable_slicing()
