"""Do modalities fit together? Comparisons of cells across modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from scdit.tl._comparison import Background, Comparison, UnavailableError
from scdit.tl._trial import Trial

N_CORRELATIONS = 10
_RIDGE = (
    0.01  # added to the variances of standardised features: more features than 100 cells can tell
)
_LEAST_OF_LABEL = 5  # a mean of fewer cells removes part of their own spread


class Directions(NamedTuple):
    """Canonical directions of two modalities, shapes (features, directions)."""

    first: np.ndarray
    second: np.ndarray


def fit_directions(first: np.ndarray, second: np.ndarray) -> Directions:
    """Fit the directions of the 10 largest canonical correlations, with a small ridge.

    Parameters
    ----------
    first, second
        Standardised features of the same cells, shapes (cells, features).
    """
    whitened = [
        np.linalg.cholesky(
            np.linalg.inv(np.atleast_2d(np.cov(x, rowvar=False)) + _RIDGE * np.eye(x.shape[1]))
        )
        for x in (first, second)
    ]
    cross = (first - first.mean(axis=0)).T @ (second - second.mean(axis=0)) / len(first)
    left, _, right = np.linalg.svd(whitened[0].T @ cross @ whitened[1], full_matrices=False)
    return Directions(
        whitened[0] @ left[:, :N_CORRELATIONS], whitened[1] @ right[:N_CORRELATIONS].T
    )


def mean_correlation(directions: Directions, first: np.ndarray, second: np.ndarray) -> float:
    """Mean correlation of cells along canonical directions that other cells gave."""
    pairs = zip((first @ directions.first).T, (second @ directions.second).T, strict=True)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))


def without_label_means(features: Sequence[np.ndarray], labels: np.ndarray) -> list[np.ndarray]:
    """Subtract the mean of each label, and leave out labels of fewer than 5 cells.

    Raises
    ------
    UnavailableError
        If no two cells are left.
    """
    _, code, size = np.unique(labels, return_inverse=True, return_counts=True)
    keep = size[code] >= _LEAST_OF_LABEL
    if not keep.any():
        raise UnavailableError(f"needs labels of at least {_LEAST_OF_LABEL} cells")
    left = []
    for x in features:
        sums = np.zeros((len(size), x.shape[1]))
        np.add.at(sums, code, x)
        left.append((x - (sums / size[:, None])[code])[keep])
    return left


class JointBackground:
    """Scale of features and canonical directions, fitted on real cells of neither side.

    Parameters
    ----------
    parts
        What is fitted in each modality, on the same cells.
    """

    def __init__(self, parts: Sequence[Background]) -> None:
        self._features = [part.space.joint_features(part.cells) for part in parts]
        self._labels = parts[0].cells.labels
        self._mean = [x.mean(axis=0) for x in self._features]
        self._sd = [x.std(axis=0) + 1e-9 for x in self._features]

    def standardise(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return features of each modality with mean 0 and standard deviation 1 in these cells."""
        return [
            (x - mean) / sd for x, mean, sd in zip(features, self._mean, self._sd, strict=True)
        ]

    @cached_property
    def directions(self) -> Directions:
        """Canonical directions of two modalities."""
        return fit_directions(*self.standardise(self._features))

    @cached_property
    def directions_within(self) -> Directions:
        """The same, with label means removed."""
        if self._labels is None:
            raise UnavailableError("needs `labels_key`, and labels of the generated cells")
        return fit_directions(*without_label_means(self.standardise(self._features), self._labels))


@dataclass(frozen=True, eq=False)
class JointComparison:
    """Real cells against equally many others, in several modalities of the same cells.

    Attributes
    ----------
    parts
        The comparison of each modality.
    background
        Fitted on neither side.
    """

    parts: Sequence[Comparison]
    background: JointBackground

    @property
    def seed(self) -> int:
        """Of whatever is random in a metric."""
        return self.parts[0].seed

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of both sides."""
        return self.parts[0].labels

    @cached_property
    def features(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Standardised features of each modality, of the real and of the generated cells."""
        real = [c.background.space.joint_features(c.real) for c in self.parts]
        generated = [c.background.space.joint_features(c.generated) for c in self.parts]
        return self.background.standardise(real), self.background.standardise(generated)


@dataclass(frozen=True, eq=False)
class JointTrial:
    """Trials of several modalities as one: the same cells are drawn in each."""

    trials: Mapping[str, Trial]

    @property
    def groups(self) -> list[str]:
        """Labels to compare one by one."""
        return self._first.groups

    def available(self, group: str) -> dict[str, int]:
        """Return the number of cells of a group on each side."""
        return self._first.available(group)

    def size(self, group: str) -> int:
        """Return the number of cells on each side of a group's comparisons."""
        return self._first.size(group)

    def comparisons(self, group: str) -> tuple[JointComparison, JointComparison]:
        """Return the comparison of a group's generated cells and that of its floor."""
        values, floors = zip(
            *(trial.comparisons(group) for trial in self.trials.values()), strict=True
        )
        return (
            JointComparison(values, self._background),
            JointComparison(floors, self._background),
        )

    @property
    def _first(self) -> Trial:
        return next(iter(self.trials.values()))

    @cached_property
    def _background(self) -> JointBackground:
        return JointBackground([trial.background for trial in self.trials.values()])
