"""Models that earlier versions have saved load, and make the same cells."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from scdit import SCDiT
from tests.compatibility.make_saves import CALLS, MODELS, generate

FOLDER = Path(__file__).parent
SAVES = [pytest.param(path, id=f"{path.parent.name}-{path.name}") for path in FOLDER.glob("0.*/*")]


def test_all_are_there():
    assert {param.values[0].name for param in SAVES} == set(MODELS)
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 1_000_000


@pytest.mark.parametrize("path", SAVES)
def test_same_counts(path):
    model = SCDiT.load(str(path), adata=False, allow_pickle=True)
    for call, counts in generate(path.name, model).items():
        expected = sp.load_npz(path / f"{call}.npz")
        differing = (counts != expected).nnz / np.prod(expected.shape)
        assert differing <= 1e-4, call
    assert set(CALLS) == {file.stem for file in path.glob("*.npz")}


@pytest.mark.parametrize("path", SAVES)
def test_pickles_need_trust(path, tmp_path):
    for call in (lambda: SCDiT.load(path, adata=False), lambda: SCDiT.load_registry(path)):
        with pytest.raises(
            ValueError, match="If you trust whoever made the file, pass allow_pickle"
        ):
            call()
    model = SCDiT.load(path, adata=False, allow_pickle=True)
    model.save(tmp_path / "again")
    again = SCDiT.load(tmp_path / "again", adata=False)
    for name, value in model.module.state_dict().items():
        assert value.equal(again.module.state_dict()[name])
