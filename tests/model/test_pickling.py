"""Pickled and copied models: as they were, and independent of each other."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

from scdit import SCDiT
from tests.model.conftest import setup


def counts(model):
    return model.generate(10, n_steps=2, rng=0, silent=True).X.toarray()


def by_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


WAYS = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "joblib": by_joblib,
}


@pytest.mark.parametrize("way", WAYS)
def test_copies_make_the_same_cells(trained, tmp_path, way):
    again = WAYS[way](trained, tmp_path)
    assert (counts(again) == counts(trained)).all()
    np.testing.assert_array_equal(
        again.get_latent_representation(), trained.get_latent_representation()
    )
    assert again.id != trained.id
    assert again.adata is not trained.adata
    assert set(again.history) == set(trained.history)


@pytest.mark.parametrize("way", WAYS)
def test_training_a_copy_leaves_the_model(make_adata, tmp_path, way):
    model = setup(make_adata())
    model.train(max_epochs=1, silent=True)
    before = counts(model)
    again = WAYS[way](model, tmp_path)
    again.train(max_epochs=1, silent=True)
    assert (counts(again) != before).any()
    assert (counts(model) == before).all()
    model.train(max_epochs=1, silent=True)


def test_without_data(trained, tmp_path):
    trained.save(tmp_path / "m")
    loaded = SCDiT.load(tmp_path / "m", adata=False)
    again = pickle.loads(pickle.dumps(loaded))
    assert again.adata is None
    assert (counts(again) == counts(trained)).all()


def test_untrained(make_adata):
    again = pickle.loads(pickle.dumps(setup(make_adata())))
    again.train(max_epochs=1, silent=True)
    assert again.is_trained


@pytest.mark.slow
def test_in_another_process(trained, tmp_path):
    joblib.dump(trained, tmp_path / "model.joblib")
    code = (
        "import joblib, sys; import numpy as np; model = joblib.load(sys.argv[1]);"
        "new = model.generate(10, n_steps=2, rng=0, silent=True);"
        "np.save(sys.argv[2], new.X.toarray()); model.train(max_epochs=1, silent=True)"
    )
    files = [str(tmp_path / "model.joblib"), str(tmp_path / "counts.npy")]
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, *files], check=True, cwd=root)
    assert (np.load(files[1]) == counts(trained)).all()
