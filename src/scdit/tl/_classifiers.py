"""Classifiers as judges: can real be told from generated, and are the labels right?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from scdit._checks import check_choice, check_int
from scdit.tl._points import MAX_SEED, check_samples

Classifier = Literal["random_forest", "logistic"]


def c2st(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    classifier: Classifier = "random_forest",
    seed: int = 0,
) -> float:
    """Classifier two-sample test: cross-validated AUC of telling generated from real cells.

    Lopez-Paz and Oquab (ICLR 2017), with the area under the ROC curve of pooled out-of-fold
    probabilities (5 stratified folds) instead of accuracy. 0.5 means that the classifier cannot
    tell; clearly less than 0.5 points to copies on the two sides.

    Parameters
    ----------
    real
        Shape (n, d), with n >= 5.
    generated
        Shape (m, d), with m >= 5.
    classifier
        A random forest of 200 trees, or a logistic regression (C = 0.01) on standardised
        features.
    seed
        Of the folds and the forest.

    Returns
    -------
    The AUC, 0 to 1.

    Raises
    ------
    TypeError
        If a sample is an AnnData or a sparse matrix.
    ValueError
        If a sample has fewer than 5 cells or values that are not finite, if the samples differ in d,
        the classifier is unknown, or the seed is not an integer from 0 to 2^32 - 1.

    Examples
    --------
    Cells of one law cannot be told apart, and shifted ones can:

    >>> rng = numpy.random.default_rng(0)
    >>> first, second = rng.normal(size=(2, 200, 5))
    >>> scdit.tl.c2st(first, second)
    >>> scdit.tl.c2st(first, second + 1)
    """
    check_choice("classifier", classifier, ("random_forest", "logistic"))
    seed = check_int("seed", seed, 0, MAX_SEED)
    real, generated = check_samples(5, real=real, generated=generated)
    model: ClassifierMixin
    if classifier == "random_forest":
        # threads share the data, and the result does not depend on their number
        model = RandomForestClassifier(200, n_jobs=-1, random_state=seed)
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    features = np.concatenate([real, generated])
    is_generated = np.repeat([0, 1], [len(real), len(generated)])
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    with _warning_filters_kept():
        probability = cross_val_predict(
            model, features, is_generated, cv=folds, method="predict_proba"
        )[:, 1]
    return float(roc_auc_score(is_generated, probability))


def fit_label_classifier(features: np.ndarray, labels: np.ndarray) -> Pipeline:
    """Fit a logistic regression of labels on standardised features, shape (cells, d)."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, labels)


@contextmanager
def _warning_filters_kept() -> Iterator[None]:
    """Keep what the user has set: scikit-learn's threads set the filters of the process, and race.

    Where one loses the race all filters are gone, and scikit-learn warns of it hundreds of times.
    """
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught:
        if "sklearn.utils.parallel" not in str(warning.message):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
