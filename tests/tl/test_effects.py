"""Effects of a condition: what is planted is found, noise is not, and baselines are what they say."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdit
from scdit.tl._challenge import CHALLENGE
from scdit.tl._effect_cells import Moments, Pair, Parts
from scdit.tl._effect_metrics import (
    EFFECT_METRICS,
    Case,
    Split,
    cosine,
    rmse,
    same_sign,
    slope,
    top_genes,
    welch,
)

N_GENES = 200
KEYS = {
    "condition_key": "state",
    "control": "ctrl",
    "condition": "stim",
    "labels_key": "cell_type",
}
LAW = np.random.default_rng(5)
BASE = LAW.gamma(1.0, size=(4, N_GENES)) + 0.2
SHARED = LAW.normal(0, 0.8, N_GENES) * (LAW.random(N_GENES) < 0.4)
OWN = LAW.normal(0, 0.8, (4, N_GENES)) * (LAW.random((4, N_GENES)) < 0.3)


def draw(seed, strength=1.0, own=1.0, n=150, states=("ctrl", "stim"), types="ABCD"):
    """Cells of some types and states; the effect has a part that types share and one of their own."""
    rng = np.random.default_rng(seed)
    parts, obs = [], []
    for letter in types:
        i = "ABCD".index(letter)
        for state in states:
            effect = strength * (SHARED + own * OWN[i]) if state == "stim" else 0
            rate = BASE[i] * np.exp(effect)
            parts.append(rng.poisson(rate / rate.sum() * 2000, (n, N_GENES)))
            obs += [(letter, state)] * n
    frame = pd.DataFrame(
        obs, columns=["cell_type", "state"], index=[f"{seed}-{i}" for i in range(len(obs))]
    )
    return ad.AnnData(np.vstack(parts).astype(np.float32), obs=frame)


REAL = draw(1)


OURS = [metric.name for metric in EFFECT_METRICS]


def judge(made, real=REAL, **kwargs):
    kwargs.setdefault("metrics", OURS)
    table = scdit.tl.evaluate_effects(real, made, **KEYS | kwargs)
    return table[table["group"] == "all"].set_index("metric")


@pytest.fixture(scope="module")
def perfect():
    return judge(draw(2))


def test_a_right_effect_is_at_the_floor(perfect):
    assert (perfect["note"] == "").all()
    for metric in ("lfc_r", "lfc_slope", "lfc_sign", "de_overlap", "specific_r", "cosine"):
        value, floor = perfect.loc[metric, ["value", "floor"]]
        assert value == pytest.approx(floor, abs=0.03), metric
    assert perfect.loc["lfc_slope", "value"] == pytest.approx(1, abs=0.05)
    assert perfect.loc["lfc_r", "value"] > 0.95
    assert perfect.loc[["rmse_rank", "cosine_rank"], "value"].tolist() == [0, 0]


@pytest.mark.parametrize("strength", [0, 0.5])
def test_the_slope_is_the_strength(strength):
    table = judge(draw(3, strength=strength))
    assert table.loc["lfc_slope", "value"] == pytest.approx(strength, abs=0.06)
    if not strength:
        values = table.loc[["lfc_r", "lfc_sign", "specific_r", "cosine"], "value"]
        np.testing.assert_allclose(values, [0, 0.5, 0, 0], atol=0.15)


def test_baselines(perfect):
    assert perfect.loc["lfc_slope", "no_effect"] == pytest.approx(0, abs=0.05)
    assert perfect.loc["lfc_r", "no_effect"] == pytest.approx(0, abs=0.15)
    # what types share is in the mean response, and what they do not is not
    assert 0.4 < perfect.loc["lfc_r", "mean_response"] < 0.95
    assert perfect.loc["specific_r", "mean_response"] == pytest.approx(0, abs=0.15)
    # of types with as many cells each, the additive model is the mean response
    np.testing.assert_allclose(perfect["additive"], perfect["mean_response"], rtol=1e-6)
    # two types look different whatever the effect: this metric needs its baseline
    assert perfect.loc["systema_r", "no_effect"] > 0.5


def test_the_mean_response_is_right_where_types_respond_alike():
    table = judge(draw(4, own=0), real=draw(5, own=0))
    assert table.loc["lfc_r", "mean_response"] > 0.95
    # little is left to be specific: what the logarithm makes of different levels
    assert table.loc["specific_r", ["value", "floor"]].max() < 0.4


def test_noise_does_not_agree():
    """No effect anywhere: neither the shared control nor the choice of genes makes one."""
    tables = [
        judge(draw(100 + i, strength=0, n=60), real=draw(200 + i, strength=0, n=60), rng=i)
        for i in range(4)
    ]
    mean = sum(table.select_dtypes("number") for table in tables) / len(tables)
    sides = ["value", "floor", "no_effect", "mean_response"]
    assert mean.loc[["lfc_r", "lfc_slope", "cosine", "specific_r"], sides].abs().max().max() < 0.1
    assert (mean.loc["lfc_sign", sides] - 0.5).abs().max() < 0.05
    assert (mean.loc[["rmse_rank", "cosine_rank"], sides] - 0.5).abs().max().max() < 0.25


def moments(mean):
    return Moments(np.asarray(mean, dtype=float), np.ones(len(mean)), 2)


def case(truth, prediction, others=()):
    zero = moments(np.zeros(len(truth)))
    pair = Pair(moments(truth), zero)
    return Case(pair, pair, zero, {"value": moments(prediction)}, list(others), 100)


def test_closed_forms():
    p, t = np.array([1.0, 2, 0, 0]), np.array([2.0, 2, -1, 0])
    assert slope(p, t) == pytest.approx(6 / 9)
    assert rmse(p, t) == pytest.approx(np.sqrt(2 / 4))
    assert cosine(p, t) == pytest.approx(6 / np.sqrt(5 * 9))
    assert same_sign(p, t) == pytest.approx((1 + 1 + 0.5 + 0.5) / 4)
    assert np.isnan(slope(p, 0 * t))
    assert np.isnan(cosine(0 * p, t))


def test_ranks():
    """By RMSE, b's prediction is nearer to a's truth than a's own; by cosine it is not."""
    truths = {"a": [1, 0], "b": [0, 1], "c": [-1, 0]}
    made = {"a": [9, 0], "b": [0, 0.5], "c": [-1, 0]}
    split = Split({name: case(truths[name], made[name]) for name in truths})
    rank = {m.name: m.compute for m in EFFECT_METRICS if m.name.endswith("rank")}
    assert [rank["rmse_rank"](split, name, "value") for name in "abc"] == [1, 0, 0]
    assert [rank["cosine_rank"](split, name, "value") for name in "abc"] == [0, 0, 0]
    # predictions that are all the same know nothing
    same = Split({name: case(truths[name], [0, 0]) for name in truths})
    for compute in rank.values():
        assert [compute(same, name, "value") for name in "abc"] == [0.5] * 3


def test_what_is_subtracted_from_other_types():
    """Systema takes off the others' perturbed mean, specific_r their mean effect."""
    level, effect, other = np.random.default_rng(0).normal(size=(3, 40))
    control = moments(level)
    pair = Pair(moments(level + effect), control)
    their = Pair(moments(other), moments(0.5 * other))
    parts = Parts(their, their, their, control)
    made = level + 0.3 * effect
    one = Case(pair, pair, control, {"value": moments(made)}, [parts], 20)
    compute = {m.name: m.compute for m in EFFECT_METRICS}
    split = Split({"a": one})
    top = np.argsort(-np.abs(effect))[:20]
    want = np.corrcoef((0.3 * effect - 0.5 * other)[top], (effect - 0.5 * other)[top])[0, 1]
    assert compute["specific_r"](split, "a", "value") == pytest.approx(want)
    want = np.corrcoef(made - other, level + effect - other)[0, 1]
    assert compute["systema_r"](split, "a", "value") == pytest.approx(want)
    assert compute["de_overlap"](split, "a", "value") == 1  # the same genes, if weaker


def test_additive_is_the_least_squares_fit():
    """Cells of two other types, in unequal numbers: against a regression on dummies."""
    rng = np.random.default_rng(0)
    counts, rows, y = {"b": (12, 30), "c": (40, 10)}, [], []
    parts = {}
    for i, (name, (n, m)) in enumerate(counts.items()):
        stim, ctrl = rng.normal(i, 1, n) + 1 + i, rng.normal(i, 1, m)
        parts[name] = Pair(
            Moments(stim.mean(keepdims=True), np.ones(1), n),
            Moments(ctrl.mean(keepdims=True), np.ones(1), m),
        )
        rows += [[i == 0, i == 1, 1]] * n + [[i == 0, i == 1, 0]] * m
        y += [*stim, *ctrl]
    fit = np.linalg.lstsq(np.array(rows, dtype=float), np.array(y), rcond=None)[0][-1]
    weights = np.array([pair.weight for pair in parts.values()])
    effects = np.array([pair.effect[0] for pair in parts.values()])
    assert weights @ effects / weights.sum() == pytest.approx(fit)


def test_welch_is_that_of_scipy():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 5)), rng.normal(size=(14, 5))
    first, second = (Moments(z.mean(0), z.var(0), len(z)) for z in (x, y))
    want = ttest_ind(x, y, equal_var=False).statistic
    np.testing.assert_allclose(welch(first, second), want)
    assert top_genes(np.array([0.0, -3, 2, 1, 0, 0]), 2).tolist() == [1, 2]
    assert top_genes(np.zeros(8), 2).tolist() == []


def test_a_reference_stands_for_the_other_types():
    """Only one type has held-out cells of the condition; the others were trained on."""
    table = judge(draw(6, types="A"), real=draw(7, types="A"), reference=draw(8))
    assert table.loc["specific_r", "value"] > 0.9
    assert 0.4 < table.loc["lfc_r", "mean_response"] < 0.95
    assert table.loc["rmse_rank", "note"] == "needs two labels to rank"
    alone = judge(draw(6, types="A"), real=draw(7, types="A"))
    assert np.isnan(alone.loc["lfc_r", "mean_response"])
    assert alone.loc["lfc_r", "value"] > 0.9
    assert "needs another label" in alone.loc["lfc_r", "note"]
    assert "needs another label" in alone.loc["systema_r", "note"]
    assert np.isnan(alone.loc["systema_r", "value"])


def test_columns_and_groups():
    table = scdit.tl.evaluate_effects(REAL, draw(2, n=40), **KEYS, metrics=["rmse", "lfc_r"])
    assert list(table.columns) == [
        "metric", "group", "value", "floor", "no_effect", "mean_response", "additive", "better",
        "ideal", "n", "note",
    ]  # fmt: skip
    assert table["group"].tolist() == ["all", *"ABCD"] * 2
    assert table["n"].tolist() == [160, 40, 40, 40, 40] * 2
    median = table[1:5]["value"].median()
    assert table["value"].iloc[0] == pytest.approx(median)
    again = scdit.tl.evaluate_effects(REAL, draw(2, n=40), **KEYS, metrics=["rmse", "lfc_r"])
    pd.testing.assert_frame_equal(table, again)


def test_too_few_cells_are_a_note():
    real = REAL[~((REAL.obs["cell_type"] == "A") & (REAL.obs["state"] == "stim"))].copy()
    few = REAL[(REAL.obs["cell_type"] == "A") & (REAL.obs["state"] == "stim")][:14]
    real = ad.concat([real, few.copy()])
    made = draw(2)
    made = made[(made.obs["cell_type"] != "B")].copy()
    table = scdit.tl.evaluate_effects(real, made, **KEYS, metrics=["lfc_r"]).set_index("group")
    assert table.loc["A", "note"] == "needs 15 real cells of the condition; there are 14"
    assert table.loc["B", "note"] == "needs 5 generated cells; there are 0"
    assert table.loc[["A", "B"], "value"].isna().all()
    assert table.loc["all", "note"] == "without A, B"
    assert table.loc["all", "value"] > 0.9


def test_nothing_of_the_users_changes():
    real, made, training = REAL.copy(), draw(2), draw(9)
    before = [(a.X.copy(), a.obs.copy(), dict(a.uns)) for a in (real, made, training)]
    scdit.tl.evaluate_effects(real, made, **KEYS, reference=training, metrics=["lfc_r"])
    for adata, (x, obs, uns) in zip((real, made, training), before, strict=True):
        np.testing.assert_array_equal(adata.X, x)
        pd.testing.assert_frame_equal(adata.obs, obs)
        assert adata.uns == uns
        assert not (set(adata.layers) - {None}) | set(adata.obsm)  # anndata 0.13 has X there


BAD = [
    ({"control": "control"}, ValueError, "`real.obs.'state'.` has no cells of 'control'.*ctrl"),
    ({"condition": "Stim"}, ValueError, "did you mean 'stim'"),
    ({"condition": "ctrl"}, ValueError, "control and condition are both 'ctrl'"),
    ({"condition": None}, TypeError, "condition must be a value"),
    ({"control": ["ctrl"]}, TypeError, "control must be a value"),
    ({"condition_key": "States"}, KeyError, "`real.obs` has no column 'States'"),
    ({"condition_key": None}, TypeError, "condition_key must be a str"),
    ({"labels_key": "type"}, KeyError, "`real.obs` has no column 'type'"),
    ({"labels_key": None}, TypeError, "labels_key must be a str"),
    ({"labels_key": "state"}, ValueError, "are both 'state'"),
    ({"layer": "counts"}, KeyError, "no layer 'counts'"),
    ({"layer": 3}, TypeError, "layer must be"),
    ({"metrics": []}, ValueError, "at least one name"),
    ({"metrics": "lfc_r"}, TypeError, "metrics must be a list of names"),
    ({"metrics": ["lfc"]}, ValueError, "unknown name 'lfc'.*did you mean"),
    ({"n_genes": 0}, ValueError, "n_genes must be"),
    ({"max_cells": 3}, ValueError, "max_cells must be"),
    ({"rng": -1}, ValueError, "rng must be"),
    ({"reference": "train"}, TypeError, "reference must be an AnnData"),
    ({"reference": draw(9, types="A", states=("ctrl",), n=5)}, ValueError, "`reference.obs"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=lambda x: str(x)[:30])
def test_bad_arguments(change, error, message):
    with pytest.raises(error, match=message):
        scdit.tl.evaluate_effects(REAL, draw(2, n=5), **KEYS | change)


def test_cells_without_rows_or_with_unequal_names():
    empty = REAL[:0].copy()
    with pytest.raises(ValueError, match="no cells of 'ctrl'. It has: none"):
        scdit.tl.evaluate_effects(empty, REAL, **KEYS)
    twice = REAL.copy()
    twice.var_names = ["gene"] * N_GENES
    with pytest.raises(ValueError, match="`real.var_names` repeats names"):
        scdit.tl.evaluate_effects(twice, REAL, **KEYS)


def test_order_and_kind_of_matrix_do_not_matter():
    made = draw(2, n=20)
    other = made[:, ::-1].copy()
    other.X = sp.csc_matrix(other.X).astype(np.int64)
    real = REAL.copy()
    real.layers["counts"], real.X = real.X, np.log1p(real.X)
    first = judge(made)
    second = judge(other, real=real, layer="counts")
    pd.testing.assert_frame_equal(first, second)
    # the rows of a metric are the same whichever others are asked for
    alone = judge(made, metrics=["cosine"])
    pd.testing.assert_frame_equal(alone, first.loc[["cosine"]])


def test_bad_cells():
    small = draw(2, n=20)
    logs = small.copy()
    logs.X = np.log1p(logs.X)
    for sides in ((logs, small), (small, logs)):
        with pytest.raises(ValueError, match="does not hold raw counts"):
            scdit.tl.evaluate_effects(*sides, **KEYS)
    with pytest.raises(ValueError, match="`generated` lacks 100 of the 200 genes"):
        scdit.tl.evaluate_effects(REAL, small[:, :100].copy(), **KEYS)
    with pytest.raises(ValueError, match="share no label.*`real` has: A. `generated` has: B"):
        scdit.tl.evaluate_effects(draw(1, types="A"), draw(2, types="B"), **KEYS)
    with pytest.raises(ValueError, match="`generated.obs.'state'.` has no cells of 'stim'"):
        scdit.tl.evaluate_effects(REAL, draw(2, states=("ctrl",), n=5), **KEYS)
    with pytest.raises(TypeError, match="real must be an AnnData"):
        scdit.tl.evaluate_effects(None, small, **KEYS)


def test_warnings():
    made = draw(2, n=20)
    with pytest.warns(UserWarning, match=r"labels that `real` lacks in this condition: \['B'\]"):
        scdit.tl.evaluate_effects(draw(1, types="A"), made[:80].copy(), **KEYS, metrics=["rmse"])
    with pytest.warns(UserWarning, match="exact copies of cells of `real`"):
        scdit.tl.evaluate_effects(REAL, REAL, **KEYS, metrics=["rmse"])
    with pytest.warns(UserWarning, match="hold them out"):
        scdit.tl.evaluate_effects(REAL, made, **KEYS, reference=REAL, metrics=["rmse"])


VCC = [metric.name for metric in CHALLENGE]


def test_without_cell_eval2(monkeypatch):
    monkeypatch.setattr("scdit.tl._effect_rows.is_installed", lambda: False)
    table = scdit.tl.evaluate_effects(draw(1, n=20), draw(2, n=20), **KEYS)
    table = table[table["metric"].isin(VCC)]
    assert table["metric"].tolist() == VCC
    assert set(table["note"]) == {"needs cell-eval2: pip install 'scdit[effects]'"}
    assert table[["value", "floor"]].isna().all().all()


@pytest.mark.slow
def test_the_virtual_cell_challenge():
    pytest.importorskip("cell_eval2")
    right, weak = (judge(draw(2, strength=s), metrics=VCC) for s in (1, 0.5))
    assert right.loc["vcc_discrimination", ["value", "floor"]].tolist() == [1, 1]
    for metric in VCC[1:]:
        value, floor, nothing = right.loc[metric, ["value", "floor", "no_effect"]]
        assert value == pytest.approx(floor, abs=0.06)
        assert abs(value - nothing) > 0.7
    # of an effect d, half of it leaves a quarter of d squared and half of |d|
    assert weak.loc["vcc_expression_error", "value"] == pytest.approx(0.25, abs=0.1)
    assert weak.loc["vcc_lfc_error", "value"] == pytest.approx(0.5, abs=0.1)
    assert "they predict means" in right.loc["vcc_lfc_error", "note"]
    # without any effect, no side is told apart by noise that it shares with the truth
    scores = [
        judge(draw(10 + i, strength=0, n=40), draw(20 + i, strength=0, n=40), metrics=VCC[:1])
        for i in range(8)
    ]
    mean = sum(score[["value", "floor", "no_effect"]] for score in scores) / len(scores)
    assert (mean - 0.5).abs().max().max() < 0.25
    alone = judge(draw(6, types="A"), real=draw(7, types="A"), metrics=VCC[:1])
    assert alone["note"].tolist() == ["needs two labels to tell apart"]


def test_numbers_as_conditions_and_few_genes():
    real, made = draw(1, n=30), draw(2, n=30)
    for adata in (real, made):
        adata.obs["state"] = (adata.obs["state"] == "stim").astype(int)
    keys = KEYS | {"control": 0, "condition": 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = scdit.tl.evaluate_effects(real[:, :5].copy(), made, **keys, metrics=OURS)
    notes = table[table["group"] == "all"].set_index("metric")["note"]
    assert notes["lfc_r"] == "needs 6 genes; there are 5"
    assert notes["rmse"] == ""
