"""Warnings where a comparison would be of the wrong cells; all point to the user's line."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scdit._checks import shortened, users_stacklevel
from scdit._columns import GENERATED

if TYPE_CHECKING:
    from scdit.tl._population import Population
    from scdit.tl._together import Together


def share_of_copies(cells: Population | Together, others: Population | Together) -> float:
    """Share of cells that equal one of others in every gene."""
    return float(np.isin(cells.fingerprints, others.fingerprints).mean())


def marked_generated(obs: pd.DataFrame) -> np.ndarray | None:
    """Return which cells ``obs["scdit_generated"]`` marks as generated; None without that column."""
    if GENERATED not in obs:
        return None
    return np.array([value is True or value is np.True_ for value in obs[GENERATED]])


def warn_of_flags(flagged: np.ndarray | None, name: str) -> None:
    """Warn where generated cells are among the real ones, or the reverse."""
    if flagged is None:
        return
    if name == "generated" and not flagged.all():
        _warn(
            f"`generated` holds {int((~flagged).sum())} cells that obs[{GENERATED!r}] does not mark as "
            f"generated: take generated[generated.obs[{GENERATED!r}] == True]"
        )
    elif name != "generated" and flagged.any():
        _warn(
            f"`{name}` holds {int(flagged.sum())} generated cells, see obs[{GENERATED!r}]: take real "
            "cells only"
        )


def warn_of_overlap(
    held_out: Population | Together, training: Population | Together, name: str, other: str
) -> None:
    """Warn where held-out cells are training cells too."""
    shared = share_of_copies(held_out, training)
    if shared > 0.01 + 3 * _equal_by_chance(held_out):
        _warn(
            f"{shared:.0%} of the cells of `{name}` are in `{other}` too: hold them out, or neither "
            "values nor floor mean anything."
        )


def warn_of_copies(real: Population | Together, generated: Population | Together) -> None:
    """Warn where generated cells are the real ones that they are compared with."""
    copies = share_of_copies(generated, real)
    if copies > 0.05 + 3 * _equal_by_chance(real):
        _warn(
            f"{copies:.0%} of the cells of `generated` are exact copies of cells of `real`: these are not "
            "generated, and no metric means anything."
        )


def warn_of_labels(real: Population, generated: Population, training: Population | None) -> None:
    """Warn of labels that only one side knows."""
    if real.labels is None:
        return
    known = set(real.labels)
    if generated.labels is None:
        _warn("`generated.obs` lacks the column of labels: its cells are compared without them.")
    else:
        made = set(generated.labels)
        if made - known:
            _warn(
                f"`generated` has labels that `real` lacks: {_names(made - known)}. Their cells "
                'count in the group "all" only.'
            )
        if known - made:
            _warn(f"`real` has labels that were not generated: {_names(known - made)}.")
    if training is not None and training.labels is not None and known - set(training.labels):
        _warn(
            f"`real` has labels that `reference` lacks: {_names(known - set(training.labels))}. "
            "They have no floor and are not compared on their own."
        )


def warn_of_unjudged(real: Population, generated: Population) -> None:
    """Warn of generated labels without a real cell to compare them with."""
    if real.labels is None or generated.labels is None:
        return
    extra = set(generated.labels) - set(real.labels)
    if extra:
        _warn(
            f"`generated` has labels that `real` lacks in this condition: {_names(extra)}. Their "
            "cells are not judged."
        )


def _equal_by_chance(cells: Population | Together) -> float:
    """Share of cells that equal another of the same: with few genes or counts, even real ones do."""
    return 1 - len(np.unique(cells.fingerprints)) / len(cells)


def _names(labels: set[str]) -> str:
    return f"[{shortened([repr(label) for label in sorted(labels)], 10)}]"


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=users_stacklevel())
