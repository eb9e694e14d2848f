import warnings

import numpy as np
import pytest

from scdit.tl import c2st, memorization, neighborhood


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_two_samples_of_one_law(rng):
    x, y = rng.normal(size=(2, 400, 3))
    result = neighborhood(x, y)
    assert result.nn_accuracy == pytest.approx(0.5, abs=0.07)
    assert result.density == pytest.approx(1, abs=0.15)
    # 1 - 2^-k for the coverage of real cells by a sample of equal size (Naeem et al., section 3)
    assert result.coverage == pytest.approx(1 - 2**-5, abs=0.03)
    assert min(result.precision, result.recall) > 0.85


def test_samples_far_apart(rng):
    x, y = rng.normal(size=(2, 100, 3))
    assert neighborhood(x, y + 100) == (1.0, 0.0, 0.0, 0.0, 0.0)


def test_lost_diversity_is_recall_not_precision(rng):
    x = np.concatenate([rng.normal(size=(100, 3)), rng.normal(20, 1, size=(100, 3))])
    y = rng.normal(size=(200, 3))
    result = neighborhood(x, y)
    assert result.precision > 0.9
    assert result.recall < 0.55
    assert result.coverage < 0.55


def test_copies_of_the_other_side_fool_precision_but_not_one_nn(rng):
    x = rng.normal(size=(200, 3))
    result = neighborhood(x, x + 1e-6)
    assert result.precision == 1
    assert result.nn_accuracy < 0.05


def test_too_few_cells(rng):
    with pytest.raises(ValueError, match="k=5 needs more than 5 points"):
        neighborhood(rng.normal(size=(5, 2)), rng.normal(size=(9, 2)))


def test_memorization_of_fresh_cells_and_copies(rng):
    training, held_out, fresh = rng.normal(size=(600, 5)), *rng.normal(size=(2, 300, 5))
    clean = memorization(held_out, fresh, training)
    assert clean.ratio == pytest.approx(1, abs=0.08)
    assert clean.near_duplicates == pytest.approx(0.05, abs=0.04)
    copies = memorization(held_out, training[:300] + 1e-3, training)
    assert copies.ratio < 0.01
    assert copies.near_duplicates == 1


def test_memorization_when_a_few_are_copied(rng):
    training, held_out, fresh = rng.normal(size=(600, 5)), *rng.normal(size=(2, 300, 5))
    fresh[:60] = training[:60]
    result = memorization(held_out, fresh, training)
    # the median hides a fifth of copies; the share does not
    assert result.ratio > 0.75
    assert result.near_duplicates > 0.2


def test_memorization_needs_held_out_cells(rng):
    training = rng.normal(size=(100, 5))
    with pytest.raises(ValueError, match="held out"):
        memorization(training[:50], rng.normal(size=(50, 5)), training)


def test_threads_that_race_for_the_warning_filters_do_not_lose_them(rng, monkeypatch):
    def fitted_by_threads(model, features, is_generated, **_):
        warnings.resetwarnings()  # what is left where a thread restores the state of another
        warnings.warn(
            "`sklearn.utils.parallel.delayed` should be used with ...", UserWarning, stacklevel=1
        )
        warnings.warn("did not converge", RuntimeWarning, stacklevel=1)
        return np.stack([1 - is_generated, is_generated], axis=1)

    monkeypatch.setattr("scdit.tl._classifiers.cross_val_predict", fitted_by_threads)
    x, filters = rng.normal(size=(10, 2)), list(warnings.filters)
    with pytest.warns(RuntimeWarning, match="did not converge") as caught:
        assert c2st(x, x) == 1
    assert len(caught) == 1
    assert warnings.filters == filters


@pytest.mark.parametrize("classifier", ["random_forest", "logistic"])
def test_c2st(rng, classifier):
    x, y = rng.normal(size=(2, 150, 8))
    assert c2st(x, y, classifier=classifier) == pytest.approx(0.5, abs=0.1)
    assert c2st(x, y + 1.5, classifier=classifier) > 0.95


def test_c2st_of_dependence_needs_a_forest(rng):
    x = rng.normal(size=(300, 1)) + 0.2 * rng.normal(size=(300, 4))
    y = np.stack([rng.permutation(column) for column in x.T], axis=1)
    assert c2st(x, y) > 0.9
    assert c2st(x, y, classifier="logistic") < 0.65
