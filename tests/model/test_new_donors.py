"""New donors: they differ as the training donors do, and are none of them."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from scdit import SCDiT
from scdit.conditions import Category, Composition
from scdit.diffusion import KeyedNoise
from scdit.model._new_donors import _groups, draw_donors, read_new_donors

from .test_stream import assert_the_same_however_they_are_made

ASKED = {
    "n": 400,
    "n_steps": 2,
    "silent": True,
    "rng": 0,
    "batch_size": 64,
    "new_donors": {"donor": 6},
}
NAMES = [f"new donor {i}" for i in range(1, 7)]


def drawn(model, n, requests=None, seed=0):
    old, new = read_new_donors({"donor": n}, model._conditions)
    return draw_donors(
        old, new, model._conditions, model._training_cells, requests or {}, KeyedNoise(seed)
    )


def test_donors_are_new_and_take_over_what_else_a_donor_has(of_donors):
    new = of_donors.generate(**ASKED)
    assert list(new.obs["donor"].cat.categories) == NAMES
    assert set(new.obs["donor"]) == set(NAMES)
    assert (new.obs.groupby("donor", observed=True)["condition"].nunique() == 1).all()
    assert new.obs["condition"].nunique() == 2
    assert new.uns["scdit"]["new_donors"] == {"donor": 6}
    assert new.X.sum(axis=1).mean() == pytest.approx(of_donors.adata.X.sum(axis=1).mean(), rel=0.1)


def test_cells_belong_to_index_and_seed(of_donors):
    whole = of_donors.generate(**ASKED)
    part = of_donors.generate(**{**ASKED, "n": 128})
    assert (part.X != whole[:128].X).nnz == 0
    other = of_donors.generate(**{**ASKED, "rng": 1})
    assert (other.X != whole.X).nnz > 0
    assert not set(other.obs_names) & set(whole.obs_names)
    few, many = drawn(of_donors, 3), drawn(of_donors, 25)
    np.testing.assert_array_equal(few.weights, many.weights[:3])
    np.testing.assert_array_equal(few.templates, many.templates[:3])
    assert few.condition.categories.tolist() == many.condition.categories[:3].tolist()


def test_files_shards_and_lazy_cells_are_the_same(of_donors, tmp_path):
    assert_the_same_however_they_are_made(of_donors, ASKED, tmp_path / "cells.zarr")
    with pytest.raises(FileExistsError, match="asked for with new_donors="):
        of_donors.generate(
            **{**ASKED, "new_donors": {"donor": 7}}, path=tmp_path / "cells.zarr", resume=True
        )


def test_the_model_stays_as_it_is(of_donors):
    before = pickle.dumps(of_donors.module.state_dict())
    of_donors.generate(**ASKED)
    assert pickle.dumps(of_donors.module.state_dict()) == before
    assert of_donors.generate(9, silent=True).obs["donor"].cat.categories[0] == "donor 0"


def test_requests_and_effects_name_new_donors(of_donors):
    wanted = {"new donor 2": 30, "new donor 1": 20}
    asked = {k: v for k, v in ASKED.items() if k != "n"}
    up = pd.Series({"gene5": 4.0})
    effects = {("donor", "new donor 1"): up}
    new, before = (
        of_donors.generate(**asked, covariates={"donor": wanted}, effects=e)
        for e in (effects, None)
    )
    assert new.obs["donor"].value_counts()[list(wanted)].to_dict() == wanted
    assert (new.X[:30] != before.X[:30]).nnz == 0
    assert new.X[30:, 5].sum() > 3 * before.X[30:, 5].sum()
    only = of_donors.generate(**ASKED, covariates={"condition": "stim"}, labels="NK")
    assert set(only.obs["donor"]) == set(NAMES)  # all are donors with this condition


def test_templates_have_what_is_asked_for(of_donors):
    known = of_donors._training_cells.codes
    donor, condition = (
        known[next(c.name for c in of_donors._conditions if c.key == key)]
        for key in ("donor", "condition")
    )
    for request in ("stim", ["stim"] * 3, {"stim": 3}, pd.Categorical(["stim"])):
        found = drawn(of_donors, 20, {"condition": request})
        assert set(condition[np.isin(donor, found.templates)]) == {1}


def test_no_donor_may_have_what_is_asked_for():
    donor = np.append(
        np.repeat(np.arange(10), 60), np.repeat(10, 20)
    )  # the last has too few cells
    codes = {"labels": np.where(donor == 10, 1, 0), "batch": donor}
    conditions = [
        Category("labels", "cell_type", np.array(["B", "T"])),
        Category("batch", "donor", np.array([f"donor {i}" for i in range(11)])),
    ]
    asked = read_new_donors({"donor": 2}, conditions)
    known = Composition(codes, donor + 1.0)
    found = draw_donors(*asked, conditions, known, {"cell_type": "B"}, KeyedNoise(0))
    assert (found.weights[:, 10] == 0).all()
    with pytest.raises(
        ValueError, match="no category of 'donor'.*has cells with all of the cell_type asked"
    ):
        draw_donors(*asked, conditions, known, {"cell_type": "T"}, KeyedNoise(0))


def test_templates_have_all_types_that_are_asked_for():
    """The rare type is there in the first three donors; each donor has one condition."""
    donor = np.repeat(np.arange(10), 60)
    rare = (donor < 3) & (np.arange(600) % 6 == 0)
    codes = {"labels": rare.astype(int), "covariate_0": donor % 2, "batch": donor}
    conditions = [
        Category("labels", "cell_type", np.array(["B", "rare"])),
        Category("covariate_0", "condition", np.array(["ctrl", "stim"])),
        Category("batch", "donor", np.array([f"donor {i}" for i in range(10)])),
    ]
    known = Composition(codes, donor + 1.0)

    def templates(n, **requests):
        asked = read_new_donors({"donor": n}, conditions)
        return draw_donors(*asked, conditions, known, requests, KeyedNoise(0)).templates

    assert set(templates(20)) == set(range(10))
    for labels in ("rare", ["B", "rare"], {"B": 9, "rare": 1}):
        assert set(templates(20, cell_type=labels)) == {0, 1, 2}
    both = {"condition": {"ctrl": 1, "stim": 1}}
    assert {t % 2 for t in templates(20, **both)} == {0, 1}  # as no donor has both
    with pytest.raises(ValueError, match="none of the 1 new donors has condition '(ctrl|stim)'"):
        templates(1, **both)


def test_cells_like_others_are_of_new_donors(of_donors):
    real = of_donors.adata[::7].copy()
    asked = {k: v for k, v in ASKED.items() if k != "n"}
    new = of_donors.generate(like=real, **asked)
    assert list(new.obs["cell_type"]) == list(real.obs["cell_type"])
    assert list(new.obs["condition"]) == list(real.obs["condition"])
    assert set(new.obs["donor"]) <= set(NAMES)
    assert (new.obs.groupby("donor", observed=True)["condition"].nunique() == 1).all()
    del real.obs["donor"]
    assert (of_donors.generate(like=real, **asked).X != new.X).nnz == 0


def test_cells_of_a_name_are_the_same_cells(of_donors):
    """What is asked for chooses the templates, and with them the donors."""
    calls = [
        of_donors.generate(**ASKED | {"n": 64, "labels": labels})
        for labels in (None, "B", ["B"] * 32 + ["T"] * 32)
    ]
    for i, one in enumerate(calls):
        for other in calls[i + 1 :]:
            shared = one.obs_names.intersection(other.obs_names)
            assert (one[shared].X != other[shared].X).nnz == 0


def test_new_donors_have_mean_and_variance_of_the_groups_donors(of_donors):
    """For any vectors of donors: here of two groups, far from each other."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(10, 300)) + 10 * (np.arange(10) % 2)[:, None]
    found = drawn(of_donors, 2000)
    made, group = found.weights @ vectors, found.templates % 2
    for side in (0, 1):
        own, training = made[group == side], vectors[side::2]
        np.testing.assert_allclose(own.mean(0), training.mean(0), atol=0.15)
    within = [made[group == side].var(0) for side in (0, 1)]
    real = [vectors[side::2].var(0, ddof=1) for side in (0, 1)]
    assert np.mean(within) / np.mean(real) == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(found.weights.sum(1), 1)
    nearest = ((made[:, None] - vectors) ** 2).mean(2).min(1)
    assert (nearest > 0.1).mean() > 0.95  # copies of nobody


@pytest.mark.parametrize(
    ("columns", "groups"),
    [
        ({}, [10]),
        ({"condition": [0, 1] * 5}, [5, 5]),
        ({"condition": [0] * 6 + [1] * 4, "site": [0] * 8 + [1] * 2}, [6, 2, 2]),
        ({"condition": [0, 1] * 5, "sample": range(10)}, [5, 5]),  # one each: no groups
    ],
)
def test_groups_are_of_donors_who_share_what_a_donor_has_one_of(columns, groups):
    donor, rng = np.repeat(np.arange(10), 60), np.random.default_rng(0)
    codes = {k: np.array(list(v))[donor] for k, v in columns.items()}
    codes = {"labels": rng.integers(3, size=600), **codes, "donor": donor}
    conditions = [Category(k, k, np.arange(v.max() + 1)) for k, v in codes.items()]
    found = _groups(conditions[-1], np.arange(10), conditions, Composition(codes, donor + 1.0))
    assert sorted(np.bincount(found), reverse=True) == groups
    for k in set(columns) - {"sample"}:
        assert (pd.Series(list(columns[k])).groupby(found).nunique() == 1).all()


def test_categories_that_are_sums_of_others(of_donors):
    module = of_donors.module
    (name,) = (c.name for c in of_donors._conditions if c.key == "donor")
    order = torch.randperm(10)
    moved = module.with_categories(name, torch.eye(10)[order])
    codes = {k: torch.zeros(10, dtype=torch.int64) for k in module.n_categories}
    shuffled = {**codes, name: torch.arange(10)}
    codes[name] = order
    times = torch.linspace(1, 0, 3)
    one, other = (
        m.sample(c, range(10), KeyedNoise(0), times)
        for m, c in ((module, codes), (moved, shuffled))
    )
    torch.testing.assert_close(one, other)
    a, b = (m.codec.decode(one, c)["rna"].mean() for m, c in ((module, codes), (moved, shuffled)))
    torch.testing.assert_close(a, b)
    half = module.with_categories(name, torch.tensor([[0.5, 0.5] + 8 * [0.0]]))
    ends = [module.codec.prior({**codes, name: torch.full((10,), i)}, 10)[0] for i in (0, 1)]
    middle = half.codec.prior({**codes, name: torch.zeros(10, dtype=torch.int64)}, 10)[0]
    torch.testing.assert_close(middle, (ends[0] + ends[1]) / 2)
    unknown = [m.codec.prior(None, 1)[0] for m in (module, half)]
    torch.testing.assert_close(*unknown)


@pytest.mark.parametrize(
    ("request_", "error", "match"),
    [
        (20, TypeError, "new_donors must be a mapping.*got 20"),
        ({"donor": 2, "condition": 2}, TypeError, "from one column to a number"),
        ({"patient": 2}, ValueError, "'patient' is not registered; choose one of"),
        ({"donor": 0}, ValueError, "the number for 'donor' must be a positive integer"),
        ({"condition": 4}, ValueError, "has 2 categories with 50 training cells.*at least 8"),
    ],
)
def test_bad_requests(of_donors, request_, error, match):
    with pytest.raises(error, match=match):
        of_donors.generate(**{**ASKED, "new_donors": request_})


def test_names_of_training_donors_and_nulls(of_donors):
    with pytest.raises(ValueError, match="unknown donor 'donor 3'; known: new donor 1"):
        of_donors.generate(**ASKED, covariates={"donor": "donor 3"})
    with pytest.raises(ValueError, match="new_donors= or null='labels', not both"):
        of_donors.generate(**ASKED, null="labels")
    new = of_donors.generate(**ASKED, null="condition")
    assert (new.obs.groupby("donor", observed=True)["condition"].nunique() == 2).all()


def test_other_codecs_and_names(make_donors):
    adata = make_donors(9, 50)
    adata.obs["donor"] = adata.obs["donor"].cat.rename_categories({"donor 3": "new donor 2"})
    SCDiT.setup_anndata(adata, batch_key="donor")
    model = SCDiT(adata, codec="expression", width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    new = model.generate(30, new_donors={"donor": 2}, silent=True, n_steps=1)
    assert list(new.obs["donor"].cat.categories) == ["new new donor 1", "new new donor 2"]
