"""Several evaluations as one: means and standard deviations."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

_KEYS = ["modality", "metric", "group"]


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
    ``n`` is the smallest number of cells. ``note`` is the first one that there is.
    """
    keys = [key for key in _KEYS if key in tables[0]]
    rows = pd.concat(tables, ignore_index=True).groupby(keys, sort=False)
    table = rows.agg(
        value=("value", "mean"),
        sd=("value", "std"),
        floor=("floor", "mean"),
        floor_sd=("floor", "std"),
        better=("better", "first"),
        ideal=("ideal", "first"),
        n=("n", "min"),
        note=("note", lambda notes: next(filter(None, notes), "")),
    )
    return table.reset_index()
