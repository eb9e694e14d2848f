"""Checks of arguments: what they let through, and what they say of the rest."""

import re

import numpy as np
import pytest

from scdit._checks import (
    check_bool,
    check_choice,
    check_class,
    check_int,
    check_names,
    check_number,
    check_rng,
    check_rows,
    shown,
)

NOT_INTEGERS = [True, 2.5, 2.0, "2", None, [2], np.nan, np.array([2, 3])]


@pytest.mark.parametrize("value", NOT_INTEGERS, ids=repr)
def test_what_is_no_integer(value):
    with pytest.raises(ValueError, match=r"^n must be a positive integer, got "):
        check_int("n", value)


def test_integers_and_their_range():
    assert [type(check_int("n", v)) for v in (3, np.int8(3), np.uint64(3))] == [int] * 3
    assert check_int("n", 0, low=0) == 0
    for value, low, high, allowed in [
        (0, 1, None, "a positive integer"),
        (-1, 0, None, "a non-negative integer"),
        (7, 2, 6, "an integer of at least 2 and at most 6"),
        (1, 2, None, "an integer of at least 2"),
    ]:
        with pytest.raises(ValueError, match=f"n must be {allowed}, got {value}"):
            check_int("n", value, low, high)


@pytest.mark.parametrize("value", [True, "1", None, np.nan, np.inf, [1.0], 1j], ids=repr)
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match=r"^eta must be a finite number at least 0 and at most 1"):
        check_number("eta", value, 0, 1)


def test_ends_of_ranges():
    assert check_number("x", np.float32(1), 0, 1) == 1.0
    for value, kwargs in [(1, {"open_high": True}), (0, {"open_low": True})]:
        with pytest.raises(ValueError, match="above 0|below 1"):
            check_number("x", value, 0, 1, **kwargs)


def test_choices_have_a_closest_one():
    assert check_choice("sampler", "ddim", ["ab2", "ddim"]) == "ddim"
    with pytest.raises(ValueError, match=r"choose one of ab2, ddim; did you mean 'ddim'\?"):
        check_choice("sampler", "DDIM"[1:].lower() + "x", ["ab2", "ddim"])
    for value in (["ab2"], None, 3):
        with pytest.raises(ValueError, match="unknown sampler"):
            check_choice("sampler", value, ["ab2", "ddim"])


def test_classes_and_truths():
    assert check_class("x", 3, int) == 3
    with pytest.raises(TypeError, match="x must be an int or str, got list"):
        check_class("x", [], int, str)
    assert check_bool("silent", np.True_) is True
    for value in ("no", 1, None):
        with pytest.raises(ValueError, match="silent must be True or False"):
            check_bool("silent", value)


def test_sources_of_random_numbers():
    for rng in (None, 3, np.random.default_rng(0), np.random.SeedSequence(1)):
        assert check_rng(rng) is rng
    for rng in (-1, 2.5, "seed", True):
        with pytest.raises(ValueError, match="rng must be None, a non-negative integer"):
            check_rng(rng)


def test_rows():
    mask = np.array([True, False, True])
    for rows, expected in [(None, [0, 1, 2]), (mask, [0, 2]), ([-1, 0], [2, 0]), ([], [])]:
        np.testing.assert_array_equal(check_rows("indices", rows, 3), expected)
    for rows, message in [
        ([True, False], "a mask of 2 for 3 rows"),
        ([3], "position 3, for 3 rows"),
        ([0.5], "positions or a mask"),
        (["cell1"], "positions or a mask"),
        (2, "positions or a mask"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_rows("indices", rows, 3)


def test_names_and_long_values():
    assert check_names("genes", np.array(["a", "b"])) == ["a", "b"]
    for names in ("ab", 3, ["a", 2]):
        with pytest.raises(TypeError, match="genes must be a list of names"):
            check_names("genes", names)
    assert len(shown(list(range(1000)))) <= 60
    assert not re.search(r"\n", shown(np.zeros((20, 20))))
