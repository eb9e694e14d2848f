"""Coordinates of cells in an embedding that real cells are fitted to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from sklearn.decomposition import PCA

from scdit.tl._features import fit_features
from scdit.tl._joint_metrics import JOINT
from scdit.tl._population import Population

Basis = Literal["umap", "pca"]
Cells = tuple[Population, Population]  # real and generated
_MOST_FITTED = 5000  # training cells that an embedding is fitted on


def embed(
    cells: Mapping[str, Cells],
    training: Mapping[str, Population],
    rows: Sequence[np.ndarray],
    basis: Basis,
    seed: int,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return coordinates of the cells in `rows` of both sides, (n, 2) each, by modality and joint.

    A sample of `training` is fitted on, and both sides are placed into it alike. Where it is empty, all
    real cells are fitted on.
    """
    n_training = len(next(iter(training.values()))) if training else 0
    sample = np.sort(np.random.default_rng(seed).permutation(n_training)[:_MOST_FITTED])
    components: dict[str, list[np.ndarray]] = {}
    for name, sides in cells.items():
        base = training[name].take(sample) if training else sides[0]
        space = fit_features(base, seed=seed)
        shown = [side.take(keep) for side, keep in zip(sides, rows, strict=True)]
        components[name] = [space.project(part) for part in (base, *shown)]
    if len(cells) > 1:
        scales = [np.sqrt(fitted.var(axis=0).sum()) for fitted, *_ in components.values()]
        joint = [
            np.hstack([x / scale for x, scale in zip(parts, scales, strict=True)])
            for parts in zip(*components.values(), strict=True)
        ]
        rotation = PCA(svd_solver="full").fit(joint[0])
        components[JOINT] = [rotation.transform(x) for x in joint]
    points = {}
    for name, (fitted, real, made) in components.items():
        if basis == "pca":
            points[name] = real[:, :2], made[:, :2]
            continue
        own, placed = _umap(fitted, np.concatenate([real, made]) if training else made, seed)
        # real cells that were fitted on have their places
        points[name] = (
            (placed[: len(real)], placed[len(real) :]) if training else (own[rows[0]], placed)
        )
    return points


def _umap(fitted: np.ndarray, others: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit UMAP on components of real cells, and place others into it."""
    # importing it takes seconds, and warns that TensorFlow is missing, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP  # type: ignore[import-untyped]

    mapper = UMAP(n_neighbors=min(15, len(fitted) - 1), random_state=seed, n_jobs=1).fit(fitted)
    return mapper.embedding_, mapper.transform(others)
