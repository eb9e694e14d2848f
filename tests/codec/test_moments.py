"""Moments of counts against simulated ones, and whether reads or molecules are counted."""

import numpy as np
import pytest
import scipy.sparse as sp

from scdit.codec import default_gene_likelihood, default_n_latent
from scdit.codec._sparse import reads_per_molecule
from scdit.codec.rna._moments import zero_inflated_moments


@pytest.fixture(scope="module")
def molecules():
    """1,200 cells x 400 genes of four programmes, with means from .02 to 5."""
    rng = np.random.default_rng(0)
    programmes = rng.normal(0, 0.8, (4, 400)) * (rng.random((4, 400)) < 0.3)
    log_mean = rng.uniform(np.log(0.02), np.log(5), 400) + rng.normal(0, 1, (1200, 4)) @ programmes
    return rng.poisson(np.exp(log_mean) * rng.gamma(5, 1 / 5, log_mean.shape))


@pytest.fixture(scope="module")
def reads(molecules, amplified):
    return amplified(molecules, np.random.default_rng(1))


def test_parameters_are_recovered():
    rng = np.random.default_rng(0)
    library = rng.uniform(900, 1100, 20_000)
    extra = np.array([0.1, 0.5, 0.8, 0.95, 0.5, 0.0])
    mu, theta = np.array([20.0, 50, 5, 100, 30, 3]), np.array([2.0, 1, 4, 1, 0.5, 2])
    mean = library[:, None] / 1000 * mu * rng.gamma(theta, 1 / theta, (20_000, 6))
    counts = rng.poisson(mean) * (rng.random(mean.shape) >= extra)
    logit, fitted, _ = zero_inflated_moments(sp.csr_matrix(counts), library, 1000.0)
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), extra, atol=0.03)
    np.testing.assert_allclose(fitted, theta, rtol=0.15)


def test_genes_without_counts_and_with_counts_everywhere_are_finite():
    counts = np.zeros((50, 3))
    counts[:, 1], counts[0, 2] = 7, 40
    results = zero_inflated_moments(sp.csr_matrix(counts), counts.sum(1).clip(1), 7.0)
    assert np.isfinite(results).all()
    assert (reads_per_molecule(sp.csr_matrix(counts)) >= 1).all()


def test_reads_of_a_molecule(molecules, reads):
    """Independent molecules; where they come in bursts there are more reads in one."""
    rare = (molecules > 0).mean(0) < 0.2
    assert np.median(reads_per_molecule(sp.csr_matrix(reads))[rare]) == pytest.approx(30, rel=0.3)
    assert np.median(reads_per_molecule(sp.csr_matrix(molecules))[rare]) < 1.3


@pytest.mark.parametrize("sparse", [True, False])
def test_the_likelihood_is_that_of_the_protocol(molecules, reads, sparse):
    for counts, expected in ((molecules, "nb"), (reads, "zinb")):
        assert default_gene_likelihood(sp.csr_matrix(counts) if sparse else counts) == expected
    assert default_gene_likelihood(None) == "nb"


def test_without_rare_genes_counts_are_molecules(reads):
    everywhere = reads[:, (reads > 0).mean(0) > 0.5]
    assert default_gene_likelihood(everywhere) == "nb"


def test_stored_zeros_are_zeros(molecules):
    stored = sp.csr_matrix(np.ones_like(molecules))
    stored.data[:] = molecules.ravel()
    assert default_n_latent(1200, stored) == default_n_latent(1200, molecules)


def test_amplification_adds_no_structure(molecules, reads):
    """Halves of the reads of one molecule agree on every cell's noise; halves of molecules do not."""
    of_molecules = default_n_latent(1200, molecules)
    assert default_n_latent(1200, reads, reads=True) <= of_molecules
    assert default_n_latent(1200, reads) > of_molecules
