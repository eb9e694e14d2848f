"""What effects do to the genes that they do not name, found before any cell is drawn."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch

from scdit._checks import users_stacklevel
from scdit.model._effects import Effects
from scdit.model._recipe import Codes, Recipe, joined
from scdit.module import RNA

_CELLS = 512  # that an effect is looked at in
_PARTS, _PART = 64, 64  # of the call that are looked at first, and cells of each
_BLOCK = 1 << 14  # cells whose conditions are found at once, where these have none with an effect
_MOST = 0.5  # of all counts, that a gene should have
_Described: TypeAlias = tuple[int, Codes, Codes, Codes]  # see `_cells_of`


def with_truth(recipe: Recipe, effects: Effects, n: int, genes: pd.Index) -> Effects:
    """Effects that know what they are after totals are kept, and by how much other genes change.

    It is found in up to 512 cells like those of the call that have the effect, from all parts of it: the
    same for all shards, and known before cells are made.

    Parameters
    ----------
    recipe
        A recipe without effects.
    effects
        Effects for it.
    n
        Number of cells of the call.
    genes
        Names of the genes, for warnings.

    Warns
    -----
    UserWarning
        If a gene has more than half of the counts, or no cell has an effect.
    """
    starts = np.unique(np.linspace(0, max(n - _PART, 0), _PARTS).astype(int) // _PART * _PART)
    some = [_cells_of(recipe, range(i, min(i + _PART, n))) for i in starts.tolist()]
    realised, common = np.full(effects.log2fc.shape, np.nan), np.full(len(effects.names), np.nan)
    for i, name in enumerate(effects.names):
        found = _cells_with(recipe, effects, i, n, some)
        if found is None:
            _warn(f"effects: no cell of this call has those of {name!r}")
            continue
        rates, named = found
        every = np.exp(effects.log_factors(named, len(rates)).astype(np.float64))
        total = rates.sum(axis=1, keepdims=True)
        after, before = (
            changed * total / changed.sum(axis=1, keepdims=True)
            for changed in (rates * every, rates * every / np.exp2(effects.log2fc[i]))
        )
        realised[i] = np.log2(after.sum(axis=0) / before.sum(axis=0))
        # of a cell, the change of any gene is its effect and the common factor
        own = after[:, 0] / before[:, 0] / np.exp2(effects.log2fc[i, 0])
        common[i] = (total[:, 0] * own).sum() / total.sum()
        share = after.sum(axis=0) / total.sum()
        top = int(share.argmax())
        if share[top] > _MOST and effects.log2fc[i, top] > 0:
            _warn(
                f"effects: {genes[top]!r} has {share[top]:.0%} of all counts in the cells of {name!r}; "
                "all other genes are pushed down"
            )
    return replace(effects, realised=realised, common_factor=common)


def _cells_with(
    recipe: Recipe, effects: Effects, i: int, n: int, some: list[_Described]
) -> tuple[np.ndarray, Codes] | None:
    """Rates (cells, genes) of cells like those that have an effect, and their codes in ``obs``.

    They are looked for among `some` of the `n` cells of the call, and where these have none among all.
    """
    found = [_rows_with(effects, i, *described) for described in some]
    if not sum(n_rows for n_rows, *_ in found):
        every = (range(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))
        each = (_rows_with(effects, i, *_cells_of(recipe, block)) for block in every)
        found = [next((f for f in each if f[0]), found[0])]
    total = sum(n_rows for n_rows, *_ in found)
    if not total:
        return None
    kept = np.unique(np.linspace(0, total - 1, _CELLS).round().astype(int))
    codes, named, sizes = (
        {k: x[kept] for k, x in joined(parts).items()}
        for parts in zip(*(own for _, *own in found), strict=True)
    )
    with torch.inference_mode():
        state, told = recipe.states(range(len(kept)), codes, sizes)
        rates = recipe.module.codec.decode(state, told)[RNA].mean()
    return rates.double().cpu().numpy(), named


def _cells_of(recipe: Recipe, cells: range) -> _Described:
    """Number, codes, codes in ``obs`` and library sizes of a range of cells."""
    codes, sizes = recipe.conditions_of(cells)
    return len(cells), codes, recipe.named(cells, codes), sizes


def _rows_with(
    effects: Effects, i: int, n: int, codes: Codes, named: Codes, sizes: Codes
) -> _Described:
    """Those of `n` described cells that have an effect."""
    rows = np.flatnonzero(effects.which(named, n)[:, i])
    codes, named, sizes = ({k: x[rows] for k, x in part.items()} for part in (codes, named, sizes))
    return len(rows), codes, named, sizes


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=users_stacklevel())
