"""What a text-to-image model is trained to answer: the noise, the velocity, the latent, or the flow.

Which one it is, its scheduler says. Each is written here as diffusers' own training scripts have it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ltgc_cli.errors import InputError


class Noised(NamedTuple):
    """Latents with noise on them, and the answer to them."""

    sample: Tensor  # what the network sees [images, channels, height, width]
    timesteps: Tensor  # as its scheduler counts them [images]
    target: Tensor  # what it should answer, of the sample's shape


class Objective(NamedTuple):
    """How noise levels are drawn, and what they make of latents."""

    draw: Callable[[int, torch.Generator], Tensor]  # places in the scheduler's training timesteps, one for each image
    noised: Callable[[Tensor, Tensor, Tensor], Noised]  # of latents, noise of their shape, and places


def objective(scheduler: Any, *, logit_normal: bool = False) -> Objective:
    """Returns the objective that a model with this scheduler was trained by.

    logit_normal -- of flow matching: middle noise levels are drawn most (Esser et al. 2024, section 3.1), not all alike

    Raises InputError for a scheduler that says of none.
    """
    from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

    name = type(scheduler).__name__
    if "FlowMatch" in name:
        return flow_matching(FlowMatchEulerDiscreteScheduler.from_config(scheduler.config), logit_normal)
    kind = scheduler.config.get("prediction_type", "epsilon")
    if name.startswith("EDM") or kind not in TARGETS:
        what = name if name.startswith("EDM") else f"prediction_type {kind!r}"
        raise InputError(f"a model with {what} cannot be adapted here; these are: {', '.join(TARGETS)}, flow matching")
    return diffusion(DDPMScheduler.from_config(scheduler.config), kind)


TARGETS: dict[str, Callable[[Any, Tensor, Tensor, Tensor], Tensor]] = {
    "epsilon": lambda scheduler, latents, noise, places: noise,
    "v_prediction": lambda scheduler, latents, noise, places: scheduler.get_velocity(latents, noise, places),
    "sample": lambda scheduler, latents, noise, places: latents,
}
"""What a diffusion model answers, by its scheduler's prediction_type: ε, α ε - σ x (Salimans and Ho 2022), or x."""


def diffusion(scheduler: Any, kind: str) -> Objective:
    """Returns the objective of a diffusion model: the sample is α x + σ ε, with each timestep as likely as the others.

    scheduler -- a DDPMScheduler with the model's betas
    kind -- its prediction_type, one of TARGETS
    """
    count = scheduler.config.num_train_timesteps

    def noised(latents: Tensor, noise: Tensor, places: Tensor) -> Noised:
        target = TARGETS[kind](scheduler, latents, noise, places)
        return Noised(scheduler.add_noise(latents, noise, places), places, target)

    return Objective(lambda images, generator: torch.randint(count, (images,), generator=generator), noised)


def flow_matching(scheduler: Any, logit_normal: bool) -> Objective:
    """Returns the objective of flow matching: the sample is (1 - σ) x + σ ε, the answer ε - x (Lipman et al. 2023).

    scheduler -- a FlowMatchEulerDiscreteScheduler with the model's shift, which its σ have in them
    """
    count = scheduler.config.num_train_timesteps

    def draw(images: int, generator: torch.Generator) -> Tensor:
        if logit_normal:
            share = torch.randn(images, generator=generator).sigmoid()
        else:
            share = torch.rand(images, generator=generator)
        return (share * count).long().clamp(max=count - 1)

    def noised(latents: Tensor, noise: Tensor, places: Tensor) -> Noised:
        timesteps = scheduler.timesteps.to(latents.device)[places]
        sigmas = scheduler.sigmas.to(latents.device)[places].view(-1, *[1] * (latents.ndim - 1))
        return Noised((1 - sigmas) * latents + sigmas * noise, timesteps, noise - latents)

    return Objective(draw, noised)
