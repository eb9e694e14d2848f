"""Schedules and predictions: identities that hold for every one of them."""

import pytest
import torch

from scdit.diffusion import PREDICTIONS, SCHEDULES, convert, expected, target, time_grid

INSIDE = torch.linspace(0.02, 0.98, 97, dtype=torch.float64)


@pytest.mark.parametrize("name", SCHEDULES)
def test_ends_at_data_and_noise(name):
    c = SCHEDULES[name](torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert c.alpha[0] == pytest.approx(1)
    assert c.sigma[0] == pytest.approx(0, abs=1e-12)
    assert c.alpha[1] < 0.007
    assert c.sigma[1] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", SCHEDULES)
def test_signal_to_noise_ratio_falls(name):
    c = SCHEDULES[name](INSIDE)
    assert (torch.diff(c.alpha / c.sigma) < 0).all()


@pytest.mark.parametrize("name", [n for n, s in SCHEDULES.items() if s.variance_preserving])
def test_variance_preserving(name):
    c = SCHEDULES[name](INSIDE)
    torch.testing.assert_close(c.alpha**2 + c.sigma**2, torch.ones_like(INSIDE))


@pytest.mark.parametrize("name", SCHEDULES)
def test_derivatives_match_autograd_or_differences(name):
    # between two discrete steps, where the interpolation is smooth
    t = INSIDE + 0.37e-3
    h = 1e-6
    now, left, right = (SCHEDULES[name](t + s) for s in (0, -h, h))
    torch.testing.assert_close(
        now.d_alpha, (right.alpha - left.alpha) / (2 * h), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        now.d_sigma, (right.sigma - left.sigma) / (2 * h), rtol=1e-5, atol=1e-6
    )


def test_ddpm_schedule_is_the_product_of_one_minus_beta():
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    steps = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(SCHEDULES["ddpm"](steps).alpha ** 2, torch.cumprod(1 - beta, 0))


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_conversions_invert_the_target(name, kind):
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(97, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    c = SCHEDULES[name](INSIDE).to(x0)
    x_t = c.alpha * x0 + c.sigma * eps
    x0_again, eps_again = convert(kind, target(kind, x0, eps, c), x_t, c)
    torch.testing.assert_close(x0_again, x0, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(eps_again, eps, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_v_has_no_singular_end(name):
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    x0, eps = torch.tensor([[1.0], [2.0]]).double(), torch.tensor([[3.0], [4.0]]).double()
    c = SCHEDULES[name](t).to(x0)
    again = convert("v", target("v", x0, eps, c), c.alpha * x0 + c.sigma * eps, c)
    torch.testing.assert_close(again, (x0, eps))


def test_v_on_variance_preserving_schedules_is_that_of_the_paper():
    x0, eps = torch.tensor([[2.0]]), torch.tensor([[3.0]])
    c = SCHEDULES["cosine"](torch.tensor([0.3])).to(x0)
    torch.testing.assert_close(target("v", x0, eps, c), c.alpha * eps - c.sigma * x0)


def test_unknown_prediction_names_the_known_ones():
    c = SCHEDULES["cosine"](torch.tensor([0.3])).to(torch.zeros(1, 1))
    for function in (lambda: target("u", None, None, c), lambda: convert("u", None, None, c)):
        with pytest.raises(ValueError, match="eps, x0, v"):
            function()


@pytest.mark.parametrize("spacing", ["uniform", "power", "quadratic", "logsnr"])
@pytest.mark.parametrize("n_steps", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("name", SCHEDULES)
def test_grid_falls_from_noise_to_data(name, n_steps, spacing):
    grid = time_grid(n_steps, SCHEDULES[name], spacing)
    assert grid.shape == (n_steps + 1,)
    assert grid.dtype == torch.float64
    assert grid[0] == 1
    assert grid[-1] == 0
    assert (torch.diff(grid) < 0).all()
    if SCHEDULES[name].n_discrete:
        torch.testing.assert_close(grid * 1000, (grid * 1000).round())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, SCHEDULES["cosine"]), "at least 1"),
        ((1001, SCHEDULES["ddpm"]), "1000 steps"),
        ((5, SCHEDULES["cosine"], "cubic"), "uniform, power, quadratic, logsnr"),
    ],
)
def test_bad_grids(arguments, message):
    with pytest.raises(ValueError, match=message):
        time_grid(*arguments)


@pytest.mark.parametrize("name", SCHEDULES)
def test_expected_target_is_the_regression_on_the_noisy_state(name):
    """For Gaussian data E[x0 | x_t] and E[eps | x_t] are the least-squares lines through draws."""
    generator = torch.Generator().manual_seed(0)
    z, eps = (torch.randn(200_000, 1, generator=generator).double() for _ in range(2))
    mean, sd = torch.tensor([[0.7]]).double(), torch.tensor([[0.4]]).double()
    c = SCHEDULES[name](torch.tensor([0.35], dtype=torch.float64)).to(z)
    x0 = mean + sd * z
    x_t = c.alpha * x0 + c.sigma * eps
    x0_line, eps_line = expected(mean, sd, x_t, c)
    design = torch.cat([torch.ones_like(x_t), x_t], dim=1)
    for draws, line in ((x0, x0_line), (eps, eps_line)):
        fitted = design @ torch.linalg.lstsq(design, draws).solution
        torch.testing.assert_close(line, fitted, atol=0.02, rtol=0)
    # both are consistent with the noisy state itself
    torch.testing.assert_close(c.alpha * x0_line + c.sigma * eps_line, x_t)
