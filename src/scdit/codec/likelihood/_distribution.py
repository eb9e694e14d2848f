"""What calibrations and draws need of a distribution of counts."""

from __future__ import annotations

from typing import Protocol, Self

from torch import Tensor


class CountDistribution(Protocol):
    """Counts (cells, features), independent given the parameters."""

    def of_genes(self, genes: Tensor) -> Self:
        """Distribution of the counts of some features, given their indices."""

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log probability of `counts` (cells, features), the same shape."""

    def mean(self) -> Tensor:
        """Expected counts, (cells, features)."""

    def interval(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of fewer than `counts` and that of `counts`, (cells, features)."""

    def quantile(self, uniform: Tensor) -> Tensor:
        """Smallest count whose distribution function exceeds `uniform`, float32 (cells, features)."""
