"""Expression as the codec's decoder has it: of cells, denoised, and of latent vectors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor
from tqdm import tqdm

from scdit._checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_rng,
    users_stacklevel,
)
from scdit.diffusion import KeyedNoise
from scdit.model._batches import CHOSEN, Cells
from scdit.model._cells import CellsMixin
from scdit.module import RNA


class ExpressionMixin(CellsMixin):
    """Adds :meth:`get_normalized_expression` to the model."""

    @torch.inference_mode()
    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        transform_batch: str | Sequence[str] | None = None,
        gene_list: Sequence[str] | None = None,
        library_size: float | Literal["latent"] = 1,
        n_samples: int = 1,
        n_samples_overall: int | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        return_numpy: bool | None = None,
        silent: bool = True,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    ) -> pd.DataFrame | np.ndarray:
        r"""Denoised expression: the expected counts of each cell at a common library size.

        A state is drawn from the posterior of each cell, given its counts and those of its conditions
        that ``adata.obs`` has, and decoded.

        Parameters
        ----------
        adata
            Cells with counts of the training genes in any order. Registered conditions are looked
            up in its ``obs``; a column that it lacks is not known of its cells. None for the
            training data.
        indices
            Positions or mask of the cells; None for all.
        transform_batch
            Batch to move every cell to, by name: each cell is predicted as if it had been measured there.
            The latent vector keeps its position relative to the codec's prior, but the prior in the cell's
            own batch, which ``adata.obs`` must have, is replaced by that in the other. Expression is
            averaged over several names. None to leave cells in their batch.
        gene_list
            Genes to return, in this order; None for all of them, in the order of `adata`.
        library_size
            What the expression of all genes of a cell adds up to, or ``"latent"`` for the cell's own
            library size, in which extreme counts of single genes are capped as in the training.
        n_samples
            States that are drawn for each cell.
        n_samples_overall
            States that are drawn in total, from cells that are chosen at random. Leave `n_samples` and
            `return_mean` at their defaults then.
        batch_size
            Cells computed at once; None for ``scvi.settings.batch_size``.
        return_mean
            Return the mean over the states of a cell, and not each of them.
        return_numpy
            Return an array. None for a data frame, except where the result has three dimensions.
        silent
            No progress bar.
        rng
            Seed or generator. One seed gives the same expression in batches of any size.

        Returns
        -------
        Data frame (cells, genes), float32. Array (n_samples, cells, genes) with several samples and
        ``return_mean=False``. With `n_samples_overall` one row for each state; a cell that was chosen
        more than once has several.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the model has the expression codec, or an argument, a gene or a condition of a cell is
            unknown or out of range.

        Examples
        --------
        >>> adata.layers["denoised"] = model.get_normalized_expression(library_size=1e4)
        >>> as_in_one_batch = model.get_normalized_expression(transform_batch="donor1")
        """
        self._require_latent_codec("get_normalized_expression")
        if isinstance(library_size, str):
            check_choice("library_size", library_size, ["latent"])
            scale = None
        else:
            scale = check_number("library_size", library_size, 0, open_low=True)
        n_samples = check_int("n_samples", n_samples)
        return_mean, silent = check_bool("return_mean", return_mean), check_bool("silent", silent)
        if return_numpy is not None:
            check_bool("return_numpy", return_numpy)
        noise = KeyedNoise(check_rng(rng))
        batches = self._batch_codes(transform_batch)
        cells = self._cells(
            "get_normalized_expression",
            adata,
            indices,
            batch_size,
            translated=transform_batch is not None,
        )
        places, genes = cells.columns(gene_list)
        if n_samples_overall is not None:
            check_int("n_samples_overall", n_samples_overall)
            if n_samples != 1:
                raise ValueError("give n_samples or n_samples_overall, not both")
            chosen = noise.generator(CHOSEN).integers(len(cells), size=n_samples_overall)
            cells = cells.take(chosen)
        every = n_samples > 1 and not return_mean
        if every and return_numpy is False:
            warnings.warn(
                "several samples of each cell have three dimensions: an array is returned, although "
                "return_numpy=False",
                UserWarning,
                stacklevel=users_stacklevel(),
            )
        shape = (n_samples if every else 1, len(cells), len(places))
        result = np.zeros(shape, dtype=np.float32)
        at = torch.from_numpy(places).to(self.module.device)
        drawn = self._drawn_expression(cells, batches, noise, n_samples, scale)
        with tqdm(total=n_samples * len(cells), disable=silent, unit="cell") as bar:
            for rows, sample, values in drawn:
                part = result[sample if every else 0, rows.start : rows.stop]
                part += values[:, at].cpu().numpy()
                bar.update(len(rows))
        if not every:
            result /= n_samples
        if every or return_numpy:
            return result if every else result[0]
        return pd.DataFrame(result[0], index=cells.obs_names, columns=genes)

    def _drawn_expression(
        self,
        cells: Cells,
        batches: Sequence[int | None],
        noise: KeyedNoise,
        n_samples: int,
        scale: float | None,
    ) -> Iterator[tuple[range, int, Tensor]]:
        """Cells, number of the draw, and expected counts (cells, genes) of a batch of cells.

        Parameters
        ----------
        cells, noise, n_samples
            Cells, and how often a state of each is drawn, with which random numbers.
        batches
            Codes of the batches that are averaged over; None for the observed one.
        scale
            Sum over all genes; None for the library size of the state.
        """
        for part in self._encoded(cells):
            for sample in range(n_samples):
                state, total = part.draw(noise, sample), torch.zeros((), device=part.mean.device)
                for batch in batches:
                    decoded = self.module.codec.decode(*self._in_batch(part, state, batch))
                    expected = decoded[RNA].mean()
                    if scale is not None:
                        expected = expected * (scale / expected.sum(1, keepdim=True))
                    total = total + expected / len(batches)
                yield part.rows, sample, total
