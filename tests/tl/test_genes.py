import numpy as np
import pytest
import scipy.sparse as sp

from scdit.tl._features import fit_features
from scdit.tl._genes import (
    agreement,
    correlation_agreement,
    fold_change_fit,
    gene_correlations,
    gene_moments,
    log_fold_change,
)
from scdit.tl._paper import five_kernel_mmd, paired_kl, pooled_wasserstein
from scdit.tl._population import read_population


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(0.7, size=(60, 12)).astype(np.float32)


def test_moments_are_those_of_numpy(counts):
    moments = gene_moments(sp.csr_matrix(counts))
    np.testing.assert_allclose(moments.mean, counts.mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.variance, counts.var(0), rtol=1e-5)
    np.testing.assert_allclose(moments.zeros, (counts == 0).mean(0))


def test_stored_zeros_are_zeros(counts):
    x = sp.csr_matrix(counts)
    x.data[:5] = 0
    np.testing.assert_allclose(gene_moments(x).zeros, (x.toarray() == 0).mean(0))


def test_correlations_are_those_of_numpy_and_0_for_constant_genes(counts):
    counts[:, 3] = 2
    correlations = gene_correlations(counts)
    varying = np.delete(np.arange(12), 3)
    np.testing.assert_allclose(
        correlations[np.ix_(varying, varying)], np.corrcoef(counts[:, varying].T), atol=1e-6
    )
    assert not correlations[3].any()


def test_shuffled_genes_lose_their_correlation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 1)) + rng.normal(size=(500, 20))
    shuffled = np.stack([rng.permutation(column) for column in x.T], axis=1)
    assert correlation_agreement(x, x).error == 0
    assert correlation_agreement(x, shuffled).error == pytest.approx(0.5, abs=0.06)


def test_agreement_of_a_constant_has_no_correlation():
    result = agreement(np.ones(4), np.arange(4.0))
    assert result.error == pytest.approx(1.0)
    assert np.isnan(result.r)


def test_fold_changes_that_are_attenuated():
    change = np.random.default_rng(0).normal(size=300)
    fit = fold_change_fit(change, 0.6 * change + 0.1)
    assert fit.slope == pytest.approx(0.6)
    assert fit.r == pytest.approx(1)


def test_log_fold_change_of_known_means():
    inside = sp.csr_matrix(np.log1p([[0.9, 3.1], [0.9, 3.1]]))
    outside = sp.csr_matrix(np.log1p([[0.9, 0.7]]))
    np.testing.assert_allclose(log_fold_change(inside, outside), [0, 2], atol=1e-9)


def test_log_expression_keeps_the_size_of_all_genes(train):
    cells = read_population(train, "train")
    x = train.X.toarray()
    expected = np.log1p(1e4 * x / x.sum(1, keepdims=True))[:, [7, 3]]
    np.testing.assert_allclose(
        cells.log_expression(np.array([7, 3])).toarray(), expected, rtol=1e-5
    )


def test_a_cell_without_counts_stays_zero(train):
    empty = train[:20].copy()
    empty.X = sp.diags_array([0.0] + 19 * [1.0]) @ empty.X
    assert not read_population(empty, "x").log_expression().toarray()[0].any()


def test_features_are_those_of_the_reference_only(train):
    space = fit_features(read_population(train, "train"))
    expression = read_population(train, "train").log_expression().toarray()
    score = expression.var(0) / (expression.mean(0) + 0.01)
    assert space.pca_genes[0] == np.argmax(score)
    np.testing.assert_allclose(
        space.project(read_population(train, "train")).var(0, ddof=1),
        space.pca.explained_variance_,
        rtol=1e-3,
    )


def test_paper_kl_rewards_a_collapse_to_the_mean():
    rng = np.random.default_rng(0)
    real, other = rng.gamma(1, size=(2, 200, 30))
    collapsed = np.tile(other.mean(0), (200, 1))
    assert paired_kl(real, real) == pytest.approx(0, abs=1e-12)
    assert paired_kl(real, collapsed) < paired_kl(real, other)


def test_paper_wasserstein_is_blind_to_genes():
    rng = np.random.default_rng(0)
    real = rng.gamma(np.arange(1, 11), size=(100, 10))
    assert pooled_wasserstein(real, rng.permuted(real, axis=1)) == pytest.approx(0, abs=1e-9)
    assert pooled_wasserstein(real, real + 0.5) == pytest.approx(0.5)


def test_paper_mmd_of_equal_cells_is_0():
    real = np.random.default_rng(0).normal(size=(40, 10))
    assert five_kernel_mmd(real, real[::-1]) == pytest.approx(0, abs=1e-9)
    assert five_kernel_mmd(real, real + 2) > 0.5
