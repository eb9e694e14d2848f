"""Where cells lie in the latent space of the codec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from anndata import AnnData

from scdit._checks import check_bool, check_int, check_rng
from scdit.diffusion import KeyedNoise
from scdit.model._cells import CellsMixin


class EmbedMixin(CellsMixin):
    """Adds :meth:`get_latent_representation` to the model."""

    @torch.inference_mode()
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        give_mean: bool = True,
        mc_samples: int = 5_000,
        batch_size: int | None = None,
        return_dist: bool = False,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Latent representation of cells.

        It is computed from the counts alone: conditions are not needed and not used, so that labels do not
        influence a UMAP of the cells.

        Parameters
        ----------
        adata
            Cells to embed, with counts of the training genes in any order. None for the training
            data.
        indices
            Positions or mask of the cells to embed; None for all.
        give_mean
            True for the mean of the posterior; False for one draw from it.
        mc_samples
            Not used: the posterior is a Gaussian, whose mean is known. It is here because
            scvi-tools' models have it.
        batch_size
            Cells computed at once; None for ``scvi.settings.batch_size``.
        return_dist
            Return mean and variance of the posterior.
        rng
            Seed or generator of the draw, with ``give_mean=False``.

        Returns
        -------
        Array (cells, n_latent), without the library size; with `return_dist`, two of them: means and
        variances.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the codec has no latent space, there are no data, training genes are missing, or the
            matrix does not hold counts.

        Examples
        --------
        >>> adata.obsm["X_scdit"] = model.get_latent_representation(adata)
        """
        give_mean = check_bool("give_mean", give_mean)
        return_dist = check_bool("return_dist", return_dist)
        check_int("mc_samples", mc_samples)
        noise = KeyedNoise(check_rng(rng))
        cells = self._cells(
            "get_latent_representation", adata, indices, batch_size, conditions=False
        )
        parts = []
        for batch in self._encoded(cells):
            state = batch.mean if give_mean or return_dist else batch.draw(noise, 0)
            parts.append(torch.stack([state, batch.sd**2])[..., : self.module.codec.n_latent])
        mean, variance = torch.cat(parts, dim=1).cpu().numpy()
        return (mean, variance) if return_dist else mean

    @torch.inference_mode()
    def _posterior(
        self, adata: AnnData | None, indices: Sequence[int] | None, batch_size: int | None = None
    ) -> dict[str, np.ndarray]:
        """``mean`` and ``sd`` (cells, n_state) of the states of cells, see the method above."""
        cells = self._cells("this method", adata, indices, batch_size, conditions=False)
        batches = [(batch.mean, batch.sd) for batch in self._encoded(cells)]
        mean, sd = (torch.cat(parts).cpu().numpy() for parts in zip(*batches, strict=True))
        return {"mean": mean, "sd": sd}
