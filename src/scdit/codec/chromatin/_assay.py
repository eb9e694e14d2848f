"""Chromatin accessibility: fragments in peaks, with a total."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scdit._matrix import some_of
from scdit.codec._count_assay import CountAssay
from scdit.codec._encoder import FAR_DEPTH, hidden_layer
from scdit.codec._protocol import Codes, SparseCounts, Uniform
from scdit.codec._sparse import capped_counts
from scdit.codec._weight_prior import WeightPrior
from scdit.codec.chromatin._encoder import PeakEncoder
from scdit.codec.chromatin._start import saturation, statistics
from scdit.codec.likelihood import (
    NegativeBinomial,
    OpenPeaks,
    Poisson,
    cell_negative_log_likelihood,
)
from scdit.nn import ConditionTerms

Peaks: TypeAlias = Poisson | OpenPeaks | NegativeBinomial
LIKELIHOODS = ("poisson", "nb", "bernoulli")
_MAX_HIDDEN = 64  # of the decoder, whose last layer has as many weights for each peak
# precisions of the Gaussian priors, in cells
_PRIOR_LINEAR, _PRIOR_NONLINEAR, _PRIOR_EFFECTS, _PRIOR_THETA = 100.0, 30.0, 1.0, 0.25
_RANGE_LOG_THETA = -5.0, 8.0
_CALIBRATED = 20_000  # cells that the means are taken over, at most
_BATCH = 64
_WORTH = 10.0  # counts that the decoder's mean of a peak is worth


class Chromatin(CountAssay):
    r"""Encoder and decoder of fragments in peaks, conditioned on their total.

    The expected number of fragments in peak i of cell c is the total times a softmax over peaks,

    .. math:: \operatorname{softmax}_i(b_i + u_i \cdot z_c + v_i \cdot h_c),

    with the latent vector z and up to 64 nonlinear features h of it: a decoder of low rank. Effects of
    conditions move h, so that they need no weights for each peak. With ``"bernoulli"`` the counts are
    zeros and ones, with probability :math:`1 - e^{-\lambda}` for a peak of rate :math:`\lambda`, and
    the total is the number of open peaks; rates add up to more, by a parabola of the depth.

    Parameters
    ----------
    n_features
        Number of peaks.
    n_categories
        Number of categories of each condition that may be known of a cell, by name, see
        :class:`scdit.nn.ConditionTerms`; none by default.
    n_latent
        Dimensions of the latent space.
    n_hidden
        Width of the encoder's hidden layer, and of the decoder's up to 64.
    dropout_rate
        Dropout in the hidden layers.
    likelihood
        ``"poisson"`` or ``"nb"`` (one dispersion for each peak) of counts, or ``"bernoulli"`` of zeros
        and ones; counts are then made binary. See :func:`default_chromatin_likelihood`.

    Raises
    ------
    ValueError
        If `likelihood` is unknown or a size is not positive.

    Notes
    -----
    Training cells stay sparse; a batch of 64 cells is dense, 26 MB for 100,000 peaks, and a step of
    training has about 12 arrays of this size at once. Weights are ``n_latent + 65`` numbers for each
    peak, gradients and optimiser three times as many, components 50 to 96. With 100,000 peaks and 32
    dimensions, training adds 0.45 GB to what the cells take.

    Examples
    --------
    >>> fragments = numpy.random.default_rng(0).poisson(0.1, (500, 300))
    >>> atac = scdit.codec.Chromatin(n_features=300, n_latent=10)
    >>> atac.start(fragments)
    >>> atac.decode(torch.randn(32, 11)).mean().shape
    """

    shift: Tensor

    def __init__(
        self,
        n_features: int,
        n_categories: Mapping[str, int] | None = None,
        *,
        n_latent: int = 32,
        n_hidden: int = 256,
        dropout_rate: float = 0.0,
        likelihood: Literal["poisson", "nb", "bernoulli"] = "poisson",
    ):
        if likelihood not in LIKELIHOODS:
            raise ValueError(
                f"unknown likelihood {likelihood!r}: choose one of {', '.join(LIKELIHOODS)}"
            )
        if min(n_features, n_latent, n_hidden) < 1:
            raise ValueError("n_features, n_latent and n_hidden must be positive")
        super().__init__(n_features, PeakEncoder(n_features, n_latent, n_hidden, dropout_rate))
        n_hidden = min(n_hidden, _MAX_HIDDEN)
        self.likelihood = likelihood
        self.decoder_hidden = hidden_layer(n_latent, n_hidden, dropout_rate)
        self.decoder_linear = nn.Linear(n_latent, n_features, bias=False)
        self.decoder_nonlinear = nn.Linear(n_hidden, n_features)
        self.effects = ConditionTerms(n_categories or {}, n_hidden)
        self.log_theta = nn.Parameter(torch.zeros(n_features)) if likelihood == "nb" else None
        self.saturation = nn.Parameter(torch.zeros(3)) if likelihood == "bernoulli" else None
        # of the calibration: of each peak's log mean
        self.register_buffer("shift", torch.zeros(n_features))

    def extra_repr(self) -> str:
        """Likelihood."""
        return f"{self.likelihood} peaks"

    @torch.no_grad()
    def start(self, counts: SparseCounts) -> None:
        """Set the buffers from training cells (cells, peaks), and start the weights from them."""
        start = statistics(counts, self.encoder.n_pcs, binary=self.saturation is not None)
        self.cap.copy_(start["cap"])
        self.library_scores.fit(start["library_size"])
        self.encoder.initialise(start)
        self.start_loadings(start["gain"] * start["total"] / (start["total"] + _PRIOR_LINEAR))
        nn.init.zeros_(self.decoder_nonlinear.weight)
        self.decoder_nonlinear.bias.copy_(start["log_proportions"])
        if self.log_theta is not None:
            self.log_theta.zero_()
        if self.saturation is not None:
            scores = self.library_scores
            inner = slice(1, -1)  # the knots that cells lie between
            at = scores.log_sizes[inner], scores.knots[inner]
            self.saturation.copy_(saturation(self.decoder_nonlinear.bias, *at))

    def vectors(self) -> list[nn.Parameter]:
        """Parameters that are no weights of a layer, which learn faster."""
        return [p for p in (self.log_theta, self.saturation) if p is not None]

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the decoder's weights."""
        yield WeightPrior(self.decoder_linear.weight, _PRIOR_LINEAR)
        yield WeightPrior(self.decoder_nonlinear.weight, _PRIOR_NONLINEAR)
        yield from (WeightPrior(term, _PRIOR_EFFECTS) for term in self.effects.terms)
        if self.log_theta is not None:
            yield WeightPrior(self.log_theta, _PRIOR_THETA)

    # -- counts given a state --------------------------------------------------------------------

    def decode(self, state: Tensor, codes: Codes = None) -> Peaks:
        """Distribution of the counts (cells, peaks) given states (cells, n_latent + 1) and conditions."""
        latent = state[:, : self.n_latent]
        hidden = self.decoder_hidden(latent)
        if self.effects.terms:
            hidden = hidden + self.effects.total(codes, len(latent))
        logits = torch.addmm(
            self.decoder_nonlinear.bias + self.shift, hidden, self.decoder_nonlinear.weight.T
        )
        logits = torch.addmm(logits, latent, self.decoder_linear.weight.T)
        log_rate = F.log_softmax(logits, dim=1) + self._log_fragments(state)
        if self.log_theta is not None:
            return NegativeBinomial(log_rate, self.log_theta.clamp(*_RANGE_LOG_THETA)[None])
        return Poisson(log_rate) if self.saturation is None else OpenPeaks(log_rate)

    def _log_fragments(self, state: Tensor) -> Tensor:
        """Logarithm of the expected number of fragments, (cells, 1)."""
        log_library = self.log_library(state)
        if self.saturation is None:
            return log_library
        score = state[:, self.n_latent :].clamp(-FAR_DEPTH, FAR_DEPTH)
        constant, slope, curve = self.saturation
        return log_library + constant + (slope + curve * score) * score

    def loss(self, counts: Tensor, decoded: Peaks) -> Tensor:
        """Negative log likelihood of the capped counts, (cells,), in nats."""
        counts = self.capped(counts)
        if isinstance(decoded, NegativeBinomial):
            return cell_negative_log_likelihood(decoded.log_mean, decoded.log_theta, counts)
        return decoded.negative_log_likelihood(counts)

    def draw(self, state: Tensor, uniform: Uniform, codes: Codes = None) -> Tensor:
        """Counts (cells, peaks), float32, with the means of the calibration."""
        return self.decode(state, codes).quantile(uniform(self.n_features))

    # -- calibration -----------------------------------------------------------------------------

    def clear_calibration(self) -> None:
        """Draw counts as the decoder has them."""
        self.shift.zero_()

    @torch.no_grad()
    def calibrate(self, state: Tensor, counts: sp.csr_matrix, codes: Codes = None) -> None:
        """Fit a shift of each peak's log mean to training cells; no more is affordable, or needed.

        Arguments are those of ``decoded_cells``.
        """
        self.clear_calibration()
        rows = some_of(len(state), _CALIBRATED)
        cells = self.decoded_cells(state, counts, codes)
        expected = sum(
            cells.decode(batch).mean().sum(0)
            for batch in np.split(rows, range(_BATCH, len(rows), _BATCH))
        )
        capped = capped_counts(sp.csr_matrix(counts)[rows], cells.cap)
        observed = torch.as_tensor(np.asarray(capped.sum(axis=0)).ravel()).to(self.shift)
        self.shift.copy_(((observed + _WORTH) / (expected + _WORTH)).log())
