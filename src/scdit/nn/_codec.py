"""The latent codec: counts <-> a small state, by a variational autoencoder of counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scdit.nn._counts import NegativeBinomial

_TARGET = 1e4  # counts per cell to which the encoder's input is normalised before the logarithm
_MAX_PCS = 50


class LatentCodec(nn.Module):
    """Variational autoencoder with a negative-binomial decoder, conditioned on library size.

    The encoder sees principal components of log-normalised counts and the log library size, with a
    linear skip; the decoder adds a linear and a nonlinear part, so that weak programmes are there
    from the first step. The *state* (cells, n_latent + 1) is the latent vector and, last, the log
    library size: a diffusion over states generates both jointly.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_latent
        Dimensions of the latent space; at most the number of principal components.
    n_hidden
        Width of the hidden layers.
    dropout_rate
        Dropout in the hidden layers.
    dispersion
        ``"gene-cell"``: per gene and cell, ``"gene"``: per gene.

    Raises
    ------
    ValueError
        If `dispersion` is unknown or a size is not positive.

    Notes
    -----
    Call :meth:`initialise` before training: the principal components are fixed buffers.
    """

    def __init__(
        self,
        n_genes: int,
        *,
        n_latent: int = 32,
        n_hidden: int = 128,
        dropout_rate: float = 0.0,
        dispersion: Literal["gene-cell", "gene"] = "gene-cell",
    ):
        super().__init__()
        if dispersion not in ("gene-cell", "gene"):
            raise ValueError(f"unknown dispersion {dispersion!r}: choose 'gene-cell' or 'gene'")
        if min(n_latent, n_hidden) < 1:
            raise ValueError("n_latent and n_hidden must be positive")
        self.n_genes, self.n_pcs = n_genes, min(_MAX_PCS, n_genes)
        self.n_latent = min(n_latent, self.n_pcs)
        self.dispersion = dispersion
        self.register_buffer("pc_mean", torch.zeros(n_genes))
        self.register_buffer("pc_loadings", torch.zeros(n_genes, self.n_pcs))
        self.register_buffer("pc_sd", torch.ones(self.n_pcs))
        self.register_buffer("log_library_moments", torch.tensor([0.0, 1.0]))

        def hidden(n_in: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(n_in, n_hidden), nn.LayerNorm(n_hidden), nn.SiLU(), nn.Dropout(dropout_rate)
            )

        self.encoder_skip = nn.Linear(self.n_pcs + 1, self.n_latent)
        self.encoder = nn.Sequential(
            *hidden(self.n_pcs + 1), nn.Linear(n_hidden, 2 * self.n_latent)
        )
        self.decoder_hidden = hidden(self.n_latent)
        self.decoder_linear = nn.Linear(self.n_latent, n_genes, bias=False)
        self.decoder_nonlinear = nn.Linear(n_hidden, n_genes)
        self.log_theta = nn.Parameter(torch.full((n_genes,), 2.3))
        if dispersion == "gene-cell":
            rank = min(8, n_genes)
            self.theta_in = nn.Linear(self.n_latent + n_hidden, rank)
            self.theta_out = nn.Linear(rank, n_genes, bias=False)
            nn.init.zeros_(self.theta_out.weight)

    @property
    def n_state(self) -> int:
        """Dimensions of the state."""
        return self.n_latent + 1

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.n_latent} latent dimensions, {self.dispersion} dispersion"

    @torch.no_grad()
    def initialise(self, start: Mapping[str, Tensor]) -> None:
        """Set the principal components, and start the weights from them.

        Parameters
        ----------
        start
            ``pc_mean`` (genes,), ``pc_loadings`` (genes, n_pcs), ``pc_sd`` (n_pcs,),
            ``log_library_moments`` (2,), ``log_proportions`` (genes,), ``log_theta`` (genes,),
            ``loading_scale`` (genes,).
        """
        for name in ("pc_mean", "pc_loadings", "pc_sd", "log_library_moments", "log_theta"):
            getattr(self, name).copy_(start[name])
        nn.init.zeros_(self.encoder_skip.bias)
        self.encoder_skip.weight.copy_(torch.eye(self.n_latent, self.n_pcs + 1))
        self.encoder[-1].weight.mul_(0.1)
        self.encoder[-1].bias.zero_()
        self.encoder[-1].bias[self.n_latent :] = -1.0
        first = slice(0, self.n_latent)
        self.decoder_linear.weight.copy_(
            start["pc_loadings"][:, first] * start["pc_sd"][first] * start["loading_scale"][:, None]
        )
        nn.init.zeros_(self.decoder_nonlinear.weight)
        self.decoder_nonlinear.bias.copy_(start["log_proportions"])

    def parameter_groups(self, lr: float) -> list[dict[str, object]]:
        """Parameters with their learning rates: see the notes in ``docs/design_notes.md``.

        The decoder learns at a fifth of the encoder's rate, the dispersion at twenty times it.
        """
        encoder = [*self.encoder.parameters(), *self.encoder_skip.parameters()]
        taken = {id(p) for p in encoder} | {id(self.log_theta)}
        decoder = [p for p in self.parameters() if id(p) not in taken]
        return [
            {"params": encoder, "lr": lr},
            {"params": decoder, "lr": lr / 5},
            {"params": [self.log_theta], "lr": 20 * lr, "weight_decay": 0.0},
        ]

    def encode(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the state given `counts` (cells, genes)."""
        log_library = counts.sum(1, keepdim=True).clamp_min(1).log()
        # (cells, genes) @ (genes, n_pcs), scaled to unit variance
        normalised = torch.log1p(counts * (_TARGET / log_library.exp()))
        scores = (normalised - self.pc_mean) @ self.pc_loadings / self.pc_sd
        centre, spread = self.log_library_moments
        inputs = torch.cat([scores, (log_library - centre) / spread], dim=1)
        shift, log_sd = self.encoder(inputs).chunk(2, dim=1)
        mean = self.encoder_skip(inputs) + shift
        sd = log_sd.clamp(-8, 2).exp()
        return (
            torch.cat([mean, log_library], dim=1),
            torch.cat([sd, torch.zeros_like(log_library)], dim=1),
        )

    def kl(self, mean: Tensor, sd: Tensor) -> Tensor:
        """KL divergence of the latent posterior from N(0, I), (cells,), library size left out."""
        mean, sd = mean[:, : self.n_latent], sd[:, : self.n_latent]
        return (0.5 * (mean**2 + sd**2 - 1) - sd.log()).sum(1)

    def decode(self, state: Tensor) -> NegativeBinomial:
        """Distribution of the counts (cells, genes) given states (cells, n_state)."""
        latent, log_library = state[:, : self.n_latent], state[:, self.n_latent :]
        hidden = self.decoder_hidden(latent)
        logits = self.decoder_linear(latent) + self.decoder_nonlinear(hidden)
        log_mean = F.log_softmax(logits, dim=1) + log_library
        log_theta = self.log_theta
        if self.dispersion == "gene-cell":
            log_theta = log_theta + self.theta_out(self.theta_in(torch.cat([latent, hidden], dim=1)))
        return NegativeBinomial(log_mean, log_theta.clamp(-5, 8))

    def with_library_size(self, state: Tensor, library_size: Tensor) -> Tensor:
        """States (cells, n_state) with given library sizes (cells,) in place of their own."""
        return torch.cat([state[:, : self.n_latent], library_size.log()[:, None]], dim=1)

    def draw(self, state: Tensor, uniform: Tensor) -> Tensor:
        """Counts (cells, genes) for states, from `uniform` numbers in [0, 1), (cells, genes)."""
        return self.decode(state).quantile(uniform)
