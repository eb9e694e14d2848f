"""The files of saved models: plain, complete or absent, checked before they are used."""

import errno
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import scdit
from scdit import SCDiT
from scdit.model._plain import digest, from_plain, to_plain
from scdit.model._saved_file import write_model
from tests.model.conftest import setup

KEYS = {"model_state_dict", "var_names", "attr_dict"}


def counts(model):
    return model.generate(10, n_steps=2, rng=0, silent=True).X.toarray()


def files(folder):
    """What is in a folder, with its content."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())} if folder.exists() else None


def other_model(make_adata, n_cells=60):
    """An untrained model of other cells."""
    return setup(make_adata(n_cells))


@pytest.fixture
def saved(trained, tmp_path):
    path = tmp_path / "m"
    trained.save(path)
    return path


@pytest.fixture
def saved_with_data(trained, tmp_path):
    path = tmp_path / "m"
    trained.save(path, save_anndata=True, compression="gzip")
    return path


# -- what is in them -----------------------------------------------------------------------------


def plain_types(value):
    if isinstance(value, dict):
        return {dict} | set().union(*(plain_types(v) | plain_types(k) for k, v in value.items()))
    if isinstance(value, list | tuple):
        return {type(value)}.union(*map(plain_types, value))
    return {type(value)}


def test_they_hold_no_code(saved):
    content = torch.load(saved / "model.pt", weights_only=True)
    assert set(content) == KEYS
    assert plain_types(content["attr_dict"]) <= {
        *(dict, list, tuple, str, int, float, bool, type(None), torch.Tensor)
    }
    assert content["attr_dict"]["scdit_"]["version"] == scdit.__version__
    assert content["attr_dict"]["registry_"]["setup_args"]["labels_key"] == "cell_type"
    assert content["var_names"][:2] == ["gene0", "gene1"]


def test_attributes_come_back(trained, saved):
    loaded = SCDiT.load(saved, adata=False)
    assert (counts(loaded) == counts(trained)).all()
    pd.testing.assert_frame_equal(loaded.var_, trained.var_)
    for name, values in trained.history.items():
        pd.testing.assert_frame_equal(
            loaded.history[name], values, check_index_type=False, check_column_type=False
        )
    for name in ("train_indices", "validation_indices", "test_indices"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(trained, name))
    assert loaded.init_params_ == trained.init_params_
    for name, codes in trained.composition_["codes"].items():
        assert loaded.composition_["codes"][name].dtype == codes.dtype
        np.testing.assert_array_equal(loaded.composition_["codes"][name], codes)
    registry = SCDiT.load_registry(saved)["field_registries"]
    categories = registry["labels"]["state_registry"]["categorical_mapping"]
    assert categories.dtype == object
    assert categories.tolist() == ["B", "NK", "T"]


ARRAYS = [
    np.array([1, 2], dtype=np.int8),
    np.array([[1.5, np.nan]], dtype=">f4"),
    np.array([True, False]),
    np.array(["a", "b"], dtype=object),
    np.array([["a", None], [1, 2.5]], dtype=object),
    np.array([], dtype=object),
    np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"),
    np.array([3, 4], dtype="timedelta64[s]"),
    np.arange(3, dtype=np.uint16)[::-1],
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: str(a.dtype))
def test_arrays_come_back(array):
    again = from_plain(to_plain(array, "x"))
    assert again.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(again, array)


COLUMNS = {
    "text": ["a", "b", "c"],
    "text with gaps": ["a", np.nan, "c"],
    "mixed": pd.Series(["a", 1, None], dtype=object),
    "float": [1.0, np.nan, 3.0],
    "categories": pd.Categorical(["x", "y", "x"]),
    "ordered": pd.Categorical([2, 1, None], categories=[2, 1], ordered=True),
    "intervals": pd.cut([1, 2, 9], 3),
    "nullable": pd.array([1, None, 3], dtype="Int64"),
    "nullable bool": pd.array([True, None, False], dtype="boolean"),
    "string": pd.array(["a", None, "b"], dtype="string[python]"),
    "dates": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
    "zone": pd.to_datetime(["2020-01-01", "2020-01-02", "2021-01-01"], utc=True),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_come_back(name):
    table = pd.DataFrame({name: COLUMNS[name], 5: [1, 2, 3]}, index=["g1", "g2", "g3"])
    pd.testing.assert_frame_equal(from_plain(to_plain(table, "x")), table)


def test_scalars_come_back():
    value = {"a": (1, [np.int64(2), np.float32(0.5)], None), 3: {"b": True, "c": np.bool_(False)}}
    again = from_plain(to_plain(value, "x"))
    assert again == {"a": (1, [2, 0.5], None), 3: {"b": True, "c": False}}
    assert digest(to_plain(value, "x")) != digest(to_plain({**value, 3: {}}, "x"))


def test_columns_of_genes_that_no_file_holds_are_left_out(make_adata, tmp_path):
    adata = make_adata()
    adata.var["fine"] = 1
    adata.var["object"] = [{1, 2}] * adata.n_vars
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, n_hidden=8, width=8)
    with pytest.warns(UserWarning, match="adata.var hold.*left out: 'object'"):
        model.save(tmp_path / "m")
    assert list(SCDiT.load(tmp_path / "m", adata=False).var_) == ["fine"]
    model.var_ = model.var_[["fine"]]
    model.something_ = {1, 2}
    with pytest.raises(TypeError, match="something_ holds a set"):
        model.save(tmp_path / "n")
    assert not (tmp_path / "n").exists()


# -- malicious, altered and damaged files --------------------------------------------------------


class Malicious:
    def __reduce__(self):
        return (os.mkdir, ("was_run",))


def test_code_is_not_run(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = torch.load(saved / "model.pt", weights_only=True)
    content["attr_dict"]["run_name_"] = Malicious()
    for kind in ({}, {"_use_new_zipfile_serialization": False}):
        torch.save(content, saved / "model.pt", **kind)
        for call in (
            lambda: SCDiT.load(saved, adata=False),
            lambda: SCDiT.load_registry(saved),
            lambda: SCDiT.view_setup_args(saved),
        ):
            with pytest.raises(ValueError, match="If you trust"):
                call()
    (saved / "model.pt").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(ValueError, match="model.pt"):
        SCDiT.load(saved, adata=False)
    with pytest.raises(NotImplementedError, match="scvi-tools before 0.15"):
        SCDiT.convert_legacy_save(saved, tmp_path / "new")
    assert not (tmp_path / "was_run").exists()


def change(path, edit):
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)


def flip(path, where):
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1
    path.write_bytes(data)


def largest(content):
    return max(content["model_state_dict"].values(), key=torch.Tensor.numel)


DAMAGE = {
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("hello"),
    "truncated a little": lambda p: p.write_bytes(p.read_bytes()[:-100]),
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "a bit of a weight": lambda p: flip(p, 0.6),
    "another weight": lambda p: change(p, lambda c: largest(c).add_(1)),
    "a NaN": lambda p: change(p, lambda c: largest(c).fill_(torch.nan)),
    "an attribute": lambda p: change(p, lambda c: c["attr_dict"].update(run_token_="x")),
    "gene names": lambda p: change(p, lambda c: c["var_names"].reverse()),
    "a list": lambda p: torch.save([1, 2], p),
    "without weights": lambda p: change(p, lambda c: c.pop("model_state_dict")),
    "without registry": lambda p: change(p, lambda c: c["attr_dict"].pop("registry_")),
    "without record": lambda p: change(p, lambda c: c["attr_dict"].pop("scdit_")),
    "of a newer version": lambda p: change(
        p, lambda c: c["attr_dict"]["scdit_"].update(format=99, version="9.0")
    ),
    "a number for a record": lambda p: change(p, lambda c: c["attr_dict"].update(scdit_=3)),
    "gone": lambda p: p.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("allow_pickle", [False, True])
def test_damaged_files_are_refused(saved, make_adata, damage, allow_pickle):
    path = saved / "model.pt"
    DAMAGE[damage](path)
    adata = make_adata()
    words = r"damaged|changed after|newer than|is not a model saved|no saved model"
    with pytest.raises(ValueError, match=f"({words})") as error:
        SCDiT.load(saved, adata=adata, allow_pickle=allow_pickle)
    assert str(path) in str(error.value)
    assert "/scdit/" in error.traceback[-1].path.as_posix()
    assert list(adata.obs) == ["cell_type", "batch"]
    assert not adata.uns


def write_again(path, model, **changes):
    """A file that is intact, with other content."""
    parts = {
        "weights": dict(model.module.state_dict()),
        "attributes": model._attributes(),
        "genes": list(model.adata.var_names),
    }
    for name, edit in changes.items():
        parts[name] = edit(dict(parts[name]) if name != "genes" else parts[name])
    write_model(path / "model.pt", parts["weights"], parts["genes"], parts["attributes"], None, {})


def test_what_does_not_fit_is_refused(trained, saved, make_adata):
    name, _ = max(trained.module.named_parameters(), key=lambda pair: pair[1].numel())

    def arguments(attributes):
        given = attributes["init_params_"]["non_kwargs"]
        return {**attributes, "init_params_": {"kwargs": {}, "non_kwargs": {**given, "n": 1}}}

    def model_name(attributes):
        return {**attributes, "registry_": {**attributes["registry_"], "model_name": "SCVI"}}

    for words, changes in {
        "NaN or infinite weights": {"weights": lambda w: {**w, name: w[name] * torch.nan}},
        "do not fit the model": {"weights": lambda w: {**w, name: w[name][:1]}},
        "do not fit .*": {"weights": lambda w: {k: v for k, v in w.items() if k != name}},
        "does not know: 'n'": {"attributes": arguments},
        "holds a SCVI": {"attributes": model_name},
    }.items():
        write_again(saved, trained, **changes)
        adata = make_adata()
        with pytest.raises(ValueError, match=words):
            SCDiT.load(saved, adata=adata)
        assert list(adata.obs) == ["cell_type", "batch"]
        assert not adata.uns
    write_again(saved, trained)
    assert (counts(SCDiT.load(saved, adata=False)) == counts(trained)).all()


def test_weights_that_are_not_finite_are_not_saved(make_adata, tmp_path):
    model = other_model(make_adata)
    with torch.no_grad():
        next(model.module.parameters()).fill_(torch.inf)
    with pytest.raises(ValueError, match="NaN or infinite values.*smaller lr"):
        model.save(tmp_path / "a" / "m")
    assert not list(tmp_path.iterdir())


def test_untrained_models_are_saved(make_adata, tmp_path):
    model = other_model(make_adata)
    model.save(tmp_path / "m")
    again = SCDiT.load(tmp_path / "m", adata=False)
    assert not again.is_trained
    for name, value in model.module.state_dict().items():
        torch.testing.assert_close(again.module.state_dict()[name], value, equal_nan=True)


# -- complete or absent --------------------------------------------------------------------------


def full_disk(monkeypatch, function):
    """Let a function fail after some bytes were written."""

    def fail(content, file, **kwargs):
        if hasattr(file, "write"):
            file.write(b"PK half of a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*function, fail)


FAILURES = {
    "model": (torch, "save"),
    "data": (__import__("anndata").AnnData, "write_h5ad"),
    "flush": (os, "fsync"),
}


@pytest.mark.parametrize("failing", FAILURES)
def test_a_failed_save_has_no_effect(
    trained, saved_with_data, make_adata, tmp_path, monkeypatch, failing
):
    before, model = files(saved_with_data), other_model(make_adata)
    with monkeypatch.context() as patch:
        if failing == "flush":
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "x")))
        else:
            full_disk(patch, FAILURES[failing])
        with pytest.raises(OSError, match=r"No space left|x"):
            model.save(saved_with_data, overwrite=True, save_anndata=True)
        with pytest.raises(OSError, match=r"No space left|x"):
            model.save(tmp_path / "new" / "deep" / "m", save_anndata=True)
    assert files(saved_with_data) == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert SCDiT.load(saved_with_data).adata.n_obs == trained.adata.n_obs


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_files_that_cannot_be_replaced_stay(saved_with_data, make_adata, monkeypatch, nth):
    before, calls, replace = files(saved_with_data), [], Path.replace

    def fail(self, target):
        calls.append(self)
        if len(calls) == nth + 1:
            raise PermissionError("locked")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(PermissionError):
        other_model(make_adata).save(saved_with_data, overwrite=True, save_anndata=True)
    monkeypatch.undo()
    after = files(saved_with_data)
    assert after["model.pt"] == before["model.pt"]
    assert SCDiT.load(saved_with_data).adata.n_obs == 120


KILLED = """
import os, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from tests.conftest import _make_adata
from tests.model.conftest import setup
folder, nth = sys.argv[1], int(sys.argv[2])
calls, replace = [], Path.replace
def kill(self, target):
    calls.append(self)
    if len(calls) == nth + 1:
        os._exit(9)
    return replace(self, target)
Path.replace = kill
setup(_make_adata(60)).save(folder, overwrite=True, save_anndata=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("nth", [0, 1, 2])
def test_killed_between_two_files(trained, saved_with_data, make_adata, nth):
    for at in (nth, min(nth, 1)):  # the second save finds what the first one left
        command = [sys.executable, "-c", KILLED, str(saved_with_data), str(at)]
        assert subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode == 9
        loaded = SCDiT.load(saved_with_data)
        assert loaded.adata.n_obs == 120
        assert (counts(loaded) == counts(trained)).all()
    other_model(make_adata).save(saved_with_data, overwrite=True, save_anndata=True)
    assert SCDiT.load(saved_with_data).adata.n_obs == 60
    assert not (saved_with_data / "adata.h5ad.previous").exists()


SAVES_ON = """
import sys, warnings
warnings.simplefilter("ignore")
from tests.conftest import _make_adata
from tests.model.conftest import setup
models = [setup(_make_adata(n)) for n in (60, 80)]
sys.stdout.write("ready\\n")
sys.stdout.flush()
while True:
    for model in models:
        model.save(sys.argv[1], overwrite=True, save_anndata=True)
"""


@pytest.mark.slow
def test_killed_at_any_time(tmp_path, make_adata):
    path, rng = tmp_path / "m", np.random.default_rng(0)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVES_ON, str(path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        process.stdout.readline()
        try:
            process.wait(rng.uniform(0.05, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        if path.exists():
            loaded = SCDiT.load(path)
            assert loaded.adata.n_obs in (60, 80)
            assert loaded.registry["field_registries"]["X"]["summary_stats"]["n_cells"] in (60, 80)
    assert path.exists()


# -- data beside the model -----------------------------------------------------------------------


def test_data_of_the_old_model_go_with_it(saved_with_data, make_adata):
    other_model(make_adata).save(saved_with_data, overwrite=True)
    assert [p.name for p in saved_with_data.iterdir()] == ["model.pt"]
    with pytest.warns(
        UserWarning, match="no data were saved with this model: it is loaded without"
    ):
        assert SCDiT.load(saved_with_data).adata is None


def test_data_of_others_stay_and_are_not_taken(trained, saved, make_adata):
    make_adata(50).write_h5ad(saved / "adata.h5ad")
    (saved / "README.md").write_text("mine")
    before = files(saved)
    trained.save(saved, overwrite=True)
    after = files(saved)
    assert {k: v for k, v in after.items() if k != "model.pt"} == {
        k: v for k, v in before.items() if k != "model.pt"
    }
    with pytest.warns(UserWarning, match="belongs to none or another"):
        assert SCDiT.load(saved).adata is None


def test_data_of_another_model_are_refused(saved_with_data, make_adata, tmp_path):
    other_model(make_adata).save(tmp_path / "n", save_anndata=True)
    shutil.copy(tmp_path / "n" / "adata.h5ad", saved_with_data)
    with pytest.raises(ValueError, match="was changed, or belongs to another model: pass adata="):
        SCDiT.load(saved_with_data)
    assert SCDiT.load(saved_with_data, adata=False).is_trained


def test_data_that_would_not_load_are_not_saved(make_adata, tmp_path):
    model = other_model(make_adata)
    text = model.adata.obs["batch"].astype(str).astype(object)
    model.adata.obs["note"] = text
    model.save(tmp_path / "fine", save_anndata=True)
    assert model.adata.obs["note"].dtype == text.dtype  # not turned to categories
    assert SCDiT.load(tmp_path / "fine").adata.obs["note"].tolist() == text.tolist()

    model.adata.obs["thing"] = [{1}] * model.adata.n_obs
    with pytest.raises(ValueError, match="cannot be written"):
        model.save(tmp_path / "m", save_anndata=True)
    del model.adata.obs["thing"]
    raw = model.adata.X
    model.adata.X = raw.log1p()
    with pytest.raises(ValueError, match="save_anndata=True: .*raw counts"):
        model.save(tmp_path / "m", save_anndata=True)
    model.adata.X = raw
    del model.adata.obs["batch"]
    with pytest.raises(ValueError, match="save_anndata=True: .*'batch'"):
        model.save(tmp_path / "m", save_anndata=True)
    assert [p.name for p in tmp_path.iterdir()] == ["fine"]
    model.save(tmp_path / "m")
    loaded = SCDiT.load(tmp_path / "m", adata=False)
    with pytest.raises(ValueError, match="loaded without data"):
        loaded.save(tmp_path / "n", save_anndata=True)


# -- where they are ------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["../x", "a/b", "..\\x", "C:x", "a\0", 3, "/x"])
def test_prefixes_stay_in_the_directory(trained, saved, tmp_path, prefix):
    before = files(saved)
    for call in (
        lambda: trained.save(tmp_path / "n", prefix=prefix),
        lambda: trained.save(saved, prefix=prefix, overwrite=True),
        lambda: SCDiT.load(saved, adata=False, prefix=prefix),
        lambda: SCDiT.load_registry(saved, prefix),
    ):
        with pytest.raises(ValueError, match="prefix must be text without"):
            call()
    assert files(saved) == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_models_of_two_prefixes(trained, tmp_path, make_adata):
    trained.save(tmp_path / "m", prefix="a_", save_anndata=True)
    other_model(make_adata).save(tmp_path / "m", "b_", overwrite=True, save_anndata=True)
    assert SCDiT.load(tmp_path / "m", prefix="a_").adata.n_obs == 120
    assert SCDiT.load(tmp_path / "m", prefix="b_").adata.n_obs == 60
    with pytest.raises(ValueError, match="no saved model .*check dir_path and prefix"):
        SCDiT.load(tmp_path / "m")


def test_existing_directories(trained, saved, tmp_path):
    before = files(saved)
    with pytest.raises(ValueError, match="exists: name another directory or pass overwrite=True"):
        trained.save(saved)
    with pytest.raises(ValueError, match="exists: .*this is a file"):
        trained.save(saved / "model.pt", overwrite=True)
    assert files(saved) == before
    trained.save(tmp_path / "new" / "deep" / "m")
    assert [p.name for p in (tmp_path / "new" / "deep" / "m").iterdir()] == ["model.pt"]
    assert (tmp_path / "new" / "deep" / "m").stat().st_mode == saved.stat().st_mode
    assert saved.stat().st_mode == tmp_path.joinpath("new").stat().st_mode


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"dir_path": 3}, "dir_path must be a"),
        ({"overwrite": "yes"}, "overwrite must be True or False"),
        ({"save_anndata": "no"}, "save_anndata must be True or False"),
        ({"overwrit": True}, "no argument 'overwrit'; did you mean 'overwrite'"),
        ({"compression": "gzip"}, "no argument 'compression'"),
        ({"save_anndata": True, "compresion": "gzip"}, "did you mean 'compression'"),
        ({"save_kwargs": 3}, "save_kwargs must be a Mapping"),
    ],
)
def test_arguments_of_save(trained, tmp_path, wrong, words):
    with pytest.raises((ValueError, TypeError), match=words):
        trained.save(**{"dir_path": tmp_path / "m", **wrong})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"dir_path": 3}, "dir_path must be a"),
        ({"adata": "x.h5ad"}, "adata must be an AnnData"),
        ({"adata": True}, "adata must be an AnnData"),
        ({"accelerator": "abacus"}, "accelerator='abacus', device='auto' is no device"),
        ({"device": [0, 1]}, "is no device of this machine"),
        ({"allow_pickle": 1}, "allow_pickle must be True or False"),
        ({"backup_url": "file:///x", "dir_path": "none"}, "backup_url must begin with https"),
    ],
)
def test_arguments_of_load(saved, wrong, words):
    with pytest.raises((ValueError, TypeError), match=words):
        SCDiT.load(**{"dir_path": saved, "adata": False, **wrong})


def test_downloads(saved, tmp_path, monkeypatch):
    def fetch(url, target):
        shutil.copy(saved / "model.pt", target)
        if url.endswith("cut"):
            raise OSError("connection lost")

    monkeypatch.setattr("urllib.request.urlretrieve", fetch)
    with pytest.raises(ValueError, match="https://there/cut cannot be downloaded: connection"):
        SCDiT.load(tmp_path / "n", False, backup_url="https://there/cut")
    assert not list((tmp_path / "n").iterdir())
    assert SCDiT.load(tmp_path / "n", False, backup_url="https://there/model.pt").is_trained


# -- the user's data -----------------------------------------------------------------------------


def test_a_failed_load_leaves_the_data_as_they_were(trained, saved, make_adata):
    adata = make_adata()
    adata.obs["batch"] = np.where(np.arange(120) < 5, "three", "one")
    with pytest.raises(ValueError, match="three"):
        SCDiT.load(saved, adata=adata)
    assert list(adata.obs) == ["cell_type", "batch"]
    assert not adata.uns

    SCDiT.setup_anndata(adata, batch_key="batch")
    model = SCDiT(adata, n_hidden=8, width=8)
    obs, uns = adata.obs.copy(), dict(adata.uns)
    with pytest.raises(ValueError, match="three"):
        SCDiT.load(saved, adata=adata)
    pd.testing.assert_frame_equal(adata.obs, obs)
    assert dict(adata.uns) == uns
    again = SCDiT(adata, n_hidden=8, width=8)
    assert again.registry["setup_args"] == model.registry["setup_args"]
    model.train(max_epochs=1, silent=True)


def test_the_hub_of_scvi(trained, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    scvi_hub = pytest.importorskip("scvi.hub")

    trained.save(tmp_path / "m", save_anndata=True)
    metadata = scvi_hub.HubMetadata(
        version("scvi-tools"), version("anndata"), "SCDiT", model_parent_module="scdit"
    )
    card = hub.ModelCard("---\nlicense: cc-by-4.0\n---\n# Cells of a test")
    model = scvi_hub.HubModel(str(tmp_path / "m"), metadata=metadata, model_card=card)
    model.save()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = scvi_hub.HubModel(str(tmp_path / "m"))
        assert (counts(again.model) == counts(trained)).all()
        again.load_model(adata=False)
        assert again.model.adata is None
    assert {"README.md", "_scvi_required_metadata.json"} < set(files(tmp_path / "m"))
    trained.save(tmp_path / "m", overwrite=True)
    assert {"README.md", "_scvi_required_metadata.json"} < set(files(tmp_path / "m"))
