"""What the assays of counts have in common: an encoder, a depth, and how their weights learn."""

from __future__ import annotations

from typing import Any

import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scdit.codec._alignment import Alignment
from scdit.codec._encoder import CountEncoder
from scdit.codec._library import LibraryScores
from scdit.codec._protocol import Codes
from scdit.codec.calibration import DecodedCells


class CountAssay(nn.Module):
    """Counts that a ``CountEncoder`` reads, with the score of their total as the depth.

    Counts above a feature's cap are treated as the cap, in the total as well.

    Parameters
    ----------
    n_features
        Number of features.
    encoder
        What counts tell of the latent vector.
    """

    cap: Tensor
    gain: Tensor
    decoder_linear: nn.Linear  # of whoever has these methods: latent vector -> features

    def __init__(self, n_features: int, encoder: CountEncoder):
        super().__init__()
        self.n_features, self.n_latent = n_features, encoder.n_latent
        self.register_buffer("cap", torch.full((n_features,), torch.inf))
        # of the start: log means per unit of the encoder's logarithms, (features, 1)
        self.register_buffer("gain", torch.ones(n_features, 1), persistent=False)
        self.encoder = encoder
        self.library_scores = LibraryScores()

    def vectors(self) -> list[nn.Parameter]:
        """Parameters that are no weights of a layer, which learn faster."""
        raise NotImplementedError

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameters with their own learning rates.

        The decoder learns at twice the encoder's rate, and numbers of single features, as their
        dispersion, at twenty times it. The large Adam eps of what belongs to features leaves those with
        few counts, whose gradients are small, where they are, instead of letting them walk at random.
        """
        encoder, vectors = list(self.encoder.parameters()), self.vectors()
        taken = {id(p) for p in [*encoder, *vectors]}
        decoder = [p for p in self.parameters() if id(p) not in taken]
        return [
            {"params": encoder, "lr": lr},
            {"params": decoder, "lr": 2 * lr, "eps": 1e-2},
            {"params": vectors, "lr": 20 * lr, "eps": 1e-2, "weight_decay": 0.0},
        ]

    @torch.no_grad()
    def start_loadings(self, gain: Tensor) -> None:
        """Start the linear decoder from principal components, given log means per unit of these."""
        self.gain.copy_(gain[:, None])
        self._set_loadings(torch.eye(self.encoder.n_pcs, self.n_latent))

    def component_deviations(self) -> Tensor:
        """Standard deviations of the components in units of log counts, (n_pcs,), in descending order."""
        return self.encoder.pc_sd

    @torch.no_grad()
    def align(self, alignment: Alignment) -> None:
        """Start from the latent dimensions that all assays share, after :meth:`start`."""
        self.encoder.align(alignment)
        self._set_loadings(alignment.covariance)

    def _set_loadings(self, covariance: Tensor) -> None:
        loadings = self.encoder.pc_loadings * self.encoder.pc_sd
        self.decoder_linear.weight.copy_((loadings @ covariance.to(loadings)) * self.gain)

    # -- what counts tell ------------------------------------------------------------------------

    def capped(self, counts: Tensor) -> Tensor:
        """Counts (cells, features), none above the cap of its feature."""
        return counts.minimum(self.cap)

    def see(self, counts: Tensor) -> Tensor:
        """Capped counts (cells, features), some hidden in training, see :meth:`CountEncoder.hide`."""
        return self.encoder.hide(self.capped(counts))

    def depth(self, counts: Tensor) -> Tensor:
        """Score (cells, 1) of the total of counts (cells, features), see ``LibraryScores``."""
        library = self.capped(counts).sum(1, keepdim=True)
        return self.library_scores(library.clamp_min(1).log())

    def components(self, counts: Tensor) -> Tensor:
        """Scores (cells, n_pcs) of principal components of counts (cells, features)."""
        return self.encoder.components(counts)

    def evidence(self, components: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (cells, n_latent), see ``CountEncoder``."""
        return self.encoder(components, depth)

    def depth_of_size(self, library_size: Tensor) -> Tensor:
        """Scores (cells, 1) of totals (cells,)."""
        return self.library_scores(library_size.log()[:, None])

    def log_library(self, state: Tensor) -> Tensor:
        """Logarithm of the total (cells, 1) that states (cells, n_latent + 1) have."""
        return self.library_scores.inverse(state[:, self.n_latent :])

    # -- calibration -----------------------------------------------------------------------------

    def decode(self, state: Tensor, codes: Codes = None) -> Any:
        """Distribution of the counts (cells, features) given states and conditions."""
        raise NotImplementedError

    def decoded_cells(
        self, state: Tensor, counts: sp.csr_matrix, codes: Codes = None
    ) -> DecodedCells:
        """What calibrations are fitted to.

        Parameters
        ----------
        state
            A state of each cell, (cells, n_latent + 1), on the processor.
        counts
            Counts of the same cells, (cells, features).
        codes
            Conditions of the same cells, (cells,) by name; None where none is known.
        """
        device = self.cap.device

        def decode(rows: NDArray) -> Any:
            at = torch.as_tensor(rows)
            own = None if codes is None else {k: code[at].to(device) for k, code in codes.items()}
            return self.decode(state[at].to(device), own)

        latent, log_library = state[:, : self.n_latent], self.log_library(state.to(device)).cpu()
        cap, reads = (x.cpu().numpy() for x in (self.cap, self.encoder.reads_per_molecule))
        return DecodedCells(latent, log_library, counts, cap, reads, decode)
