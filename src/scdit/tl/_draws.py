"""Several evaluations as one: means and standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class

_KEYS = ["modality", "metric", "group"]


def check_draws(generated: Any) -> list[Any]:
    """Return the draws: those of a list, or one.

    Raises
    ------
    TypeError
        If one is neither AnnData nor MuData, or they are of both classes.
    ValueError
        If there is none.
    """
    if not isinstance(generated, list):
        if isinstance(generated, AnnData | MuData):
            return [generated]
        raise TypeError(
            "generated must be an AnnData, a MuData or a list of draws, got "
            f"{type(generated).__name__}"
        )
    if not generated:
        raise ValueError("generated: the list holds no draw")
    for i, draw in enumerate(generated):
        check_class(f"generated[{i}]", draw, AnnData, MuData)
        if isinstance(draw, MuData) != isinstance(generated[0], MuData):
            raise TypeError(
                f"generated[{i}] must be of the class of generated[0], "
                f"{type(generated[0]).__name__}, got {type(draw).__name__}"
            )
    return generated


def average_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the means of several evaluations, row by row.

    Parameters
    ----------
    tables
        What :func:`scdit.tl.evaluate` returned for each draw, at least one.

    Returns
    -------
    A table like them with the means of ``value`` and ``floor`` over the draws that have one; two more
    columns, ``sd`` and ``floor_sd``, hold their standard deviations (NaN for fewer than two draws).
    ``n`` is the smallest number of cells. ``note`` is the first one that there is; where not all draws have
    a value, it begins with how many have.
    """
    keys = [key for key in _KEYS if key in tables[0]]
    rows = pd.concat(tables, ignore_index=True).groupby(keys, sort=False)
    table = rows.agg(
        known=("value", "count"),
        value=("value", "mean"),
        sd=("value", "std"),
        floor=("floor", "mean"),
        floor_sd=("floor", "std"),
        better=("better", "first"),
        ideal=("ideal", "first"),
        n=("n", "min"),
        note=("note", lambda notes: next(filter(None, notes), "")),
    )
    some = (table["known"] > 0) & (table["known"] < len(tables))
    over = "mean over " + table["known"].astype(str) + f" of {len(tables)} draws"
    table.loc[some, "note"] = (over + "; " + table["note"]).str.removesuffix("; ")
    return table.drop(columns="known").reset_index()
