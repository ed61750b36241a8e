"""What a diffusers model generates with: what the request says, else what the model asks for, else the pipeline's own.

Nothing here loads or generates; a pipeline is only asked about itself (its class, its call's parameters, its configs).
"""

from __future__ import annotations

import inspect
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from ltgc_cli.errors import InputError
from ltgc_cli.files import read_regular
from ltgc_cli.ports import ImageRequest
from ltgc_cli.text import counted, one_line

DEFAULTS = "ltgc_defaults.json"
"""In a model's folder: the steps, guidance, width and height to use where a request leaves them open."""


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What suits a model best; `None` is for the pipeline to say."""

    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None


def defaults(pipeline: Any, name: str, folder: Path | None) -> Defaults:
    """Returns what the model's folder says suits it best and, where it is silent, what few_steps knows.

    name   -- the id on the hub; "" for a folder, whose name on this machine means nothing
    folder -- where the model lies, None for one of the hub
    """
    given = _in_file(folder / DEFAULTS) if folder else Defaults()
    known = few_steps(pipeline, name or (_original_id(folder) if folder else ""))
    return msgspec.structs.replace(
        known, **{field: value for field, value in msgspec.structs.asdict(given).items() if value is not None}
    )


_DISTILLED = (
    # a word of the id, how the pipeline's class begins, what the model's card says
    ("sd-turbo", "StableDiffusionPipeline", Defaults(steps=1, guidance=0.0)),
    ("sdxl-turbo", "StableDiffusionXL", Defaults(steps=1, guidance=0.0)),
    ("turbo", "StableDiffusion3", Defaults(steps=4, guidance=0.0)),
    ("lightning", "StableDiffusionXL", Defaults(steps=4, guidance=0.0)),
    ("schnell", "Flux", Defaults(steps=4, guidance=0.0)),
    ("z-image-turbo", "ZImage", Defaults(steps=9, guidance=0.0)),  # nine are eight evaluations of the model
)


def few_steps(pipeline: Any, name: str) -> Defaults:
    """Returns steps and guidance of a model that was distilled to need few steps; empty for any other.

    Such models share their pipeline's class with those that they were distilled from, whose defaults (50 steps at
    guidance 7.5) ruin their images. Guidance was distilled in, so it is off: 0 and 1 both mean that to diffusers.
    Sizes need no table: a pipeline takes its own from the UNet's or the transformer's `sample_size`.
    """
    for word, begins, own in _DISTILLED:
        if kind(pipeline).startswith(begins) and re.search(rf"(?<![a-z]){word}(?![a-z])", name.lower()):
            return own
    scheduler, model = _config(getattr(pipeline, "scheduler", None)), _config(denoiser(pipeline))
    steps = str(scheduler.get("_class_name", ""))
    if steps == "LCMScheduler" and not kind(pipeline).startswith("LatentConsistency"):  # that class's own are right
        # The first LCMs take the guidance as an input (8 in their paper); the later ones have it inside.
        return Defaults(steps=4, guidance=8.0 if model.get("time_cond_proj_dim") else 1.0)
    if _flux(pipeline) and not model.get("guidance_embeds", True) and not scheduler.get("use_dynamic_shifting", True):
        return Defaults(steps=4, guidance=0.0)  # FLUX.1-schnell in a folder: dev has both
    if _config(pipeline).get("is_distilled"):
        return Defaults(steps=4, guidance=1.0)  # FLUX.2-klein
    epsilon = scheduler.get("prediction_type") == "epsilon" and not scheduler.get("rescale_betas_zero_snr")
    if epsilon and steps.startswith("Euler") and scheduler.get("timestep_spacing") == "trailing":
        # sd-turbo, sdxl-turbo or SDXL-Lightning in a folder: a model of few steps begins at the very last
        # timestep; with this scheduler all others were saved with "leading" or "linspace".
        return Defaults(steps=4, guidance=0.0)
    return Defaults()


def arguments(pipeline: Any, request: ImageRequest, own: Defaults) -> dict[str, Any]:
    """Returns diffusers' arguments for a request, but for its prompts, generator and original.

    Raises InputError for a setting that the pipeline would ignore or cannot use.
    """
    takes, named = parameters(pipeline), names(pipeline)
    given: dict[str, Any] = {}
    for ours, theirs in named.items():
        asked = getattr(request, ours)
        value = getattr(own, ours) if asked is None else asked
        if value is not None and theirs in takes:
            given[theirs] = value
        elif asked is not None and not (request.original is not UNSET and ours in ("width", "height")):
            raise InputError(f"--{ours} {asked}: {kind(pipeline)} takes no {ours}; leave it out")
    if request.original is not UNSET:
        given |= _over_original(pipeline, request, given)
    _check_size(pipeline, request)
    _check_guidance(pipeline, request, given.get(named["guidance"]))
    return given


def negatives(pipeline: Any, requests: Sequence[ImageRequest]) -> list[str] | None:
    """Returns the negative prompts of requests; None where they have none and the pipeline guides without."""
    empty = " " if names(pipeline)["guidance"] == "true_cfg_scale" else ""  # without one there is no true guidance
    return (
        [request.negative or empty for request in requests] if empty or any(one.negative for one in requests) else None
    )


def size(pipeline: Any, request: ImageRequest, own: Defaults) -> tuple[int, int] | None:
    """Returns width and height of a request; None where the model does not say how large its images are."""
    takes = parameters(pipeline)
    scale = getattr(pipeline, "vae_scale_factor", 1)
    sample = getattr(pipeline, "default_sample_size", None) or _config(denoiser(pipeline)).get("sample_size")
    sides = [sample, sample] if isinstance(sample, int) else list(sample or (None, None))  # height first, as torch
    models = {"height": sides[0] and sides[0] * scale, "width": sides[1] and sides[1] * scale}
    width, height = (
        getattr(request, side) or getattr(own, side) or takes.get(side) or models[side] for side in ("width", "height")
    )
    return (width, height) if width and height else None


def described(pipeline: Any, request: ImageRequest, own: Defaults) -> str:
    """Returns the settings that a request is answered with, in words: "4 steps, guidance 0, 512x512, …"."""
    takes, named = parameters(pipeline), names(pipeline)
    given = arguments(pipeline, request, own)
    steps, guidance = (given.get(named[ours], takes.get(named[ours])) for ours in ("steps", "guidance"))
    large = size(pipeline, request, own)
    words = [f"{large[0]}x{large[1]}"] if large else []
    if isinstance(guidance, int | float):
        words.insert(0, f"guidance {guidance:g}")
    if isinstance(steps, int):
        words.insert(0, counted(steps, "step"))
    if getattr(pipeline, "scheduler", None):
        words.append(type(pipeline.scheduler).__name__)
    if request.original is not UNSET:
        words.append(f"over an original at strength {given.get('strength', takes.get('strength'))}")
    return ", ".join(words)


def parameters(pipeline: Any) -> dict[str, Any]:
    """Returns the parameters that a pipeline's call names, with their defaults."""
    return {name: p.default for name, p in inspect.signature(type(pipeline).__call__).parameters.items()}


def names(pipeline: Any) -> dict[str, str]:
    """Returns diffusers' names for our settings."""
    takes = parameters(pipeline)
    # Where `guidance_scale` is None by default (Qwen-Image), it is for distilled variants, and this one guides.
    true = takes.get("guidance_scale", 0) is None and "true_cfg_scale" in takes
    guidance = "true_cfg_scale" if true else "guidance_scale"
    return {"width": "width", "height": "height", "steps": "num_inference_steps", "guidance": guidance}


def denoiser(pipeline: Any) -> Any:
    """Returns the network that generates: the UNet or the transformer; None where it has another name."""
    return getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)


def kind(pipeline: Any) -> str:
    """Returns the pipeline's class, as diffusers names it."""
    return type(pipeline).__name__


def _over_original(pipeline: Any, request: ImageRequest, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the strength, and as many steps as leave at least one of them.

    Of n steps diffusers takes the last int(n * strength): none of a turbo model's single one.
    """
    takes = parameters(pipeline)
    strength = takes.get("strength") if request.strength is UNSET else request.strength
    if strength is None:
        return {}
    if "strength" not in takes:
        raise InputError(f"--from-original {strength}: {kind(pipeline)} takes no strength; leave it out")
    if not 0 < strength <= 1:
        raise InputError(f"--from-original {strength}: the strength must be above 0 and at most 1")
    steps = given.get("num_inference_steps", takes.get("num_inference_steps"))
    if not isinstance(steps, int) or int(steps * strength) >= 1:
        return {"strength": strength}
    enough = next(n for n in itertools.count(math.ceil(1 / strength)) if int(n * strength) >= 1)
    if request.steps is not None:
        raise InputError(
            f"--steps {steps} with --from-original {strength} leaves no step; set --steps {enough} or more"
        )
    return {"strength": strength, "num_inference_steps": enough}


def _check_size(pipeline: Any, request: ImageRequest) -> None:
    """A pipeline rounds other sizes down, or fails."""
    multiple = _config(getattr(pipeline, "image_processor", None)).get("vae_scale_factor", 1)
    for side in ("width", "height"):
        asked = getattr(request, side)
        if asked is not None and (asked < multiple or asked % multiple):
            raise InputError(
                f"--{side} {asked}: {kind(pipeline)} generates multiples of {multiple}; set another --{side}"
            )


def _check_guidance(pipeline: Any, request: ImageRequest, guidance: float | None) -> None:
    """Raises InputError for a guidance or a negative prompt that would change nothing."""
    takes = parameters(pipeline)
    if request.guidance and _flux(pipeline) and not _config(denoiser(pipeline)).get("guidance_embeds", True):
        raise InputError(f"--guidance {request.guidance}: this model works without guidance; leave it out")
    if not request.negative:
        return
    if "negative_prompt" not in takes or _flux(pipeline):
        raise InputError(f"--negative: {kind(pipeline)} takes no negative prompt; leave it out")
    scale = takes.get(names(pipeline)["guidance"], 2.0) if guidance is None else guidance
    if not _guides(pipeline, scale):
        raise InputError(
            f"--negative does nothing at guidance {scale:g}, which this model uses; leave it out or set --guidance"
        )


def _guides(pipeline: Any, guidance: float) -> bool:
    """Returns whether the pipeline moves away from the negative prompt at this guidance."""
    pipeline._guidance_scale = guidance  # what each call does first; families know best when they guide
    return bool(getattr(pipeline, "do_classifier_free_guidance", guidance > 1))


def _flux(pipeline: Any) -> bool:
    """Returns whether guidance is an input of the model (FLUX.1) and true guidance, by a negative prompt, is off."""
    takes = parameters(pipeline)
    return (takes.get("true_cfg_scale") or 2.0) <= 1 and takes.get("guidance_scale") is not None


def _config(part: Any) -> Mapping[str, Any]:
    return getattr(part, "config", {})


def _original_id(folder: Path) -> str:
    """Returns the id that a folder's files say they came from ("" where they do not): part of what they hold."""
    for path in (folder / "model_index.json", *(folder / part / "config.json" for part in ("unet", "transformer"))):
        try:
            name = json.loads(read_regular(path).decode()).get("_name_or_path")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(name, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            return name
    return ""


def _in_file(path: Path) -> Defaults:
    try:
        return msgspec.convert(json.loads(read_regular(path).decode()), Defaults)
    except FileNotFoundError:
        return Defaults()
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: {one_line(error)}; it may hold steps, guidance, width and height") from None
