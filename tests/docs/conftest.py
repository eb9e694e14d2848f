"""Small cells and short trainings, so that the examples of the documentation run in seconds."""

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

ROOT = Path(__file__).parents[2]
TYPES = ["B cells", "NK cells", "HSC", "Erythroid"]
N_CELLS = 80  # the most that an example generates


def code_of(page: str) -> list[str]:
    """Python examples of a page, in their order."""
    path = ROOT / page
    if not path.is_file():
        pytest.skip("the documentation is only in the repository")
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def make_cells(seed: int, n_cells: int = 160) -> ad.AnnData:
    """Cells x 60 genes with the columns that the pages name; each seed has donors of its own."""
    profiles = np.random.default_rng(0).gamma(0.6, size=(len(TYPES), 60)) + 0.1
    rng = np.random.default_rng(seed)
    kind = np.arange(n_cells) % len(TYPES)
    stim = rng.integers(2, size=n_cells)
    rate = profiles[kind] * rng.gamma(4, 0.25, (n_cells, 60)) * (1 + 2 * stim[:, None])
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(np.array(TYPES)[kind]),
            "leiden": pd.Categorical(kind.astype(str)),
            "batch": pd.Categorical(rng.choice(["one", "two"], n_cells)),
            "donor": pd.Categorical([f"donor{3 * seed + i % 3 + 1}" for i in range(n_cells)]),
            "condition": pd.Categorical(np.array(["ctrl", "stim"])[stim]),
            "age": rng.uniform(20, 60, n_cells),
        },
        index=[f"{seed}-{i}" for i in range(n_cells)],
    )
    obs["bulk_labels"] = obs["cell_type"].cat.rename_categories(["CD19+ B", "CD56+ NK", "a", "b"])
    var = pd.DataFrame(index=[f"gene{i}" for i in range(60)])
    adata = ad.AnnData(sp.csr_matrix(rng.poisson(4 * rate), dtype=np.float32), obs=obs, var=var)
    adata.layers["counts"] = adata.X.copy()
    return adata


def make_paired(seed: int):
    """RNA and 8 proteins of the cells of :func:`make_cells`, as a MuData."""
    from scdit._mudata import make_mudata

    rna = make_cells(seed)
    rng = np.random.default_rng(seed)
    kind = rna.obs["cell_type"].cat.codes.to_numpy()
    rate = np.where(np.arange(8) % len(TYPES) == kind[:, None], 40, 4) * rng.gamma(
        4, 0.25, (len(kind), 8)
    )
    prot = ad.AnnData(
        sp.csr_matrix(rng.poisson(rate), dtype=np.float32),
        obs=rna.obs[[]].copy(),
        var=pd.DataFrame(index=[f"protein{i}" for i in range(8)]),
    )
    obs = rna.obs[["cell_type", "condition"]].copy()
    mdata = make_mudata({"rna": rna, "prot": prot}, obs)
    mdata.obs["has_prot"] = np.arange(len(obs)) % 5 > 0
    return mdata


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Train for one epoch, generate few cells, evaluate fast, and write into a temporary folder."""
    from sklearn.ensemble import RandomForestClassifier

    import scdit

    def first_two(fitted, others, _):
        return fitted[:, :2], others[:, :2]

    train, generate = scdit.SCDiT.train, scdit.SCDiT.generate

    def train_shortly(self, *args, **kwargs):
        # what the example asks for is checked, and then cut short
        kwargs["max_epochs"] = 1
        return train(self, *args, **{**kwargs, "silent": True})

    def generate_few(self, n=None, **kwargs):
        if "shard" in kwargs:
            kwargs["batch_size"] = 16  # a shard has one batch or more
        return generate(self, n if n is None else min(n, N_CELLS), **{**kwargs, "silent": True})

    def small_forest(_, **kwargs):
        return RandomForestClassifier(5, random_state=kwargs["random_state"])

    monkeypatch.setattr("scdit.tl._classifiers.RandomForestClassifier", small_forest)
    monkeypatch.setattr("scdit.pl._coordinates._umap", first_two)
    monkeypatch.setattr(scdit.SCDiT, "train", train_shortly)
    monkeypatch.setattr(scdit.SCDiT, "generate", generate_few)
    monkeypatch.setattr(scdit.datasets, "pbmc68k", lambda: make_cells(0))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def trained():
    """A model with the conditions that the pages name."""
    import scvi

    import scdit

    scvi.settings.seed = 0
    adata = make_cells(0)
    scdit.SCDiT.setup_anndata(
        adata,
        labels_key="cell_type",
        batch_key="donor",
        categorical_covariate_keys=["condition"],
        continuous_covariate_keys=["age"],
    )
    model = scdit.SCDiT(adata, n_hidden=32, width=32)
    model.train(max_epochs=1, silent=True)
    return model
