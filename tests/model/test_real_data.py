"""Real data sets that are not part of the package: quality that a baseline cannot reach."""

import anndata as ad
import numpy as np
import pytest
from sklearn.model_selection import train_test_split

import scdit


@pytest.mark.slow
@pytest.mark.data
def test_generated_cells_are_nearer_to_real_ones_than_shuffled_genes(data_dir):
    """Cells of the right marginals, per type, but without gene-gene structure are told apart."""
    adata = ad.read_h5ad(data_dir / "papalexi_thp1_299g.h5ad")
    adata = adata[np.random.default_rng(0).permutation(adata.n_obs)[:3000]].copy()
    adata = adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()
    rows = train_test_split(np.arange(adata.n_obs), test_size=0.3, random_state=0)
    train, test = (adata[index].copy() for index in rows)
    shuffled = test.copy()
    columns = shuffled.X.toarray()
    np.random.default_rng(0).permuted(columns, axis=0, out=columns)
    shuffled.X = columns

    scdit.SCDiT.setup_anndata(train)
    model = scdit.SCDiT(train)
    model.train(silent=True)
    generated = model.generate(test.n_obs, rng=0, silent=True)
    auc = {
        name: scdit.tl.evaluate(test, cells, reference=train, metrics=["c2st_rf_pca"])["value"][0]
        for name, cells in {"generated": generated, "shuffled": shuffled}.items()
    }
    assert auc["generated"] < 0.65
    assert auc["shuffled"] > auc["generated"] + 0.1
