"""Distributions of counts: negative binomials, their dispersion, extra zeros, and the loss of a cell."""

from scdit.codec.likelihood._cell_loss import cell_negative_log_likelihood
from scdit.codec.likelihood._dispersion import Dispersion
from scdit.codec.likelihood._extra_zeros import ExtraZeros
from scdit.codec.likelihood._negative_binomial import (
    NegativeBinomial,
    ZeroInflatedNegativeBinomial,
)

__all__ = [
    "Dispersion",
    "ExtraZeros",
    "NegativeBinomial",
    "ZeroInflatedNegativeBinomial",
    "cell_negative_log_likelihood",
]
