"""What effects do to the genes that they do not name, found before any cell is drawn."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from scdit._checks import users_stacklevel
from scdit.model._effects import Effects
from scdit.model._recipe import Codes, Recipe, joined
from scdit.module import RNA

_CELLS = 512  # that an effect is looked at in
_BLOCK = 1 << 14  # cells whose conditions are found at once
_MOST = 0.5  # of all counts, that a gene should have


def with_common_factor(recipe: Recipe, effects: Effects, n: int, genes: pd.Index) -> Effects:
    """Effects that know by how much the genes change that they do not name.

    It is found in cells like the first 512 of the call that have the effect, so that it is the same for
    all shards, and known before cells are made.

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
    common = np.full(len(effects.names), np.nan)
    for i, name in enumerate(effects.names):
        found = _cells_with(recipe, effects, i, n)
        if found is None:
            _warn(f"effects: no cell of this call has those of {name!r}")
            continue
        rates, named = found
        every = np.exp(effects.log_factors(named, len(rates)).astype(np.float64))
        own = np.exp2(effects.log2fc[i])
        total, after = rates.sum(axis=1), (rates * every).sum(axis=1)
        without = (rates * every / own).sum(axis=1)
        common[i] = (total * without / after).sum() / total.sum()
        share = (rates * every * (total / after)[:, None]).sum(axis=0) / total.sum()
        top = int(share.argmax())
        if share[top] > _MOST and effects.log2fc[i, top] > 0:
            _warn(
                f"effects: {genes[top]!r} has {share[top]:.0%} of all counts in the cells of {name!r}; "
                "all other genes are pushed down"
            )
    return replace(effects, common_factor=common)


def _cells_with(
    recipe: Recipe, effects: Effects, i: int, n: int
) -> tuple[np.ndarray, Codes] | None:
    """Rates (cells, genes) of cells like the first that have an effect, and their codes in ``obs``."""
    parts: list[tuple[Codes, Codes, Codes]] = []
    left = _CELLS
    for start in range(0, n, _BLOCK):
        block = range(start, min(start + _BLOCK, n))
        codes, sizes = recipe.conditions_of(block)
        named = recipe.named(block, codes)
        rows = np.flatnonzero(effects.which(named, len(block))[:, i])[:left]
        left -= len(rows)
        parts.append(tuple({k: x[rows] for k, x in p.items()} for p in (codes, named, sizes)))  # type: ignore[arg-type]
        if not left:
            break
    if left == _CELLS:
        return None
    codes, named, sizes = (joined(p) for p in zip(*parts, strict=True))
    with torch.inference_mode():
        state, told = recipe.states(range(_CELLS - left), codes, sizes)
        rates = recipe.module.codec.decode(state, told)[RNA].mean()
    return rates.double().cpu().numpy(), named


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=users_stacklevel())
