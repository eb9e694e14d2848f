import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
# networks this small gain nothing from threads, and lose much where other work shares the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

if hasattr(mudata, "set_options"):  # 0.3, which else warns of what 0.4 does
    mudata.set_options(pull_on_update=False)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets, from SCDIT_DATA."""
    default = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("SCDIT_DATA", default))
    if not path.is_dir():
        pytest.skip(f"no folder {path}: set SCDIT_DATA to the folder of real data sets")
    return path


@pytest.fixture(scope="session")
def pbmc68k() -> ad.AnnData:
    """The real cells inside scanpy, as counts. Shared by all tests: copy before changing."""
    import scdit

    return scdit.datasets.pbmc68k()


def _make_adata(n_cells: int = 120) -> ad.AnnData:
    """Cells x 40 genes of three types in two batches, drawn from negative binomials."""
    rng = np.random.default_rng(0)
    n_genes = 40
    types = rng.choice(["B", "NK", "T"], n_cells, p=[0.5, 0.2, 0.3])
    profiles = rng.gamma(0.5, size=(3, n_genes)) + 0.05
    profiles /= profiles.sum(1, keepdims=True)
    depth = rng.lognormal(np.log(300), 0.3, n_cells)
    mean = depth[:, None] * profiles[np.unique(types, return_inverse=True)[1]]
    counts = rng.poisson(mean * rng.gamma(5, 1 / 5, mean.shape))
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(types),
            "batch": pd.Categorical(rng.choice(["one", "two"], n_cells)),
        },
        index=[f"cell{i}" for i in range(n_cells)],
    )
    var = pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)])
    return ad.AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs, var=var)


def _make_donors(n_donors: int = 10, n_cells: int = 60) -> ad.AnnData:
    """Cells x 40 genes of three types, of donors who differ and have one of two conditions each."""
    rng, n = np.random.default_rng(0), n_donors * n_cells
    donor, types = np.repeat(np.arange(n_donors), n_cells), rng.choice(3, n)
    log = rng.normal(size=(3, 40))[types] + 0.5 * rng.normal(size=(n_donors, 40))[donor]
    mean = (
        np.exp(log) * rng.lognormal(np.log(300), 0.3, (n, 1)) / np.exp(log).sum(1, keepdims=True)
    )
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(np.array(["B", "NK", "T"])[types]),
            "condition": pd.Categorical(np.array(["ctrl", "stim"])[donor % 2]),
            "donor": pd.Categorical([f"donor {i}" for i in donor]),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    var = pd.DataFrame(index=[f"gene{i}" for i in range(40)])
    return ad.AnnData(sp.csr_matrix(rng.poisson(mean), dtype=np.float32), obs=obs, var=var)


@pytest.fixture(scope="session")
def make_donors():
    """A function that makes the same small data set of 10 or another number of donors."""
    return _make_donors


@pytest.fixture(scope="session")
def of_donors():
    """A trained model of these donors."""
    import scvi

    from scdit import SCDiT

    scvi.settings.seed = 0
    adata = _make_donors()
    keys = ["condition", "donor"]
    SCDiT.setup_anndata(adata, labels_key="cell_type", categorical_covariate_keys=keys)
    model = SCDiT(adata, n_hidden=32, width=32)
    model.train(max_epochs={"codec": 10, "denoiser": 5}, silent=True)
    return model


def _amplified(molecules: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """About 30 reads of each molecule (cells, genes)."""
    gain = 30 * rng.gamma(1.5 * np.maximum(molecules, 1)) / 1.5
    return rng.poisson(gain * (molecules > 0))


@pytest.fixture(scope="session")
def amplified():
    """A function that makes reads of molecules."""
    return _amplified


@pytest.fixture(scope="session")
def make_adata():
    """A function that makes the same small data set, of 120 or another number of cells."""
    return _make_adata


@pytest.fixture
def adata() -> ad.AnnData:
    """A small data set that the test may change."""
    return _make_adata()
