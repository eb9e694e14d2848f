"""What is drawn from training cells: with tables that are made once, the same as by looking at all cells."""

import warnings

import numpy as np
import pytest

from scdit.conditions import Category, Composition, Number, RequestedCodes
from scdit.conditions._combinations import Recent
from scdit.nn import DROPPED


def looked_for(codes, given, number):
    """The training cell that one new cell is drawn from, by looking at all of them."""
    pool = np.arange(len(next(iter(codes.values()))))
    conditions = [(k, codes[k] != DROPPED) for k in codes if k not in given]
    for _, fits in [*conditions, *((k, codes[k] == v) for k, v in given.items())]:
        pool = pool[fits[pool]] if fits[pool].any() else pool
    return pool[int(number * len(pool))]


@pytest.mark.parametrize("seed", range(5))
def test_tables_find_what_looking_at_all_cells_does(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(5, 200), 60
    codes = {name: rng.integers(-1, 4, n) for name in ("labels", "batch", "day")}
    composition = Composition(codes, np.ones(n))
    asked = {name: rng.integers(-1, 6, m) for name in codes}
    numbers = rng.random(m)
    for names in ([], ["batch"], ["day", "labels"], ["labels", "batch", "day"]):
        given = {name: asked[name] for name in names}
        rows = composition.draw(given, numbers)
        for i in range(m):
            own = {name: code[i] for name, code in given.items()}
            assert rows[i] == looked_for(codes, own, numbers[i])
        # drawn in parts
        parts = [
            composition.draw({k: v[a : a + 7] for k, v in given.items()}, numbers[a : a + 7])
            for a in range(0, m, 7)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), rows)
    rows = set(zip(*codes.values(), strict=True))
    wanted = sorted(set(zip(*asked.values(), strict=True)) - rows)
    assert [tuple(c.values()) for c in composition.unseen(asked)] == wanted
    seen, moved = composition.seen_like(asked, numbers, first="labels")
    for i in range(m):
        own = np.array([asked[name][i] for name in codes])
        differs = np.array([codes[name] for name in codes]) != own[:, None]
        distance = np.array([1.5, 1, 1]) @ differs
        nearest = np.flatnonzero(distance == distance.min())
        row = nearest[int(numbers[i] * len(nearest))]
        assert [seen[name][i] for name in codes] == [codes[name][row] for name in codes]
        for name, nobody in zip(codes, differs.all(axis=1), strict=True):
            assert moved[name][i] == (codes[name][row] if nobody else asked[name][i])


def test_codes_of_a_range_are_those_of_all():
    rng = np.random.default_rng(0)
    conditions = [
        Category("labels", "label", np.array(["a", "b"]), unlabeled="none"),
        Category("batch", "batch", np.arange(300)),
        Number("covariate_0", "age", 50.0, 9.0, 20.0, 80.0),
    ]
    codes = {
        "labels": rng.integers(-1, 2, 500),
        "batch": rng.integers(0, 300, 500),
        "covariate_0": rng.normal(50, 9, 500),
    }
    composition = Composition(codes, np.ones(500))
    numbers = rng.random(1000)
    for requests in (
        {},
        {"label": ["none", "a"] * 500},
        {"label": {"a": 400, "b": 600}, "batch": {7: 500, 299: 500}},
        {"age": list(rng.normal(50, 5, 1000)), "batch": 3},
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the model extrapolates
            asked = RequestedCodes(conditions, composition, requests, np.random.default_rng(1))
        whole = asked.of(range(1000), numbers)
        part = asked.of(range(300, 420), numbers[300:420])
        for name, code in whole.items():
            np.testing.assert_array_equal(part[name], code[300:420])
            assert code.dtype == (np.float64 if name == "covariate_0" else np.int64)
        for _, code in asked.described():
            assert code.ndim == 0 or code.itemsize <= 2 or code.dtype == np.float64


def test_what_is_kept_is_bounded():
    kept, made = Recent(10), []

    def make(key, size):
        return kept.get(key, lambda: (made.append(key) or key, size))

    for key in ("a", "b", "a"):
        assert make(key, 4) == key
    assert made == ["a", "b"]
    make("c", 4)  # b was used longest ago
    make("a", 4)
    assert made == ["a", "b", "c"]
    make("b", 4)
    assert made == ["a", "b", "c", "b"]
    assert make("large", 99) == "large"
    make("large", 99)
    assert made.count("large") == 1
