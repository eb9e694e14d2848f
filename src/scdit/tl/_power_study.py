"""Replicates of a study of power: two groups of generated cells, and what a test finds in them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import false_discovery_control

from scdit._checks import errors_name
from scdit.tl._group_tests import ONE, TWO, GroupTest, p_values
from scdit.tl._random_effects import random_effects

if TYPE_CHECKING:
    from scdit.model import SCDiT

METRICS = ("power", "FDR", "type-I error")
GROUP = "group"  # column of the groups
DETECTED = 0.1  # share of the cells that have a gene which is tested
SHARE = 10  # one gene of so many has an effect


@dataclass(frozen=True)
class Study:
    """All that a replicate needs, so that another process can make it.

    Parameters
    ----------
    model
        The model, without data.
    genes, modality
        Names of its genes, and the modality that has them, of a MuData.
    test, effects, donor_key, labels, covariates, alpha
        As in :func:`power`.
    """

    model: SCDiT
    genes: pd.Index
    modality: str | None
    test: GroupTest
    effects: pd.Series | None
    donor_key: str | None
    labels: str | None
    covariates: Mapping[str, Any] | None
    alpha: float

    def check(self, n_donors: int | None, n_cells: int) -> None:
        """Make two cells of a design, so that errors come before any work and name arguments of :func:`power`."""
        first = {"batch_size": 2, "shard": (0, -(-n_cells * (n_donors or 1) // 2))}
        with warnings.catch_warnings(), errors_name("donor_key", "new_donors"):
            warnings.simplefilter("ignore")  # each replicate has these
            self._counts(n_donors, n_cells, 0, **first)

    def replicate(
        self, n_donors: int | None, n_cells: int, seeds: Sequence[int]
    ) -> list[float] | str:
        """The metrics of two groups, in their order; as text, why there are none.

        Parameters
        ----------
        n_donors, n_cells
            Of each group; cells of each donor.
        seeds
            Of the first group, the second, and the effects.
        """
        one, two, of_effects = seeds
        effects = self.effects
        if effects is None:
            n_genes = max(1, len(self.genes) // SHARE)
            effects = random_effects(self.model, n_genes=n_genes, rng=of_effects)
        first = self._counts(n_donors, n_cells, one)
        null, compared = (
            self._groups(first, self._counts(n_donors, n_cells, two, e), n_cells)
            for e in (None, effects)
        )
        tested = null.X.getnnz(axis=0) >= DETECTED * null.n_obs
        if not tested.any():
            return f"no gene to test: none is in {DETECTED:.0%} of the cells"
        true = self.genes.isin(effects.index[effects != 0])[tested]
        try:
            p_null, p = (
                p_values(self.test, cells, GROUP, self.donor_key)[tested]
                for cells in (null, compared)
            )
        except Exception as error:  # noqa: BLE001 - whatever somebody's test raises
            return f"{type(error).__name__}: {error}"
        hits = false_discovery_control(p) <= self.alpha
        return [
            float(hits[true].mean()) if true.any() else np.nan,
            float((hits & ~true).sum() / max(hits.sum(), 1)),
            float((p_null < self.alpha).mean()),
        ]

    def _counts(
        self,
        n_donors: int | None,
        n_cells: int,
        seed: int,
        effects: pd.Series | None = None,
        **kwargs: Any,
    ) -> sp.csr_matrix:
        """Counts (cells, genes) of one group, its donors one after the other; `kwargs` are of ``generate``."""
        asked: dict[str, Any] = {"n": n_cells}
        if n_donors is not None:
            names = new_names(self.model, self.donor_key, n_donors)
            table = pd.DataFrame({self.donor_key: np.repeat(names, n_cells)})
            asked = {"new_donors": {self.donor_key: n_donors}, "conditions": table}
        made = self.model.generate(
            **asked,
            labels=self.labels,
            covariates=self.covariates,
            effects=effects,
            rng=seed,
            silent=True,
            **kwargs,
        )
        return (made if self.modality is None else made[self.modality]).X

    def _groups(self, one: sp.csr_matrix, two: sp.csr_matrix, n_cells: int) -> AnnData:
        """Both groups, of as many cells, with their names and donors in ``obs``."""
        n = one.shape[0]
        obs = pd.DataFrame({GROUP: pd.Categorical(np.repeat([ONE, TWO], n))})
        if self.donor_key is not None:
            which = np.arange(2 * n) // n_cells + 1
            obs[self.donor_key] = pd.Categorical([f"donor {i}" for i in which])
        obs.index = "cell " + obs.index.astype(str)
        return AnnData(
            sp.vstack([one, two], format="csr"), obs=obs, var=pd.DataFrame(index=self.genes)
        )


def new_names(model: SCDiT, donor_key: Any, n: int) -> np.ndarray:
    """Names of new donors (n,), see `new_donors` of :meth:`scdit.SCDiT.generate`."""
    from scdit.model._new_donors import read_new_donors

    found = read_new_donors({donor_key: n}, model._conditions)
    return np.empty(0) if found is None else found[1].categories
