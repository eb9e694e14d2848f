"""How many donors and cells does a test need? Its power and error rates in cells with a known truth."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import t as student

from scdit._checks import (
    check_bool,
    check_choice,
    check_class,
    check_int,
    check_number,
    check_rng,
    shown,
    users_stacklevel,
)
from scdit._progress import progress
from scdit.tl._group_tests import TESTS, GroupTest
from scdit.tl._power_study import METRICS, Study

if TYPE_CHECKING:
    from scdit.model import SCDiT

_MOST, _MOST_CELLS = 10_000, 100_000  # replicates or new donors, and cells


def power(
    model: SCDiT,
    *,
    n_cells: int | Sequence[int],
    n_donors: int | Sequence[int] | None = None,
    donor_key: str | None = None,
    test: str | GroupTest = "wilcoxon",
    effects: pd.Series | None = None,
    labels: str | None = None,
    covariates: Mapping[str, Any] | None = None,
    repeats: int = 20,
    alpha: float = 0.05,
    n_jobs: int = 1,
    rng: int | np.random.Generator | np.random.SeedSequence | None = 0,
    silent: bool = False,
) -> pd.DataFrame:
    """Power and error rates of a test between two groups of generated cells, for several designs.

    Both groups are drawn from the same model. The genes in `effects` differ in the second group by known
    fold changes. A second comparison without effects gives the type-I error.

    Parameters
    ----------
    model
        A trained model with ``codec="latent"``.
    n_cells
        Cells of each donor; without donors, cells of each group. One number or several.
    n_donors
        Donors of each group, one number or several. None for cells without new donors.
    donor_key
        With `n_donors`, the registered column of donors: all are new, see `new_donors` of
        :meth:`scdit.SCDiT.generate`.
    test
        ``"wilcoxon"`` or ``"t-test"`` (of scanpy; cells are replicates), ``"pseudobulk"`` (t-test of the
        sums of donors), or a function of an AnnData of counts, the column of groups (``"one"``, ``"two"``) and
        the column of donors (None without donors), which returns one p-value for each gene.
    effects
        Log2 fold changes by gene of the second group. None for those of :func:`random_effects` on a
        tenth of the genes, drawn anew for each replicate.
    labels
        Cell type that is made, as in :meth:`scdit.SCDiT.generate`. Name one.
    covariates
        Covariates of the cells, as in :meth:`scdit.SCDiT.generate`. Name one condition if a donor
        has one only: else donors differ in it too.
    repeats
        Replicates of each design, at least 2.
    alpha
        Level of the tests: of p-values for the type-I error, and of adjusted ones (Benjamini and
        Hochberg 1995) for power and FDR.
    n_jobs
        Number of processes, see :class:`joblib.Parallel`; -1 for all cores.
    rng
        Seed or generator. The table does not depend on `n_jobs`.
    silent
        No progress bar.

    Returns
    -------
    Table with one row for each design and metric: ``n_donors`` (if given), ``n_cells``, ``metric``, ``value`` with
    a 95% interval of the mean over replicates (``low``, ``high``), the number of ``repeats`` and how many of
    them ``failed``. *Power* is the share of the genes with effects that are found, *FDR* the share of genes
    without effects among those found, *type-I error* the share of all genes with a p-value below
    `alpha` where none has an effect. Genes that less than a tenth of the cells have are left out.

    Raises
    ------
    RuntimeError
        If the model is not trained.
    TypeError
        If `model` is no SCDiT, or `labels` or `donor_key` is no name.
    ValueError
        If an argument is out of range or unknown, all genes or none have effects, the model cannot make
        the cells of the first design, or it has too few donors.

    Warns
    -----
    UserWarning
        If the test fails in some replicates, or no gene is in a tenth of the cells; with the first
        error.

    Examples
    --------
    >>> table = scdit.tl.power(
    ...     model,
    ...     n_cells=[50, 100],
    ...     n_donors=[4, 8],
    ...     donor_key="donor",
    ...     test="pseudobulk",
    ...     labels="B cells",
    ... )
    >>> scdit.pl.power(table)
    """
    from scdit.model import SCDiT
    from scdit.model._null import categories_of
    from scdit.module import RNA

    check_class("model", model, SCDiT)
    model._sampling_options()  # which needs a trained model
    cells = _numbers("n_cells", n_cells, 2, _MOST_CELLS)
    donors: list[int | None] = [None]
    if n_donors is not None:
        if donor_key is None:
            raise ValueError("n_donors needs donor_key=, the registered column of donors")
        donors = [*_numbers("n_donors", n_donors, 1, _MOST)]
        categories_of("donor_key", donor_key, model._conditions)
        if isinstance(covariates, Mapping) and donor_key in covariates:
            raise ValueError(
                f"covariates has {donor_key!r}, the donor_key: all donors of a study are new"
            )
    elif donor_key is not None:
        raise ValueError("donor_key needs n_donors=, the number of donors of each group")
    if not callable(test):
        check_choice("test", test, TESTS)
        if test == "pseudobulk" and n_donors is None:
            raise ValueError(
                "test='pseudobulk' needs n_donors= and donor_key=: donors are replicates"
            )
        if test == "pseudobulk" and min(n for n in donors if n is not None) < 2:
            raise ValueError("test='pseudobulk' needs n_donors of at least 2")
        test = TESTS[test]
    repeats = check_int("repeats", repeats, 2, _MOST)
    alpha = check_number("alpha", alpha, 0, 1, open_low=True, open_high=True)
    check_bool("silent", silent)
    n_jobs = -1 if n_jobs == -1 else check_int("n_jobs, if not -1,", n_jobs)
    if labels is not None and not isinstance(labels, str):
        raise TypeError(f"labels must be one name or None, got {shown(labels)}")
    genes = model._genes_to_change()
    if effects is not None:
        check_class("effects", effects, pd.Series)
        model._effects(effects, model._conditions)
        if np.count_nonzero(effects) in (0, len(genes)):
            raise ValueError(
                "effects must have a fold change other than 0 for some genes, and not for all: they "
                f"have {np.count_nonzero(effects)} for {len(genes)} genes"
            )
    names = [m.name for m in model._modalities if m.assay == RNA and model._is_mudata]
    modality = names[0] if names else None
    study = Study(
        model._without_data(), genes, modality, test, effects, donor_key, labels, covariates, alpha
    )
    designs = list(itertools.product(donors, cells))
    seeds = np.random.default_rng(check_rng(rng)).integers(2**63, size=(len(designs), repeats, 3))
    study.check(*designs[0])
    jobs = (
        delayed(study.replicate)(n, m, own.tolist())
        for (n, m), of_design in zip(designs, seeds, strict=True)
        for own in of_design
    )
    found: list[list[float] | str] = []
    bar = progress(seeds[..., 0].size, "Testing", "replicate", silent)
    for result in Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
        found.append(result)
        bar.update(1)
    bar.close()
    errors = [result for result in found if isinstance(result, str)]
    if errors:
        warnings.warn(
            f"test: it failed in {len(errors)} of {len(found)} replicates; the first time with {errors[0]}",
            UserWarning,
            stacklevel=users_stacklevel(),
        )
    rows = [
        {**({} if n is None else {"n_donors": n}), "n_cells": m, **row}
        for i, (n, m) in enumerate(designs)
        for row in _summary(found[i * repeats : (i + 1) * repeats])
    ]
    table = pd.DataFrame(rows)
    table.attrs["alpha"] = alpha
    return table


def _summary(found: Sequence[list[float] | str]) -> Iterator[dict[str, Any]]:
    """A row for each metric: mean over replicates with a 95% interval, and how many failed."""
    kept = np.array([result for result in found if not isinstance(result, str)], dtype=float)
    for i, metric in enumerate(METRICS):
        values = kept[:, i][~np.isnan(kept[:, i])] if len(kept) else kept
        mean = values.mean() if len(values) else np.nan
        half = np.nan
        if len(values) > 1:
            half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        yield {
            "metric": metric,
            "value": mean,
            "low": max(mean - half, 0.0) if half == half else np.nan,
            "high": min(mean + half, 1.0) if half == half else np.nan,
            "repeats": len(found),
            "failed": len(found) - len(kept),
        }


def _numbers(name: str, values: Any, low: int, high: int) -> list[int]:
    """One number or several, each from `low` to `high`, as a list."""
    if isinstance(values, np.ndarray | pd.Index | pd.Series):
        values = values.tolist()
    many = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    if not len(many):
        raise ValueError(f"{name} is empty")
    return [check_int(name, value, low, high) for value in many]
