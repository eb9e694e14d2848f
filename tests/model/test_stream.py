"""Cells written to files: the same as in memory, whatever interrupts, splits or batches them."""

import errno
import json
import shutil
from contextlib import contextmanager

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdit.store._writer as writer_module
from scdit import SCDiT
from scdit.model._recipe import Recipe
from scdit.store._growing import Growing

from .conftest import setup

ASKED = {"n": 700, "n_steps": 2, "silent": True, "rng": 0, "batch_size": 64}


class Stopped(Exception):
    """What interrupts a call."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """A small file has many chunks, which begin and end anywhere."""
    monkeypatch.setattr(writer_module, "ROWS", 90)
    monkeypatch.setattr(writer_module, "ELEMENTS", 700)


@contextmanager
def stopped_after(most):
    """Where only so many batches can be made; what it gives are those made."""
    made, make = [], Recipe.make

    def counted(recipe, cells):
        if len(made) >= most:
            raise Stopped
        made.append(cells)
        return make(recipe, cells)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recipe, "make", counted)
        yield made


def interrupt(model, path, most=3, **arguments):
    """Write some batches of a file."""
    with stopped_after(most), pytest.raises(Stopped):
        model.generate(**{**ASKED, **arguments}, path=path)


def in_memory(matrix):
    if hasattr(matrix, "compute"):
        matrix = matrix.compute()
    return matrix.to_memory() if hasattr(matrix, "to_memory") else matrix


def assert_same_cells(found, expected, *, uns=True):
    names = [None, *(k for k in expected.layers if k is not None)]
    assert set(names) - {None} == {k for k in found.layers if k is not None}
    for name in names:
        x, y = (in_memory(a.X if name is None else a.layers[name]) for a in (found, expected))
        assert sp.isspmatrix_csr(x)
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        assert (x != y).nnz == 0
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    # text that is read has the newest type of text that pandas has
    pd.testing.assert_frame_equal(found.var.astype(expected.var.dtypes), expected.var)
    if uns:
        one, other = (
            {k: list(v) if k == "conditions" else v for k, v in x.uns["scdit"].items()}
            for x in (found, expected)
        )
        assert one == other


def assert_the_same_however_they_are_made(model, asked, path):
    """Cells in a file, lazy ones, and those of two shards are those in memory."""
    here = model.generate(**asked)
    assert_same_cells(model.generate(**asked, path=path), here)
    assert_same_cells(model.generate(**asked, lazy=True), here)
    parts = [model.generate(**asked, shard=(rank, 2)) for rank in range(2)]
    assert_same_cells(ad.concat(parts, merge="same", uns_merge="same"), here)


@pytest.fixture(scope="module")
def expected(trained):
    return trained.generate(**ASKED)


READ = {".zarr": ad.read_zarr, ".h5ad": ad.read_h5ad}


@pytest.mark.parametrize("suffix", READ)
def test_a_file_holds_the_same_cells(trained, expected, tmp_path, suffix):
    path = tmp_path / f"cells{suffix}"
    opened = trained.generate(**ASKED, path=path)
    assert not isinstance(opened.X, sp.spmatrix | np.ndarray)
    assert_same_cells(opened, expected)
    assert_same_cells(READ[suffix](path), expected)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    new = READ[suffix](path)
    assert new.uns["scdit"]["rng"] == "0"
    assert list(new.uns["scdit"]["conditions"]) == ["cell_type", "batch"]


def test_files_open_lazily(trained, expected, tmp_path):
    trained.generate(**ASKED, path=tmp_path / "cells.zarr")
    lazily = ad.experimental.read_lazy(tmp_path / "cells.zarr")
    assert (lazily.X.compute() != expected.X).nnz == 0
    trained.generate(**ASKED, path=tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert (backed.X[100:200] != expected.X[100:200]).nnz == 0
    backed.file.close()


def test_without_dask_a_file_is_a_sparse_dataset(trained, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("scdit.store._open.find_spec", lambda _: None)
    for suffix in READ:
        opened = trained.generate(**ASKED, path=tmp_path / f"cells{suffix}")
        assert type(opened.X).__name__ == "_CSRDataset"
        assert_same_cells(opened, expected)


@pytest.fixture(scope="module")
def many_kinds(make_adata):
    """Labels that may be missing, numbers as categories and as values, an ordered category."""
    adata = make_adata(200)
    rng = np.random.default_rng(0)
    adata.obs["label"] = pd.Categorical(rng.choice(["a", "b", None], 200))
    adata.obs["day"] = pd.Categorical(rng.integers(0, 3, 200), ordered=True)
    adata.obs["age"] = rng.normal(50, 9, 200)
    adata.var["symbol"] = [f"s{i}" for i in range(adata.n_vars)]
    SCDiT.setup_anndata(
        adata,
        labels_key="label",
        unlabeled_category="Unknown",
        categorical_covariate_keys=["day"],
        continuous_covariate_keys=["age"],
    )
    model = SCDiT(adata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    return model


LATE = ["a"] * 650 + ["Unknown"] * 50
TABLE = pd.DataFrame(
    {"label": pd.Categorical(LATE), "age": np.linspace(40, 60, 700)},
    index=[f"mine{i}" for i in range(700)],
)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"labels": "b"}, id="no-cell-lacks-a-label"),
        pytest.param({"labels": LATE}, id="the-last-cells-lack-one"),
        pytest.param({"conditions": TABLE}, id="table"),
        pytest.param(
            {"labels": {"a": 300, "b": 400}, "covariates": {"day": {0: 350, 2: 350}}},
            id="two-mappings",
        ),
        pytest.param({"library_size": np.linspace(200, 500, 700)}, id="sizes"),
        pytest.param({"library_size": ("lognormal", 5.5, 0.2)}, id="lognormal"),
        pytest.param({"library_size": "empirical"}, id="empirical"),
        pytest.param({"guidance_scale": {"label": 2.0}}, id="guidance"),
    ],
)
def test_conditions_of_all_kinds(many_kinds, tmp_path, arguments):
    expected = many_kinds.generate(**ASKED, **arguments)
    for suffix, read in READ.items():
        many_kinds.generate(**ASKED, **arguments, path=tmp_path / f"cells{suffix}")
        assert_same_cells(read(tmp_path / f"cells{suffix}"), expected)


def test_without_conditions_and_with_layers(make_adata, tmp_path):
    adata = make_adata()
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, codec="expression", width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    expected = model.generate(**ASKED)
    assert "log_normalized" in expected.layers
    for suffix, read in READ.items():
        opened = model.generate(**ASKED, path=tmp_path / f"cells{suffix}")
        assert_same_cells(opened, expected)
        assert_same_cells(read(tmp_path / f"cells{suffix}"), expected)


# -- interruption ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "most", "again"), [(".zarr", 0, 11), (".zarr", 5, 8), (".h5ad", 10, 3)]
)
def test_an_interrupted_call_goes_on_to_the_same_cells(
    trained, expected, tmp_path, suffix, most, again
):
    path = tmp_path / f"cells{suffix}"
    interrupt(trained, path, most)
    assert not path.exists()
    with pytest.raises(Exception, match="scdit-unfinished"):
        ad.read_zarr(tmp_path / f"cells{suffix}.unfinished" / "store")
    with pytest.raises(FileExistsError, match="interrupted.*resume=True"):
        trained.generate(**ASKED, path=path)
    with stopped_after(100) as made:
        assert_same_cells(trained.generate(**ASKED, path=path, resume=True), expected)
    # a chunk is 90 rows: what is in whole chunks is not made again
    assert len(made) <= again
    assert_same_cells(READ[suffix](path), expected)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_interrupted_again_and_at_the_end(trained, expected, tmp_path, monkeypatch):
    path = tmp_path / "cells.h5ad"

    def fail(*_):
        raise Stopped

    for owner, name in (
        (writer_module.StoreWriter, "finish"),
        (Recipe, "make"),
        (writer_module, "_copy"),
        (Recipe, "make"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            with pytest.raises(Stopped):
                trained.generate(**ASKED, path=path, resume=True)
        assert not path.exists()
    assert_same_cells(trained.generate(**ASKED, path=path, resume=True), expected)


def test_resume_takes_the_seed_that_was_drawn(trained, tmp_path):
    asked = {**ASKED, "rng": None}
    interrupt(trained, tmp_path / "cells.zarr", 5, rng=None)
    new = trained.generate(**asked, path=tmp_path / "cells.zarr", resume=True)
    seed = int(new.uns["scdit"]["rng"])
    assert_same_cells(new, trained.generate(**{**asked, "rng": seed}))


def test_resume_of_nothing_and_of_all(trained, expected, tmp_path):
    path = tmp_path / "cells.zarr"
    trained.generate(**ASKED, path=path, resume=True)
    with stopped_after(0):  # what is complete is not made again
        assert_same_cells(trained.generate(**ASKED, path=path, resume=True), expected)
        with pytest.raises(FileExistsError, match="rng='0' instead of '1'"):
            trained.generate(**{**ASKED, "rng": 1}, path=path, resume=True)


def test_other_settings_are_not_gone_on_with(trained, make_adata, tmp_path):
    path = tmp_path / "cells.zarr"
    interrupt(trained, path)
    for arguments, message in (
        ({"n": 701}, "n=700 instead of 701"),
        ({"rng": 1}, "rng='0' instead of '1'"),
        ({"n_steps": 3}, "n_steps=2 instead of 3"),
        ({"batch_size": 65}, "batch_size=64 instead of 65"),
        ({"labels": "B"}, "cell_type=None instead of 'B'"),
        ({"labels": ["B"] * 700}, "cell_type=None"),
        ({"library_size": 300}, "library_size="),
        ({"guidance_scale": 2.0}, "guidance_scale=1.0 instead of 2.0"),
    ):
        with stopped_after(0), pytest.raises(ValueError, match=f"begun with {message}"):
            trained.generate(**{**ASKED, **arguments}, path=path, resume=True)
    other = setup(make_adata())
    other.train(max_epochs=1, silent=True)
    with pytest.raises(ValueError, match="begun with model="):
        other.generate(**ASKED, path=path, resume=True)
    assert (tmp_path / "cells.zarr.unfinished" / "store").is_dir()


def test_what_another_version_left(trained, expected, tmp_path):
    path = tmp_path / "cells.zarr"
    interrupt(trained, path)
    file = tmp_path / "cells.zarr.unfinished" / "progress.json"
    content = json.loads(file.read_text())
    settings = {**content["settings"], "version": "0.0.1"}
    for text, message in (
        (json.dumps({**content, "format": 99}), "another version of scdit"),
        (json.dumps({**content, "settings": None}), "another version of scdit"),
        (json.dumps({**content, "settings": settings}), "version='0.0.1' instead of"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            trained.generate(**ASKED, path=path, resume=True)
    assert_same_cells(trained.generate(**ASKED, path=path, overwrite=True), expected)


@pytest.mark.parametrize("suffix", READ)
def test_a_full_disk(trained, expected, tmp_path, monkeypatch, suffix):
    path = tmp_path / f"cells{suffix}"
    write, n = Growing._write, []

    def full(self, stop):
        n.append(stop)
        if len(n) > 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Growing, "_write", full)
        with pytest.raises(OSError, match="No space left.*is kept in.*resume=True") as error:
            trained.generate(**ASKED, path=path)
    assert error.value.errno == errno.ENOSPC
    assert not path.exists()
    assert_same_cells(trained.generate(**ASKED, path=path, resume=True), expected)


def test_no_room_for_a_copy_in_hdf5(trained, expected, tmp_path, monkeypatch):
    """HDF5 is not begun: with a full disk it can end the process."""
    path = tmp_path / "cells.h5ad"
    with monkeypatch.context() as patch:
        free = shutil.disk_usage(tmp_path)._replace(free=1000)
        patch.setattr(shutil, "disk_usage", lambda folder: free)
        patch.setattr(ad.AnnData, "write_h5ad", None)
        with pytest.raises(OSError, match="needs about .* MB are free.*resume=True") as error:
            trained.generate(**ASKED, path=path)
    assert error.value.errno == errno.ENOSPC
    assert not path.exists()
    assert_same_cells(trained.generate(**ASKED, path=path, resume=True), expected)


# -- what is there ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", READ)
def test_nothing_is_overwritten_before_the_new_file_is_complete(
    trained, expected, tmp_path, suffix
):
    path = tmp_path / f"cells{suffix}"
    trained.generate(**ASKED, path=path)
    other = {**ASKED, "rng": 1}
    with pytest.raises(FileExistsError, match="overwrite=True"):
        trained.generate(**other, path=path)
    interrupt(trained, path, 8, rng=1, overwrite=True)
    assert_same_cells(READ[suffix](path), expected)
    with pytest.raises(FileExistsError, match="rng='0' instead of '1'"):
        trained.generate(**other, path=path, resume=True)
    trained.generate(**other, path=path, overwrite=True, resume=True)
    assert_same_cells(READ[suffix](path), trained.generate(**other))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_that_appears_meanwhile_stays(trained, expected, tmp_path, monkeypatch):
    path = tmp_path / "cells.h5ad"
    finish = writer_module.StoreWriter.finish

    def slow(self, *arguments):
        path.write_text("other")
        finish(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(writer_module.StoreWriter, "finish", slow)
        with pytest.raises(FileExistsError, match="made by another process.*kept in"):
            trained.generate(**ASKED, path=path)
    assert path.read_text() == "other"
    path.unlink()
    assert_same_cells(trained.generate(**ASKED, path=path, resume=True), expected)


def test_a_folder_of_the_user_is_not_overwritten(trained, tmp_path):
    for name, make in (("a.zarr", "mkdir"), ("b.h5ad", "mkdir"), ("c.zarr", "touch")):
        getattr(tmp_path / name, make)()
        with stopped_after(0), pytest.raises(FileExistsError, match="it is not overwritten"):
            trained.generate(**ASKED, path=tmp_path / name, overwrite=True)
    (tmp_path / "d.zarr.unfinished").mkdir()
    (tmp_path / "d.zarr.unfinished" / "thesis.tex").touch()
    with stopped_after(0), pytest.raises(FileExistsError, match="something else"):
        trained.generate(**ASKED, path=tmp_path / "d.zarr", overwrite=True)
    assert (tmp_path / "d.zarr.unfinished" / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({"path": "cells"}, ValueError, "end with .zarr or .h5ad", id="no-suffix"),
        pytest.param({"path": "cells.h5mu"}, ValueError, "end with .zarr or .h5ad", id="h5mu"),
        pytest.param({"path": 3}, TypeError, "path must be", id="number"),
        pytest.param({"path": "no/cells.zarr"}, FileNotFoundError, "'.*no' does not", id="folder"),
        pytest.param({"path": "f/cells.zarr"}, NotADirectoryError, "no folder", id="a-file"),
        pytest.param({"path": "a.zarr", "lazy": True}, ValueError, "not both", id="lazy"),
        pytest.param({"path": "a.zarr", "resume": 1}, ValueError, "resume must be", id="resume"),
        pytest.param({"path": "a.zarr", "overwrite": None}, ValueError, "overwrite", id="over"),
        pytest.param({"resume": True}, ValueError, "give path=", id="resume-what"),
        pytest.param({"overwrite": True}, ValueError, "give path=", id="overwrite-what"),
        pytest.param({"shard": (3, 3)}, ValueError, "rank.*at most 2, got 3", id="rank"),
        pytest.param({"shard": (-1, 3)}, ValueError, "rank.*non-negative", id="negative"),
        pytest.param({"shard": (0, 0)}, ValueError, "number must be", id="none"),
        pytest.param({"shard": (0, 12)}, ValueError, "at most 11 shards, got 12", id="many"),
        pytest.param({"shard": 1}, ValueError, r"shard must be \(rank", id="one-number"),
        pytest.param({"shard": (0.5, 2)}, ValueError, "rank", id="fraction"),
        pytest.param({"shard": (0, 2), "rng": None}, ValueError, "the same for all", id="no-seed"),
    ],
)
def test_bad_arguments(trained, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").touch()
    with stopped_after(0), pytest.raises(error, match=message):
        trained.generate(**{**ASKED, **arguments})
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


def test_a_folder_that_cannot_be_written(trained, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with stopped_after(0), pytest.raises(PermissionError, match="no file can be made in"):
        trained.generate(**ASKED, path=tmp_path / "cells.zarr")


# -- shards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [1, 3])
def test_shards_hold_the_cells_of_one_process(trained, expected, tmp_path, of):
    for rank in range(of):
        trained.generate(**ASKED, path=tmp_path / "cells.zarr", shard=(rank, of))
    paths = sorted(tmp_path.glob("cells.shard-*.zarr"))
    assert len(paths) == of
    lazily = ad.concat([ad.experimental.read_lazy(path) for path in paths])
    assert (lazily.X.compute() != expected.X).nnz == 0
    parts = [ad.read_zarr(path) for path in paths]
    assert_same_cells(ad.concat(parts, merge="same", uns_merge="same"), expected)


@pytest.mark.filterwarnings("ignore:.*(zarr v2|Consolidated metadata|shard)")
def test_shards_become_one_file(trained, expected, tmp_path):
    for rank in range(3):
        trained.generate(**ASKED, path=tmp_path / "cells.h5ad", shard=(rank, 3))
        trained.generate(**ASKED, path=tmp_path / "cells.zarr", shard=(rank, 3))
    for suffix, read in READ.items():
        paths = sorted(tmp_path.glob(f"cells.shard-*{suffix}"))
        ad.experimental.concat_on_disk(paths, tmp_path / f"cells{suffix}", merge="same")
        assert_same_cells(read(tmp_path / f"cells{suffix}"), expected, uns=False)


def test_a_shard_in_memory(trained, expected):
    parts = [trained.generate(**ASKED, shard=(rank, 2)) for rank in range(2)]
    assert_same_cells(ad.concat(parts, merge="same", uns_merge="same"), expected)


# -- several modalities ----------------------------------------------------------------------------


def test_proteins_in_obsm(make_adata, tmp_path):
    for names_key in (None, "proteins"):
        adata = make_adata()
        rng = np.random.default_rng(0)
        values = rng.poisson(9, (adata.n_obs, 3))
        names = ["CD3", "CD4", "CD8"]
        adata.obsm["prot"] = pd.DataFrame(values, index=adata.obs_names, columns=names)
        if names_key is not None:
            adata.obsm["prot"], adata.uns[names_key] = values, np.array(names)
        SCDiT.setup_anndata(
            adata,
            labels_key="cell_type",
            protein_expression_obsm_key="prot",
            protein_names_uns_key=names_key,
        )
        model = SCDiT(adata, n_hidden=8, width=8, n_heads=2)
        model.train(max_epochs=1, silent=True)
        expected = model.generate(**ASKED)
        for suffix, read in READ.items():
            path = tmp_path / f"{names_key}{suffix}"
            model.generate(**ASKED, path=path)
            new = read(path)
            assert_same_cells(new, expected)
            np.testing.assert_array_equal(
                np.asarray(new.obsm["prot"]), np.asarray(expected.obsm["prot"])
            )
            assert type(new.obsm["prot"]) is type(expected.obsm["prot"])
        with pytest.raises(ValueError, match="no proteins in obsm"):
            model.generate(**ASKED, lazy=True)


@pytest.fixture(scope="module")
def two_modalities(make_adata):
    rna = make_adata()
    obs = rna.obs[["cell_type"]].copy()
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(9, (rna.n_obs, 3)).astype(np.float32))
    proteins = ad.AnnData(
        counts, obs=pd.DataFrame(index=rna.obs_names), var=pd.DataFrame(index=["a", "b", "c"])
    )
    rna.obs = rna.obs[["batch"]]
    mdata = mudata.MuData({"rna": rna, "prot": proteins})
    mdata.obs["cell_type"] = obs["cell_type"]
    SCDiT.setup_mudata(
        mdata,
        labels_key="cell_type",
        batch_key="batch",
        modalities={"rna_layer": "rna", "protein_layer": "prot", "batch_key": "rna"},
    )
    model = SCDiT(mdata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    return model


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of mudata, which reads
def test_several_modalities(two_modalities, tmp_path):
    expected = two_modalities.generate(**ASKED)
    for suffix, read in ((".zarr", mudata.read_zarr), (".h5mu", mudata.read_h5mu)):
        opened = two_modalities.generate(**ASKED, path=tmp_path / f"cells{suffix}")
        for new in (opened, read(tmp_path / f"cells{suffix}")):
            assert list(new.mod) == list(expected.mod)
            for name in expected.mod:
                assert_same_cells(new[name], expected[name], uns=False)
            pd.testing.assert_frame_equal(
                new.obs[expected.obs.columns], expected.obs, check_like=True
            )
            assert new.uns["scdit"]["rng"] == "0"
            assert new[100:200].n_obs == 100
            assert new.obsmap["rna"].tolist() == list(range(1, 701))
    lazily = two_modalities.generate(**ASKED, lazy=True)
    for name in expected.mod:
        assert_same_cells(lazily[name], expected[name], uns=False)
    with pytest.raises(ValueError, match="end with .zarr or .h5mu"):
        two_modalities.generate(**ASKED, path=tmp_path / "cells.h5ad")
