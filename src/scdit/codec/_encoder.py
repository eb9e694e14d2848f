"""What the counts of a cell tell of its latent variables."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scdit.codec._alignment import Alignment

_MIN_PCS = 50
_LOG_SD, _MAX_LOG_SD = -1.0, 2.0  # of the evidence: at the start, and the largest
FAR_DEPTH = 8.0  # score of a library size beyond which nothing follows it


class CountEncoder(nn.Module):
    """Principal components of counts and the library size -> a Gaussian over the latent variables.

    The components are of counts that are scaled to the median library size and log-transformed.
    They have a linear skip besides a hidden layer, which begins as their first `n_latent`.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_latent
        Dimensions of the latent space.
    n_hidden
        Width of the hidden layer.
    dropout_rate
        Dropout in the hidden layer.

    Notes
    -----
    Call :meth:`initialise` before training: principal components are fixed buffers.
    """

    pc_mean: Tensor
    pc_loadings: Tensor
    pc_sd: Tensor
    target: Tensor
    thinning: Tensor
    reads_per_molecule: Tensor

    def __init__(self, n_genes: int, n_latent: int, n_hidden: int, dropout_rate: float = 0.0):
        super().__init__()
        self.n_pcs = min(max(_MIN_PCS, 2 * n_latent), n_genes)
        self.n_latent = n_latent
        self.register_buffer("pc_mean", torch.zeros(n_genes))
        self.register_buffer("pc_loadings", torch.zeros(n_genes, self.n_pcs))
        self.register_buffer("pc_sd", torch.ones(self.n_pcs))
        # counts per cell to which the input is scaled before the logarithm
        self.register_buffer("target", torch.ones(()))
        # the largest share of a cell's counts that is hidden in training
        self.register_buffer("thinning", torch.zeros(()))
        self.register_buffer("reads_per_molecule", torch.ones(n_genes))
        self.skip = nn.Linear(self.n_pcs + 1, self.n_latent)
        self.hidden = hidden_layer(self.n_pcs + 1, n_hidden, dropout_rate)
        self.head = nn.Linear(n_hidden, 2 * self.n_latent)

    @torch.no_grad()
    def initialise(self, start: Mapping[str, Tensor]) -> None:
        """Set the buffers, which `start` has by name, and start the weights from them."""
        for name, buffer in self.named_buffers():
            buffer.copy_(start[name])
        nn.init.zeros_(self.skip.bias)
        self.skip.weight.zero_()
        self.skip.weight[:, : self.n_pcs] = torch.eye(self.n_latent, self.n_pcs)
        self.head.weight.mul_(0.1)
        self.head.bias.zero_()
        self.head.bias[self.n_latent :] = _LOG_SD

    @torch.no_grad()
    def align(self, alignment: Alignment) -> None:
        """Start from latent dimensions that other assays share, after :meth:`initialise`.

        The evidence becomes the Gaussian that gives the regression of the dimensions on the components
        as a posterior, when it is multiplied with N(0, 1): with a share r of the variance that is not
        explained, its variance is r / (1 - r).
        """
        explained = 1 - alignment.unexplained
        self.skip.weight[:, : self.n_pcs] = (alignment.weights / explained).T
        log_sd = 0.5 * (alignment.unexplained / explained).log()
        self.head.bias[self.n_latent :] = log_sd.clamp(_LOG_SD, _MAX_LOG_SD)

    def hide(self, counts: Tensor) -> Tensor:
        """Counts (cells, genes) of which, in training, a random share of each cell is hidden.

        The share is uniform up to `thinning`. Molecules are hidden, with all their reads.
        """
        if not (self.training and self.thinning > 0):
            return counts
        share = 1 - self.thinning * torch.rand(len(counts), device=counts.device)
        rows, columns = torch.nonzero(counts, as_tuple=True)
        thinned, seen = torch.zeros_like(counts), counts[rows, columns]
        molecules = (seen / self.reads_per_molecule[columns]).round().clamp_min(1)
        kept = torch.binomial(molecules, share[rows])
        thinned[rows, columns] = (seen * kept / molecules).round()
        return thinned

    def components(self, counts: Tensor) -> Tensor:
        """Scores (cells, n_pcs) of the components, of about unit variance, of counts (cells, genes)."""
        library = counts.sum(1, keepdim=True).clamp_min(1)
        # (cells, genes) @ (genes, n_pcs), scaled to unit variance
        normalised = (counts * (self.target / library)).log1p_()
        return (normalised - self.pc_mean) @ self.pc_loadings / self.pc_sd

    def forward(self, scores: Tensor, library_score: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, each (cells, n_latent), before any prior.

        Parameters
        ----------
        scores
            Of the components, (cells, n_pcs).
        library_score
            Scores (cells, 1) that ``LibraryScores`` has of the library sizes.
        """
        inputs = torch.cat([scores, library_score.clamp(-FAR_DEPTH, FAR_DEPTH)], dim=1)
        shift, log_sd = self.head(self.hidden(inputs)).chunk(2, dim=1)
        return self.skip(inputs) + shift, log_sd.clamp(-8, _MAX_LOG_SD).exp()


def hidden_layer(n_in: int, n_hidden: int, dropout_rate: float) -> nn.Sequential:
    """One hidden layer of an encoder or decoder."""
    return nn.Sequential(
        nn.Linear(n_in, n_hidden),
        nn.LayerNorm(n_hidden),
        nn.SiLU(),
        nn.Dropout(dropout_rate),
    )
