"""What generated cells reveal of the cells that a generator was trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from scdit._checks import check_class, check_int, check_rng
from scdit.tl._features import fit_features
from scdit.tl._neighbors import NEAR_QUANTILE
from scdit.tl._population import Population, read_population

_LEAST = 20  # cells on each side, and donors, below which a value says nothing
_LEAST_DONORS = 3


def privacy(
    generated: AnnData,
    train: AnnData,
    holdout: AnnData,
    *,
    donor_key: str | None = None,
    layer: str | None = None,
    max_cells: int = 5000,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Audit what generated cells reveal of training cells. It can find leaks; it cannot rule them out.

    Membership inference: an attacker who has the generated cells guesses that a cell was trained on if
    a generated cell is near it. The area under the ROC curve is 0.5 if guessing is all that is left, and
    1 if every training cell gives itself away (Shokri et al. 2017, arXiv 1610.05820; distance to the
    nearest generated record as in Chen et al. 2020, arXiv 1909.03935). Distances are those of 30 principal
    components of the generated cells, which neither side was used for.

    Parameters
    ----------
    generated
        Generated cells with raw counts.
    train, holdout
        Cells that the generator was trained on, and cells like these that it was not: at least 20 each.
    donor_key
        Column of `obs` with donors, which must not be both in `train` and in `holdout`: the attack is
        then also made on donors, with the mean of their cells.
    layer
        Layer with the counts; `X` where it is None, and for generated cells without that layer.
    max_cells
        Most training and held-out cells that are attacked.
    rng
        Seed or generator of the cells that are taken.

    Returns
    -------
    One row per metric, with ``value``, ``floor`` (what is found where nothing can leak: between two halves
    of `holdout`, or against held-out cells), ``ideal``, ``n`` and ``note``:

    - ``membership_auroc``: of the attack on cells
    - ``donor_auroc``: of the attack on donors, if `donor_key` is given
    - ``exact_duplicates``: share of generated cells with the counts of a training cell
    - ``near_duplicates``: share nearer to a training cell than 95% of held-out cells are

    Raises
    ------
    KeyError
        If there is no such layer or column.
    ValueError
        If values are no counts, genes are missing, there are too few cells, or a donor is on both sides.

    Examples
    --------
    >>> scdit.tl.privacy(new, train, test, donor_key="donor")
    """
    sides = {"generated": generated, "train": train, "holdout": holdout}
    for name, side in sides.items():
        check_class(name, side, AnnData)
        if side.n_obs < _LEAST:
            raise ValueError(f"{name} has {side.n_obs} cells; the audit needs at least {_LEAST}")
    max_cells = check_int("max_cells", max_cells, _LEAST)
    rng = np.random.default_rng(check_rng(rng))
    genes = list(train.var_names)
    cells = {
        name: read_population(
            side,
            name,
            genes=genes,
            labels_key=None if name == "generated" else donor_key,
            layer=layer if name != "generated" or layer in side.layers else None,
        )
        for name, side in sides.items()
    }
    n = min(max_cells, len(cells["train"]), len(cells["holdout"]))
    seen, unseen = (
        cells[name].take(rng.permutation(len(cells[name]))[:n]) for name in ("train", "holdout")
    )
    space = fit_features(cells["generated"], seed=int(rng.integers(2**31)))
    made = space.project(cells["generated"])
    near = _distances(space.project(seen), made), _distances(space.project(unseen), made)
    halves = near[1][: n // 2], near[1][n // 2 :]
    rows = [_row("membership_auroc", _auroc(*near), _auroc(*halves), 0.5, n)]
    if donor_key is not None:
        rows.append(_donors(seen, unseen, near))
    rows += _duplicates(cells["generated"], cells["train"], unseen, space)
    return pd.DataFrame(rows)


def _distances(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of others, (n,)."""
    return NearestNeighbors(n_neighbors=1).fit(to).kneighbors(points)[0].ravel()


def _auroc(seen: np.ndarray, unseen: np.ndarray) -> float:
    """How well small distances tell what was seen, 0.5 for not at all."""
    return float(roc_auc_score(np.repeat([1, 0], [len(seen), len(unseen)]), -np.r_[seen, unseen]))


def _donors(
    seen: Population, unseen: Population, near: tuple[np.ndarray, np.ndarray]
) -> dict[str, object]:
    """The attack on donors, by the mean distance of their cells."""
    both = set(seen.labels) & set(unseen.labels)  # type: ignore[arg-type]
    if both:
        raise ValueError(
            f"donors must be either in train or in holdout; {sorted(both)[0]!r} is in both"
        )
    means = [
        pd.Series(distance).groupby(cells.labels).mean().to_numpy()
        for cells, distance in zip((seen, unseen), near, strict=True)
    ]
    n = min(map(len, means))
    if n < _LEAST_DONORS:
        note = f"needs {_LEAST_DONORS} donors on each side; there are {n}"
        return _row("donor_auroc", np.nan, np.nan, 0.5, n, note)
    return _row("donor_auroc", _auroc(*means), 0.5, 0.5, n)


def _duplicates(
    made: Population, seen: Population, unseen: Population, space: object
) -> list[dict[str, object]]:
    """Generated cells that are training cells, or nearly: beside what held-out cells have of these."""
    points = [space.project(cells) for cells in (made, seen, unseen)]  # type: ignore[attr-defined]
    usual = np.quantile(_distances(points[2], points[1]), NEAR_QUANTILE)
    exact = [np.isin(made.fingerprints, side.fingerprints).mean() for side in (seen, unseen)]
    near = [(_distances(points[0], side) < usual).mean() for side in (points[1], points[2])]
    n = len(seen)
    return [
        _row("exact_duplicates", exact[0], exact[1], 0.0, n),
        _row("near_duplicates", near[0], near[1], NEAR_QUANTILE, n),
    ]


def _row(
    metric: str, value: float, floor: float, ideal: float, n: int, note: str = ""
) -> dict[str, object]:
    return {
        "metric": metric,
        "value": float(value),
        "floor": float(floor),
        "ideal": ideal,
        "n": n,
        "note": note,
    }
