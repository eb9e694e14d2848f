"""Samplers against closed forms: Gaussian data, for which the exact denoiser is known."""

import math

import pytest
import torch

from scdit.diffusion import SAMPLERS, SCHEDULES, sample, sampling_path, time_grid

MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.5, 0.9], [0.9, 0.8]], dtype=torch.float64)


def exact_denoiser(schedule, mean=MEAN, covariance=COVARIANCE):
    """E[x0 | x_t] and E[eps | x_t] for Gaussian data, by conditioning of Gaussians."""

    def denoise(x, t):
        c = schedule(torch.tensor(t, dtype=torch.float64))
        a, s = c.alpha, c.sigma
        total = a**2 * covariance + s**2 * torch.eye(len(mean), dtype=torch.float64)
        residual = (x - a * mean) @ torch.linalg.inv(total)
        return mean + a * residual @ covariance, s * residual

    return denoise


def run(name, n_steps, schedule="cosine", n_cells=10_000, x=None, **options):
    schedule = SCHEDULES[schedule]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_cells, 2, generator=generator, dtype=torch.float64) if x is None else x
    return sample(
        name,
        exact_denoiser(schedule),
        x,
        time_grid(n_steps, schedule),
        schedule,
        lambda step: torch.randn(x.shape, generator=generator, dtype=torch.float64),
        **options,
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in sorted(SAMPLERS)] + [("ddim", {"eta": 0.5}), ("ddim", {"eta": 1.0})],
)
def test_reproduces_mean_and_covariance(name, options, schedule):
    out = run(name, 200, schedule, **options)
    # Monte-Carlo error of 10,000 cells: 0.012 in the mean, about 1.5% in the covariance
    torch.testing.assert_close(out.mean(0), MEAN, atol=0.05, rtol=0)
    torch.testing.assert_close(out.T.cov(), COVARIANCE, atol=0.08, rtol=0)


def probability_flow(x, mean=MEAN, covariance=COVARIANCE):
    """Noise to data along the exact flow of Gaussian data: along each axis, a change of scale.

    On any path from N(0, 1) to N(m, lambda) the flow is x -> m + sqrt(lambda) x.
    """
    eigenvalues, axes = torch.linalg.eigh(covariance)
    return mean + (x @ axes * eigenvalues.sqrt()) @ axes.T


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_ddim_converges_to_the_probability_flow(schedule):
    x = torch.tensor([[0.3, -1.2], [2.0, 0.5], [-0.7, 0.1]], dtype=torch.float64)
    errors = [
        (run("ddim", n, schedule, x=x) - probability_flow(x)).abs().max() for n in (200, 400, 800)
    ]
    assert errors[-1] < 5e-3
    # first order: half the step, half the error
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("name", ["ab2", "ab3", "heun"])
def test_second_order(name, schedule):
    """Half the step, a quarter of the error; of ab3 too, whose first two steps are of lower order."""
    x = torch.tensor([[0.3, -1.2], [2.0, 0.5], [-0.7, 0.1]], dtype=torch.float64)
    errors = [
        (run(name, n, schedule, x=x) - probability_flow(x)).abs().max() for n in (40, 80, 160)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.3)


def test_ab3_is_exact_where_the_slope_is_a_parabola():
    """Integrated from the third step on, whatever the lengths of the steps."""
    schedule = SCHEDULES["cosine"]
    times = torch.tensor([1.0, 0.93, 0.7, 0.52, 0.2, 0.0], dtype=torch.float64)

    def denoise(x, t):
        c = schedule(torch.tensor(t, dtype=torch.float64))
        angle = math.atan2(c.sigma, c.alpha)
        slope = 2 * angle**2 - angle + 0.5  # dy / d angle = alpha eps - sigma x0
        return -c.sigma * slope + 0 * x, c.alpha * slope + 0 * x

    x = torch.zeros(1, 1, dtype=torch.float64)
    path = list(sampling_path("ab3", denoise, x, times, schedule, None))
    angles = times * math.pi / 2
    integral = 2 / 3 * angles**3 - angles**2 / 2 + 0.5 * angles
    gained = torch.stack(path).ravel().diff()[2:]
    torch.testing.assert_close(gained, integral.diff()[3:])


@pytest.mark.parametrize("name", ["ab2", "ab3", "euler", "heun"])
def test_standard_normal_data_are_not_shrunk(name):
    x = torch.tensor([[0.3, -1.2], [2.0, 0.5]], dtype=torch.float64)
    schedule = SCHEDULES["cosine"]
    denoise = exact_denoiser(schedule, torch.zeros(2).double(), torch.eye(2).double())
    out = sample(name, denoise, x, time_grid(5, schedule), schedule, None)
    torch.testing.assert_close(out, x)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ddpm_steps_have_the_posterior_mean_and_variance(schedule):
    """q(x_s | x_t, x0) is the product of q(x_s | x0) and q(x_t | x_s): a Gaussian in x_s."""
    schedule = SCHEDULES[schedule]
    times = torch.tensor([0.6, 0.4], dtype=torch.float64)
    x0, x_t = torch.tensor([[0.7]]).double(), torch.tensor([[-0.4]]).double()
    now, after = schedule(times[0]), schedule(times[1])
    eps = (x_t - now.alpha * x0) / now.sigma

    def step(z):
        z = torch.full_like(x_t, z)
        return sample("ddpm", lambda *_: (x0, eps), x_t, times, schedule, lambda _: z)

    ratio = now.alpha / after.alpha
    forward_variance = now.sigma**2 - ratio**2 * after.sigma**2
    precision = 1 / after.sigma**2 + ratio**2 / forward_variance
    mean = (after.alpha * x0 / after.sigma**2 + ratio * x_t / forward_variance) / precision
    torch.testing.assert_close(step(0.0), mean)
    torch.testing.assert_close(step(1.0) - step(0.0), (1 / precision).sqrt().expand(1, 1))


def test_last_step_returns_the_prediction_without_noise():
    x0 = torch.tensor([[5.0, 6.0]], dtype=torch.float64)
    asked = []

    def noise(step):
        asked.append(step)
        return torch.ones_like(x0)

    schedule = SCHEDULES["cosine"]
    times = time_grid(3, schedule)
    out = sample("ddpm", lambda x, t: (x0, x), torch.zeros_like(x0), times, schedule, noise)
    torch.testing.assert_close(out, x0)
    assert asked == [0, 1]


def diffusers_scheduler(name, n_steps, **settings):
    """A scheduler of diffusers over the paper's betas, and our grid of the same times."""
    diffusers = pytest.importorskip("diffusers")
    reference = getattr(diffusers, name)(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        timestep_spacing="trailing",
        **settings,
    )
    reference.set_timesteps(n_steps)
    times = time_grid(n_steps, SCHEDULES["ddpm"])
    # step i of T is index i - 1 there
    assert reference.timesteps.tolist() == [round(float(t) * 1000) - 1 for t in times[:-1]]
    return reference, times


@pytest.mark.parametrize("n_steps", [10, 50])
def test_ddim_step_for_step_as_in_diffusers(n_steps):
    reference, times = diffusers_scheduler(
        "DDIMScheduler", n_steps, clip_sample=False, set_alpha_to_one=True
    )
    schedule = SCHEDULES["ddpm"]
    denoise = exact_denoiser(schedule)
    ours = torch.randn(7, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = ours.clone()
    for x, index in zip(
        SAMPLERS["ddim"](denoise, ours, times, schedule, None), reference.timesteps, strict=True
    ):
        _, eps = denoise(theirs, (int(index) + 1) / 1000)
        theirs = reference.step(eps, int(index), theirs).prev_sample
        torch.testing.assert_close(x, theirs, rtol=1e-4, atol=1e-4)  # their betas are float32


def test_ddpm_step_for_step_as_in_diffusers():
    reference, times = diffusers_scheduler("DDPMScheduler", 20, clip_sample=False)
    schedule = SCHEDULES["ddpm"]
    denoise = exact_denoiser(schedule)
    ours = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = ours.clone()
    # the same noise on both sides: theirs comes from a generator, one draw per step but the last
    stream = torch.Generator().manual_seed(2)
    z = [torch.randn(ours.shape, generator=stream, dtype=torch.float64) for _ in range(19)]
    stream = torch.Generator().manual_seed(2)
    for i, x in enumerate(SAMPLERS["ddpm"](denoise, ours, times, schedule, lambda i: z[i])):
        index = int(reference.timesteps[i])
        _, eps = denoise(theirs, (index + 1) / 1000)
        theirs = reference.step(eps, index, theirs, generator=stream).prev_sample
        torch.testing.assert_close(x, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_dpmpp_2m_step_for_step_as_in_diffusers():
    reference, times = diffusers_scheduler(
        "DPMSolverMultistepScheduler",
        12,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
    )
    schedule = SCHEDULES["ddpm"]
    denoise = exact_denoiser(schedule)
    ours = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = ours.clone()
    for x, index in zip(
        SAMPLERS["dpmpp_2m"](denoise, ours, times, schedule, None),
        reference.timesteps,
        strict=True,
    ):
        _, eps = denoise(theirs, (int(index) + 1) / 1000)
        theirs = reference.step(eps, index, theirs).prev_sample
        torch.testing.assert_close(x, theirs, rtol=1e-3, atol=1e-3)  # their sigmas are float32


def test_unknown_sampler_lists_the_registry():
    with pytest.raises(ValueError, match="ddim, ddpm"):
        run("ddpn", 3)
