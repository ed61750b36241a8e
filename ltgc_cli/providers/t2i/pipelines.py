"""diffusers' pipelines, ready for use: loaded, with a LoRA, with another scheduler, from an image to an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from ltgc_cli.errors import InputError, LtgcError, ProviderError
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.opened import Dtype, Notice
from ltgc_cli.providers.quiet import heard, no_progress_bars, quiet
from ltgc_cli.providers.t2i import files, loras
from ltgc_cli.providers.t2i.model_settings import Defaults, defaults, denoiser, kind, parameters
from ltgc_cli.text import one_line

_UNFIT = {"DPMSolverSDEScheduler", "EDMEulerScheduler"}
"""Named as fitting by diffusers, and yet: the first takes its noise from a seed of its own, so that nobody could make
the image again; the second is for models trained as EDM prescribes, and with others' settings fails or makes mud."""
_ALSO_FIT = ("LCMScheduler", "TCDScheduler")
"""What LoRAs for few steps are used with; they say nothing of what they fit, and read the same settings."""


_ADVICE = {
    False: "check the name, the network or the folder",
    True: "check that the file is a whole model, and that --t2i-config is of its kind",
}


class LoadedPipeline(NamedTuple):
    """A pipeline ready for use, and the settings that the model asks for."""

    pipeline: Any
    defaults: Defaults
    scheduler: Any  # the model's own; a request may ask for another


def load(
    spec: str,
    *,
    folder: Path | None = None,
    config: str | None = None,
    device: str | None = None,
    dtype: Dtype | None = None,
    lora: str | None = None,
    lora_scale: float | None = None,
    compile: bool = False,
    attention_slicing: bool = False,
    notice: Notice = lambda text: None,
) -> LoadedPipeline:
    """Returns the pipeline of a model.

    spec    -- an id on the hub, a .safetensors file of a whole model, or what errors call the model in `folder`
    config  -- for such a file, see files.single_file
    device  -- "cuda", "cuda:1", "mps", "cpu"; None for the best one here
    dtype   -- None for bfloat16 on CUDA, else float32
    lora    -- see loras.lora_file; lora_scale: its strength, None for 1
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
        pipeline, folder = _opened(spec, folder, config, kept, where, notice)
        _check(pipeline, spec)
        if lora:
            loras.add(pipeline, spec, lora, notice, lora_scale)
        if attention_slicing:
            _slice(pipeline)
        if compile:
            _compile(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    own = getattr(pipeline, "scheduler", None)
    return LoadedPipeline(pipeline, defaults(pipeline, "" if folder else spec, folder), own)


def is_single_file(spec: str) -> bool:
    """Returns whether a spec is meant as a file with a whole model, there or not.

    >>> is_single_file("sd-v1-5.safetensors"), is_single_file("stabilityai/sd-turbo")
    (True, False)
    """
    return spec.lower().endswith((files.SINGLE, *files.PICKLES)) and not os.path.isdir(spec)


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


def check_scheduler(where: str, name: str) -> None:
    """Raises InputError for a scheduler that does not fit a model, as `scheduler` does. Reads its configs alone.

    where -- a folder of the model, or its id on the hub; what cannot be read is said when it is loaded
    """
    with quiet(), torch_setup.loading:
        torch_setup.mend_torchvision()
        import diffusers

        try:
            _, kind = diffusers.DiffusionPipeline.load_config(where)["scheduler"]
            own = getattr(diffusers, kind).from_pretrained(where, subfolder="scheduler")
        except Exception:  # diffusers and the hub raise all kinds
            return
    scheduler(own, name)


def _opened(
    spec: str, folder: Path | None, config: str | None, dtype: Any, device: Any, notice: Notice
) -> tuple[Any, Path | None]:
    """Returns the pipeline on its device, and the folder that its configs are from, where there is one."""
    single = not folder and is_single_file(spec)
    try:
        with heard() as said:
            if single:
                pipeline, folder = files.single_file(Path(spec), config, dtype, notice)
            else:
                pipeline = files.pretrained(str(folder or spec), dtype, notice)
            pipeline = pipeline.to(device)
    except LtgcError:
        raise
    except Exception as error:  # diffusers, transformers and the hub raise all kinds
        # A weight that no file had is left on torch's meta device, of which nothing can be copied.
        why = "weights are missing in its files" if "meta tensor" in str(error) else one_line(error)
        raise ProviderError(
            f"text-to-image model {spec} cannot be loaded: {why}; {_ADVICE[single]}, or set --t2i (LTGC_T2I) to another"
        ) from None
    files.tell(said, spec, notice)
    return pipeline, folder


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
