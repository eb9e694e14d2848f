"""Vectors that depend on a cell's conditions, one term for each condition."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scdit.nn._embedding import CONTINUOUS, combined


class ConditionTerms(nn.Module):
    """Sum of one vector per condition, so that combinations that were never seen have one as well.

    A vector per category, a slope for a number, and a vector for a condition that is not known. All
    begin at zero.

    Parameters
    ----------
    n_categories
        Number of categories of each condition, by name; ``CONTINUOUS`` for a number.
    n_out
        Length of the vectors.

    Examples
    --------
    >>> terms = scdit.nn.ConditionTerms({"batch": 3}, n_out=2_000)
    >>> terms.total({"batch": torch.tensor([0, 2, -1])}, n_cells=3).shape
    """

    origin: Tensor

    def __init__(self, n_categories: Mapping[str, int], n_out: int):
        super().__init__()
        self.n_categories = dict(n_categories)
        # the last row is that of a condition that is not known: the code DROPPED, -1, finds it
        self.terms = nn.ParameterList(
            torch.zeros((1 if n == CONTINUOUS else n) + 1, n_out) for n in n_categories.values()
        )
        self.register_buffer("origin", torch.zeros(n_out), persistent=False)

    @torch.no_grad()
    def combine(self, name: str, weights: Tensor) -> None:
        """Put sums of the categories of a condition in their place.

        Parameters
        ----------
        name
            Name of the condition.
        weights
            Of the old categories in each new one, (new, old).
        """
        i = list(self.n_categories).index(name)
        self.terms[i] = nn.Parameter(combined(weights, self.terms[i]))
        self.n_categories[name] = len(weights)

    def total(self, codes: Mapping[str, Tensor] | None, n_cells: int) -> Tensor:
        """Sum of the terms, (cells, n_out).

        Parameters
        ----------
        codes
            Codes (cells,) of each condition: integers, -1 where it is not known, or float values,
            NaN where they are not known; or shares (cells, categories + 1) of a cell between categories,
            the last that of not being known. None where no condition of any cell is known.
        n_cells
            Number of cells.
        """
        total = self.origin.expand(n_cells, -1)
        for (name, n), term in zip(self.n_categories.items(), self.terms, strict=True):
            if codes is None:
                total = total + term[-1]
            elif n == CONTINUOUS:
                value = codes[name][:, None]
                total = total + torch.where(value.isnan(), term[1], value.nan_to_num() * term[0])
            elif codes[name].dim() == 2:
                total = total + codes[name] @ term
            else:
                total = total + term[codes[name]]
        return total
