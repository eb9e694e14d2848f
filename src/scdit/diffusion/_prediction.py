"""What a network predicts - noise, data or velocity - and the way from each to the others."""

from __future__ import annotations

from torch import Tensor

from scdit.diffusion._schedule import Coefficients

PREDICTIONS = ("eps", "x0", "v")
"""What a network may predict: the noise, the data or the velocity, see :func:`target`."""


def target(kind: str, x0: Tensor, eps: Tensor, c: Coefficients) -> Tensor:
    """What a network of this `kind` should return for ``alpha x0 + sigma eps``.

    Parameters
    ----------
    kind
        One of ``PREDICTIONS``.
    x0
        Data, (cells, dims).
    eps
        Noise, (cells, dims).
    c
        Coefficients at the cells' times, as (cells, 1) columns.

    Examples
    --------
    >>> x0, eps = torch.randn(2, 32, 16)
    >>> c = scdit.diffusion.SCHEDULES["cosine"](torch.rand(32)).to(x0)
    >>> v = scdit.diffusion.target("v", x0, eps, c)
    """
    if kind == "eps":
        return eps
    if kind == "x0":
        return x0
    if kind == "v":
        return c.v_x0 * x0 + c.v_eps * eps
    raise ValueError(f"unknown prediction {kind!r}: choose one of {', '.join(PREDICTIONS)}")


def expected(mean: Tensor, sd: Tensor, x_t: Tensor, c: Coefficients) -> tuple[Tensor, Tensor]:
    """``E[x0 | x_t]`` and ``E[eps | x_t]`` for data that is known as ``N(mean, sd^2)``.

    Regressing on these in place of the drawn x0 and eps has the same minimiser and less noise
    (Rao-Blackwell): a codec's posterior is such a Gaussian for each cell.

    Parameters
    ----------
    mean
        Mean of the data, (cells, dims).
    sd
        Standard deviation of the data, (cells, dims), may be 0; dimensions are independent.
    x_t
        ``alpha x0 + sigma eps`` for a draw of both, (cells, dims).
    c
        Coefficients at the cells' times, as (cells, 1) columns, with sigma > 0.

    Examples
    --------
    >>> mean, sd, noise, eps = torch.randn(32, 16), torch.rand(32, 16), *torch.randn(2, 32, 16)
    >>> c = scdit.diffusion.SCHEDULES["cosine"](1 - torch.rand(32)).to(mean)
    >>> x_t = c.alpha * (mean + sd * noise) + c.sigma * eps
    >>> expected_x0, expected_eps = scdit.diffusion.expected(mean, sd, x_t, c)
    """
    residual = (x_t - c.alpha * mean) / (c.alpha**2 * sd**2 + c.sigma**2)
    return mean + c.alpha * sd**2 * residual, c.sigma * residual


def convert(kind: str, output: Tensor, x_t: Tensor, c: Coefficients) -> tuple[Tensor, Tensor]:
    """The data and noise ``(x0, eps)`` that a network's `output` at `x_t` stands for.

    Solves ``x_t = alpha x0 + sigma eps`` together with the definition of the prediction. An eps
    prediction is singular where alpha = 0, an x0 prediction where sigma = 0; v is singular nowhere.

    Parameters
    ----------
    kind
        One of ``PREDICTIONS``.
    output
        The network's output, (cells, dims).
    x_t
        The network's input, (cells, dims).
    c
        Coefficients at the cells' times, as (cells, 1) columns.

    Examples
    --------
    >>> x0, eps = torch.randn(2, 32, 16)
    >>> c = scdit.diffusion.SCHEDULES["cosine"](torch.rand(32)).to(x0)
    >>> v, x_t = scdit.diffusion.target("v", x0, eps, c), c.alpha * x0 + c.sigma * eps
    >>> again_x0, again_eps = scdit.diffusion.convert("v", v, x_t, c)
    """
    if kind == "eps":
        return (x_t - c.sigma * output) / c.alpha, output
    if kind == "x0":
        return output, (x_t - c.alpha * output) / c.sigma
    if kind == "v":
        determinant = c.alpha * c.v_eps - c.sigma * c.v_x0
        x0 = (c.v_eps * x_t - c.sigma * output) / determinant
        eps = (c.alpha * output - c.v_x0 * x_t) / determinant
        return x0, eps
    raise ValueError(f"unknown prediction {kind!r}: choose one of {', '.join(PREDICTIONS)}")
