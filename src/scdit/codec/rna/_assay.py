"""RNA: counts of molecules or of reads, with a library size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scdit.codec._count_assay import CountAssay
from scdit.codec._encoder import CountEncoder, hidden_layer
from scdit.codec._protocol import Codes, SparseCounts, Uniform
from scdit.codec._weight_prior import WeightPrior
from scdit.codec.calibration import (
    CountShape,
    QuantileMap,
    Regions,
    fit_quantile_map,
    fit_regions,
    fit_shape,
)
from scdit.codec.likelihood import (
    Dispersion,
    ExtraZeros,
    NegativeBinomial,
    ZeroInflatedNegativeBinomial,
    cell_negative_log_likelihood,
)
from scdit.codec.rna._start import statistics
from scdit.nn import ConditionTerms

# precisions of the Gaussian priors, in cells: genes with few counts keep small weights
_PRIOR_LINEAR, _PRIOR_NONLINEAR, _PRIOR_EFFECTS = 100.0, 30.0, 100.0


class RNA(CountAssay):
    """Encoder and negative-binomial decoder of RNA counts, conditioned on the library size.

    Encoder, see ``CountEncoder``, and decoder add a linear and a nonlinear part, so that weak
    programmes are there from the first step. Conditions of a cell are known to the decoder as *effects*
    on the log proportion of each gene: few genes that set a label apart are worth no latent dimension.
    The depth is the normal score of the library size, see ``LibraryScores``.

    Counts above a gene's cap are treated as the cap, in the library size as well: without caps, a few
    freak cells decide the gene's dispersion, the principal components and when training overfits, and
    the counts that are cut off would be spread over all other genes.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_categories
        Number of categories of each condition that may be known of a cell, by name, see
        :class:`scdit.nn.ConditionTerms`; none by default.
    n_latent
        Dimensions of the latent space.
    n_hidden
        Width of the hidden layers.
    dropout_rate
        Dropout in the hidden layers.
    dispersion
        ``"gene-cell"``: per gene and cell, ``"gene"``: per gene; see ``Dispersion``.
    gene_likelihood
        ``"nb"``: negative binomial, ``"zinb"``: with extra zeros, see ``ExtraZeros``.

    Raises
    ------
    ValueError
        If `dispersion` or `gene_likelihood` is unknown or a size is not positive.

    Examples
    --------
    >>> counts = numpy.random.default_rng(0).poisson(0.5, (500, 100))
    >>> rna = scdit.codec.RNA(n_genes=100, n_latent=10)
    >>> rna.start(counts)
    >>> rna.decode(torch.randn(32, 11)).mean().shape
    """

    def __init__(
        self,
        n_genes: int,
        n_categories: Mapping[str, int] | None = None,
        *,
        n_latent: int = 32,
        n_hidden: int = 256,
        dropout_rate: float = 0.0,
        dispersion: Literal["gene-cell", "gene"] = "gene-cell",
        gene_likelihood: Literal["nb", "zinb"] = "nb",
    ):
        if gene_likelihood not in ("nb", "zinb"):
            raise ValueError(f"unknown gene_likelihood {gene_likelihood!r}: choose 'nb' or 'zinb'")
        if min(n_latent, n_hidden) < 1:
            raise ValueError("n_latent and n_hidden must be positive")
        super().__init__(n_genes, CountEncoder(n_genes, n_latent, n_hidden, dropout_rate))
        self.decoder_hidden = hidden_layer(n_latent, n_hidden, dropout_rate)
        self.decoder_linear = nn.Linear(n_latent, n_genes, bias=False)
        self.decoder_nonlinear = nn.Linear(n_hidden, n_genes)
        self.dispersion = Dispersion(n_genes, n_latent + n_hidden, dispersion)
        zero_inflated = gene_likelihood == "zinb"
        self.extra_zeros = ExtraZeros(n_genes, n_latent + 1) if zero_inflated else None
        self.effects = ConditionTerms(n_categories or {}, n_genes)
        self.regions = Regions(n_latent, n_genes)
        self.shape = CountShape(n_genes)
        self.quantile_map = QuantileMap(n_genes)

    def extra_repr(self) -> str:
        """Likelihood."""
        zeros = "" if self.extra_zeros is None else ", zero-inflated"
        return f"{self.dispersion.per} dispersion{zeros}"

    @torch.no_grad()
    def start(self, counts: SparseCounts) -> None:
        """Set the buffers from training cells (cells, genes), and start the weights from them."""
        start = statistics(counts, self.encoder.n_pcs, zero_inflated=self.extra_zeros is not None)
        self.cap.copy_(start["cap"])
        self.library_scores.fit(start["library_size"])
        self.encoder.initialise(start)
        self.dispersion.initialise(start)
        if self.extra_zeros is not None:
            self.extra_zeros.initialise(start)
        # loadings in units of log1p(c) turned into units of log(c), d log1p(c) = c / (1 + c) dlog(c),
        # and shrunk as the prior on them will do
        c, total = start["log_proportions"].exp() * start["target"], start["total"]
        self.start_loadings((1 + c) / (c + 0.3) * total / (total + _PRIOR_LINEAR))
        nn.init.zeros_(self.decoder_nonlinear.weight)
        self.decoder_nonlinear.bias.copy_(start["log_proportions"])

    def vectors(self) -> list[nn.Parameter]:
        """Parameters that are no weights of a layer, which learn faster."""
        zeros = [] if self.extra_zeros is None else self.extra_zeros.vectors()
        return [*self.dispersion.vectors(), *zeros]

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the decoder's weights."""
        yield WeightPrior(self.decoder_linear.weight, _PRIOR_LINEAR)
        yield WeightPrior(self.decoder_nonlinear.weight, _PRIOR_NONLINEAR)
        yield from (WeightPrior(term, _PRIOR_EFFECTS) for term in self.effects.terms)
        yield from self.dispersion.priors()
        if self.extra_zeros is not None:
            yield from self.extra_zeros.priors()

    # -- counts given a state --------------------------------------------------------------------

    def decode(self, state: Tensor, codes: Codes = None) -> NegativeBinomial:
        """Distribution of the counts (cells, genes) given states (cells, n_latent + 1) and conditions."""
        latent = state[:, : self.n_latent]
        hidden = self.decoder_hidden(latent)
        nonlinear = self.decoder_nonlinear(hidden)
        logits = torch.addmm(nonlinear, latent, self.decoder_linear.weight.T)
        if self.effects.terms:
            logits = logits + self.effects.total(codes, len(latent))
        log_proportions = F.log_softmax(logits, dim=1)
        log_theta = self.dispersion(log_proportions, torch.cat([latent, hidden], 1))
        logit = None if self.extra_zeros is None else self.extra_zeros(log_proportions, state)
        log_proportions, log_theta, logit = self.regions(latent, log_proportions, log_theta, logit)
        log_theta = log_theta.clamp(-5, 8)
        log_mean = log_proportions + self.log_library(state)
        if logit is None:
            return NegativeBinomial(log_mean, log_theta)
        # log (1 - pi) = -softplus: the mean of all counts stays what it is
        return ZeroInflatedNegativeBinomial(log_mean + F.softplus(logit), log_theta, logit)

    def loss(self, counts: Tensor, decoded: NegativeBinomial) -> Tensor:
        """Negative log likelihood of the capped counts, (cells,), in nats."""
        logit = decoded.logit if isinstance(decoded, ZeroInflatedNegativeBinomial) else None
        counts = self.capped(counts)
        return cell_negative_log_likelihood(decoded.log_mean, decoded.log_theta, counts, logit)

    def draw(
        self,
        state: Tensor,
        uniform: Uniform,
        codes: Codes = None,
        effects: Tensor | None = None,
    ) -> Tensor:
        """Counts (cells, genes), float32, with the shapes and the map of the calibration.

        Parameters
        ----------
        state, uniform, codes
            See :class:`scdit.codec._protocol.Assay`.
        effects
            Natural logarithms of what the rates are multiplied by, (cells, genes); they are then
            divided by one number for each cell, so that its total stays.
        """
        decoded = changed = self.decode(state, codes)
        if effects is not None:
            effects = effects - log_total_change(decoded.mean(), effects)
            changed = decoded.scaled(effects)
        shaped = self.shape(uniform(self.n_features))
        counts = changed.quantile(shaped)
        return self.quantile_map(counts, shaped, decoded, self.log_library(state), effects)

    # -- calibration -----------------------------------------------------------------------------

    def clear_calibration(self) -> None:
        """Draw counts as the decoder has them."""
        self.regions.clear()
        self.shape.clear()
        self.quantile_map.clear()

    def calibrate(self, state: Tensor, counts: sp.csr_matrix, codes: Codes = None) -> None:
        """Fit regions, shapes and the map, in this order, to training cells.

        Arguments are those of ``decoded_cells``.
        """
        self.clear_calibration()
        cells = self.decoded_cells(state, counts, codes)
        groups = fit_regions(self.regions, cells)
        fit_shape(self.shape, cells, groups)
        fit_quantile_map(self.quantile_map, self.shape, cells)


def log_total_change(rates: Tensor, effects: Tensor) -> Tensor:
    """Logarithm of the factor by which the total of rates (cells, genes) changes with effects, (cells, 1).

    Parameters
    ----------
    rates
        Expected counts, or proportions.
    effects
        Natural logarithms of what they are multiplied by, (cells, genes).
    """
    return ((rates * effects.exp()).sum(1, keepdim=True) / rates.sum(1, keepdim=True)).log()
