"""Library sizes <-> normal scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_INNER, _OUTER, _KNOTS = 3.0, 8.0, 61
_LEAST_SLOPE = 1e-3  # where many cells have the same library size


class LibraryScores(nn.Module):
    """Monotone map of log library sizes to scores that are standard normal over training cells.

    Library sizes are skewed, have sharp edges where cells were filtered, and more than one mode
    where cells differ in size. Their scores have none of this, so that a denoiser need not learn it.
    The map is linear between 61 knots, from the score -3 to 3; beyond, its slope is the standard
    deviation.
    """

    knots: Tensor
    log_sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        inner = torch.linspace(-_INNER, _INNER, _KNOTS)
        knots = torch.cat([-torch.tensor([_OUTER]), inner, torch.tensor([_OUTER])])
        self.register_buffer("knots", knots)
        self.register_buffer("log_sizes", knots.clone())

    @torch.no_grad()
    def fit(self, library_size: Tensor) -> None:
        """Take the quantiles of library sizes (cells,)."""
        log = library_size.double().clamp_min(1).log()
        inner = self.knots[1:-1].double().cpu()
        quantiles = torch.quantile(log, torch.special.ndtr(inner))
        # increasing by at least a little, and by the standard deviation outside
        steps = quantiles.diff().clamp_min(_LEAST_SLOPE * float(inner[1] - inner[0]))
        rise = torch.cat([torch.zeros(1), steps.cumsum(0)])
        middle = _KNOTS // 2  # the median stays where it is
        values = quantiles[middle] + rise - rise[middle]
        margin = (_OUTER - _INNER) * max(float(log.std(correction=0)), _LEAST_SLOPE)
        self.log_sizes.copy_(torch.cat([values[:1] - margin, values, values[-1:] + margin]))

    def forward(self, log_size: Tensor) -> Tensor:
        """Scores of log library sizes, of any shape."""
        return _interpolate(log_size, self.log_sizes, self.knots)

    def inverse(self, score: Tensor) -> Tensor:
        """Log library sizes of scores, of any shape."""
        return _interpolate(score, self.knots, self.log_sizes)


def _interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """The function that is linear between points, and goes on in a straight line outside."""
    right = torch.bucketize(x.contiguous(), xs).clamp(1, len(xs) - 1)
    left = right - 1
    slope = (ys[right] - ys[left]) / (xs[right] - xs[left])
    return ys[left] + (x - xs[left]) * slope
