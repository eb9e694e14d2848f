"""Conditions by name: what was registered, what is asked for, and what the rest is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scdit.model._checks import did_you_mean

_MAX_LIBRARY_SIZE = 1e9  # counts are 32-bit integers


@dataclass(frozen=True)
class Condition:
    """One registered condition.

    Parameters
    ----------
    name
        Its name in scvi's registry and in the batches of a data loader: ``labels``, ``batch`` or
        ``covariate_<number>``.
    key
        The user's column in ``obs``.
    categories
        Its categories, in the order of their codes.
    """

    name: str
    key: str
    categories: np.ndarray

    def encode(self, names: Sequence[object]) -> np.ndarray:
        """Codes of category names, int64.

        Raises
        ------
        ValueError
            If a name is unknown; the message lists the known ones.
        """
        codes = pd.Index(self.categories).get_indexer(pd.Index(names))
        if (codes < 0).any():  # numbers as text, or text as numbers
            codes = pd.Index(self.categories.astype(str)).get_indexer(pd.Index(names).astype(str))
        if (codes < 0).any():
            unknown = str(np.asarray(names, dtype=object)[codes < 0][0])
            raise ValueError(
                f"unknown {self.key} {unknown!r}; known: {', '.join(map(str, self.categories))}"
                + did_you_mean(unknown, self.categories)
            )
        return codes.astype(np.int64)

    def decode(self, codes: np.ndarray) -> pd.Categorical:
        """Codes as a categorical with all training categories."""
        return pd.Categorical.from_codes(codes, categories=self.categories)


@dataclass(frozen=True)
class Composition:
    """The cells a model was trained on, as far as generation needs them.

    Parameters
    ----------
    codes
        Code of every training cell in each condition, by name, int64 (cells,).
    library_size
        Total counts of every training cell, float64 (cells,).
    """

    codes: dict[str, np.ndarray]
    library_size: np.ndarray

    def draw(
        self, given: Mapping[str, np.ndarray], n: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Indices of `n` training cells, each drawn among those that share the given conditions.

        Where no training cell has a combination, cells that share its first condition are used.
        """
        rows = np.empty(n, dtype=np.int64)
        wanted = pd.DataFrame(dict(given), index=range(n))
        if wanted.empty:
            return rng.integers(len(self.library_size), size=n)
        for combination, cells in wanted.groupby(list(given), sort=True):
            pool = np.arange(len(self.library_size))
            for name, code in zip(given, combination, strict=True):
                matching = pool[self.codes[name][pool] == code]
                pool = matching if len(matching) else pool
            rows[cells.index] = rng.choice(pool, size=len(cells))
        return rows


def resolve_n(n: int | None, requests: Mapping[str, object]) -> int:
    """Number of cells that a call of ``generate`` asks for.

    Raises
    ------
    ValueError
        If it is not positive, or the requests contradict it.
    """
    sizes = {} if n is None else {"n": n}
    for key, request in requests.items():
        if isinstance(request, Set):
            raise ValueError(f"{key}: a set has no order; give a list, or a mapping to numbers")
        if isinstance(request, Mapping):
            if not all(_is_count(count) for count in request.values()):
                raise ValueError(f"{key}: the numbers of cells must be non-negative integers")
            sizes[key] = sum(request.values())
        elif request is not None and not np.isscalar(request):
            sizes[key] = len(request)  # type: ignore[arg-type]
    if not sizes:
        raise ValueError("say how many cells to generate: n=..., or labels={name: number}")
    if len(set(sizes.values())) > 1:
        raise ValueError(
            "these ask for different numbers of cells: "
            + ", ".join(f"{key} for {size}" for key, size in sizes.items())
        )
    total = next(iter(sizes.values()))
    if not _is_count(total) or total < 1:
        raise ValueError(f"n must be a positive integer, got {total!r}")
    return int(total)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


def resolve_codes(
    conditions: Sequence[Condition],
    composition: Composition,
    requests: Mapping[str, object],
    n: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Codes (n,) of every condition of the cells to generate.

    Parameters
    ----------
    conditions
        The registered conditions.
    composition
        The training cells: what is not asked for is drawn jointly from those that share what is.
    requests
        By the user's column: None, one name, a mapping from names to numbers of cells, or one name
        per cell.
    n
        Number of cells.
    rng
        Source of the draws.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    given: dict[str, np.ndarray] = {}
    for condition in conditions:
        request = requests.get(condition.key)
        if request is None:
            continue
        if np.isscalar(request):
            codes = np.repeat(condition.encode([request]), n)
        elif isinstance(request, Mapping):
            codes = np.repeat(condition.encode(list(request)), list(request.values()))
            # two mappings are combined independently: only the first keeps its order
            codes = rng.permutation(codes) if given else codes
        else:
            codes = condition.encode(list(request))  # type: ignore[call-overload]
        given[condition.name] = codes
    rows = composition.draw(given, n, rng)
    return {c.name: given.get(c.name, composition.codes[c.name][rows]) for c in conditions}


def resolve_library_sizes(
    request: str | float | Sequence[float],
    composition: Composition,
    codes: Mapping[str, np.ndarray],
    n: int,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """Library sizes (n,) that replace the generated ones, or None to keep these.

    Raises
    ------
    ValueError
        If a name is unknown or a size is out of range.
    """
    if isinstance(request, str):
        if request == "model":
            return None
        if request == "empirical":
            return composition.library_size[composition.draw(codes, n, rng)]
        raise ValueError(
            f"unknown library_size {request!r}: choose 'model', 'empirical', a number, or one "
            "number per cell"
        )
    sizes = np.broadcast_to(np.asarray(request, dtype=np.float64), (n,)).copy()
    if not ((sizes > 0) & (sizes <= _MAX_LIBRARY_SIZE)).all():
        raise ValueError(f"library_size must be positive and at most {_MAX_LIBRARY_SIZE:.0e}")
    return sizes
