"""The table of metrics across modalities, as :mod:`scdit.tl._metrics` is that of one modality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from scdit.tl._classifiers import c2st
from scdit.tl._genes import cross_correlations
from scdit.tl._joint import (
    JointComparison,
    JointTrial,
    mean_correlation,
    without_label_means,
)
from scdit.tl._metrics import NAN, Metric
from scdit.tl._trial import Trial

JOINT = "joint"


def _within(c: JointComparison) -> float:
    """Mean canonical correlation of generated cells with label means removed."""
    directions = c.background.directions_within
    return mean_correlation(directions, *without_label_means(c.features[1], c.labels[1]))


def _cross_error(c: JointComparison) -> float:
    """RMSE of the correlations of each feature with each of the other modality."""
    real, generated = (cross_correlations(*features) for features in c.features)
    return float(np.sqrt(np.mean((real - generated) ** 2)))


def _agreement(c: JointComparison) -> float:
    """Share of generated cells whose two predicted labels are the same."""
    first, second = (part.predicted_labels for part in c.parts)
    return float(np.mean(first == second))


# fmt: off
_OF_ALL: tuple[Metric[JointComparison], ...] = (
    Metric("joint_rf", "random forest on all modalities (AUC)",
           "AUC of a random forest on the features of all modalities together",
           lambda c: c2st(*map(np.hstack, c.features), seed=c.seed),
           "closer", 0.5, min_cells=20, scope="all"),
)
_OF_PAIRS: tuple[Metric[JointComparison], ...] = (
    Metric("cca", "modalities fit together",
           "Mean of the 10 largest canonical correlations of two modalities; below the "
           "floor: modalities do not fit together",
           lambda c: mean_correlation(c.background.directions, *c.features[1]),
           "closer", NAN, min_cells=50, scope="all"),
    Metric("cca_within", "modalities fit together, within labels",
           "Canonical correlations with label means removed", _within,
           "closer", NAN, min_cells=50, scope="all"),
    Metric("cross_rmse", "pairs across modalities, error",
           "RMSE of correlations of features of two modalities", _cross_error,
           "lower", 0, min_cells=50),
    Metric("agree", "modalities of one label",
           "Generated cells given the same label by classifiers of both modalities",
           _agreement, "closer", NAN, min_cells=5),
)
# fmt: on

JOINT_METRICS: dict[str, Metric[JointComparison]] = {m.name: m for m in (*_OF_ALL, *_OF_PAIRS)}


def joint_trials(
    trials: Mapping[str, Trial],
) -> Iterator[tuple[str, JointTrial, tuple[Metric[JointComparison], ...]]]:
    """Name what is compared across modalities, with its cells and its metrics.

    Two modalities are ``"joint"``. Of more, each pair has a name of its own, such as
    ``"rna+prot"``, and ``"joint"`` are all of them.
    """
    if len(trials) < 2:
        return
    everything = JointTrial(trials)
    if len(trials) == 2:
        yield JOINT, everything, (*_OF_ALL, *_OF_PAIRS)
        return
    yield JOINT, everything, _OF_ALL
    for pair in combinations(trials, 2):
        yield "+".join(pair), JointTrial({name: trials[name] for name in pair}), _OF_PAIRS
