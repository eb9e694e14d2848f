"""The table of metrics: a name, what it measures, which way is better, and how it is computed.

A new metric is one row here, whose function takes a :class:`Comparison` and returns a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
from scipy.stats import ks_2samp

from scdit.tl._cfgen import cfgen_mmd
from scdit.tl._classifiers import c2st, fit_label_classifier
from scdit.tl._comparison import Comparison, UnavailableError
from scdit.tl._distances import frechet, mmd, sliced_wasserstein, wasserstein
from scdit.tl._genes import agreement, log_agreement
from scdit.tl._paper import five_kernel_mmd, paired_kl, pooled_wasserstein

NAN = float("nan")

Better = Literal["lower", "higher", "closer"]
Scope = Literal["cells", "labels", "all"]
C = TypeVar("C")  # what is compared: one modality, or several


@dataclass(frozen=True)
class Metric(Generic[C]):
    """One row of the table.

    Attributes
    ----------
    name
        As it stands in the table that `evaluate` returns.
    words
        A few plain words, for figures.
    about
        One line for people.
    compute
        From a comparison to a number; raises `UnavailableError` where there is none.
    better
        ``"lower"``, ``"higher"``, or ``"closer"`` to the ideal.
    ideal
        Value of a perfect generator with endless cells; NaN where the floor is the ideal.
    min_cells
        Cells that each side needs.
    scope
        ``"cells"``: all cells, and each label. ``"labels"``: each label, and their unweighted
        mean for all. ``"all"``: all cells only.
    """

    name: str
    words: str
    about: str
    compute: Callable[[C], float]
    better: Better
    ideal: float
    min_cells: int = 10
    scope: Scope = "cells"


def _sd_ratio(real: np.ndarray, generated: np.ndarray) -> float:
    """Median over components of the ratio of standard deviations."""
    return float(np.median(generated.std(axis=0) / real.std(axis=0)))


def _sd_ratio_within(c: Comparison) -> float:
    """The same, with label means removed."""
    sides = []
    for pcs, labels in zip(c.pcs, c.labels, strict=True):
        values, code, size = np.unique(labels, return_inverse=True, return_counts=True)
        means = np.stack([pcs[labels == value].mean(axis=0) for value in values])
        # a mean of very few cells removes part of their own spread
        sides.append((pcs - means[code])[size[code] >= 5])
    if min(map(len, sides)) < 10:
        raise UnavailableError("needs 10 cells in labels of at least 5")
    return _sd_ratio(*sides)


def _moment_offset(c: Comparison) -> float:
    """Half a count in all cells: keeps logarithms finite without hiding rare genes."""
    return 0.5 / len(c.real)


def _ks(real: np.ndarray, generated: np.ndarray) -> float:
    """Kolmogorov-Smirnov statistic; its exact p-value, which nobody asks for, can fail loudly."""
    return float(ks_2samp(real, generated, method="asymp").statistic)


def _correct_labels(c: Comparison) -> float:
    """Share of generated cells whose label a classifier of real cells predicts."""
    _, labels = c.labels
    return float(np.mean(c.predicted_labels == labels))


def _train_on_generated(c: Comparison) -> float:
    """Accuracy on real cells of a label classifier trained on generated ones."""
    real_labels, generated_labels = c.labels
    if len(np.unique(generated_labels)) < 2:
        raise UnavailableError("needs at least two labels among the generated cells")
    classifier = fit_label_classifier(c.generated_pcs, generated_labels)
    return float(np.mean(classifier.predict(c.real_pcs) == real_labels))


def _share_of_copies(c: Comparison) -> float:
    """Share of generated cells that equal a training cell in every gene."""
    return float(
        np.isin(c.generated.fingerprints, c.background.known_training.fingerprints).mean()
    )


# fmt: off
_TABLE: tuple[Metric[Comparison], ...] = (
    # distances of distributions, in the space of 30 principal components
    Metric("mmd", "distance of the cells (MMD²)",
           "Unbiased squared maximum mean discrepancy, 5 RBF kernels, on PCs",
           lambda c: mmd(*c.pcs), "lower", 0),
    Metric("frechet", "distance of means and covariances",
           "Fréchet distance on PCs",
           lambda c: frechet(*c.pcs), "lower", 0),
    Metric("sliced_w2", "transport distance, sliced",
           "Sliced 2-Wasserstein distance on PCs (rewards shrinkage)",
           lambda c: sliced_wasserstein(*c.pcs, seed=c.seed), "lower", 0),
    Metric("w2", "transport distance",
           "Exact 2-Wasserstein distance on PCs (rewards shrinkage)",
           lambda c: wasserstein(*c.pcs), "lower", 0),
    # two-sample classifiers
    Metric("c2st_rf_pca", "random forest on PCs (AUC)",
           "AUC of a random forest on PCs telling generated from real",
           lambda c: c2st(*c.pcs, seed=c.seed), "closer", 0.5, min_cells=20, scope="all"),
    Metric("c2st_rf_genes", "random forest on genes (AUC)",
           "AUC of a random forest on 1,000 variable genes",
           lambda c: c.gene_auc("random_forest"), "closer", 0.5, min_cells=20, scope="all"),
    Metric("c2st_lr_genes", "logistic regression on genes (AUC)",
           "AUC of a logistic regression on 1,000 variable genes",
           lambda c: c.gene_auc("logistic"), "closer", 0.5, min_cells=20),
    # neighbours
    Metric("nn_accuracy", "nearest-neighbour classifier",
           "Accuracy of 1-nearest-neighbour on PCs; below 0.5: too near real cells",
           lambda c: c.neighborhood.nn_accuracy, "closer", 0.5),
    Metric("precision", "generated cells among real ones",
           "Share of generated cells within the 5-neighbour radius of a real cell",
           lambda c: c.neighborhood.precision, "higher", 1),
    Metric("recall", "real cells among generated ones",
           "Share of real cells within the 5-neighbour radius of a generated cell",
           lambda c: c.neighborhood.recall, "higher", 1),
    Metric("density", "density of generated cells among real ones",
           "Mean number of real cells whose 5-neighbour radius holds a generated cell, over 5",
           lambda c: c.neighborhood.density, "closer", 1),
    Metric("coverage", "real cells with a generated neighbour",
           "Share of real cells with a generated cell within their 5-neighbour radius",
           lambda c: c.neighborhood.coverage, "higher", 1),
    # spread
    Metric("pc_sd_ratio", "spread of the cells",
           "Median ratio of PC standard deviations; below 1: shrunken cells",
           lambda c: _sd_ratio(*c.pcs), "closer", 1),
    Metric("pc_sd_ratio_within", "spread within labels",
           "The same within labels",
           _sd_ratio_within, "closer", 1, scope="all"),
    # genes and depth
    Metric("gene_mean_error", "means of genes, error",
           "Mean |log10 ratio| of mean counts per gene",
           lambda c: log_agreement(c.moments[0].mean, c.moments[1].mean,
                                   offset=_moment_offset(c)).error, "lower", 0),
    Metric("gene_mean_r", "means of genes, correlation",
           "Correlation of log10 mean counts per gene",
           lambda c: log_agreement(c.moments[0].mean, c.moments[1].mean,
                                   offset=_moment_offset(c)).r, "higher", 1),
    Metric("gene_variance_error", "variances of genes, error",
           "Mean |log10 ratio| of count variances per gene",
           lambda c: log_agreement(c.moments[0].variance, c.moments[1].variance,
                                   offset=_moment_offset(c)).error, "lower", 0),
    Metric("gene_variance_r", "variances of genes, correlation",
           "Correlation of log10 count variances per gene",
           lambda c: log_agreement(c.moments[0].variance, c.moments[1].variance,
                                   offset=_moment_offset(c)).r, "higher", 1),
    Metric("gene_zeros_error", "zeros of genes, error",
           "Mean absolute difference of zero fractions per gene",
           lambda c: agreement(c.moments[0].zeros, c.moments[1].zeros).error, "lower", 0),
    Metric("gene_zeros_r", "zeros of genes, correlation",
           "Correlation of zero fractions per gene",
           lambda c: agreement(c.moments[0].zeros, c.moments[1].zeros).r, "higher", 1),
    Metric("library_size_ks", "counts per cell",
           "Kolmogorov-Smirnov statistic of library sizes",
           lambda c: _ks(c.real.library_size, c.generated.library_size),
           "lower", 0),
    Metric("detected_genes_ks", "genes per cell",
           "Kolmogorov-Smirnov statistic of detected genes per cell",
           lambda c: _ks(c.real.detected_genes, c.generated.detected_genes),
           "lower", 0),
    Metric("correlation_error", "pairs of genes, error",
           "RMSE of gene-gene correlations of 200 variable genes",
           lambda c: c.correlations.error, "lower", 0, min_cells=50),
    Metric("correlation_r", "pairs of genes, correlation",
           "Correlation of gene-gene correlations of 200 variable genes",
           lambda c: c.correlations.r, "higher", 1, min_cells=50),
    # labels
    Metric("marker_slope", "strength of markers",
           "Slope of generated on real log fold changes, label against rest",
           lambda c: c.markers.slope, "closer", NAN, min_cells=20, scope="labels"),
    Metric("marker_r", "markers, correlation",
           "Correlation of generated and real log fold changes",
           lambda c: c.markers.r, "higher", 1, min_cells=20, scope="labels"),
    Metric("label_fidelity", "cells of the label asked for",
           "Generated cells given their own label by a classifier of real cells; "
           "above the floor: too typical",
           _correct_labels, "closer", NAN, min_cells=5),
    Metric("train_on_generated", "training a classifier on them",
           "Accuracy on real cells of a classifier trained on generated ones",
           _train_on_generated, "higher", 1, scope="all"),
    # memorisation
    Metric("memorization_ratio", "distance to training cells",
           "Distance to the nearest training cell, over that of held-out "
           "cells; well below its floor, 0.96 to 0.99: copies",
           lambda c: c.memorization.ratio, "closer", 1),
    Metric("near_duplicates", "cells very near a training cell",
           "Share nearer to a training cell than 95% of held-out cells are",
           lambda c: c.memorization.near_duplicates, "lower", 0.05, min_cells=20),
    Metric("exact_duplicates", "copies of training cells",
           "Share of cells equal to a training cell in every gene",
           _share_of_copies, "lower", 0, min_cells=1),
    # CFGen's protocol
    Metric("cfgen_w1", "CFGen: transport distance W1",
           "CFGen's protocol: exact W1 per label",
           lambda c: wasserstein(*c.cfgen_pcs, p=1), "lower", 0, min_cells=2, scope="labels"),
    Metric("cfgen_w2", "CFGen: transport distance W2",
           "CFGen's protocol: exact W2 per label (rewards shrinkage)",
           lambda c: wasserstein(*c.cfgen_pcs), "lower", 0, min_cells=2, scope="labels"),
    Metric("cfgen_mmd", "CFGen: MMD²",
           "CFGen's protocol: biased MMD^2 per label",
           lambda c: cfgen_mmd(*c.cfgen_pcs), "lower", 0, min_cells=2, scope="labels"),
    # the scRDiT paper's metrics
    Metric("paper_kl", "scRDiT: KL",
           "scRDiT paper: KL of paired cells per label (rewards mean cells)",
           lambda c: paired_kl(*c.paper_expression), "lower", 0, min_cells=2, scope="labels"),
    Metric("paper_wasserstein", "scRDiT: Wasserstein",
           "scRDiT paper: Wasserstein of pooled values (blind to genes)",
           lambda c: pooled_wasserstein(*c.paper_expression), "lower", 0, min_cells=2,
           scope="labels"),
    Metric("paper_mmd", "scRDiT: MMD²",
           "scRDiT paper: biased MMD^2 of expression per label",
           lambda c: five_kernel_mmd(*c.paper_expression), "lower", 0, min_cells=2,
           scope="labels"),
)
# fmt: on

METRICS: dict[str, Metric[Comparison]] = {metric.name: metric for metric in _TABLE}
