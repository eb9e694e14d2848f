"""Effects of known size on genes: what is asked for, checked, and the truth that comes back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from scdit._checks import did_you_mean, shown
from scdit.conditions import Category, Condition
from scdit.nn import DROPPED

EffectsRequest: TypeAlias = pd.Series | Mapping[tuple[str, Any], pd.Series] | None
"""Log2 fold changes by gene, of all cells, or of the cells of some categories."""

ASKED, REALISED = "scdit_log2fc", "scdit_log2fc_realised"  # in varm
CELLS = "scdit_effects"  # column of obs
MOST = 10.0  # log2 fold change, of either sign
_ALL, _NONE = "all", "none"


@dataclass(frozen=True)
class Effects:
    """Fold changes of genes in the cells of some categories.

    Parameters
    ----------
    names
        Of the effects.
    of
        Condition and code of the cells that have each; None for all cells.
    log2fc
        What is asked for, (effects, genes).
    realised
        What they are in pooled counts per 10,000 of the cells that have each, (effects, genes), since
        totals stay; NaN where no cell has it.
    common_factor
        By how much the genes that an effect does not name change, (effects,), mean over these cells.
    """

    names: list[str]
    of: list[tuple[str, int] | None]
    log2fc: np.ndarray
    realised: np.ndarray
    common_factor: np.ndarray

    def digest(self) -> str:
        """Text that differs if the effects do."""
        codes = blake2b(np.ascontiguousarray(self.log2fc).tobytes(), digest_size=8)
        return f"{'; '.join(self.names)} {codes.hexdigest()}"

    def which(self, codes: Mapping[str, np.ndarray], n: int) -> np.ndarray:
        """Which of `n` cells with these codes have each effect, bool (n, effects)."""
        has = np.ones((n, len(self.of)), dtype=bool)
        for i, of in enumerate(self.of):
            if of is not None:
                has[:, i] = codes[of[0]] == of[1]
        return has

    def log_factors(self, codes: Mapping[str, np.ndarray], n: int) -> np.ndarray:
        """Natural logarithms of what the rates of `n` cells are multiplied by, float32 (n, genes)."""
        total = self.which(codes, n).astype(np.float64) @ self.log2fc
        return (np.log(2) * total).astype(np.float32)

    def column(self, codes: Mapping[str, np.ndarray], n: int) -> pd.Categorical:
        """Names of the effects that `n` cells have; the same categories whichever cells they are."""
        has = self.which(codes, n)
        options: dict[str | None, list[int]] = {}  # effects of which a cell has at most one
        for i, of in enumerate(self.of):
            options.setdefault(of and of[0], []).append(i)
        code: np.ndarray = np.zeros(n, dtype=np.int64)
        for own in options.values():
            code = code * (len(own) + 1) + has[:, own] @ np.arange(1, len(own) + 1)
        combinations = itertools.product(*([None, *own] for own in options.values()))
        names = [
            " + ".join(self.names[i] for i in c if i is not None) or _NONE for c in combinations
        ]
        return pd.Categorical.from_codes(code, categories=names)

    def truth(self, features: pd.Index, first: int) -> dict[str, pd.DataFrame]:
        """Log2 fold changes that were asked for and that cells have, (features, effects), by name.

        Parameters
        ----------
        features
            Names of the features of all assays. Those of others than RNA do not change.
        first
            Position of the first gene among them.
        """
        tables = {}
        for name, values in ((ASKED, self.log2fc), (REALISED, self.realised)):
            table = np.zeros((len(features), len(self.names)))
            table[first : first + values.shape[1]] = values.T
            tables[name] = pd.DataFrame(table, index=features, columns=self.names)
        return tables


def read_effects(
    request: Any,
    conditions: Sequence[Condition],
    genes: Sequence[str],
    others: Mapping[str, str],
) -> Effects | None:
    """Effects that a call asks for, checked; None for none.

    Parameters
    ----------
    request
        See ``EffectsRequest``.
    conditions
        The registered conditions.
    genes
        Names of the genes.
    others
        Modality of each feature that is no gene.

    Raises
    ------
    TypeError
        If it is neither a Series nor a mapping to such.
    ValueError
        If a gene, condition or category is unknown, or a fold change is no number of at most 10.
    """
    if request is None:
        return None
    if isinstance(request, pd.Series):
        request = {None: request}
    if not isinstance(request, Mapping):
        raise TypeError(
            "effects must be a Series of log2 fold changes by gene, or a mapping from (column, "
            f"category) to such Series, got {shown(request)}"
        )
    if not request:
        raise ValueError("effects is an empty mapping: leave it out for none")
    names, of, rows = [], [], []
    for key, series in request.items():
        cells = None if key is None else _cells_of(key, conditions)
        if cells in of:
            raise ValueError(f"effects names the cells of {key} twice")
        # a path in a file has no room for another slash
        names.append(_ALL if key is None else "=".join(map(str, key)).replace("/", "|"))
        of.append(cells)
        where = "effects" if key is None else f"effects of {key}"
        rows.append(_fold_changes(where, series, genes, others))
    log2fc = np.stack(rows)
    return Effects(names, of, log2fc, np.full(log2fc.shape, np.nan), np.full(len(rows), np.nan))


def _cells_of(key: Any, conditions: Sequence[Condition]) -> tuple[str, int]:
    """Condition and code of the cells that a key of a mapping names."""
    if not isinstance(key, tuple) or len(key) != 2:
        raise ValueError(
            "effects: a key must be (column, category), such as ('condition', 'treated'), got "
            f"{shown(key)}; for all cells give a Series"
        )
    by_key = {condition.key: condition for condition in conditions}
    if key[0] not in by_key:
        raise ValueError(
            f"effects: {key[0]!r} is not registered; registered: {', '.join(by_key) or 'none'}"
            + did_you_mean(key[0], by_key)
        )
    condition = by_key[key[0]]
    if not isinstance(condition, Category):
        raise ValueError(f"effects: {key[0]!r} is a number; effects belong to categories")
    code = int(condition.encode([key[1]])[0])
    if code == DROPPED:
        raise ValueError(f"effects: {key[1]!r} stands for cells without a {key[0]!r}")
    return condition.name, code


def _fold_changes(
    where: str, series: Any, genes: Sequence[str], others: Mapping[str, str]
) -> np.ndarray:
    """Log2 fold change of every gene, (genes,), 0 for those that are not named."""
    if not isinstance(series, pd.Series):
        raise TypeError(f"{where} must be a Series of log2 fold changes, got {shown(series)}")
    if not len(series):
        raise ValueError(f"{where} names no gene")
    at = pd.Index(genes).get_indexer(series.index)
    if (at < 0).any():
        name = series.index[at < 0][0]
        if name in others:
            raise ValueError(
                f"{where}: {name!r} is a feature of {others[name]!r}; effects are for genes (RNA) only"
            )
        raise ValueError(
            f"{where}: {(at < 0).sum()} of {len(at)} genes are unknown, such as {name!r}"
            + did_you_mean(name, genes)
        )
    if series.index.has_duplicates:
        raise ValueError(f"{where} names {series.index[series.index.duplicated()][0]!r} twice")
    if not pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series):
        raise ValueError(f"{where} must be numbers, got {series.dtype}")
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~(np.abs(values) <= MOST)  # NaN is bad, too
    if bad.any():
        raise ValueError(
            f"{where}: log2 fold changes must be from -{MOST:g} to {MOST:g}, got "
            f"{values[bad][0]:g} for {series.index[bad][0]!r}"
        )
    found = np.zeros(len(genes))
    found[at] = values
    return found
