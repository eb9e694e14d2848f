"""The audit of what generated cells reveal: it finds copies, and nothing where there is nothing."""

import anndata as ad
import numpy as np
import pytest

import scdit


def cells(n, seed, donors=0):
    """Cells x 60 genes of three types, which vary within types."""
    profile = np.random.default_rng(0).gamma(0.6, size=(3, 60)) + 0.1
    rng = np.random.default_rng(seed)
    rate = profile[rng.integers(3, size=n)] * rng.gamma(4, 0.25, (n, 60))
    adata = ad.AnnData(rng.poisson(4 * rate).astype(np.float32))
    adata.obs_names = [f"{seed}-{i}" for i in range(n)]
    adata.obs["donor"] = [f"{seed}-{i % max(donors, 1)}" for i in range(n)]
    return adata


def audit(generated, train, holdout, **kwargs):
    return scdit.tl.privacy(generated, train, holdout, **kwargs).set_index("metric")


def test_copies_are_found_and_fresh_cells_are_not():
    train, holdout = cells(400, 1), cells(400, 2)
    copies, fresh = ad.concat([train, train], index_unique="-"), cells(800, 3)
    found, clean = (audit(made, train, holdout) for made in (copies, fresh))
    assert found.loc["membership_auroc", "value"] > 0.99
    assert found.loc["exact_duplicates", "value"] == 1
    assert found.loc["near_duplicates", "value"] == 1
    assert found.loc["exact_duplicates", "floor"] == 0
    assert clean.loc["membership_auroc", "value"] == pytest.approx(0.5, abs=0.06)
    assert clean.loc["membership_auroc", "floor"] == pytest.approx(0.5, abs=0.08)
    assert clean.loc["exact_duplicates", "value"] == 0
    assert clean.loc["near_duplicates", "value"] == pytest.approx(0.05, abs=0.04)


def test_a_tenth_of_copies_shows_in_donors_too():
    train, holdout = cells(400, 1, donors=8), cells(400, 2, donors=8)
    made = ad.concat([cells(400, 3), train[:40].copy()])
    table = audit(made, train, holdout, donor_key="donor")
    assert table.loc["membership_auroc", "value"] > table.loc["membership_auroc", "floor"]
    assert table.loc["donor_auroc", "n"] == 8
    assert table.loc["donor_auroc", "value"] > 0.7
    assert table.loc["exact_duplicates", "value"] == pytest.approx(40 / 440)
    few = audit(made, train[:, :], cells(400, 4, donors=2), donor_key="donor")
    assert np.isnan(few.loc["donor_auroc", "value"])
    assert few.loc["donor_auroc", "note"] == "needs 3 donors on each side; there are 2"


def test_bad_input():
    train, holdout = cells(60, 1, donors=3), cells(60, 2, donors=3)
    with pytest.raises(ValueError, match="donors must be either in train or in holdout"):
        audit(cells(60, 3), train, train.copy(), donor_key="donor")
    with pytest.raises(ValueError, match="holdout has 5 cells"):
        audit(cells(60, 3), train, holdout[:5].copy())
    with pytest.raises(TypeError, match="train must be an AnnData or MuData, got str"):
        audit(cells(60, 3), "train", holdout)
    logs = cells(60, 3)
    logs.X = np.log1p(logs.X)
    with pytest.raises(ValueError, match="`generated` does not hold raw counts"):
        audit(logs, train, holdout)


def test_copies_are_found_where_few_cells_are_held_out():
    """All training cells are searched, not as many as are held out."""
    train, holdout = cells(1000, 1), cells(60, 2)
    rows = np.random.default_rng(0).integers(1000, size=4000)
    drawn = ad.AnnData(train.X[rows], var=train.var)
    with_copies = audit(drawn, train, holdout, max_cells=50)
    assert with_copies.loc["exact_duplicates", "value"] == 1
    assert with_copies.loc["near_duplicates", "value"] == 1
    assert with_copies.loc["membership_auroc", "value"] > 0.95


def test_the_floor_is_what_chance_gives():
    train, holdout = cells(200, 1), cells(200, 2)
    table = audit(cells(300, 3), train, holdout)
    assert 0.5 < table.loc["membership_auroc", "floor"] < 0.6
    assert list(table.loc["membership_auroc", ["group", "better", "ideal"]]) == [
        "all",
        "closer",
        0.5,
    ]


def test_held_out_cells_that_were_trained_on_are_warned_of():
    train = cells(200, 1)
    with pytest.warns(UserWarning, match="`holdout` are in `train` too"):
        audit(cells(200, 3), train, train[:60].copy())
