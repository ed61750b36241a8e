"""What is trained on: the sample with noise on it and its answer, against the formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.providers.torch_setup import mend_torchvision

mend_torchvision()

import diffusers  # noqa: E402
import torch  # noqa: E402

from ltgc_cli.providers.t2i.objectives import objective  # noqa: E402

GENERATOR = torch.Generator().manual_seed(0)
LATENTS, NOISE = (torch.randn(5, 2, 3, 4, generator=GENERATOR) for _ in range(2))
PLACES = torch.tensor([0, 1, 500, 998, 999])


def alphas(scheduler) -> tuple[np.ndarray, np.ndarray]:
    """Returns α and σ at PLACES, from the betas of scaled_linear (Rombach et al. 2022), in float64."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
    products = np.cumprod(1 - betas)[PLACES.numpy()].reshape(-1, 1, 1, 1)
    return np.sqrt(products), np.sqrt(1 - products)


def stable_diffusions(kind, scheduler=diffusers.DDIMScheduler):
    return scheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=kind)


@pytest.mark.parametrize("scheduler", [diffusers.DDIMScheduler, diffusers.EulerDiscreteScheduler])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_diffusion_models_sample_and_answer_are_those_of_the_formulas(kind, scheduler):
    x, noise = LATENTS.double().numpy(), NOISE.double().numpy()
    alpha, sigma = alphas(scheduler)
    answer = {"epsilon": noise, "v_prediction": alpha * noise - sigma * x, "sample": x}[kind]

    noised = objective(stable_diffusions(kind, scheduler)).noised(LATENTS, NOISE, PLACES)

    np.testing.assert_allclose(noised.sample, alpha * x + sigma * noise, atol=1e-5)
    np.testing.assert_allclose(noised.target, answer, atol=1e-5)
    assert noised.timesteps.tolist() == [0, 1, 500, 998, 999]


def test_a_diffusion_model_that_ends_in_pure_noise_has_pure_noise_at_the_last_timestep():
    scheduler = diffusers.DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)

    noised = objective(scheduler).noised(LATENTS, NOISE, PLACES)

    np.testing.assert_allclose(noised.sample[4], NOISE[4], atol=1e-6)
    np.testing.assert_allclose(noised.target[4], -LATENTS[4], atol=1e-6)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_models_sample_and_answer_are_those_of_the_formulas(shift):
    x, noise = LATENTS.double().numpy(), NOISE.double().numpy()
    plain = (1000 - PLACES.numpy()).astype(np.float64) / 1000  # place 0 is all noise
    sigma = (shift * plain / (1 + (shift - 1) * plain)).reshape(-1, 1, 1, 1)

    noised = objective(diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)).noised(LATENTS, NOISE, PLACES)

    np.testing.assert_allclose(noised.sample, (1 - sigma) * x + sigma * noise, atol=1e-5)
    np.testing.assert_allclose(noised.target, noise - x, atol=1e-6)
    np.testing.assert_allclose(noised.timesteps, 1000 * sigma.reshape(-1), atol=1e-3)


def test_a_scheduler_that_has_generated_before_trains_on_all_of_its_timesteps():
    used = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    used.set_timesteps(4)

    noised, fresh = (
        objective(one).noised(LATENTS, NOISE, PLACES)
        for one in (used, diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    )

    assert torch.equal(noised.timesteps, fresh.timesteps)


def test_logit_normal_draws_middle_noise_levels_most_and_else_all_are_alike():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    middle, uniform = (
        objective(scheduler, logit_normal=on).draw(20000, torch.Generator().manual_seed(0)).numpy() / 1000
        for on in (True, False)
    )

    # The logit of a logit-normal number is a normal one: 68% are within its standard deviation, 0.269 to 0.731.
    assert abs(((middle > 0.269) & (middle < 0.731)).mean() - 0.683) < 0.01
    assert abs(((uniform > 0.269) & (uniform < 0.731)).mean() - 0.462) < 0.01


@pytest.mark.parametrize(
    ("scheduler", "named"),
    [
        (stable_diffusions("flow_of_time"), "prediction_type 'flow_of_time'"),
        (diffusers.EDMEulerScheduler(), "EDMEulerScheduler"),
    ],
)
def test_a_model_with_another_objective_is_named_in_one_line(scheduler, named):
    with pytest.raises(InputError) as error:
        objective(scheduler)

    assert str(error.value) == (
        f"a model with {named} cannot be adapted here; these are: epsilon, v_prediction, sample, flow matching"
    )
