"""Embeddings of what the denoiser is told besides the noisy state: the time and the conditions."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import cast

import torch
from torch import Tensor, nn

DROPPED = -1
"""Code of a category that is not known of a cell, or hidden. A number that is not known is NaN."""

CONTINUOUS = 0
"""Stands in the place of the number of categories for a condition that is a number."""


class TimeEmbedding(nn.Module):
    """Sinusoidal features of the diffusion time, then a two-layer network.

    Parameters
    ----------
    width
        Dimension of the embedding.
    n_frequencies
        Number of sine and cosine pairs, with periods from 2 pi / 1000 to 20 pi in units of t.

    Examples
    --------
    >>> embed = scdit.nn.TimeEmbedding(width=128)
    >>> embed(torch.rand(32)).shape
    """

    frequencies: Tensor

    def __init__(self, width: int, n_frequencies: int = 64):
        super().__init__()
        frequencies = 1000 * torch.exp(
            -math.log(1e4) * torch.arange(n_frequencies) / n_frequencies
        )
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * n_frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, t: Tensor) -> Tensor:
        """Embed times (cells,) in [0, 1] as (cells, width)."""
        angle = t[:, None] * self.frequencies
        return self.mlp(torch.cat([angle.sin(), angle.cos()], dim=1))


def combined(weights: Tensor, rows: Tensor) -> Tensor:
    """Sums with `weights` (new, old) of `rows` (old + 1, n), whose last one stays as it is."""
    return torch.cat([weights.to(rows) @ rows[:-1], rows[-1:]])


class ConditionEmbedding(nn.Module):
    """Sum of one vector per condition; a dropped one has a learned vector of its own.

    A categorical condition has a vector per category; a continuous one, whose values are expected
    to have about unit variance, goes through a two-layer network.

    Parameters
    ----------
    n_categories
        Number of categories of each condition, by name; ``CONTINUOUS`` for a continuous one.
    width
        Dimension of the embedding.

    Examples
    --------
    >>> embed = scdit.nn.ConditionEmbedding({"cell_type": 8, "age": scdit.nn.CONTINUOUS}, 128)
    >>> codes = {"cell_type": torch.tensor([7, -1]), "age": torch.tensor([0.5, torch.nan])}
    >>> embed(codes).shape
    >>> embed(codes, keep=["cell_type"])  # ages dropped
    """

    def __init__(self, n_categories: Mapping[str, int], width: int):
        super().__init__()
        self.n_categories = dict(n_categories)
        # a list and not a dict of modules: names are the user's and may contain dots
        self.embeddings = nn.ModuleList(
            _Continuous(width) if n == CONTINUOUS else _Categorical(n, width)
            for n in n_categories.values()
        )

    @torch.no_grad()
    def combine(self, name: str, weights: Tensor) -> None:
        """Put sums of the categories of a condition in their place, see :meth:`ConditionTerms.combine`."""
        own = cast(_Categorical, self.embeddings[list(self.n_categories).index(name)])
        own.table = nn.Embedding.from_pretrained(combined(weights, own.table.weight))
        own.n = self.n_categories[name] = len(weights)

    def forward(self, codes: Mapping[str, Tensor], keep: Collection[str] | None = None) -> Tensor:
        """Embed conditions.

        Parameters
        ----------
        codes
            For every condition (cells,): integer codes, -1 where it is dropped, or float values,
            NaN where it is dropped.
        keep
            The conditions that may be seen; the others are dropped for all cells. None keeps all.

        Returns
        -------
        Tensor (cells, width).
        """
        total: Tensor | float = 0.0
        for name, embedding in zip(self.n_categories, self.embeddings, strict=True):
            code = codes[name]
            if keep is not None and name not in keep:
                code = torch.full_like(code, dropped_code(code))
            total = total + embedding(code)
        return total  # type: ignore[return-value]


class _Categorical(nn.Module):
    def __init__(self, n: int, width: int):
        super().__init__()
        self.n = n
        self.table = nn.Embedding(n + 1, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, code: Tensor) -> Tensor:
        return self.table(torch.where(code == DROPPED, self.n, code))


class _Continuous(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.dropped = nn.Parameter(0.02 * torch.randn(width))

    def forward(self, value: Tensor) -> Tensor:
        gone = value.isnan()[:, None]
        return torch.where(gone, self.dropped, self.mlp(value.nan_to_num()[:, None]))


def dropped_code(code: Tensor) -> float:
    """What stands for a dropped condition among codes (int) or values (float) like these.

    Examples
    --------
    >>> scdit.nn.dropped_code(torch.tensor([0, 7]))  # -1
    >>> scdit.nn.dropped_code(torch.tensor([0.5, -1.2]))  # NaN
    """
    return math.nan if code.is_floating_point() else DROPPED


def drop_conditions(
    codes: Mapping[str, Tensor], p: float, *, singly: bool = True
) -> dict[str, Tensor]:
    """Drop conditions at random, for classifier-free guidance.

    Each cell loses all its conditions with probability `p`, which trains the unconditional model,
    and, if `singly`, each single condition with probability `p`, which trains every partly
    conditioned one.

    Examples
    --------
    >>> codes = {"cell_type": torch.randint(8, (1_000,)), "age": torch.randn(1_000)}
    >>> dropped = scdit.nn.drop_conditions(codes, p=0.1)
    >>> (dropped["cell_type"] == scdit.nn.DROPPED).float().mean()  # about 0.19
    """
    if not codes:
        return {}
    first = next(iter(codes.values()))
    all_of_them = torch.rand(first.shape, device=first.device) < p
    dropped = {}
    for name, code in codes.items():
        this_one = all_of_them
        if singly and len(codes) > 1:
            this_one = all_of_them | (torch.rand(code.shape, device=code.device) < p)
        dropped[name] = torch.where(this_one, dropped_code(code), code)
    return dropped
