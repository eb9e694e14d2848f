"""Small simulated cells with several modalities, whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_int, check_rng
from scdit._mudata import make_mudata

TYPES = ("B", "NK", "T", "monocyte")
_SHARES = (0.2, 0.1, 0.45, 0.25)
DONORS = ("donor1", "donor2", "donor3")
CONDITIONS = ("control", "stimulated")
PROGRAMMES = ("programme1", "programme2", "programme3")
_LAW = 20260801  # the law is always the same; `rng` draws cells from it


def synthetic_citeseq(
    n_cells: int = 1000,
    *,
    n_genes: int = 200,
    n_proteins: int = 12,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
) -> MuData:
    """Simulate RNA and surface proteins of the same cells, with types, donors and a condition.

    The log rate of a feature is a sum of known terms: type, donor, condition, and three programmes
    that vary within types and couple the modalities. Genes have gamma-Poisson counts at a
    log-normal library size. Proteins have background counts in all cells, at a level of their own
    in each cell, and foreground counts on top in the types that express them. The last protein is
    an isotype control, which no type expresses.

    The law depends on `n_genes` and `n_proteins` only: two calls with different `rng` draw cells
    of one law, as for training and testing.

    Parameters
    ----------
    n_cells
        Number of cells, at least 2.
    n_genes
        Number of genes, at least 20.
    n_proteins
        Number of proteins, the isotype control included, at least 4.
    rng
        Seed or generator of the cells.

    Returns
    -------
    MuData
        MuData with modalities ``rna`` (CSR) and ``prot`` (dense), both float32 counts:

        - ``obs``, shared and in each modality: ``cell_type``, ``donor``, ``condition``, and the levels
          of ``programme1`` to ``programme3``, standard normal
        - ``var`` of both: ``condition``, the log fold change of stimulated cells (natural logarithm), and
          ``programme1`` to ``programme3``, that of one unit of a programme; the same in all types. For
          genes they stand before rates are scaled to the library size, for proteins they change the
          foreground
        - ``var`` of ``prot``: ``background``, mean counts without foreground; ``foreground``, how many
          times more on top where the protein is expressed; ``isotype``
        - ``varm["expressed"]`` of ``prot``: which types express each protein

    Raises
    ------
    ValueError
        If a number is out of range, or `rng` is no seed.

    Examples
    --------
    >>> train = scdit.datasets.synthetic_citeseq(800, rng=0)
    >>> test = scdit.datasets.synthetic_citeseq(300, rng=1)
    """
    n_genes = check_int("n_genes", n_genes, 20)
    n_proteins = check_int("n_proteins", n_proteins, 4)
    obs, draws, law = _cells(n_cells, rng)
    rna = _rna(obs, n_genes, draws, law)
    prot = _proteins(obs, n_proteins, draws, law)
    return make_mudata({"rna": rna, "prot": prot}, obs)


def synthetic_multiome(
    n_cells: int = 1000,
    *,
    n_genes: int = 200,
    n_peaks: int = 600,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
) -> MuData:
    """Simulate RNA and chromatin of the same cells, in the way of :func:`synthetic_citeseq`.

    Parameters
    ----------
    n_cells, n_genes, rng
        As in :func:`synthetic_citeseq`.
    n_peaks
        Number of peaks, at least 20.

    Returns
    -------
    MuData with modalities ``rna`` and ``atac``, both CSR of float32 counts: fragments are
    Poisson, and most counts are 0 or 1. ``obs`` and ``var`` are those of :func:`synthetic_citeseq`.

    Raises
    ------
    ValueError
        If a number is out of range, or `rng` is no seed.

    Examples
    --------
    >>> mdata = scdit.datasets.synthetic_multiome(300, rng=0)
    >>> mdata["atac"].var_names[0]
    """
    n_genes = check_int("n_genes", n_genes, 20)
    n_peaks = check_int("n_peaks", n_peaks, 20)
    obs, draws, law = _cells(n_cells, rng)
    rna = _rna(obs, n_genes, draws, law)
    rates, var = _log_rates(obs, n_peaks, law)
    depth = draws.lognormal(np.log(0.12 * n_peaks), 0.4, len(obs))
    var.index = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(n_peaks)]
    counts = draws.poisson(depth[:, None] * _proportions(rates))
    atac = AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs.copy(), var=var)
    return make_mudata({"rna": rna, "atac": atac}, obs)


def _cells(
    n_cells: int, rng: Any
) -> tuple[pd.DataFrame, np.random.Generator, np.random.Generator]:
    """Draw types, donors, conditions and programmes; return them with the two generators."""
    n_cells = check_int("n_cells", n_cells, 2)
    draws = np.random.default_rng(check_rng(rng))
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(
                draws.choice(len(TYPES), n_cells, p=_SHARES), TYPES
            ),
            "donor": pd.Categorical.from_codes(draws.integers(len(DONORS), size=n_cells), DONORS),
            "condition": pd.Categorical.from_codes(draws.integers(2, size=n_cells), CONDITIONS),
        }
        | {name: draws.normal(size=n_cells) for name in PROGRAMMES},
        index=[f"cell{i}" for i in range(n_cells)],
    )
    return obs, draws, np.random.default_rng(_LAW)


def _log_rates(
    obs: pd.DataFrame, n: int, law: np.random.Generator
) -> tuple[np.ndarray, pd.DataFrame]:
    """Log rates of features, shape (cells, n), and the true effects on them."""
    base = np.log(law.gamma(0.7, size=n) + 0.05)
    of_type = law.normal(0, 1.3, (len(TYPES), n)) * (law.random((len(TYPES), n)) < 0.25)
    of_donor = law.normal(0, 0.15, (len(DONORS), n))
    var = pd.DataFrame(
        {"condition": law.choice([-1.0, 1.0], n) * (law.random(n) < 0.1)}
        | {name: law.normal(0, 0.5, n) * (law.random(n) < 0.2) for name in PROGRAMMES}
    )
    rates = (
        base
        + of_type[obs["cell_type"].cat.codes]
        + of_donor[obs["donor"].cat.codes]
        + _changes(obs, var)
    )
    return rates, var


def _changes(obs: pd.DataFrame, var: pd.DataFrame) -> np.ndarray:
    """Log fold changes by condition and programmes, shape (cells, features)."""
    levels = np.column_stack([obs["condition"].cat.codes, obs[list(PROGRAMMES)]])
    return levels @ var[["condition", *PROGRAMMES]].to_numpy().T


def _proportions(log_rates: np.ndarray) -> np.ndarray:
    rates = np.exp(log_rates)
    return rates / rates.sum(axis=1, keepdims=True)


def _rna(
    obs: pd.DataFrame, n_genes: int, draws: np.random.Generator, law: np.random.Generator
) -> AnnData:
    """Genes: gamma-Poisson counts."""
    rates, var = _log_rates(obs, n_genes, law)
    var.index = [f"gene{i}" for i in range(n_genes)]
    size = draws.lognormal(np.log(5 * n_genes), 0.35, len(obs))
    noise = draws.gamma(5, 1 / 5, rates.shape)
    counts = draws.poisson(size[:, None] * _proportions(rates) * noise)
    return AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs.copy(), var=var)


def _proteins(
    obs: pd.DataFrame, n: int, draws: np.random.Generator, law: np.random.Generator
) -> AnnData:
    """Proteins: background in all cells, foreground in the types that express them."""
    expressed = law.random((n, len(TYPES))) < 0.4
    # each is in some type, and not in another: else nothing tells foreground from background
    expressed[np.arange(n), np.arange(n) % len(TYPES)] = True
    expressed[np.arange(n), (np.arange(n) + 1) % len(TYPES)] = False
    expressed[-1] = False
    isotype = np.arange(n) == n - 1
    var = pd.DataFrame(
        {"condition": np.where(np.arange(n) % 5 == 1, 0.8, 0.0) * ~isotype}
        | {name: law.normal(0, 0.4, n) * ~isotype for name in PROGRAMMES}
        | {
            "background": law.lognormal(np.log(6), 0.5, n),
            "foreground": law.lognormal(np.log(5), 0.5, n) * ~isotype,
            "isotype": isotype,
        }
    )
    var.index = [*(f"protein{i}" for i in range(n - 1)), "isotype"]
    on = expressed.T[obs["cell_type"].cat.codes]
    ambient = draws.lognormal(0, 0.3, (len(obs), 1)) * var["background"].to_numpy()
    depth = draws.lognormal(0, 0.25, (len(obs), 1))
    background = draws.poisson(depth * ambient * draws.gamma(8, 1 / 8, on.shape))
    mean = (
        depth
        * var["background"].to_numpy()
        * var["foreground"].to_numpy()
        * np.exp(_changes(obs, var))
    )
    foreground = draws.poisson(mean * draws.gamma(6, 1 / 6, on.shape)) * on
    adata = AnnData((background + foreground).astype(np.float32), obs=obs.copy(), var=var)
    adata.varm["expressed"] = pd.DataFrame(expressed, index=var.index, columns=list(TYPES))
    return adata
