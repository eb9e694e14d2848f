r"""The metrics of the scRDiT paper (Dong et al., arXiv:2404.06153), and what they cannot see.

They are here so that numbers compare with the paper's. All take log expression of one cell type,
shapes (n, genes) and (n, genes). None sees gene-gene structure at a few hundred cells:

- the KL divergence pairs cell i with cell i, in whatever order they come: a generator that
  repeats the mean cell scores *better* than real cells do;
- the Wasserstein distance pools all values: shuffling genes within cells, or cells within genes,
  leaves it as it is;
- the MMD, over thousands of genes, mostly counts cells: distances concentrate, and it hardly
  changes when every gene is shuffled on its own.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist
from scipy.special import log_softmax
from scipy.stats import wasserstein_distance

from scdit.tl._distances import mmd_biased
from scdit.tl._points import MAX_POINTS, check_samples


def paired_kl(real: np.ndarray, generated: np.ndarray) -> float:
    r"""Mean over i of KL(real cell i || generated cell i), each a softmax over genes.

    Blind to diversity: it rewards a collapse to the mean cell.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if real.shape != generated.shape:
        raise ValueError(f"Cells are paired: shapes {real.shape}, {generated.shape} must agree.")
    log_p, log_q = log_softmax(real, axis=1), log_softmax(generated, axis=1)
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())


def pooled_wasserstein(real: np.ndarray, generated: np.ndarray) -> float:
    """1-Wasserstein distance of all values, flattened: blind to genes and to cells."""
    return float(wasserstein_distance(real.ravel(), generated.ravel()))


def five_kernel_mmd(real: np.ndarray, generated: np.ndarray) -> float:
    """Biased squared MMD, summed over five RBF kernels around the mean squared distance.

    The bandwidths are 1/4, 1/2, 1, 2 and 4 times the mean squared distance within the union of
    both samples.
    """
    real, generated = check_samples(1, MAX_POINTS, real=real, generated=generated)
    typical = float(pdist(np.concatenate([real, generated]), "sqeuclidean").mean())
    if typical == 0:
        raise ValueError("all cells of both sides are equal")
    return mmd_biased(real, generated, [typical * 2.0**i for i in range(-2, 3)])
