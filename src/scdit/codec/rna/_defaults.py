"""Sizes that follow from the number of cells: see ``docs/design/sizes.md``."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scdit.codec._sparse import cells_with_counts
from scdit.codec.rna._dimensions import n_reproducible, some_cells

_CELLS_PER_LATENT, _MAX_LATENT = 75, 48
_CELLS_PER_HIDDEN, _MIN_HIDDEN, _MAX_HIDDEN = 24, 256, 1024
_MAX_WEIGHTS = 4_000_000  # of the decoder's last layer: more of them take hours
_RARE, _MIN_SEEN = 0.3, 10  # share of the cells, and number, that a rare gene is seen in
_MIN_ONES = 0.3  # share of ones among the counts of rare genes where molecules are counted


def default_n_latent(
    n_cells: int, counts: sp.spmatrix | np.ndarray | None, *, reads: bool = False
) -> int:
    """As many latent dimensions as principal components are more than noise, 1 to 48.

    The others would be turned into differences between new cells; too few make cells too much
    alike. Few cells cannot tell how many there are: at most one for every 75 cells.

    Parameters
    ----------
    n_cells
        Number of cells.
    counts
        Their counts (cells, genes), of several assays side by side, of cells that have all; None where
        they are not at hand.
    reads
        Whether reads are counted, many of each molecule.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> rng = numpy.random.default_rng(0)
    >>> rates = rng.gamma(1, size=(4, 100))  # of four cell types
    >>> counts = csr_matrix(rng.poisson(rates[rng.integers(4, size=1_000)]))
    >>> scdit.codec.default_n_latent(1_000, counts)  # 3
    """
    n = min(n_cells // _CELLS_PER_LATENT, _MAX_LATENT)
    if counts is not None and n > 1:
        n = min(n, n_reproducible(counts, min(_MAX_LATENT, counts.shape[1]), reads=reads))
    return max(n, 1)


def default_n_hidden(n_cells: int, n_genes: int) -> int:
    """Width of the codec's hidden layers: the wider the more cells there are, 256 to 1,024.

    Many cells show what a narrow decoder smooths over. A step costs in proportion to the width
    times the number of genes, so that it stays at 256 where genes are many.

    Examples
    --------
    >>> scdit.codec.default_n_hidden(n_cells=10_000, n_genes=2_000)  # 416
    >>> scdit.codec.default_n_hidden(n_cells=10_000, n_genes=30_000)  # 256
    """
    n = min(n_cells // _CELLS_PER_HIDDEN, _MAX_WEIGHTS // n_genes)
    return min(max(n, _MIN_HIDDEN), _MAX_HIDDEN)


def default_gene_likelihood(counts: sp.spmatrix | np.ndarray | None) -> str:
    """``"zinb"`` where counts are reads, ``"nb"`` where they are molecules or not at hand.

    A gene that is seen in few cells has one molecule in most of these, but hardly ever a single
    read: where amplified molecules are counted as often as they were read, zeros and counts are two
    things. Of the counts (cells, genes) of such genes .6 to .9 are ones with molecules, .01 to .2
    with reads.

    Examples
    --------
    >>> molecules = numpy.random.default_rng(0).poisson(0.1, (500, 100))
    >>> scdit.codec.default_gene_likelihood(molecules)  # 'nb'
    >>> scdit.codec.default_gene_likelihood(20 * molecules)  # 20 reads of each: 'zinb'
    """
    if counts is None:
        return "nb"
    counts = some_cells(counts, np.random.default_rng(0))
    seen = cells_with_counts(counts)
    ones = np.asarray((counts == 1).sum(axis=0)).ravel()
    rare = (seen >= _MIN_SEEN) & (seen < _RARE * counts.shape[0])
    if not rare.any():
        return "nb"
    return "zinb" if np.median(ones[rare] / seen[rare]) < _MIN_ONES else "nb"
