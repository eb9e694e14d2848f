"""The latent codec: counts <-> a small state, by a variational autoencoder of counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scdit.nn._counts import NegativeBinomial, ZeroInflatedNegativeBinomial
from scdit.nn._dispersion import Dispersion
from scdit.nn._encoder import CountEncoder, hidden_layer
from scdit.nn._extra_zeros import ExtraZeros
from scdit.nn._library import LibraryScores
from scdit.nn._likelihood import cell_negative_log_likelihood
from scdit.nn._marginal_map import MarginalMap
from scdit.nn._prior import ConditionPrior
from scdit.nn._regions import Regions
from scdit.nn._shape import CountShape
from scdit.nn._terms import ConditionTerms
from scdit.nn._weight_prior import WeightPrior

# precisions of the Gaussian priors, in cells: genes with few counts keep small weights
_PRIOR_LINEAR, _PRIOR_NONLINEAR, _PRIOR_EFFECTS = 100.0, 30.0, 100.0
# towards the posterior's mode: part of a Newton step, and the largest move in standard deviations
_STEP, _MAX_STEP = 0.5, 1.0


class LatentCodec(nn.Module):
    """Variational autoencoder with a negative-binomial decoder, conditioned on library size.

    Encoder, see :class:`CountEncoder`, and decoder add a linear and a nonlinear part, so that weak
    programmes are there from the first step. Conditions of a cell are known to the prior of the
    latent vector and, as *effects* on the log proportion of each gene, to the decoder: few genes that
    set a label apart are worth no latent dimension. The *state* (cells, n_latent + 1) is the latent
    vector and, last, the normal score of the library size, see :class:`LibraryScores`: a diffusion
    over states generates both jointly.

    Counts above a gene's cap are treated as the cap, in the library size as well: without it, a few
    freak cells decide the gene's dispersion, the principal components and when training overfits, and
    the counts that are cut off would be spread over all other genes.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_categories
        Number of categories of each condition that may be known of a cell, by name, see
        :class:`ConditionTerms`; none by default.
    n_latent
        Dimensions of the latent space; at most the number of principal components.
    n_hidden
        Width of the hidden layers.
    dropout_rate
        Dropout in the hidden layers.
    dispersion
        ``"gene-cell"``: per gene and cell, ``"gene"``: per gene; see :class:`Dispersion`.
    gene_likelihood
        ``"nb"``: negative binomial, ``"zinb"``: with extra zeros, see :class:`ExtraZeros`.

    Raises
    ------
    ValueError
        If `dispersion` or `gene_likelihood` is unknown or a size is not positive.

    Notes
    -----
    Call :meth:`initialise` before training: caps and principal components are fixed buffers.
    """

    cap: Tensor
    conditions_on_library = False  # the library size is a part of the state
    zero_inflated = False

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
        super().__init__()
        if gene_likelihood not in ("nb", "zinb"):
            raise ValueError(f"unknown gene_likelihood {gene_likelihood!r}: choose 'nb' or 'zinb'")
        if min(n_latent, n_hidden) < 1:
            raise ValueError("n_latent and n_hidden must be positive")
        self.n_genes = n_genes
        self.register_buffer("cap", torch.full((n_genes,), torch.inf))
        self.encoder = CountEncoder(n_genes, n_latent, n_hidden, dropout_rate)
        self.n_latent = self.encoder.n_latent
        self.decoder_hidden = hidden_layer(self.n_latent, n_hidden, dropout_rate)
        self.decoder_linear = nn.Linear(self.n_latent, n_genes, bias=False)
        self.decoder_nonlinear = nn.Linear(n_hidden, n_genes)
        self.dispersion = Dispersion(n_genes, self.n_latent + n_hidden, dispersion)
        self.extra_zeros = ExtraZeros(n_genes, self.n_state) if gene_likelihood == "zinb" else None
        self.prior = ConditionPrior(n_categories or {}, self.n_latent)
        self.effects = ConditionTerms(n_categories or {}, n_genes)
        self.regions = Regions(self.n_latent, n_genes)
        self.shape = CountShape(n_genes)
        self.marginal_map = MarginalMap(n_genes)
        self.library_scores = LibraryScores()

    @property
    def n_state(self) -> int:
        """Dimensions of the state."""
        return self.n_latent + 1

    def extra_repr(self) -> str:
        zeros = "" if self.extra_zeros is None else ", zero-inflated"
        return f"{self.n_latent} latent dimensions, {self.dispersion.per} dispersion{zeros}"

    @torch.no_grad()
    def initialise(self, start: Mapping[str, Tensor]) -> None:
        """Set the buffers from training cells, and start the weights from them.

        Parameters
        ----------
        start
            ``cap`` and ``total`` (counts in all cells), each (genes,), ``library_size`` (cells,),
            and what encoder, dispersion and extra zeros start from, by name.
        """
        self.cap.copy_(start["cap"])
        self.library_scores.fit(start["library_size"])
        self.encoder.initialise(start)
        self.dispersion.initialise(start)
        if self.extra_zeros is not None:
            self.extra_zeros.initialise(start)
        # loadings in units of log1p(c) turned into units of log(c), d log1p(c) = c / (1 + c) dlog(c),
        # and shrunk as the prior on them will do
        c, total = start["log_proportions"].exp() * start["target"], start["total"]
        gain = (1 + c) / (c + 0.3) * total / (total + _PRIOR_LINEAR)
        loadings = (start["pc_loadings"] * start["pc_sd"])[:, : self.n_latent]
        self.decoder_linear.weight.copy_(loadings * gain[:, None])
        nn.init.zeros_(self.decoder_nonlinear.weight)
        self.decoder_nonlinear.bias.copy_(start["log_proportions"])

    def parameter_groups(self, lr: float) -> list[dict[str, object]]:
        """Parameters with their own learning rates.

        The decoder learns at twice the encoder's rate, the prior at ten times, and numbers of single
        genes, as their dispersion, at twenty times it. The large Adam eps of what belongs to genes
        leaves those with few counts, whose gradients are small, where they are, instead of letting
        them walk at random.
        """
        encoder, prior = list(self.encoder.parameters()), list(self.prior.parameters())
        vectors = self.dispersion.vectors()
        if self.extra_zeros is not None:
            vectors = [*vectors, *self.extra_zeros.vectors()]
        taken = {id(p) for p in [*encoder, *prior, *vectors]}
        decoder = [p for p in self.parameters() if id(p) not in taken]
        return [
            {"params": encoder, "lr": lr},
            {"params": decoder, "lr": 2 * lr, "eps": 1e-2},
            {"params": vectors, "lr": 20 * lr, "eps": 1e-2, "weight_decay": 0.0},
            {"params": prior, "lr": 10 * lr, "weight_decay": 0.0},
        ]

    # -- counts -> state -------------------------------------------------------------------------

    def encode(
        self, counts: Tensor, codes: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the state given `counts` (cells, genes) and conditions.

        The network says what the counts alone tell of the latent variables, a Gaussian; its product
        with the prior given `codes`, see :class:`ConditionPrior`, is the posterior. Its mean, which
        a network finds to about one standard deviation, then moves half a Newton step up the true
        posterior, as in iterative amortised inference (Marino et al. 2018).

        In training a random share of each cell's counts may be hidden: a state then has to explain
        more than the counts it was made from. The library size is never hidden.
        """
        counts = counts.minimum(self.cap)
        seen = self.encoder.hide(counts)
        library = seen.sum(1, keepdim=True).clamp_min(1)
        library_score = self.library_scores(library.log())
        mean, sd = self.encoder(seen, library, library_score)
        prior_mean, prior_sd = self.prior(codes, len(counts))
        weight = prior_sd**2 / (prior_sd**2 + sd**2)  # of what the counts tell
        mean, sd = prior_mean + weight * (mean - prior_mean), weight.sqrt() * sd
        slope = self._likelihood_slope(mean, library_score, seen, codes)
        with torch.no_grad():  # a constant to the optimiser
            pull = slope - (mean - prior_mean) / prior_sd**2
            step = sd * (_STEP * sd * pull).clamp(-_MAX_STEP, _MAX_STEP)
        mean = mean + step
        depth = self.library_scores(counts.sum(1, keepdim=True).clamp_min(1).log())
        return torch.cat([mean, depth], dim=1), torch.cat([sd, torch.zeros_like(depth)], dim=1)

    def _likelihood_slope(
        self,
        latent: Tensor,
        library_score: Tensor,
        counts: Tensor,
        codes: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """Gradient of the log likelihood in the latent variables, (cells, n_latent)."""
        # whatever mode the caller is in; what was made in inference mode has to be copied
        with torch.inference_mode(False), torch.enable_grad():
            latent = latent.detach().clone().requires_grad_()
            state = torch.cat([latent, library_score.clone()], dim=1)
            known = None if codes is None else {name: c.clone() for name, c in codes.items()}
            loss = self.reconstruction_loss(counts.clone(), self.decode(state, known)).sum()
            return -torch.autograd.grad(loss, latent)[0]

    def normalisation(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and scale of the diffusion's space, given moments of the state (n_state,)."""
        return mean, variance.sqrt()

    # -- state -> counts -------------------------------------------------------------------------

    def decode(self, state: Tensor, codes: Mapping[str, Tensor] | None = None) -> NegativeBinomial:
        """Distribution of the counts (cells, genes) given states (cells, n_state) and conditions."""
        latent = state[:, : self.n_latent]
        log_library = self.library_scores.inverse(state[:, self.n_latent :])
        hidden = self.decoder_hidden(latent)
        nonlinear = self.decoder_nonlinear(hidden)
        logits = torch.addmm(nonlinear, latent, self.decoder_linear.weight.T)
        if self.effects.terms:
            logits = logits + self.effects.total(codes, len(state))
        log_proportions = F.log_softmax(logits, dim=1)
        log_theta = self.dispersion(log_proportions, torch.cat([latent, hidden], 1))
        logit = None if self.extra_zeros is None else self.extra_zeros(log_proportions, state)
        log_proportions, log_theta, logit = self.regions(latent, log_proportions, log_theta, logit)
        log_theta = log_theta.clamp(-5, 8)
        log_mean = log_proportions + log_library
        if logit is None:
            return NegativeBinomial(log_mean, log_theta)
        # log (1 - pi) = -softplus: the mean of all counts stays what it is
        return ZeroInflatedNegativeBinomial(log_mean + F.softplus(logit), log_theta, logit)

    def with_library_size(self, state: Tensor, library_size: Tensor) -> Tensor:
        """States (cells, n_state) with given library sizes (cells,) in place of their own."""
        depth = self.library_scores(library_size.log()[:, None])
        return torch.cat([state[:, : self.n_latent], depth], dim=1)

    def draw(
        self,
        state: Tensor,
        uniform: Callable[[], Tensor],
        codes: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Counts (cells, genes) for states; `uniform` gives numbers in [0, 1), (cells, genes)."""
        decoded, shaped = self.decode(state, codes), self.shape(uniform())
        log_library = self.library_scores.inverse(state[:, self.n_latent :])
        return self.marginal_map(decoded.quantile(shaped), shaped, decoded, log_library)

    def layers(self, state: Tensor) -> dict[str, Tensor]:
        """Layers beside the counts: none."""
        return {}

    # -- what is minimised -----------------------------------------------------------------------

    def reconstruction_loss(self, counts: Tensor, decoded: NegativeBinomial) -> Tensor:
        """Negative log likelihood of the capped counts, (cells,), in nats."""
        logit = decoded.logit if isinstance(decoded, ZeroInflatedNegativeBinomial) else None
        counts = counts.minimum(self.cap)
        return cell_negative_log_likelihood(decoded.log_mean, decoded.log_theta, counts, logit)

    def kl(self, mean: Tensor, sd: Tensor, codes: Mapping[str, Tensor] | None = None) -> Tensor:
        """KL divergence of the latent posterior from the prior, (cells,), library size left out."""
        prior_mean, prior_sd = self.prior(codes, len(mean))
        shift = (mean[:, : self.n_latent] - prior_mean) / prior_sd
        ratio = sd[:, : self.n_latent] / prior_sd
        return (0.5 * (shift**2 + ratio**2 - 1) - ratio.log()).sum(1)

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the decoder's weights."""
        yield WeightPrior(self.decoder_linear.weight, _PRIOR_LINEAR)
        yield WeightPrior(self.decoder_nonlinear.weight, _PRIOR_NONLINEAR)
        yield from (WeightPrior(term, _PRIOR_EFFECTS) for term in self.effects.terms)
        yield from self.dispersion.priors()
        if self.extra_zeros is not None:
            yield from self.extra_zeros.priors()
