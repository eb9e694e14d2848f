"""Where cells lie in the latent space of the codec."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from anndata import AnnData

from scdit.codec import LatentCodec
from scdit.model._counts import align_genes, check_counts, read_counts
from scdit.module import RNA, SCDiTModule


class EmbedMixin:
    """Adds :meth:`get_latent_representation` to the model."""

    adata: AnnData | None
    module: SCDiTModule
    is_trained_: bool
    registry: dict
    get_var_names: Callable[[], Sequence[str]]

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int = 512,
    ) -> np.ndarray:
        """Posterior means of the codec's latent variables.

        Parameters
        ----------
        adata
            Cells to embed, with counts of the training genes in any order; conditions are not
            needed. None for the training data.
        indices
            Positions or mask of the cells to embed; None for all.
        batch_size
            Cells computed at once.

        Returns
        -------
        Array (cells, n_latent), without the library size.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the codec has no latent space, there are no data, training genes are missing, or the
            matrix does not hold counts.
        """
        latent = self._posterior(adata, indices, batch_size)["mean"]
        return latent[:, : self.module.codec.n_latent]

    @torch.inference_mode()
    def _posterior(
        self, adata: AnnData | None, indices: Sequence[int] | None, batch_size: int = 512
    ) -> dict[str, np.ndarray]:
        """``mean`` and ``sd`` (cells, n_state) of the states of cells, see the method above."""
        if not self.is_trained_:
            raise RuntimeError("this model is not trained: call model.train() first")
        if not isinstance(self.module.codec, LatentCodec):
            raise ValueError("only codec='latent' has a latent space")
        if adata is None and self.adata is None:
            raise ValueError("this model was loaded without data: pass adata=")
        layer = self.registry["setup_args"]["layer"]
        adata = align_genes(self.adata if adata is None else adata, self.get_var_names())
        check_counts(adata, layer)
        counts = read_counts(adata, layer)
        cells = np.arange(adata.n_obs) if indices is None else np.arange(adata.n_obs)[indices]
        self.module.eval()
        shape = len(cells), self.module.codec.n_state
        posterior = {name: np.empty(shape, dtype=np.float32) for name in ("mean", "sd")}
        for start in range(0, len(cells), batch_size):
            dense = counts[cells[start : start + batch_size]].toarray().astype(np.float32)
            part = self.module.inference({RNA: torch.from_numpy(dense)})
            for name, rows in posterior.items():
                rows[start : start + batch_size] = part[name].cpu().numpy()
        return posterior
