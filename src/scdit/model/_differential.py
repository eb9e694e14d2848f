"""Differential expression between groups of cells, in the framework of scvi-tools."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField
from scvi.model.base import DifferentialComputation
from tqdm import tqdm

from scdit._checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_rng,
    did_you_mean,
)
from scdit.diffusion import KeyedNoise
from scdit.model._batches import Cells
from scdit.model._expression import ExpressionMixin
from scdit.model._groups import Comparison, Rows, compare_groups, compare_rows

_TARGET = 1e4  # counts per cell of the normalised means
_OWN = {"mode", "batchid1", "batchid2", "use_observed_batches", "delta", "idx1", "idx2", "self"}


class DifferentialMixin(ExpressionMixin):
    """Adds :meth:`differential_expression` to the model."""

    def differential_expression(
        self,
        adata: AnnData | None = None,
        groupby: str | None = None,
        group1: str | Sequence[str] | None = None,
        group2: str | None = None,
        idx1: Rows | None = None,
        idx2: Rows | None = None,
        mode: Literal["vanilla", "change"] = "change",
        delta: float | None = 0.25,
        batch_size: int | None = None,
        all_stats: bool = True,
        batch_correction: bool = False,
        batchid1: Sequence[str] | None = None,
        batchid2: Sequence[str] | None = None,
        fdr_target: float = 0.05,
        silent: bool = False,
        filter_outlier_cells: bool = False,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
        **kwargs: Any,
    ) -> pd.DataFrame:
        r"""Differential expression between groups of cells, gene by gene.

        Expression is sampled from the posterior of the codec in both groups, and the distribution of
        its log2 fold change gives the probability that a gene differs by more than `delta`
        (``mode="change"``, Boyeau et al. 2019), or that it is higher in one group
        (``mode="vanilla"``, Lopez et al. 2018). It is the computation of scvi-tools
        (:class:`scvi.model.base.DifferentialComputation`), with its columns. Probabilities are about
        the mean of these cells: cells of one donor are no replicates of donors.

        Parameters
        ----------
        adata
            The cells, as in :meth:`get_normalized_expression`.
        groupby
            Column of ``adata.obs`` with the groups.
        group1
            Groups to compare, a name or a list; None for all groups.
        group2
            Group that each of them is compared with; None for the cells of all other groups.
        idx1
            In place of `group1`: positions, a mask, or a query of ``adata.obs``, such as
            ``"cell_type == 'B cells'"``.
        idx2
            In place of `group2`, given as `idx1` is; None for all other cells.
        mode
            ``"change"`` or ``"vanilla"``.
        delta
            Absolute log2 fold change above which a gene counts as different; None to take it from
            the data.
        batch_size
            Cells computed at once; None for ``scvi.settings.batch_size``.
        all_stats
            Add means and detection rates of the raw counts.
        batch_correction
            Decode the cells of both groups in the same batches, and not in their own.
        batchid1
            Names of the batches that the first group is decoded in, with ``batch_correction=True``;
            None for all.
        batchid2
            Names of those of the second group: the same as `batchid1`, or none of them.
        fdr_target
            Expected false discovery rate of the genes that are called, with ``mode="change"``.
        silent
            No progress bar.
        filter_outlier_cells
            Leave out cells that lie apart in the latent space.
        rng
            Seed or generator.
        **kwargs
            Further arguments of :meth:`scvi.model.base.DifferentialComputation.get_bayes_factors`,
            such as ``n_samples_overall`` (5,000), ``pseudocounts`` or ``test_mode``.

        Returns
        -------
        One row for each gene and comparison. ``proba_de``, ``bayes_factor``, ``lfc_mean``,
        ``lfc_median``, ``lfc_std``, ... (log2, `group1` over `group2`), ``scale1`` and ``scale2``
        (expression, of all genes adding up to 1), ``raw_mean1``, ``non_zeros_proportion1``, ...,
        ``is_de_fdr_<fdr_target>``, and the names of the groups.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        KeyError
            If `groupby` is not a column of ``adata.obs``.
        ValueError
            If the model has the expression codec, or a group is unknown, empty or compared with
            itself, or another argument is out of range.

        Examples
        --------
        >>> table = model.differential_expression(groupby="cell_type", group1="B cells")
        >>> table[table["is_de_fdr_0.05"]].sort_values("lfc_mean")
        """
        method = "differential_expression"
        self._require_latent_codec(method)
        check_choice("mode", mode, ("change", "vanilla"))
        if delta is not None:
            delta = check_number("delta", delta, 0)
        fdr_target = check_number("fdr_target", fdr_target, 0, 1, open_low=True, open_high=True)
        for name, value in (
            ("all_stats", all_stats),
            ("batch_correction", batch_correction),
            ("silent", silent),
            ("filter_outlier_cells", filter_outlier_cells),
        ):
            check_bool(name, value)
        _check_further(kwargs)
        generator = np.random.default_rng(check_rng(rng))
        batches = self._batches_of_groups(batch_correction, batchid1, batchid2)
        cells = self._cells(method, adata, None, batch_size, translated=batch_correction)
        obs = (self.adata if adata is None else adata).obs  # type: ignore[union-attr]
        if idx1 is not None:
            comparisons = [compare_rows(obs, idx1, idx2)]
        else:
            comparisons = compare_groups(obs, groupby, group1, group2, idx2)

        computation = DifferentialComputation(
            self._sampler(cells, generator),
            self._embedder(cells) if filter_outlier_cells else None,
            _manager(cells),
        )
        tables = []
        for comparison in tqdm(comparisons, "Comparing groups", disable=silent, unit="group"):
            with _numpy_seeded(generator):
                result = computation.get_bayes_factors(
                    comparison.first,
                    comparison.second,
                    mode=mode,
                    delta=delta,
                    batchid1=batches[0],
                    batchid2=batches[1],
                    use_observed_batches=not batch_correction,
                    **kwargs,
                )
            if all_stats:
                result = {**result, **_raw_statistics(cells, comparison)}
            table = pd.DataFrame(result, index=pd.Index(self.get_var_names()))
            by = "proba_de" if mode == "change" else "bayes_factor"
            table = table.sort_values(by, ascending=False, kind="stable")
            if mode == "change":
                table[f"is_de_fdr_{fdr_target}"] = called(table["proba_de"], fdr_target)
            tables.append(table.assign(**comparison.names))
        return pd.concat(tables)

    def _batches_of_groups(
        self, correct: bool, first: Sequence[str] | None, second: Sequence[str] | None
    ) -> tuple[list | None, list | None]:
        """Names of the batches that the cells of both groups are decoded in; None for their own."""
        if not correct:
            if first is not None or second is not None:
                raise ValueError("batchid1 and batchid2 need batch_correction=True")
            return None, None
        names = list(self._batch_condition("batch_correction=True").categories)
        one, other = (
            names
            if given is None
            else [names[code] for code in self._batch_codes(given) if code is not None]
            for given in (first, second)
        )
        if set(one) != set(other) and set(one) & set(other):
            raise ValueError(
                f"batchid1 and batchid2 must be the same or share no batch, got {one} and {other}"
            )
        return one, other

    def _sampler(self, cells: Cells, generator: np.random.Generator):
        """The function that samples expression, as scvi's computation calls it."""

        @torch.inference_mode()
        def sample(
            _: AnnData, indices: np.ndarray, transform_batch: Any, n_samples_overall: int
        ) -> np.ndarray:
            chosen = cells.take(generator.choice(indices, n_samples_overall))
            batch = self._batch_codes(transform_batch)
            parts = self._drawn_expression(chosen, batch, KeyedNoise(generator), 1, 1.0)
            return np.concatenate([values.cpu().numpy() for *_, values in parts])

        return sample

    def _embedder(self, cells: Cells):
        """The function that gives latent vectors, as scvi's computation calls it."""

        @torch.inference_mode()
        def embed(_: AnnData, indices: np.ndarray) -> np.ndarray:
            chosen = replace(cells.take(indices), codes=None)
            latent = torch.cat([part.mean for part in self._encoded(chosen)])
            return latent[:, : self.module.codec.n_latent].cpu().numpy()

        return embed


def _check_further(given: dict[str, Any]) -> None:
    """Raise if scvi's computation does not take these arguments."""
    known = set(inspect.signature(DifferentialComputation.get_bayes_factors).parameters) - _OWN
    for name in given.keys() - known:
        raise TypeError(
            f"differential_expression has no argument {name!r}; further arguments are "
            f"{', '.join(sorted(known))}" + did_you_mean(name, known)
        )
    for name in ("n_samples_overall", "m_permutation"):
        if name in given:
            check_int(name, given[name], 2)
    if "test_mode" in given:
        check_choice("test_mode", given["test_mode"], ("two", "three"))


def _manager(cells: Cells) -> AnnDataManager:
    """A registration of the counts in an object of its own: nothing is written to the user's."""
    # which are checked already; scvi's check draws from numpy's global numbers
    manager = AnnDataManager([LayerField(REGISTRY_KEYS.X_KEY, None, is_count_data=False)])
    manager.register_fields(AnnData(cells.counts))
    return manager


def _raw_statistics(cells: Cells, comparison: Comparison) -> dict[str, np.ndarray]:
    """Means and detection rates of the counts of both groups, each (genes,), by scvi's names."""
    statistics: dict[str, np.ndarray] = {}
    for number, rows in enumerate((comparison.first, comparison.second), 1):
        counts = cells.counts[rows]
        per_cell = _TARGET / np.asarray(counts.sum(axis=1))
        of_group = {
            "raw_mean": counts.mean(axis=0),
            "non_zeros_proportion": (counts != 0).mean(axis=0),
            "raw_normalized_mean": counts.multiply(per_cell).mean(axis=0),
        }
        statistics |= {f"{name}{number}": np.asarray(v).ravel() for name, v in of_group.items()}
    return dict(sorted(statistics.items(), key=lambda item: _ORDER.index(item[0][:-1])))


_ORDER = ["raw_mean", "non_zeros_proportion", "raw_normalized_mean"]


def called(proba_de: pd.Series, fdr: float) -> np.ndarray:
    """Which genes are called: as many as have an expected share of false ones of at most `fdr`.

    Parameters
    ----------
    proba_de
        Probabilities (genes,) of being different, in descending order.
    fdr
        The share.
    """
    false = (1 - proba_de.to_numpy()).cumsum() / np.arange(1, len(proba_de) + 1)
    return np.arange(len(proba_de)) < (false <= fdr).sum()


@contextmanager
def _numpy_seeded(generator: np.random.Generator) -> Iterator[None]:
    """Seed numpy's global numbers, which scvi's computation draws from, and put them back after."""
    state = np.random.get_state()
    np.random.seed(int(generator.integers(2**32)))
    try:
        yield
    finally:
        np.random.set_state(state)
