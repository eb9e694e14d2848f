"""One comparison: real cells against as many others, and all that metrics need to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.pipeline import Pipeline

from scdit.tl._cfgen import CFGenSpace, fit_cfgen_space
from scdit.tl._classifiers import Classifier, c2st, fit_label_classifier
from scdit.tl._features import FeatureSpace, fit_features
from scdit.tl._genes import (
    Agreement,
    FoldChangeFit,
    GeneMoments,
    correlation_agreement,
    fold_change_fit,
    gene_moments,
    log_fold_change,
)
from scdit.tl._neighbors import Memorization, Neighborhood, memorization, neighborhood
from scdit.tl._population import ALL, Population


class UnavailableError(ValueError):
    """A metric has no value here; the message says why and becomes the note in the table.

    So does that of any ValueError of a metric.
    """


@dataclass(frozen=True, eq=False)
class Background:
    """What is fitted on real cells that stand on neither side of a comparison.

    Attributes
    ----------
    space
        Genes and principal components.
    label_classifier
        Predicts labels from principal components; None with fewer than two labels.
    training
        Cells that the generator may have copied, None if unknown.
    cells
        The cells that all of it is fitted on.
    """

    space: FeatureSpace
    label_classifier: Pipeline | None
    training: Population | None
    cells: Population

    @cached_property
    def training_pcs(self) -> np.ndarray:
        """Principal components of the training cells, shape (cells, components)."""
        return self.space.project(self.known_training)

    @property
    def known_training(self) -> Population:
        """The training cells; unavailable where no reference was given."""
        if self.training is None:
            raise UnavailableError("needs `reference`, the cells the generator was trained on")
        return self.training


def fit_background(cells: Population, training: Population | None, *, seed: int) -> Background:
    """Fit features and the label classifier on `cells`."""
    space = fit_features(cells, seed=seed)
    classifier = None
    if cells.labels is not None and len(np.unique(cells.labels)) > 1:
        classifier = fit_label_classifier(space.project(cells), cells.labels)
    return Background(space, classifier, training, cells)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Real cells against equally many others: generated ones, or real ones for the floor.

    Intermediate results that several metrics share are computed once, when first asked for.

    Attributes
    ----------
    real, generated
        The two sides, of the same size.
    background
        Fitted on neither of them.
    seed
        Of whatever is random in a metric; the same for a value and its floor.
    group
        ``"all"``, or the label of these cells.
    whole
        The comparison of all cells, where this is the one of a label.
    """

    real: Population
    generated: Population
    background: Background
    seed: int
    group: str = ALL
    whole: Comparison | None = None

    @cached_property
    def real_pcs(self) -> np.ndarray:
        """Principal components of the real cells, shape (cells, components)."""
        return self.background.space.project(self.real)

    @cached_property
    def generated_pcs(self) -> np.ndarray:
        """Principal components of the generated cells, shape (cells, components)."""
        return self.background.space.project(self.generated)

    @property
    def pcs(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of both sides."""
        return self.real_pcs, self.generated_pcs

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of both sides."""
        if self.real.labels is None or self.generated.labels is None:
            raise UnavailableError("needs `labels_key`, and labels of the generated cells")
        return self.real.labels, self.generated.labels

    @cached_property
    def predicted_labels(self) -> np.ndarray:
        """Label of each generated cell as a classifier of real cells predicts it."""
        if self.background.label_classifier is None:
            raise UnavailableError("needs at least two labels")
        return self.background.label_classifier.predict(self.generated_pcs)

    def expression(self, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Dense log expression of a few genes on both sides, shapes (cells, genes)."""
        return (
            self.real.log_expression(genes).toarray(),
            self.generated.log_expression(genes).toarray(),
        )

    def gene_auc(self, classifier: Classifier) -> float:
        """AUC of a two-sample classifier on the expression of the most variable genes."""
        real, generated = self.expression(self.background.space.classifier_genes)
        return c2st(real, generated, classifier=classifier, seed=self.seed)

    @cached_property
    def moments(self) -> tuple[GeneMoments, GeneMoments]:
        """Mean, variance and zero fraction of the expressed genes' counts, on both sides."""
        genes = self.background.space.expressed_genes
        return (
            gene_moments(self.real.counts[:, genes]),
            gene_moments(self.generated.counts[:, genes]),
        )

    @cached_property
    def neighborhood(self) -> Neighborhood:
        """Nearest-neighbour metrics in PCA space."""
        return neighborhood(*self.pcs)

    @cached_property
    def memorization(self) -> Memorization:
        """Distances to the training cells, against those of the held-out real cells."""
        return memorization(*self.pcs, self.background.training_pcs)

    @cached_property
    def correlations(self) -> Agreement:
        """Agreement of gene-gene correlations."""
        genes = self.background.space.correlation_genes
        if len(genes) < 3:
            raise UnavailableError(f"only {len(genes)} genes are detected in 5% of the cells")
        return correlation_agreement(*self.expression(genes))

    @cached_property
    def markers(self) -> FoldChangeFit:
        """Generated on real log fold changes of the label against all other cells."""
        whole = self._whole
        genes = self.background.space.marker_genes
        if len(genes) < 3:
            raise UnavailableError(f"only {len(genes)} genes are detected in 5% of the cells")
        changes = []
        for side, everyone in ((self.real, whole.real), (self.generated, whole.generated)):
            others = everyone.take(np.flatnonzero(everyone.labels != self.group))
            if not len(others):
                raise UnavailableError("needs cells of another label")
            changes.append(
                log_fold_change(side.log_expression(genes), others.log_expression(genes))
            )
        return fold_change_fit(*changes)

    @cached_property
    def cfgen_space(self) -> CFGenSpace:
        """The space of CFGen's protocol, fitted on all compared real cells."""
        try:
            return fit_cfgen_space(self.real, seed=self.seed)
        except (ImportError, ValueError) as error:
            raise UnavailableError(f"seurat_v3 genes: {error}") from error

    @cached_property
    def cfgen_pcs(self) -> tuple[np.ndarray, np.ndarray]:
        """The label's cells in the space of CFGen's protocol."""
        space = self._whole.cfgen_space
        return space.project(self.real), space.project(self.generated)

    @cached_property
    def paper_expression(self) -> tuple[np.ndarray, np.ndarray]:
        """Log expression of up to 2,000 variable genes, as in the scRDiT paper."""
        return self.expression(self.background.space.pca_genes)

    @property
    def _whole(self) -> Comparison:
        return self if self.whole is None else self.whole
