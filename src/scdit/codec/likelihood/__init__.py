"""Distributions of counts: negative binomials and mixtures, Poisson, their parts, and the loss of a cell."""

from scdit.codec.likelihood._cell_loss import cell_negative_log_likelihood
from scdit.codec.likelihood._dispersion import Dispersion
from scdit.codec.likelihood._distribution import CountDistribution
from scdit.codec.likelihood._extra_zeros import ExtraZeros
from scdit.codec.likelihood._foreground import ForegroundBackground
from scdit.codec.likelihood._negative_binomial import (
    NegativeBinomial,
    ZeroInflatedNegativeBinomial,
)
from scdit.codec.likelihood._poisson import OpenPeaks, Poisson

__all__ = [
    "CountDistribution",
    "Dispersion",
    "ExtraZeros",
    "ForegroundBackground",
    "NegativeBinomial",
    "OpenPeaks",
    "Poisson",
    "ZeroInflatedNegativeBinomial",
    "cell_negative_log_likelihood",
]
