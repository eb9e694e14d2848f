"""Which likelihood the counts of peaks have."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scdit._matrix import some_of

_MAX_CELLS = 5_000  # that the choice is made on
_MOST_ODD = 1.0  # ratio of twos and ones beyond which counts come in pairs


def default_chromatin_likelihood(counts: sp.spmatrix | np.ndarray | None) -> str:
    """``"bernoulli"`` for zeros and ones, ``"nb"`` where counts are read ends, else ``"poisson"``.

    Fragments are Poisson counts to a good approximation (Martens et al. 2023). A fragment has two
    ends: where these are counted, most counts are even, and far too variable for Poisson.

    Parameters
    ----------
    counts
        Counts of training cells (cells, peaks), of which 5,000 are looked at; None where they are not
        at hand.

    Examples
    --------
    >>> fragments = numpy.random.default_rng(0).poisson(0.1, (500, 300))
    >>> scdit.codec.default_chromatin_likelihood(fragments)  # 'poisson'
    >>> scdit.codec.default_chromatin_likelihood(2 * fragments)  # read ends: 'nb'
    >>> scdit.codec.default_chromatin_likelihood(fragments > 0)  # 'bernoulli'
    """
    if counts is None:
        return "poisson"
    values = sp.csr_matrix(counts[some_of(counts.shape[0], _MAX_CELLS)]).data
    if not (values > 1).any():
        return "bernoulli"
    ones, twos = (values == 1).sum(), (values == 2).sum()
    return "nb" if twos > _MOST_ODD * ones else "poisson"
