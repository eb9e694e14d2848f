"""The expression codec of scRDiT: log-normalised expression, zeros set apart from the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from scdit.codec._components import TARGET_SUM
from scdit.codec._expression_start import StateMoments, gene_order_of, library_moments, moments
from scdit.codec._protocol import Codes, Counts, Phase, Present, SparseCounts, Uniform

GENE_ORDERS = ("correlation", "given", "random")
SCALINGS = ("gene", "global", "none")


class ExpressionCodec(nn.Module):
    r"""A fixed pair of maps between counts and log-normalised expression.

    A gene with :math:`k > 0` of a cell's :math:`L` counts has the value
    :math:`\log(1 + 10^4 k / L)`, and one without counts has `zero_value`, a state of its own
    (Dong et al. 2024, arXiv 2404.06153). Back, values below zero are zeros and the others are
    rounded to whole counts of a cell of a given library size, at least one.

    The *state* (cells, n_genes) has the genes in an order that :meth:`start` sets. The library
    size is no part of it but a condition of the denoiser: it decides which values whole counts
    have.

    Parameters
    ----------
    n_genes
        Number of genes.
    zero_value
        Value of a gene without counts, at most 0.
    gene_order
        Of the state, which is cut into patches: ``"correlation"`` (genes that vary together
        stand together), ``"given"`` or ``"random"``.
    scaling
        Of the state before the diffusion: all genes by one number (``"global"``), each to unit
        variance (``"gene"``), or as it is (``"none"``).
    zero_inflated
        Whether the denoiser has a :class:`scdit.nn.ZeroInflatedHead`.

    Raises
    ------
    ValueError
        If `zero_value` is above 0 or not finite, or another argument is unknown.

    Examples
    --------
    >>> counts = torch.poisson(torch.full((500, 100), 0.5))
    >>> codec = scdit.codec.ExpressionCodec(n_genes=100)
    >>> codec.start({"rna": counts.numpy()})
    >>> state, _ = codec.encode({"rna": counts})  # (500, 100)
    """

    order: Tensor
    log_library: Tensor
    phases = {"denoiser": Phase(64, 2e-3, ((100, 10_000),), min_steps=500, early_stopping=True)}
    sampler = "ab2"  # follows zeros better than more memory does
    conditions_on_library = True

    def __init__(
        self,
        n_genes: int,
        *,
        zero_value: float = -1.0,
        gene_order: Literal["correlation", "given", "random"] = "correlation",
        scaling: Literal["gene", "global", "none"] = "global",
        zero_inflated: bool = True,
    ):
        super().__init__()
        if not -torch.inf < zero_value <= 0:
            raise ValueError(f"zero_value must be finite and at most 0, got {zero_value}")
        for name, value, known in (
            ("gene_order", gene_order, GENE_ORDERS),
            ("scaling", scaling, SCALINGS),
        ):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(known)}")
        self.n_genes, self.zero_value = n_genes, zero_value
        self.gene_order, self.scaling = gene_order, scaling
        self.zero_inflated = zero_inflated
        self.register_buffer("order", torch.arange(n_genes))  # gene of each dimension of the state
        # of the training cells: mean, standard deviation, minimum, maximum
        self.register_buffer("log_library", torch.tensor([0.0, 1.0, -torch.inf, torch.inf]))

    @property
    def n_state(self) -> int:
        """Dimensions of the state."""
        return self.n_genes

    def extra_repr(self) -> str:
        """What the states are, and the value of zeros."""
        return f"log-normalised expression, zeros at {self.zero_value:g}"

    @torch.no_grad()
    def start(self, counts: Mapping[str, SparseCounts], present: Present = None) -> None:
        """Take the order of genes and the library sizes from training cells (cells, genes)."""
        self.order.copy_(torch.as_tensor(gene_order_of(counts["rna"], self.gene_order)))
        self.log_library.copy_(torch.tensor(library_moments(counts["rna"])))

    def state_moments(self, states: Iterable[Tensor]) -> StateMoments:
        """Moments of the states of training cells, which come in parts (cells, n_state)."""
        return moments(states, self.n_state, self.zero_value)

    # -- counts -> state -------------------------------------------------------------------------

    def encode(
        self, counts: Counts, codes: Codes = None, present: Present = None
    ) -> tuple[Tensor, Tensor]:
        """State of cells, exact: mean and standard deviation (zero), each (cells, n_genes).

        Conditions (`codes`) say nothing beside the counts, which all cells have (`present`).
        """
        ordered = counts["rna"][:, self.order]
        scale = TARGET_SUM / ordered.sum(1, keepdim=True).clamp_min(1)
        state = torch.where(ordered > 0, torch.log1p(ordered * scale), self.zero_value)
        return state, torch.zeros_like(state)

    def library_code(self, library_size: Tensor) -> Tensor:
        """What the denoiser is told of library sizes (cells,): within the range of training."""
        mean, sd, low, high = self.log_library
        return (library_size.log().to(mean).clamp(low, high) - mean) / sd

    def normalisation(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and scale of the diffusion's space, given moments of the state (n_state,)."""
        if self.scaling == "none":
            return torch.zeros_like(mean), torch.ones_like(mean)
        if self.scaling == "global":
            total = variance.mean() + mean.var(correction=0)
            return mean.mean().expand_as(mean), total.sqrt().expand_as(mean)
        return mean, variance.sqrt()

    # -- state -> counts -------------------------------------------------------------------------

    def with_library_size(self, state: Tensor, library_size: Mapping[str, Tensor]) -> Tensor:
        """States with library sizes (cells,) as one more column, (cells, n_genes + 1)."""
        return torch.cat([state, library_size["rna"].log()[:, None]], dim=1)

    def draw(self, state: Tensor, uniform: Uniform, codes: Codes = None) -> dict[str, Tensor]:
        """Counts (cells, genes) of states with library sizes; nothing is left to chance here.

        Conditions (`codes`) say nothing beside the state.
        """
        values, log_library = self._values(state), state[:, -1:]
        counts = torch.expm1(values) * (log_library.exp() / TARGET_SUM)
        return {"rna": torch.where(values > 0, counts.round().clamp_min(1), 0.0)}

    def layers(self, state: Tensor) -> dict[str, Tensor]:
        """The continuous expression itself, (cells, genes), by the name of its layer."""
        return {"log_normalized": self._values(state)}

    def _values(self, state: Tensor) -> Tensor:
        values = torch.empty_like(state[:, : self.n_genes])
        values[:, self.order] = state[:, : self.n_genes].clamp_min(0)
        return values
