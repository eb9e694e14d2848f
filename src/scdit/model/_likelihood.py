"""The codec as a likelihood: its bound, its parameters, and draws from its posterior predictive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from anndata import AnnData
from torch import Tensor
from tqdm import tqdm

from scdit._checks import check_bool, check_int, check_rng
from scdit.codec import ZeroInflatedNegativeBinomial
from scdit.diffusion import KeyedNoise
from scdit.model._batches import PREDICTED
from scdit.model._cells import CellsMixin
from scdit.module import RNA

if TYPE_CHECKING:
    from sparse import GCXS


class LikelihoodMixin(CellsMixin):
    """Adds the bound, the parameters and posterior predictive draws of the codec to the model."""

    @torch.inference_mode()
    def get_elbo(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        *,
        return_mean: bool = True,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    ) -> float | np.ndarray:
        r"""Evidence lower bound (ELBO) of the codec, in nats per cell; higher is better.

        It is the log likelihood of the counts at one state that is drawn from the posterior, less the
        divergence of the posterior from the codec's prior given the conditions. It bounds the log
        likelihood of the counts given the conditions and the library size. The diffusion is no part of
        it: two models with one codec and different denoisers have the same bound.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_normalized_expression`.
        return_mean
            Return the mean over cells, and not the bound of each.
        rng
            Seed or generator of the draws.

        Returns
        -------
        The mean, or an array (cells,). Counts above a gene's cap count as the cap, as in training.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the model has the expression codec, or the cells are not like the training cells.

        Examples
        --------
        >>> model.get_elbo(train)
        """
        return_mean = check_bool("return_mean", return_mean)
        reconstruction, kl = self._losses("get_elbo", adata, indices, batch_size, rng)
        elbo = -(reconstruction + kl)
        return elbo.mean() if return_mean else elbo

    @torch.inference_mode()
    def get_reconstruction_error(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        *,
        return_mean: bool = True,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    ) -> dict[str, float | np.ndarray]:
        """Negative log likelihood of the counts at states of the cells, in nats per cell; lower is better.

        The first of the two terms of :meth:`get_elbo`. The diffusion is no part of it.

        Parameters
        ----------
        adata, indices, batch_size, return_mean, rng
            As in :meth:`get_elbo`.

        Returns
        -------
        ``{"reconstruction_loss": ...}``, the mean or an array (cells,).

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the model has the expression codec, or the cells are not like the training cells.

        Examples
        --------
        >>> model.get_reconstruction_error(train)
        """
        return_mean = check_bool("return_mean", return_mean)
        loss, _ = self._losses("get_reconstruction_error", adata, indices, batch_size, rng)
        return {"reconstruction_loss": loss.mean() if return_mean else loss}

    def _losses(
        self,
        method: str,
        adata: AnnData | None,
        indices: Sequence[int] | None,
        batch_size: int | None,
        rng: int | np.random.Generator | np.random.SeedSequence | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Negative log likelihood at one state of each cell, and divergence from the prior, (cells,)."""
        noise = KeyedNoise(check_rng(rng))
        cells = self._cells(method, adata, indices, batch_size)
        codec, losses = self.module.codec, []
        for part in self._encoded(cells):
            decoded = codec.decode(part.draw(noise, 0), part.codes)
            reconstruction = codec.reconstruction_loss(part.counts, decoded)
            losses.append(torch.stack([reconstruction, codec.kl(part.mean, part.sd, part.codes)]))
        reconstruction, kl = torch.cat(losses, dim=1).cpu().double().numpy()
        return reconstruction, kl

    @torch.inference_mode()
    def get_likelihood_parameters(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        n_samples: int = 1,
        give_mean: bool = False,
        batch_size: int | None = None,
        *,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    ) -> dict[str, np.ndarray]:
        r"""Parameters of the likelihood of the counts at states that are drawn from the posterior.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_normalized_expression`.
        n_samples
            States that are drawn for each cell.
        give_mean
            Return the mean over the states of a cell.
        rng
            Seed or generator.

        Returns
        -------
        Arrays (cells, genes), or (n_samples, cells, genes) with several samples that are not
        averaged; genes in the order of `adata`.

        ``"mean"``
            Mean :math:`\mu` of the negative binomial.
        ``"dispersions"``
            Inverse dispersion :math:`\theta`: the variance is :math:`\mu + \mu^2 / \theta`.
        ``"dropout"``
            With ``gene_likelihood="zinb"``: probability :math:`\pi` of an extra zero. The mean of
            the counts is then :math:`(1 - \pi) \mu`.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the model has the expression codec, or the cells are not like the training cells.

        Examples
        --------
        >>> parameters = model.get_likelihood_parameters(train)
        >>> parameters["mean"].shape
        """
        n_samples = check_int("n_samples", n_samples)
        give_mean = check_bool("give_mean", give_mean)
        noise = KeyedNoise(check_rng(rng))
        cells = self._cells("get_likelihood_parameters", adata, indices, batch_size)
        every = n_samples > 1 and not give_mean
        shape = (n_samples if every else 1, len(cells), len(cells.places))
        result: dict[str, np.ndarray] = {}
        at = torch.from_numpy(cells.places).to(self.module.device)
        for part in self._encoded(cells):
            for sample in range(n_samples):
                decoded = self.module.codec.decode(part.draw(noise, sample), part.codes)[RNA]
                for name, values in _parameters(decoded).items():
                    rows = result.setdefault(name, np.zeros(shape, dtype=np.float32))
                    rows = rows[sample if every else 0, part.rows.start : part.rows.stop]
                    rows += values[:, at].cpu().numpy()
        if every:
            return result
        return {name: values[0] / n_samples for name, values in result.items()}

    @torch.inference_mode()
    def posterior_predictive_sample(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        transform_batch: str | None = None,
        n_samples: int = 1,
        gene_list: Sequence[str] | None = None,
        batch_size: int | None = None,
        *,
        silent: bool = True,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    ) -> GCXS:
        """Draw new counts for each cell: a state from its posterior, then counts for this state.

        Counts are drawn as in :meth:`generate`, at the library size of the cell.

        Parameters
        ----------
        adata, indices, gene_list, batch_size, silent, rng
            As in :meth:`get_normalized_expression`.
        transform_batch
            Name of the batch to move every cell to; None to leave cells in their own.
        n_samples
            Draws for each cell.

        Returns
        -------
        Sparse array :class:`sparse.GCXS` of whole numbers, float32 as in scvi-tools: (cells, genes), or
        (cells, genes, n_samples) with several samples.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the model has the expression codec, several batches are named, or the cells are not
            like the training cells.

        Examples
        --------
        >>> counts = model.posterior_predictive_sample(train, n_samples=3, rng=0)
        """
        from sparse import COO, GCXS

        self._require_latent_codec("posterior_predictive_sample")
        n_samples, silent = check_int("n_samples", n_samples), check_bool("silent", silent)
        noise, batches = KeyedNoise(check_rng(rng)), self._batch_codes(transform_batch)
        if len(batches) > 1:
            raise ValueError(
                f"transform_batch names {len(batches)} batches: counts are drawn in one"
            )
        cells = self._cells(
            "posterior_predictive_sample",
            adata,
            indices,
            batch_size,
            translated=transform_batch is not None,
        )
        places, _ = cells.columns(gene_list)
        at = torch.from_numpy(places).to(self.module.device)
        samples: list[list[sp.csr_matrix]] = [[] for _ in range(n_samples)]
        with tqdm(total=n_samples * len(cells), disable=silent, unit="cell") as bar:
            for part in self._encoded(cells):
                rows = part.rows
                for sample in range(n_samples):

                    def uniform(n: int, rows: range = rows, sample: int = sample) -> Tensor:
                        numbers = noise.uniform(rows.start, rows.stop, n, PREDICTED, sample)
                        return torch.from_numpy(numbers).to(self.module.device)

                    state, codes = self._in_batch(part, part.draw(noise, sample), batches[0])
                    drawn = self.module.codec.draw(state, uniform, codes)[RNA]
                    samples[sample].append(sp.csr_matrix(drawn[:, at].cpu().numpy()))
                    bar.update(len(rows))
        matrices = [sp.vstack(parts, format="csr") for parts in samples]
        if n_samples == 1:
            return GCXS.from_scipy_sparse(matrices[0])
        entries = [matrix.tocoo() for matrix in matrices]
        number = np.repeat(np.arange(n_samples), [matrix.nnz for matrix in entries])
        coordinates = np.stack(
            [
                np.concatenate([m.row for m in entries]),
                np.concatenate([m.col for m in entries]),
                number,
            ]
        )
        values = np.concatenate([m.data for m in entries])
        return GCXS.from_coo(COO(coordinates, values, shape=(*matrices[0].shape, n_samples)))


def _parameters(decoded) -> dict[str, Tensor]:
    """Parameters of a distribution of counts, (cells, genes), by scvi-tools' names."""
    parameters = {
        "mean": decoded.log_mean.exp(),
        "dispersions": decoded.log_theta.exp().expand_as(decoded.log_mean),
    }
    if isinstance(decoded, ZeroInflatedNegativeBinomial):
        parameters["dropout"] = decoded.logit.sigmoid()
    return parameters
