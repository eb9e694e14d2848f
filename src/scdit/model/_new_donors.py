"""Donors that were never seen, drawn from how the training donors differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from scdit._checks import check_int, shown
from scdit.conditions import Category, Composition, Condition
from scdit.diffusion import KeyedNoise
from scdit.model._null import categories_of
from scdit.model._told import DONORS
from scdit.module import SCDiTModule
from scdit.nn import DROPPED

_MIN_DONORS, _MIN_CELLS = 8, 50  # and cells of each
_MIN_GROUP, _MIN_GROUPED = 3, 0.5  # donors of a group, and share of all that are in such groups
_MOSTLY = 0.9  # share of the donors that have one category of a condition of donors
_MOST = 10_000  # new donors


@dataclass(frozen=True)
class NewDonors:
    """New categories of a condition, each a sum of training categories with weights.

    Parameters
    ----------
    condition
        The condition, with the new categories in the place of those of training.
    weights
        Of the training categories, (new, training); each row adds up to one.
    templates
        Code of the training category whose other conditions and library sizes each new one takes, (new,).
    """

    condition: Category
    weights: np.ndarray
    templates: np.ndarray

    def of_module(self, module: SCDiTModule) -> SCDiTModule:
        """A copy of the module that knows the new donors only."""
        return module.with_categories(self.condition.name, torch.from_numpy(self.weights))

    def of_composition(self, known: Composition) -> Composition:
        """Cells of the new donors: the other conditions and library sizes of their templates' cells."""
        code = known.codes[self.condition.name]
        rows = [np.flatnonzero(code == template) for template in self.templates]
        every = np.concatenate(rows)
        codes = {name: own[every] for name, own in known.codes.items()}
        codes[self.condition.name] = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
        return Composition(codes, known.library_size[every])


def read_new_donors(
    request: Any, conditions: Sequence[Condition]
) -> tuple[Category, Category] | None:
    """The condition of new donors that are asked for, with those of training and with the new ones.

    None if none are asked for.

    Raises
    ------
    TypeError
        If the request is no mapping from one column to a number.
    ValueError
        If the column is not registered or has no categories, or the number is out of range.
    """
    if request is None:
        return None
    if not isinstance(request, Mapping) or len(request) != 1:
        raise TypeError(
            "new_donors must be a mapping from one column to a number of donors, such as "
            f"{{'donor': 20}}, got {shown(request)}"
        )
    ((key, n),) = request.items()
    condition = categories_of("new_donors", key, conditions)
    n = check_int(f"new_donors: the number for {key!r}", n, high=_MOST)
    return condition, replace(condition, categories=_names(condition, n), ordered=False)


def draw_donors(
    condition: Category,
    new: Category,
    conditions: Sequence[Condition],
    composition: Composition,
    requests: Mapping[str, Any],
    noise: KeyedNoise,
) -> NewDonors:
    r"""Draw new donors; the first of them are the same whatever their number.

    Parameters
    ----------
    condition, new
        The condition of donors, with those of training and with the new ones.
    conditions, composition
        All registered conditions, and the training cells.
    requests
        What is asked for, by column: templates are donors that have such cells.
    noise
        The random numbers.

    Raises
    ------
    ValueError
        If there are fewer than 8 donors with 50 cells each, or none of them has what is asked for.

    Notes
    -----
    Let :math:`v_i` be a vector of donor i, and :math:`\bar v` the mean in its group: donors who have the same of all
    conditions that a donor has one of. A new donor of the group is
    :math:`\bar v + s\,(\cos\phi\,(v_a - \bar v) + \sin\phi\,(v_b - \bar v))`, with two donors a and b of the
    group and an angle :math:`\phi` in :math:`[\pi / 6, \pi / 3]` drawn at random. The number s gives it the
    variance of the group's donors if these are independent. It is no training donor. All vectors of a
    donor have the same weights.
    """
    code = composition.codes[condition.name]
    sizes = np.bincount(code[code != DROPPED], minlength=condition.n_categories)
    known = np.flatnonzero(sizes >= _MIN_CELLS)
    if len(known) < _MIN_DONORS:
        raise ValueError(
            f"new_donors: {condition.key!r} has {len(known)} categories with {_MIN_CELLS} training "
            f"cells or more; at least {_MIN_DONORS} are needed to learn how donors differ"
        )
    groups = _groups(condition, known, conditions, composition)
    rows = [np.flatnonzero(code == donor) for donor in known]
    asked, fitting = [], np.ones(len(known), dtype=bool)
    for other, wanted in _asked_for(conditions, requests):
        own = composition.codes[other.name]
        has = np.array([np.isin(wanted, own[cells]) for cells in rows])  # (donors, categories)
        asked.append((other, wanted, has))
        # of a condition that a donor has one of, no donor has all
        fitting &= has.all(1) if (has.sum(1) > 1).any() else has.any(1)
    usable = np.flatnonzero(fitting & (np.bincount(groups)[groups] >= _MIN_GROUP))
    if not len(usable):
        raise ValueError(
            f"new_donors: no category of {condition.key!r} with {_MIN_CELLS} training cells or more "
            f"has cells with all of the {' and '.join(other.key for other, *_ in asked)} asked for"
        )
    templates = np.resize(noise.generator(DONORS).permutation(usable), new.n_categories)
    weights = np.zeros((len(templates), condition.n_categories))
    for i, template in enumerate(templates):
        rng = noise.generator(DONORS, i)
        group = np.flatnonzero(groups == groups[template])
        weights[i, known[group]] = _weights(len(group), rng)
    for other, wanted, has in asked:
        missing = wanted[~has[templates].any(0)]
        if len(missing):
            raise ValueError(
                f"new_donors: none of the {new.n_categories} new donors has {other.key} "
                f"{str(other.categories[missing[0]])!r}: ask for more donors, or for each "
                f"{other.key} in a call of its own"
            )
    return NewDonors(new, weights, known[templates])


def _weights(n: int, rng: np.random.Generator) -> np.ndarray:
    """Weights of the `n` donors of a group in a new one, see :func:`draw_donors`."""
    pair = rng.choice(n, 2, replace=False)
    angle = rng.uniform(np.pi / 6, np.pi / 3)  # else it is nearly one of the two
    own = np.zeros(n)
    own[pair] = np.cos(angle), np.sin(angle)
    own -= own.mean()
    return 1 / n + own / np.linalg.norm(own)


def _names(condition: Category, n: int) -> np.ndarray:
    """Names of new donors that no training donor has."""
    start, taken = f"new {condition.key}", set(map(str, condition.categories))
    while not taken.isdisjoint(f"{start} {i + 1}" for i in range(n)):
        start = f"new {start}"
    return np.array([f"{start} {i + 1}" for i in range(n)], dtype=object)


def _groups(
    condition: Category,
    known: np.ndarray,
    conditions: Sequence[Condition],
    composition: Composition,
) -> np.ndarray:
    """Number of the group of each of some donors, (donors,).

    Donors of a group have the same category of all other conditions of which a donor has one only. Conditions with
    few such categories come first. One that leaves less than half of the donors in groups of three is
    not used.
    """
    code = composition.codes[condition.name]
    rows = [np.flatnonzero(code == donor) for donor in known]
    columns = []
    for other in conditions:
        if isinstance(other, Category) and other.name != condition.name:
            of_donor = [np.unique(composition.codes[other.name][own]) for own in rows]
            column = [own[0] if len(own) == 1 else DROPPED for own in of_donor]
            # else it is one of cells, such as their type, of which some donors happen to have one
            if np.mean(np.array(column) != DROPPED) >= _MOSTLY:
                columns.append(column)
    groups = np.zeros(len(known), dtype=np.int64)
    for column in sorted(columns, key=lambda c: len(set(c))):
        finer = pd.DataFrame([groups, column]).T.groupby([0, 1]).ngroup().to_numpy()
        if (np.bincount(finer)[finer] >= _MIN_GROUP).mean() >= _MIN_GROUPED:
            groups = finer
    return groups


def _asked_for(
    conditions: Sequence[Condition], requests: Mapping[str, Any]
) -> list[tuple[Category, np.ndarray]]:
    """Conditions of which categories are asked for, with the codes of these."""
    asked = []
    for condition in conditions:
        request = requests.get(condition.key)
        if isinstance(condition, Category) and request is not None:
            names = request if isinstance(request, pd.Categorical) else _each(request)
            codes = np.unique(condition.encode(names))
            asked.append((condition, codes[codes != DROPPED]))
    return asked


def _each(request: Any) -> list[Any]:
    """Names in a request, see :func:`scdit.conditions.name_requests`."""
    return list(request) if isinstance(request, Mapping | list) else [request]
