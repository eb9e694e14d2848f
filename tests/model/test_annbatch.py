"""Training on a collection of annbatch."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import scvi
import torch

from scdit import SCDiT

KEYS = {"labels_key": "cell_type", "batch_key": "batch"}
needs_annbatch = pytest.mark.skipif(
    find_spec("annbatch") is None, reason="annbatch is not installed (needs Python 3.12)"
)


@pytest.fixture(scope="module")
def files(make_adata, tmp_path_factory):
    """Two files with the same genes, of which the second has them in another order."""
    folder, adata = tmp_path_factory.mktemp("files"), make_adata(300)
    one, two = folder / "one.h5ad", folder / "two.h5ad"
    adata[:180].copy().write_h5ad(one)
    adata[180:, ::-1].copy().write_h5ad(two)
    return [one, two]


@pytest.fixture(scope="module")
def collection(files, tmp_path_factory):
    path = tmp_path_factory.mktemp("collection") / "cells.zarr"
    SCDiT.setup_annbatch(path, paths=files, **KEYS)
    return path


def trained(model, **kwargs):
    model.train(max_epochs=2, validation_size=0.1, silent=True, **kwargs)
    return model


@needs_annbatch
def test_the_model_is_that_of_the_same_cells_in_memory(collection, make_adata):
    dm = SCDiT.setup_annbatch(collection, **KEYS)
    scvi.settings.seed = 0
    model = trained(SCDiT(registry=dm.registry, width=16, n_heads=2), datamodule=dm)
    adata = dm.adata.to_memory()
    SCDiT.setup_anndata(adata, **KEYS)
    scvi.settings.seed = 0
    expected = trained(SCDiT(adata, width=16, n_heads=2))
    for one, other in zip(
        model.module.state_dict().values(), expected.module.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    new = [m.generate(20, rng=0, silent=True) for m in (model, expected)]
    assert (new[0].X != new[1].X).nnz == 0


@needs_annbatch
def test_the_cells_are_those_of_the_files(collection, make_adata):
    """Shuffled, with counts, genes and columns as they were."""
    cells, expected = SCDiT.setup_annbatch(collection, **KEYS).adata.to_memory(), make_adata(300)
    assert list(cells.obs_names) != list(expected.obs_names)
    cells = cells[expected.obs_names, expected.var_names]
    np.testing.assert_array_equal(cells.X.toarray(), expected.X.toarray())
    for key in KEYS.values():
        assert list(cells.obs[key]) == list(expected.obs[key])


@needs_annbatch
def test_a_saved_model_is_loaded_with_the_collection_or_without(collection, tmp_path):
    dm = SCDiT.setup_annbatch(collection, **KEYS)
    model = trained(SCDiT(registry=dm.registry, width=16, n_heads=2), datamodule=dm)
    model.save(tmp_path / "model")
    expected = model.generate(20, rng=0, silent=True)
    for adata in (False, dm.adata):
        new = SCDiT.load(tmp_path / "model", adata=adata).generate(20, rng=0, silent=True)
        assert (new.X != expected.X).nnz == 0


@needs_annbatch
def test_nothing_is_overwritten(collection, files):
    with pytest.raises(FileExistsError, match=r"exists: leave out paths to open it"):
        SCDiT.setup_annbatch(collection, paths=files, **KEYS)


@needs_annbatch
def test_files_that_differ_are_refused(files, make_adata, tmp_path):
    other = make_adata(50)
    other.obs_names = [f"other{i}" for i in range(50)]
    fewer, unlabelled = tmp_path / "fewer.h5ad", tmp_path / "unlabelled.h5ad"
    other[:, 1:].copy().write_h5ad(fewer)
    del other.obs["cell_type"]
    other.write_h5ad(unlabelled)
    path = tmp_path / "cells.zarr"
    with pytest.raises(ValueError, match=rf"fewer\.h5ad' lacks {other.var_names[0]}"):
        SCDiT.setup_annbatch(path, paths=[*files, fewer], **KEYS)
    with pytest.raises(ValueError, match=r"unlabelled\.h5ad' has no column 'cell_type'"):
        SCDiT.setup_annbatch(path, paths=[*files, unlabelled], **KEYS)
    with pytest.raises(ValueError, match=r"has no layer 'raw'"):
        SCDiT.setup_annbatch(path, paths=files, layer="raw", **KEYS)
    assert not path.exists()


@needs_annbatch
def test_nothing_is_written_if_the_cells_cannot_be_registered(make_adata, tmp_path):
    adata = make_adata(50)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    adata.X = adata.X * 0.5
    adata.write_h5ad(tmp_path / "halves.h5ad")
    path = tmp_path / "cells.zarr"
    with pytest.raises(ValueError, match="scdit needs raw counts"):
        SCDiT.setup_annbatch(path, paths=[tmp_path / "halves.h5ad"], **KEYS)
    with pytest.raises(KeyError, match="no_such_column"):
        SCDiT.setup_annbatch(path, paths=[tmp_path / "cells.h5ad"], batch_key="no_such_column")
    assert {x.name for x in tmp_path.iterdir()} == {"cells.h5ad", "halves.h5ad"}


@needs_annbatch
def test_missing_files_are_named(files, tmp_path):
    path = tmp_path / "cells.zarr"
    with pytest.raises(FileNotFoundError, match=r"collection_path: .*cells\.zarr' does not exist"):
        SCDiT.setup_annbatch(path, **KEYS)
    with pytest.raises(FileNotFoundError, match=r"paths: .*none\.h5ad' does not exist"):
        SCDiT.setup_annbatch(path, paths=[*files, tmp_path / "none.h5ad"], **KEYS)
    with pytest.raises(ValueError, match="paths is empty"):
        SCDiT.setup_annbatch(path, paths=[], **KEYS)
    with pytest.raises(TypeError, match="paths must be a list of files, got 'one.h5ad'"):
        SCDiT.setup_annbatch(path, paths="one.h5ad", **KEYS)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ValueError, match="no complete collection"):
        SCDiT.setup_annbatch(tmp_path / "empty.zarr", **KEYS)


@needs_annbatch
def test_counts_of_a_layer(make_adata, tmp_path):
    adata = make_adata(60)
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X * 0.5
    adata.write_h5ad(tmp_path / "cells.h5ad")
    dm = SCDiT.setup_annbatch(
        tmp_path / "cells.zarr", paths=[tmp_path / "cells.h5ad"], layer="counts", **KEYS
    )
    trained(SCDiT(registry=dm.registry, width=16, n_heads=2), datamodule=dm)
    with pytest.raises(ValueError, match="scdit needs raw counts"):
        SCDiT.setup_annbatch(tmp_path / "cells.zarr", **KEYS)


@needs_annbatch
def test_a_data_module_of_other_cells_is_refused(collection):
    dm, other = (SCDiT.setup_annbatch(collection, **KEYS) for _ in range(2))
    model = SCDiT(registry=dm.registry, width=16, n_heads=2)
    with pytest.raises(ValueError, match="datamodule has other cells than the model"):
        model.train(datamodule=other)
    with pytest.raises(TypeError, match="datamodule must be"):
        model.train(datamodule=dm.adata)


@pytest.mark.skipif(find_spec("annbatch") is not None, reason="annbatch is installed")
def test_without_annbatch_it_is_said_what_is_needed(tmp_path):
    with pytest.raises(ImportError, match=r"scdit\[annbatch\].*Python 3\.12 or newer"):
        SCDiT.setup_annbatch(tmp_path / "cells.zarr")
    if sys.version_info < (3, 12):
        with pytest.raises(ImportError, match=r"this is 3\.11"):
            SCDiT.setup_annbatch(tmp_path / "cells.zarr")
