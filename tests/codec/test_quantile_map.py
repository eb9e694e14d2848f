"""A map of counts at their library size: what it keeps, and its fit to known truths."""

import numpy as np
import pytest
import torch
from scipy.stats import nbinom, spearmanr

from scdit.codec.calibration import N_BINS, QuantileMap, fit_places
from scdit.codec.likelihood import NegativeBinomial

EDGES = QuantileMap(1).places.edges.double().numpy()
PROPORTIONS, THETAS = np.array([0.002, 0.02, 0.0005]), np.array([2.0, 5.0, 0.5])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def identity():
    """A map whose places are those of its reference, but for a millionth that keeps it from resting."""
    marginal_map = QuantileMap(3)
    marginal_map.log_proportion.copy_(torch.as_tensor(PROPORTIONS).log())
    marginal_map.log_theta.copy_(torch.as_tensor(THETAS).log())
    ends = np.tile(EDGES, (3, 1))
    ends[:, 12] += 3e-5
    marginal_map.set(np.arange(3), ends)
    assert len(marginal_map.places.changed()) == 3
    return marginal_map


def drawn(rng, library, mean=PROPORTIONS, theta=THETAS):
    """Decoded distribution, numbers and counts, (cells, 3), around proportions `mean` of a library size."""
    log_mean = torch.as_tensor(np.log(library[:, None] * mean), dtype=torch.float32)
    log_theta = torch.as_tensor(np.log(theta), dtype=torch.float32).expand_as(log_mean)
    decoded = NegativeBinomial(log_mean, log_theta)
    uniform = torch.as_tensor(rng.random(log_mean.shape), dtype=torch.float32)
    return decoded, uniform, decoded.quantile(uniform)


def places(counts, library, rng):
    size, mean = THETAS, library[:, None] * PROPORTIONS
    p = size / (size + mean)
    below, upto = nbinom.cdf(counts - 1, size, p), nbinom.cdf(counts, size, p)
    place = below + (upto - below) * rng.random(counts.shape)
    return np.stack([np.histogram(gene, N_BINS, (0, 1))[0] for gene in place.T])


def test_starts_without_change_and_keeps_counts_that_are_in_place(rng):
    library = rng.lognormal(8, 0.4, 2_000)
    log_library = torch.as_tensor(library, dtype=torch.float32).log()[:, None]
    decoded, uniform, counts = drawn(rng, library, 1.3 * PROPORTIONS)
    assert (QuantileMap(3)(counts, uniform, decoded, log_library) == counts).all()
    mapped = identity()(counts, uniform, decoded, log_library)
    assert (mapped != counts).float().mean() < 1e-3
    assert (mapped - counts).abs().max() <= 1


def test_counts_that_neither_knows_stay_numbers():
    """Cells of a depth, and a mean, that no training cell had."""
    extremes = torch.tensor([[-60.0, 12.0, 0.0], [12.0, -60.0, 14.0]])
    decoded = NegativeBinomial(extremes, torch.full((2, 3), 8.0))
    uniform = torch.tensor([[1 - 2**-24, 0.5, 0.0], [0.0, 1 - 2**-24, 0.5]])
    counts = decoded.quantile(uniform)
    mapped = identity()(counts, uniform, decoded, torch.tensor([[3.0], [18.0]]))
    assert mapped.isfinite().all()
    assert (mapped >= 0).all()
    assert (mapped == mapped.round()).all()


def test_mapped_counts_are_those_of_the_data_in_shallow_and_in_deep_cells(rng):
    """Data of two kinds of cells, drawn by a decoder that knows their mean alone."""

    def library():
        return np.where(rng.random(20_000) < 0.5, 1_000.0, 4_000.0)

    known = library()
    kind = rng.random((20_000, 1)) < 0.6
    real = rng.poisson(known[:, None] * PROPORTIONS * np.where(kind, 1.5, 0.25))
    depth = library()
    decoded, uniform, made = drawn(rng, depth)
    genes, ends = fit_places(
        places(real, known, rng), places(made.numpy(), depth, rng), len(real), EDGES
    )
    assert genes.tolist() == [0, 1, 2]
    marginal_map = identity()
    marginal_map.set(genes, ends)
    log_library = torch.as_tensor(depth, dtype=torch.float32).log()[:, None]
    mapped = marginal_map(made, uniform, decoded, log_library).numpy()

    def error(counts):
        of_depths = []
        for size in np.unique(depth):
            some, other = counts[depth == size], real[known == size]
            below = [[(c <= k).mean(0) for k in range(150)] for c in (some, other)]
            of_depths.append(np.abs(np.subtract(*below)).max(0))
        return np.max(of_depths, axis=0)

    assert error(made.numpy())[:2].min() > 0.12
    assert (error(mapped) < 0.45 * error(made.numpy())).all()
    for size in np.unique(depth):  # ranks stay
        some = depth == size
        assert spearmanr(mapped[some, 1], made[some, 1]).statistic > 0.98


def test_genes_in_place_are_left_alone(rng):
    # of genes of no difference at most a few of a hundred gain 20 nats by chance
    real, made = rng.multinomial(2_000, np.full(N_BINS, 1 / N_BINS), (2, 500))
    genes, ends = fit_places(real, made, 2_000, EDGES)
    assert len(genes) < 25
    assert ends.shape == (len(genes), len(EDGES))
    # what is off by little is seen in many cells alone
    off = np.where(np.arange(N_BINS) < 500, 1.1, 0.9) / N_BINS
    few, many = (rng.multinomial(n, off, 20) for n in (1_000, 50_000))
    flat = np.full((20, N_BINS), 50)
    assert len(fit_places(few, flat, 1_000, EDGES)[0]) < 5
    assert len(fit_places(many, flat, 50_000, EDGES)[0]) == 20
    # cells that were drawn several times count once
    assert len(fit_places(many, flat, 1_000, EDGES)[0]) == 0


def test_one_cell_more_or_less_moves_a_map_little(rng):
    real, made = rng.multinomial(2_000, np.full(N_BINS, 1 / N_BINS), (2, 1))
    real[0, :300] += 5
    _, ends = fit_places(real, made, 2_000, EDGES)
    real[0, 990] += 1
    _, others = fit_places(real, made, 2_000, EDGES)
    assert np.abs(ends - others).max() < 5e-3
    assert (np.diff(ends) > 0).all()
