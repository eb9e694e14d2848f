"""Proteins: counts of antibodies, which bind their protein or give a background."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scdit.codec._count_assay import CountAssay
from scdit.codec._encoder import FAR_DEPTH, CountEncoder, hidden_layer
from scdit.codec._protocol import Codes, SparseCounts, Uniform
from scdit.codec._sparse import capped_counts, library_sizes
from scdit.codec._weight_prior import WeightPrior
from scdit.codec.calibration import QuantileMap
from scdit.codec.likelihood import Dispersion, ForegroundBackground, NegativeBinomial
from scdit.codec.protein._calibration import fit_protein_map
from scdit.codec.protein._start import two_levels
from scdit.codec.rna import statistics
from scdit.nn import ConditionTerms

# precisions of the Gaussian priors, in cells, as those of RNA
_PRIOR_LINEAR, _PRIOR_NONLINEAR, _PRIOR_EFFECTS, _PRIOR_LOGIT = 100.0, 30.0, 100.0, 0.25
_MIN_HIDDEN = 64
_LARGEST_LOGIT = 12.0
_NEVER = 1e-12  # proportion of a protein without counts
_LOG_THETA_BACKGROUND = 2.0
_RANGE_LOG_THETA = -5.0, 8.0


class Protein(CountAssay):
    r"""Encoder and decoder of protein counts: a mixture of background and foreground.

    A count of protein g in cell c is one of two negative binomials, see
    ``ForegroundBackground``: the background, or with probability
    :math:`1 - \pi_{cg}` the foreground above it. The levels of both and :math:`\pi` depend on the
    latent vector; the level of the background and :math:`\pi` depend on the depth as well. As in
    totalVI (Gayoso et al. 2021), but without a latent variable for each background: the levels are
    scaled so that expected counts add up to the total of the cell, which is a part of the state.

    Parameters
    ----------
    n_features
        Number of proteins.
    n_categories
        Number of categories of each condition that may be known of a cell, by name, see
        :class:`scdit.nn.ConditionTerms`; none by default. Their effects move both levels.
    n_latent
        Dimensions of the latent space.
    n_hidden
        Width of the hidden layers; at most twice the number of proteins, or 64, is used.
    dropout_rate
        Dropout in the hidden layers.

    Raises
    ------
    ValueError
        If a size is not positive.

    Examples
    --------
    >>> counts = numpy.random.default_rng(0).poisson(20, (500, 40))
    >>> protein = scdit.codec.Protein(n_features=40, n_latent=10)
    >>> protein.start(counts)
    >>> protein.decode(torch.randn(32, 11)).mean().shape
    """

    logit_start: Tensor

    def __init__(
        self,
        n_features: int,
        n_categories: Mapping[str, int] | None = None,
        *,
        n_latent: int = 32,
        n_hidden: int = 256,
        dropout_rate: float = 0.0,
    ):
        if min(n_features, n_latent, n_hidden) < 1:
            raise ValueError("n_features, n_latent and n_hidden must be positive")
        n_hidden = min(n_hidden, max(2 * n_features, _MIN_HIDDEN))
        super().__init__(n_features, CountEncoder(n_features, n_latent, n_hidden, dropout_rate))
        self.decoder_hidden = hidden_layer(n_latent, n_hidden, dropout_rate)
        self.decoder_linear = nn.Linear(n_latent, n_features, bias=False)
        self.decoder_nonlinear = nn.Linear(n_hidden, n_features)
        n_known = n_latent + 1 + n_hidden
        self.level = nn.Parameter(torch.zeros(n_features))  # of the background
        self.logit = nn.Parameter(torch.zeros(n_features))
        self.level_weights = nn.Linear(n_known, n_features, bias=False)
        self.logit_weights = nn.Linear(n_known, n_features, bias=False)
        self.register_buffer("logit_start", torch.zeros(n_features))
        self.dispersion = Dispersion(n_features, n_latent + n_hidden)
        self.background_dispersion = Dispersion(n_features, 0, "gene")
        self.effects = ConditionTerms(n_categories or {}, n_features)
        self.quantile_map = QuantileMap(n_features)

    def extra_repr(self) -> str:
        """Likelihood."""
        return "proteins of two levels"

    @torch.no_grad()
    def start(self, counts: SparseCounts) -> None:
        """Set the buffers from training cells (cells, proteins), and start the weights from them."""
        start = statistics(counts, self.encoder.n_pcs)
        self.cap.copy_(start["cap"])
        self.library_scores.fit(start["library_size"])
        self.encoder.initialise(start)
        self.dispersion.initialise(start)
        theta = torch.full_like(start["log_theta"], _LOG_THETA_BACKGROUND)
        self.background_dispersion.initialise({"log_theta": theta, "log_theta_trend": theta})
        capped = capped_counts(
            sp.csr_matrix(counts, dtype=np.float64), start["cap"].double().numpy()
        )
        levels = two_levels(capped.toarray(), library_sizes(capped))
        unseen = start["total"] == 0
        level = levels["background"].masked_fill(unseen, float(np.log(_NEVER)))
        self.level.copy_(level)
        self.logit.copy_(levels["logit"])
        self.logit_start.copy_(levels["logit"])
        for layer in (self.level_weights, self.logit_weights, self.decoder_nonlinear):
            nn.init.zeros_(layer.weight)
        # the foreground is a softplus above the background
        self.decoder_nonlinear.bias.copy_(level + levels["step"].expm1().log())
        # see the start of RNA
        c, total = start["log_proportions"].exp() * start["target"], start["total"]
        self.start_loadings((1 + c) / (c + 0.3) * total / (total + _PRIOR_LINEAR))

    def vectors(self) -> list[nn.Parameter]:
        """Parameters that are no weights of a layer, which learn faster."""
        thetas = [*self.dispersion.vectors(), *self.background_dispersion.vectors()]
        return [self.level, self.logit, *thetas]

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the decoder's weights."""
        yield WeightPrior(self.decoder_linear.weight, _PRIOR_LINEAR)
        for layer in (self.decoder_nonlinear, self.level_weights, self.logit_weights):
            yield WeightPrior(layer.weight, _PRIOR_NONLINEAR)
        yield WeightPrior(self.logit, _PRIOR_LOGIT, self.logit_start)
        yield from (WeightPrior(term, _PRIOR_EFFECTS) for term in self.effects.terms)
        yield from self.dispersion.priors()
        yield from self.background_dispersion.priors()

    # -- counts given a state --------------------------------------------------------------------

    def decode(self, state: Tensor, codes: Codes = None) -> ForegroundBackground:
        """Distribution of the counts (cells, proteins) given states (cells, n_latent + 1), conditions."""
        latent = state[:, : self.n_latent]
        depth = state[:, self.n_latent :].clamp(-FAR_DEPTH, FAR_DEPTH)
        hidden = self.decoder_hidden(latent)
        known = torch.cat([latent, depth, hidden], dim=1)
        background = self.level + self.level_weights(known)
        raised = self.decoder_linear(latent) + self.decoder_nonlinear(hidden)
        foreground = background + F.softplus(raised - background)
        if self.effects.terms:
            effects = self.effects.total(codes, len(latent))
            background, foreground = background + effects, foreground + effects
        logit = (self.logit + self.logit_weights(known)).clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
        log_mean = torch.logaddexp(
            foreground + F.logsigmoid(-logit), background + F.logsigmoid(logit)
        )
        total = log_mean.logsumexp(1, keepdim=True)
        log_theta = self.dispersion(log_mean - total, torch.cat([latent, hidden], dim=1))
        log_theta = log_theta.clamp(*_RANGE_LOG_THETA)
        # the same in all cells: not expanded, which would cost a logarithm of gamma for each count
        background_log_theta = self.background_dispersion.log_theta.clamp(*_RANGE_LOG_THETA)
        scale = self.log_library(state) - total
        return ForegroundBackground(
            NegativeBinomial(foreground + scale, log_theta),
            NegativeBinomial(background + scale, background_log_theta[None]),
            logit,
        )

    def loss(self, counts: Tensor, decoded: ForegroundBackground) -> Tensor:
        """Negative log likelihood of the capped counts, (cells,), in nats."""
        return -decoded.log_prob(self.capped(counts)).sum(1)

    def draw(self, state: Tensor, uniform: Uniform, codes: Codes = None) -> Tensor:
        """Counts (cells, proteins), float32, with the map of the calibration."""
        decoded = self.decode(state, codes)
        numbers = uniform(self.n_features)
        return self.quantile_map(
            decoded.quantile(numbers), numbers, decoded, self.log_library(state)
        )

    # -- calibration -----------------------------------------------------------------------------

    def clear_calibration(self) -> None:
        """Draw counts as the decoder has them."""
        self.quantile_map.clear()

    def calibrate(self, state: Tensor, counts: sp.csr_matrix, codes: Codes = None) -> None:
        """Fit the map to training cells; arguments are those of ``decoded_cells``."""
        self.clear_calibration()
        fit_protein_map(self.quantile_map, self.decoded_cells(state, counts, codes))
