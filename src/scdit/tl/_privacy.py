"""What generated cells reveal of the cells that a generator was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from scdit._checks import check_class, check_int, check_rng, shortened
from scdit.tl._neighbors import memorization
from scdit.tl._population import ALL, check_key
from scdit.tl._privacy_cells import Cells, Reader, check_model, layer_of
from scdit.tl._together import fit_projection
from scdit.tl._warnings import share_of_copies, warn_of_overlap

if TYPE_CHECKING:
    from scdit.model import SCDiT

LEAST = 20  # cells on each side below which a value says nothing
_LEAST_DONORS = 3
_MOST_GENERATED = 20_000  # that a model makes, and that are searched for copies
_MOST_FITTED = 5000
_SPLITS = 50  # of the held-out cells, for a floor


def privacy(
    generated: AnnData | MuData | SCDiT,
    train: AnnData | MuData,
    holdout: AnnData | MuData,
    *,
    donor_key: str | None = None,
    layer: str | None = None,
    max_cells: int = 5000,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
    assays: Mapping[str, str] | None = None,
    protein_expression_obsm_key: str | None = None,
) -> pd.DataFrame:
    """Audit what generated cells reveal of training cells. It can find leaks, not rule them out.

    Membership inference: an attacker who has the generated cells guesses that a cell was trained on
    if a generated cell is near it. The area under the ROC curve (AUROC) is 0.5 if the attacker can
    only guess, and 1 if every training cell is found (Shokri et al. 2017, arXiv 1610.05820; distance
    to the nearest generated record as in Chen et al. 2020, arXiv 1909.03935). Distances are those
    between up to 30 principal components, fitted on generated cells: the attacker has only these, and
    `train` and `holdout` influence the components only through them.

    Of MuData objects, cells are compared by all modalities together. Each modality has up to 30
    components of its own: of log expression of genes, of log counts of proteins, of TF-IDF of peaks.
    They are divided by the square root of their total variance, so that each modality counts as
    much, and put side by side. A copy is a cell with the same counts in all modalities. Cells that
    lack a modality are left out. To audit one modality, pass it: ``train["rna"]``.

    The AUROC measures every difference between `train` and `holdout`, also that between their donors
    or cell types. Choose `holdout` at random from the same cells as `train`; for the attack on donors,
    choose whole donors at random.

    Parameters
    ----------
    generated
        Generated cells with raw counts, or a model: it then generates as many cells as `train` has,
        at most 20,000. With few generated cells, an attack finds little. A MuData needs the
        modalities of `train`.
    train
        All cells that the generator was trained on: at least 20, with raw counts. AnnData or MuData.
    holdout
        Cells like these that it was not trained on: at least 20, with raw counts, of the same class.
    donor_key
        Column of `obs` with donors, none of whom may be both in `train` and in `holdout`: the attack
        is then also made on donors, with the mean distance of their cells. Of a MuData, the column
        is taken from ``mdata.obs``, or else from the modality that has it.
    layer
        Layer with the counts of `train` and `holdout`, and of generated cells that have it; None for
        ``X``, or for the layer that the model was trained on. Modalities without it have them in
        ``X``.
    max_cells
        Most training and most held-out cells that are attacked. Copies are searched for among all
        training cells.
    rng
        Seed or generator of the cells that are taken.
    assays
        As in :func:`scdit.tl.evaluate`.
    protein_expression_obsm_key
        As in :func:`scdit.tl.evaluate`. Without it, proteins of AnnData objects are not compared.

    Returns
    -------
    pandas.DataFrame
        One row per metric with the columns of :func:`scdit.tl.evaluate`; ``n`` is the smaller number of
        cells or donors.

        - ``membership_auroc``: of the attack on cells.
        - ``donor_auroc``: of the attack on donors, if `donor_key` is given.
        - ``exact_duplicates``: share of generated cells with the counts of a training cell.
        - ``near_duplicates``: share of generated cells nearer to a training cell than all but the nearest
          5% of held-out cells are.

        The floor of an AUROC is what chance gives: one half of the held-out cells (or donors) against
        the other, mean of 50 random halves; an AUROC below 0.5 counts as 1 minus it. The floor of
        duplicates is their share among held-out cells in the place of generated ones.

    Raises
    ------
    KeyError
        If there is no such layer or column.
    RuntimeError
        If the model is not trained.
    TypeError
        If an object is of the wrong class, or some cells are AnnData and some MuData.
    ValueError
        If values are no counts, genes or modalities are missing, there are too few cells, or a donor
        is both in `train` and in `holdout`.

    Warns
    -----
    UserWarning
        If cells of `holdout` are in `train` too, or cells of a MuData lack a modality.

    Examples
    --------
    >>> scdit.tl.privacy(new, train, test, donor_key="donor")
    """
    check_class("train", train, AnnData, MuData)
    check_class("holdout", holdout, MuData if isinstance(train, MuData) else AnnData)
    check_key("donor_key", donor_key)
    check_key("layer", layer)
    max_cells = check_int("max_cells", max_cells, LEAST)
    draws = np.random.default_rng(check_rng(rng))
    model = check_model(generated, train)
    known = layer if layer is not None or model is None else layer_of(model)
    reader = Reader(train, known, assays, protein_expression_obsm_key)
    members = reader.read(train, "train", donor_key)
    others = reader.read(holdout, "holdout", donor_key)
    _check_sizes(train=members, holdout=others)
    if members.labels is not None and others.labels is not None:
        check_donors(members.labels, others.labels)
    if model is not None:
        n = min(max(len(members), LEAST), _MOST_GENERATED)
        generated = model.generate(n, rng=int(draws.integers(2**31)), silent=True)
    made = reader.read(generated, "generated")
    _check_sizes(generated=made)
    warn_of_overlap(others, members, "holdout", "train")

    fitted = made.take(_some(made, _MOST_FITTED, draws))
    project = fit_projection(fitted, seed=int(draws.integers(2**31)))
    seen = members.take(_some(members, max_cells, draws))
    unseen = others.take(_some(others, max_cells, draws))
    index = NearestNeighbors(n_neighbors=1).fit(project(made))
    near, far = (index.kneighbors(project(x))[0].ravel() for x in (seen, unseen))
    n = min(len(near), len(far))
    rows = [_row("membership_auroc", _auroc(near, far), _chance(far, draws), "closer", 0.5, n)]
    if donor_key is not None:
        rows.append(_donors(_by_donor(near, seen), _by_donor(far, unseen), draws))
    searched = made.take(_some(made, _MOST_GENERATED, draws))
    return pd.DataFrame([*rows, *_duplicates(searched, members, unseen, project, draws)])


def _check_sizes(**sides: Cells) -> None:
    for name, cells in sides.items():
        if len(cells) < LEAST:
            raise ValueError(f"{name} has {len(cells)} cells; the audit needs at least {LEAST}")


def check_donors(members: np.ndarray, others: np.ndarray) -> None:
    """Raise ValueError if a donor is on both sides: then nothing tells who was trained on."""
    both = sorted(set(members) & set(others))
    if both:
        raise ValueError(
            "donors must be either in train or in holdout; in both are "
            f"{shortened(both)}: leave out donor_key, or hold out whole donors"
        )


def _some(cells: Cells, most: int, draws: np.random.Generator) -> np.ndarray:
    """Positions of at most so many cells, at random."""
    return np.sort(draws.permutation(len(cells))[:most])


def _auroc(near: np.ndarray, far: np.ndarray) -> float:
    """How well small distances tell what was seen, 0.5 for not at all."""
    return float(roc_auc_score(np.repeat([1, 0], [len(near), len(far)]), -np.r_[near, far]))


def _chance(distances: np.ndarray, draws: np.random.Generator) -> float:
    """AUROC that halves of the same distances have, above 0.5; mean of random halves."""
    half, found = len(distances) // 2, []
    for _ in range(_SPLITS):
        mixed = draws.permutation(distances)
        found.append(abs(_auroc(mixed[:half], mixed[half:]) - 0.5))
    return 0.5 + float(np.mean(found))


def _by_donor(distances: np.ndarray, cells: Cells) -> np.ndarray:
    """Mean distance of the cells of each donor, (donors,)."""
    return pd.Series(distances).groupby(cells.labels).mean().to_numpy()


def _donors(near: np.ndarray, far: np.ndarray, draws: np.random.Generator) -> dict[str, object]:
    """The attack on donors."""
    n = min(len(near), len(far))
    if n < _LEAST_DONORS:
        note = f"needs {_LEAST_DONORS} donors on each side; there are {n}"
        return _row("donor_auroc", np.nan, np.nan, "closer", 0.5, n, note)
    return _row("donor_auroc", _auroc(near, far), _chance(far, draws), "closer", 0.5, n)


def _duplicates(
    made: Cells,
    members: Cells,
    others: Cells,
    project: Callable[[Cells], np.ndarray],
    draws: np.random.Generator,
) -> list[dict[str, object]]:
    """Generated cells that are training cells, or nearly: beside held-out cells in their place."""
    copied, usual = (share_of_copies(cells, members) for cells in (made, others))
    rows = [_row("exact_duplicates", copied, usual, "lower", 0, len(made))]
    order = draws.permutation(len(others))
    half, rest = (project(others.take(part)) for part in np.array_split(order, 2))
    training, value, floor, note = project(members), np.nan, np.nan, ""
    try:
        whole = np.concatenate([half, rest])
        value = memorization(whole, project(made), training).near_duplicates
        floor = memorization(half, rest, training).near_duplicates
    except ValueError as error:
        note = str(error)
    return [*rows, _row("near_duplicates", value, floor, "lower", 0.05, len(made), note)]


def _row(
    metric: str, value: float, floor: float, better: str, ideal: float, n: int, note: str = ""
) -> dict[str, object]:
    return {
        "metric": metric,
        "group": ALL,
        "value": float(value),
        "floor": float(floor),
        "better": better,
        "ideal": float(ideal),
        "n": n,
        "note": note,
    }
