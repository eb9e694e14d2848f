"""Coordinates of cells in an embedding that real cells are fitted to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from sklearn.decomposition import PCA

from scdit.pl._cells import together
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

    All real cells and a sample of `training` are fitted on.
    """
    n_training = len(next(iter(training.values()))) if training else 0
    sample = np.sort(np.random.default_rng(seed).permutation(n_training)[:_MOST_FITTED])
    components = {}
    for name, (real, made) in cells.items():
        fitted = together(real, training[name].take(sample)) if training else real
        space = fit_features(fitted, seed=seed)
        components[name] = [space.project(fitted), space.project(made.take(rows[1]))]
    if len(cells) > 1:
        scales = [np.sqrt(real.var(axis=0).sum()) for real, _ in components.values()]
        joint = [
            np.hstack([x / scale for x, scale in zip(parts, scales, strict=True)])
            for parts in zip(*components.values(), strict=True)
        ]
        rotation = PCA(svd_solver="full").fit(joint[0])
        components[JOINT] = [rotation.transform(x) for x in joint]
    place = _umap if basis == "umap" else _first_two
    points = {name: place(fitted, made, seed) for name, (fitted, made) in components.items()}
    # real cells are the first of those that were fitted on
    return {name: (fitted[rows[0]], made) for name, (fitted, made) in points.items()}


def _first_two(fitted: np.ndarray, made: np.ndarray, _: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two components."""
    return fitted[:, :2], made[:, :2]


def _umap(fitted: np.ndarray, made: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit UMAP on components of real cells, and place others into it."""
    # importing it takes seconds, and warns that TensorFlow is missing, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP  # type: ignore[import-untyped]

    mapper = UMAP(n_neighbors=min(15, len(fitted) - 1), random_state=seed, n_jobs=1).fit(fitted)
    return mapper.embedding_, mapper.transform(made)
