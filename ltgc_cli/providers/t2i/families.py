"""The families of diffusers' pipelines that can be adapted: how each reads a text, and how its network is asked.

A family is what its own pipeline does in a call, and its own training script in a step; the pipeline's helpers do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ltgc_cli.errors import InputError
from ltgc_cli.providers.t2i.model_settings import kind, parameters
from ltgc_cli.providers.t2i.objectives import Noised

Read = dict[str, Tensor]
"""What a model's text encoders make of texts, by names of the family's own; the first dimension counts the texts."""


class Fitted(NamedTuple):
    """How an image came to its size: SDXL is told. Pixels; heights and tops come first."""

    original: tuple[int, int]
    crop: tuple[int, int]
    target: tuple[int, int]


class Family(NamedTuple):
    """A family of pipelines."""

    words: str  # for people
    part: str  # the pipeline's name for the network that generates
    read: Callable[[Any, str | None], Read]  # a text by a pipeline; of None what guidance leads away from
    predict: Callable[[Any, Noised, Read, Sequence[Fitted]], Tensor]
    logit_normal: bool = False  # see objectives.objective


def family(pipeline: Any, spec: str) -> Family:
    """Returns the family of a pipeline. Raises InputError for one that cannot be adapted."""
    found = FAMILIES.get(kind(pipeline))
    if found is None:
        can = ", ".join(one.words for one in FAMILIES.values())
        raise InputError(f"{spec} is a {kind(pipeline)}, which cannot be adapted here; these can: embedded, {can}")
    return found


def _read(pipeline: Any, text: str | None, names: Sequence[str], **more: Any) -> Read:
    """Returns what encode_prompt gives: under each name first what the text gives, then what the empty one does."""
    device = pipeline._execution_device
    found = pipeline.encode_prompt(
        text or "", device=device, num_images_per_prompt=1, do_classifier_free_guidance=text is None, **more
    )
    return {name: found[2 * place + (text is None)] for place, name in enumerate(names)}


def _stable_diffusion(pipeline: Any, noised: Noised, read: Read, frames: Sequence[Fitted]) -> Tensor:
    return pipeline.unet(noised.sample, noised.timesteps, read["text"]).sample


def _sdxl(pipeline: Any, noised: Noised, read: Read, frames: Sequence[Fitted]) -> Tensor:
    width = read["pooled"].shape[-1]
    ids = [pipeline._get_add_time_ids(*frame, torch.float32, width) for frame in frames]
    added = {"text_embeds": read["pooled"], "time_ids": torch.cat(ids).to(noised.sample)}
    return pipeline.unet(noised.sample, noised.timesteps, read["text"], added_cond_kwargs=added).sample


def _sd3(pipeline: Any, noised: Noised, read: Read, frames: Sequence[Fitted]) -> Tensor:
    return pipeline.transformer(
        hidden_states=noised.sample,
        timestep=noised.timesteps,
        encoder_hidden_states=read["text"],
        pooled_projections=read["pooled"],
    ).sample


def _read_flux(pipeline: Any, text: str | None) -> Read:
    """Guidance leads away from nothing here: the empty text stands for no text."""
    text_read, pooled, _ = pipeline.encode_prompt(text or "", device=pipeline._execution_device)
    return {"text": text_read, "pooled": pooled}


def _flux(pipeline: Any, noised: Noised, read: Read, frames: Sequence[Fitted]) -> Tensor:
    sample, network = noised.sample, pipeline.transformer
    images, channels, height, width = sample.shape
    # dev's guidance is an input; it is trained at the one that it generates with.
    guidance = sample.new_full((images,), parameters(pipeline)["guidance_scale"])
    answer = network(
        hidden_states=pipeline._pack_latents(sample, images, channels, height, width),
        timestep=noised.timesteps / pipeline.scheduler.config.num_train_timesteps,
        guidance=guidance if network.config.guidance_embeds else None,
        pooled_projections=read["pooled"],
        encoder_hidden_states=read["text"],
        txt_ids=sample.new_zeros(read["text"].shape[1], 3),
        img_ids=pipeline._prepare_latent_image_ids(images, height // 2, width // 2, sample.device, sample.dtype),
    ).sample
    scale = pipeline.vae_scale_factor
    return pipeline._unpack_latents(answer, height * scale, width * scale, scale)


FAMILIES = {
    "StableDiffusionPipeline": Family(
        "Stable Diffusion 1 and 2", "unet", lambda pipeline, text: _read(pipeline, text, ["text"]), _stable_diffusion
    ),
    "StableDiffusionXLPipeline": Family(
        "SDXL", "unet", lambda pipeline, text: _read(pipeline, text, ["text", "pooled"]), _sdxl
    ),
    "StableDiffusion3Pipeline": Family(
        "Stable Diffusion 3",
        "transformer",
        lambda pipeline, text: _read(pipeline, text, ["text", "pooled"], prompt_2=None, prompt_3=None),
        _sd3,
        logit_normal=True,
    ),
    "FluxPipeline": Family("FLUX.1", "transformer", _read_flux, _flux),
}
