"""Training and more with counts that are not in memory: the model is that of counts in memory."""

import anndata as ad
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import scvi
import torch
from anndata.experimental import read_lazy

from scdit import SCDiT
from scdit._lazy import LazyCounts
from scdit.train import _fitted


def backed(path):
    return ad.read_h5ad(path, backed="r")


def from_dask(path):
    adata = read_lazy(path)
    adata.obs = adata.obs.to_memory()
    return adata


def dense_chunks(path):
    adata = ad.read_h5ad(path)
    adata.X = da.from_array(adata.X.toarray(), chunks=(50, 13))
    return adata


SOURCES = {"backed": backed, "dask": from_dask, "dense chunks": dense_chunks}


def train(adata, **kwargs):
    SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    scvi.settings.seed = 0
    model = SCDiT(adata, width=16, n_heads=2, **kwargs)
    model.train(max_epochs=2, validation_size=0.1, silent=True)
    return model


@pytest.fixture(scope="module")
def path(make_adata, tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    make_adata(300).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def in_memory(path):
    return {codec: train(ad.read_h5ad(path), codec=codec) for codec in ("latent", "expression")}


@pytest.mark.parametrize("codec", ["latent", "expression"])
@pytest.mark.parametrize("source", SOURCES)
def test_the_model_is_that_of_counts_in_memory(path, in_memory, source, codec):
    adata, expected = SOURCES[source](path), in_memory[codec]
    model = train(adata, codec=codec)
    for one, other in zip(
        model.module.state_dict().values(), expected.module.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    np.testing.assert_array_equal(
        model.composition_["library_size"], expected.composition_["library_size"]
    )
    assert type(adata.X) is type(SOURCES[source](path).X)  # nothing was read into the object
    generated = [m.generate(20, rng=0, silent=True).X for m in (model, expected)]
    assert (generated[0] != generated[1]).nnz == 0
    if codec == "latent":
        np.testing.assert_array_equal(
            model.get_latent_representation(indices=[7, 3]),
            expected.get_latent_representation(indices=[7, 3]),
        )


@pytest.fixture
def little_memory(monkeypatch):
    """Buffers, samples and states that are smaller than the data."""

    def reduced(self, *args, **kwargs):
        start(self, *args, **kwargs)
        self.edges, self.buffer_rows = np.arange(0, self.shape[0] + 1, 20), 60

    start = LazyCounts.__init__
    monkeypatch.setattr(LazyCounts, "__init__", reduced)
    monkeypatch.setattr(_fitted, "_MAX_CELLS", 150)
    monkeypatch.setattr(_fitted, "_MAX_BYTES", 0)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("codec", ["latent", "expression"])
def test_data_beyond_the_buffer(path, codec):
    """No read is of more than a block, and the cells that are generated are like those of the data."""
    adata = backed(path)
    sizes = []
    read = LazyCounts.read
    LazyCounts.read = lambda self, a, b: (sizes.append(b - a), read(self, a, b))[1]
    try:
        SCDiT.setup_anndata(adata, labels_key="cell_type")
        model = SCDiT(adata, codec=codec, width=32)
        model.train(
            max_epochs={"codec": 50, "denoiser": 30} if codec == "latent" else 30,
            validation_size=0.1,
            silent=True,
        )
    finally:
        LazyCounts.read = read
    assert max(sizes) <= 20
    new = model.generate(300, rng=0, silent=True)
    means = [np.log1p(np.asarray(x[:].mean(axis=0)).ravel()) for x in (new.X, adata.X)]
    assert np.corrcoef(means)[0, 1] > 0.95


def spoilt(path, value, folder):
    adata = ad.read_h5ad(path)
    x = adata.X.toarray()
    x[211, 0] = value
    adata.X = sp.csr_matrix(x)
    adata.write_h5ad(folder / "spoilt.h5ad")
    return folder / "spoilt.h5ad"


@pytest.mark.parametrize("source", [backed, from_dask])
@pytest.mark.parametrize(
    ("value", "message"),
    [(-1, "negative values"), (0.5, "non-integer values"), (np.nan, "NaN"), (1e30, "at most")],
)
def test_a_wrong_value_is_named_with_its_row(path, tmp_path, source, value, message):
    adata = source(spoilt(path, value, tmp_path))
    row = "" if value == 1e30 else ".*first in row 211, cell 'cell211'"
    with pytest.raises(ValueError, match=f"{message}{row}"):
        SCDiT.setup_anndata(adata, labels_key="cell_type")


def test_a_file_that_changes_after_setup(path, tmp_path):
    adata = ad.read_h5ad(path)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    lazy = backed(tmp_path / "cells.h5ad")
    SCDiT.setup_anndata(lazy, labels_key="cell_type")
    lazy.file.close()
    adata.X[3, 0] += 1
    adata.write_h5ad(tmp_path / "cells.h5ad")
    lazy.file.open()
    with pytest.raises(ValueError, match="has changed since setup_anndata"):
        SCDiT(lazy)


def test_the_file_is_checked_once(path, monkeypatch):
    reads = []
    blocks = LazyCounts.blocks
    monkeypatch.setattr(LazyCounts, "blocks", lambda self: (reads.append(self), blocks(self))[1])
    train(backed(path))
    assert len(reads) == 1


def test_what_cannot_be_read_by_cells(path, tmp_path):
    by_columns = ad.read_h5ad(path)
    by_columns.X = by_columns.X.tocsc()
    by_columns.write_h5ad(tmp_path / "csc.h5ad")
    with pytest.raises(ValueError, match="stored by columns .*write it as csr"):
        SCDiT.setup_anndata(backed(tmp_path / "csc.h5ad"))
    with pytest.raises(TypeError, match=r"adata\.obs is not in memory: .*to_memory"):
        SCDiT.setup_anndata(read_lazy(path))


def test_a_saved_model_with_a_backed_file(path, tmp_path, in_memory):
    model = train(backed(path))
    model.save(tmp_path / "model")
    again = SCDiT.load(tmp_path / "model", adata=backed(path))
    assert (
        again.generate(9, rng=0, silent=True).X != model.generate(9, rng=0, silent=True).X
    ).nnz == 0
    permuted = ad.read_h5ad(path)[:, ::-1].copy()
    permuted.write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(ValueError, match="genes are not in the model's order"):
        SCDiT.load(tmp_path / "model", adata=backed(tmp_path / "other.h5ad"))
