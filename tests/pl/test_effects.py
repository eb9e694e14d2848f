import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import scdit

KEYS = {
    "condition_key": "state",
    "control": "ctrl",
    "condition": "stim",
    "labels_key": "cell_type",
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def draw(seed, n=60, types="ABCDE", n_genes=60, strength=1.0):
    rng, law = np.random.default_rng(seed), np.random.default_rng(0)
    effect = law.normal(0, 1, n_genes) * (law.random(n_genes) < 0.5)
    base = law.gamma(1.0, size=n_genes) + 0.2
    obs = [(t, s) for t in types for s in ("ctrl", "stim") for _ in range(n)]
    change = np.array([s == "stim" for _, s in obs])[:, None] * effect * strength
    frame = pd.DataFrame(obs, columns=["cell_type", "state"])
    frame.index = [f"{seed}-{i}" for i in range(len(obs))]
    return ad.AnnData(rng.poisson(20 * base * np.exp(change)).astype(np.float32), obs=frame)


def text(ax):
    return ax.texts[0].get_text()


def test_a_panel_for_each_type():
    real, made = draw(1), draw(2)
    made = made[made.obs["cell_type"] != "D"].copy()
    before = real.X.copy(), real.obs.copy()
    axes = scdit.pl.effects(real, made, **KEYS, n_genes=20)
    assert [ax.get_title() for ax in axes] == [f"{t} (n = 20)" for t in "ABCE"]
    for ax in axes:
        rest, chosen = ax.collections
        assert len(rest.get_offsets()) == 40
        assert len(chosen.get_offsets()) == 20
        x, y = chosen.get_offsets().T
        np.testing.assert_allclose(np.polyfit(x, y, 1), [1, 0], atol=0.15)
        assert "r = 0.9" in text(ax)
        assert "floor 0.9" in text(ax)
        assert ax.get_xlim() == ax.get_ylim()
    np.testing.assert_array_equal(real.X, before[0])
    pd.testing.assert_frame_equal(real.obs, before[1])


def test_a_grid_and_the_types_asked_for():
    real, made = draw(1), draw(2, strength=0.0)
    axes = scdit.pl.effects(real, made, **KEYS)
    assert len(axes) == 5
    assert len(axes[0].figure.axes) == 5  # no empty panel
    assert axes[0].get_subplotspec().get_gridspec().get_geometry() == (2, 4)
    _, given = plt.subplots(1, 2)
    axes = scdit.pl.effects(real, made, **KEYS, labels=["E", "B"], axes=given)
    assert list(axes) == list(given)
    assert [ax.get_title()[0] for ax in axes] == ["E", "B"]
    assert "slope = 0.0" in text(axes[0]) or "slope = -0.0" in text(axes[0])


def test_what_cannot_be_drawn():
    real, made = draw(1, types="AB"), draw(2, types="AB")
    small = draw(3, types="AB", n=4)
    cases = [
        ((real, made), {"labels": ["C"]}, ValueError, "unknown cell type 'C'. Known: A, B"),
        ((real, made), {"labels": []}, ValueError, "at least one"),
        ((real, made), {"labels": "A"}, TypeError, "labels must be a list of names"),
        ((real, small), {"labels": ["A"]}, ValueError, "'A' needs 5 generated cells; there are 4"),
        ((real, small), {}, ValueError, "No cell type has enough cells. A: needs 5 generated"),
        ((real, made), {"control": "none"}, ValueError, "no cells of 'none'"),
        ((real, made), {"n_genes": 1}, ValueError, "n_genes must be"),
        ((real, "made"), {}, TypeError, "generated must be an AnnData"),
        ((real[:, :5].copy(), made), {}, ValueError, "at least 6"),
    ]
    for sides, change, error, message in cases:
        with pytest.raises(error, match=message):
            scdit.pl.effects(*sides, **KEYS | change)
    assert not plt.get_fignums()
    with pytest.raises(ValueError, match="1 panels, but 2 axes"):
        scdit.pl.effects(real, made, **KEYS, labels=["A"], axes=plt.subplots(1, 2)[1])
