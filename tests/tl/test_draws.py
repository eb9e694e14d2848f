"""Evaluations of several draws, and what they say in words."""

import numpy as np
import pandas as pd
import pytest

import scdit
from scdit.tl._verdict import judge, steps_from_floor


def test_values_are_means_over_draws(train, test, simulate):
    draws = [simulate((120, 60, 90), seed=seed, prefix=f"d{seed}-") for seed in (3, 4, 5)]
    settings = {"labels_key": "cell_type", "reference": train, "metrics": ["mmd", "coverage"]}
    table = scdit.tl.evaluate(test, draws, **settings)
    singles = [draw.uns["scdit_evaluation"] for draw in draws]
    assert table[["metric", "group", "n"]].equals(singles[0][["metric", "group", "n"]])
    for column, spread in (("value", "sd"), ("floor", "floor_sd")):
        values = np.array([single[column] for single in singles])
        np.testing.assert_allclose(table[column], values.mean(axis=0))
        np.testing.assert_allclose(table[spread], values.std(axis=0, ddof=1))
    # other cells are the floor each time
    assert (table["floor_sd"] > 0).any()
    again = scdit.tl.evaluate(test, draws, **settings)
    pd.testing.assert_frame_equal(again, table)


def test_one_draw_has_no_spread_and_none_is_refused(test, fresh):
    table = scdit.tl.evaluate(test, [fresh], metrics=["mmd"])
    assert table["value"].notna().all()
    assert table["sd"].isna().all()
    with pytest.raises(ValueError, match="holds no draw"):
        scdit.tl.evaluate(test, [], metrics=["mmd"])


def test_draws_are_checked_before_any_is_compared(test, fresh):
    import mudata

    def refused(error, match, generated):
        fresh.uns.pop("scdit_evaluation", None)
        with pytest.raises(error, match=match):
            scdit.tl.evaluate(test, generated, metrics=["mmd"])
        assert "scdit_evaluation" not in fresh.uns

    refused(TypeError, r"^generated\[1\] must be", [fresh, "fresh"])
    refused(TypeError, r"^generated\[1\] must be.*got list", [fresh, [fresh]])
    refused(
        TypeError, r"^generated\[1\].*of generated\[0\]", [fresh, mudata.MuData({"rna": fresh})]
    )
    refused(TypeError, "or a list of draws, got tuple", (fresh,))
    # values are found out when a draw is read: the earlier ones stay as they are
    fraction = fresh.copy()
    fraction.X.data = fraction.X.data + 0.5
    refused(ValueError, r"generated\[1\]", [fresh, fraction])
    refused(ValueError, r"generated\[2\]", [fresh, fresh, fresh[:, :5].copy()])


@pytest.mark.filterwarnings("ignore:.*lacks the column of labels")
def test_means_over_some_of_the_draws_say_so(test, fresh):
    unlabelled = fresh.copy()
    del unlabelled.obs["cell_type"]
    table = scdit.tl.evaluate(
        test, [fresh, unlabelled, fresh], labels_key="cell_type", metrics=["mmd"]
    )
    is_all = table["group"] == "all"
    assert (table.loc[is_all, "note"] == "").all()
    assert table.loc[~is_all, "note"].eq("mean over 2 of 3 draws").all()
    assert (~is_all).any()


@pytest.mark.parametrize(
    ("metric", "better", "ideal", "value", "floor", "steps"),
    [
        ("frechet", "lower", 0, 12.5, 10, 1),  # a factor of 1.25
        ("frechet", "lower", 0, 8, 10, -1),
        ("mmd", "lower", 0, 0.1, -0.1, np.nan),  # no factor
        ("exact_duplicates", "lower", 0, 0.1, 0, 2),  # a share
        ("recall", "higher", 1, 0.8, 0.9, 2),
        ("c2st_rf_pca", "closer", 0.5, 0.6, 0.45, 2),  # a floor below .5 is chance
        ("nn_accuracy", "closer", 0.5, 0.4, 0.55, -2),  # too near to real cells
        ("pc_sd_ratio", "closer", 1, 0.8, 1.05, 3),
        ("marker_slope", "closer", np.nan, 0.8, 0.9, 2),
    ],
)
def test_steps_from_the_floor(metric, better, ideal, value, floor, steps):
    row = {"metric": metric, "better": better, "ideal": ideal, "value": value, "floor": floor}
    assert steps_from_floor(row) == pytest.approx(steps, nan_ok=True)


def table_of(**values) -> pd.DataFrame:
    """An evaluation with values of some metrics beside perfect floors."""
    ideals = {"c2st_rf_pca": 0.5, "pc_sd_ratio": 1, "memorization_ratio": 1, "exact_duplicates": 0}
    rows = [
        {
            "metric": name,
            "group": "all",
            "value": value,
            "floor": ideals[name],
            "ideal": ideals[name],
        }
        for name, value in values.items()
    ]
    better = {"exact_duplicates": "lower"}
    return pd.DataFrame(rows).assign(
        better=lambda t: t["metric"].map(lambda name: better.get(name, "closer")), n=100, note=""
    )


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"c2st_rf_pca": 0.54, "pc_sd_ratio": 1.0}, "indistinguishable"),
        ({"c2st_rf_pca": 0.54, "pc_sd_ratio": 0.9}, "close"),
        ({"c2st_rf_pca": 0.64, "pc_sd_ratio": 1.0}, "close"),
        ({"c2st_rf_pca": 0.66, "pc_sd_ratio": 1.0}, "clearly different"),
        ({"c2st_rf_pca": 0.5, "memorization_ratio": 0.85}, "copies"),
        ({"c2st_rf_pca": 0.5, "exact_duplicates": 0.06}, "copies"),
        ({"pc_sd_ratio": 1.0}, "unknown"),
    ],
)
def test_the_verdict_is_that_of_the_worst_metric(values, word):
    assert judge(table_of(**values)).word == word


def test_the_verdict_of_cells_with_known_faults(train, test, fresh):
    settings = {
        "labels_key": "cell_type",
        "reference": train,
        "metrics": ["c2st_lr_genes", "pc_sd_ratio", "correlation_error", "memorization_ratio"],
    }
    assert judge(scdit.tl.evaluate(test, fresh, **settings)).word != "clearly different"
    shallow = fresh.copy()
    shallow.X.data = np.floor(shallow.X.data / 2)
    shallow.X.eliminate_zeros()
    assert judge(scdit.tl.evaluate(test, shallow, **settings)).word == "clearly different"
    copies = train[: test.n_obs].copy()
    copies.obs_names = [f"copy{i}" for i in range(copies.n_obs)]
    assert judge(scdit.tl.evaluate(test, copies, **settings)).word == "copies"
