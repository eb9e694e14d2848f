from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

N_GENES = 250
TYPES = ("B", "NK", "T")
Simulate = Callable[..., ad.AnnData]


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    """A law of cells to draw from: three types, two gene programmes, varying depth."""
    law = np.random.default_rng(0)
    base = law.gamma(0.5, size=N_GENES) + 0.02
    is_marker = law.random((3, N_GENES)) < 0.15
    profiles = base * np.exp(law.normal(0, 1.2, (3, N_GENES)) * is_marker)
    programmes = law.normal(0, 0.5, (2, N_GENES)) * (law.random((2, N_GENES)) < 0.3)

    def draw(sizes: tuple[int, int, int], seed: int, prefix: str = "cell") -> ad.AnnData:
        rng = np.random.default_rng(seed)
        codes = rng.permutation(np.repeat([0, 1, 2], sizes))
        mean = profiles[codes] * np.exp(rng.normal(size=(len(codes), 2)) @ programmes)
        mean *= rng.lognormal(np.log(800), 0.3, (len(codes), 1)) / mean.sum(1, keepdims=True)
        counts = rng.poisson(mean * rng.gamma(4, 1 / 4, mean.shape))
        return ad.AnnData(
            sp.csr_matrix(counts, dtype=np.float32),
            obs=pd.DataFrame(
                {"cell_type": pd.Categorical(np.array(TYPES)[codes])},
                index=[f"{prefix}{i}" for i in range(len(codes))],
            ),
            var=pd.DataFrame(index=[f"gene{i}" for i in range(N_GENES)]),
        )

    return draw


@pytest.fixture(scope="session")
def train(simulate: Simulate) -> ad.AnnData:
    return simulate((400, 200, 300), seed=1, prefix="train")


@pytest.fixture(scope="session")
def test(simulate: Simulate) -> ad.AnnData:
    return simulate((120, 60, 90), seed=2, prefix="test")


@pytest.fixture
def fresh(simulate: Simulate) -> ad.AnnData:
    """What a perfect generator returns."""
    return simulate((120, 60, 90), seed=3, prefix="fresh")
