"""All that generated cells depend on, from which any of them can be made anywhere."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from scdit._columns import GENERATED
from scdit.codec import LatentCodec
from scdit.conditions import (
    Category,
    Composition,
    Condition,
    LibrarySize,
    RequestedCodes,
    sizes_of_cells,
)
from scdit.diffusion import KeyedNoise
from scdit.model._depths import DepthsSeen, as_integers
from scdit.model._effects import CELLS, Effects
from scdit.model._names import cell_names
from scdit.model._null import Null, Population
from scdit.model._told import CONDITIONS, LIBRARY, NULL, POPULATION, SEEN, ToldMixin
from scdit.module import RNA, SCDiTModule
from scdit.nn import DROPPED, dropped_code

Codes: TypeAlias = dict[str, np.ndarray]
_BLOCK = 1 << 16  # cells whose conditions are found at once


@dataclass(frozen=True)
class Batch:
    """Some generated cells.

    Parameters
    ----------
    cells
        Their indices among all.
    codes, sizes
        Code of each condition, by name, as ``obs`` has them, and library size of some assays, by assay,
        each (cells,).
    counts, layers
        Counts (cells, features of all assays), int32, and layers by name.
    """

    cells: range
    codes: Codes
    sizes: Codes
    counts: sp.csr_matrix
    layers: dict[str, sp.csr_matrix]


@dataclass
class Recipe(ToldMixin):
    """What is needed to make any range of the cells of a call.

    Parameters
    ----------
    module
        The trained module.
    _conditions, composition
        The registered conditions, and the training cells.
    requested, sizes
        Conditions and library sizes that were asked for, the latter by assay.
    noise
        The random numbers.
    times, options
        Time grid and settings of the sampler.
    cells
        Indices of the cells to make: all, or those of a shard.
    batch_size
        Cells computed at once.
    common
        What the names of all cells have in common, as text.
    names
        Names of all cells, where the user gives them.
    effects
        Effects that are added to what the model has learnt.
    null
        Names of a condition that have nothing to do with the cells.
    population
        One population in the place of all conditions.
    """

    module: SCDiTModule
    _conditions: Sequence[Condition]
    composition: Composition
    requested: RequestedCodes
    sizes: Mapping[str, LibrarySize | np.ndarray]
    noise: KeyedNoise
    times: torch.Tensor
    options: Mapping[str, Any]
    cells: range
    batch_size: int
    common: str
    names: pd.Index | None
    effects: Effects | None = None
    null: Null | None = None
    population: Population | None = None

    def __getstate__(self) -> dict[str, Any]:
        # who is sent a recipe may have no such device, and needs no names
        module = copy.deepcopy(self.module).cpu()
        return {**vars(self), "module": module, "names": None}

    @property
    def layers(self) -> list[str]:
        """Names of the layers that cells have."""
        codec = self.module.codec
        with torch.inference_mode():
            return list(codec.layers(torch.zeros(1, codec.n_state, device=self.module.device)))

    def batches(self, start: int | None = None, stop: int | None = None) -> Iterator[range]:
        """Ranges of cells that are computed at once, of all from `start` to `stop`.

        Counts of a cell may depend on which cells are computed with it, in one of a hundred thousand.
        So the ranges are the same whoever computes them: `start` and `stop` lie between two of them.
        """
        first = self.cells.start if start is None else start
        last = self.cells.stop if stop is None else stop
        for begin in range(first, last, self.batch_size):
            yield range(begin, min(begin + self.batch_size, last))

    def conditions_of(self, cells: range) -> tuple[Codes, Codes]:
        """Codes of conditions by name, and library sizes by assay, that a range of cells is made with."""
        codes = self.requested.of(cells, self.noise.uniform_per_cell(cells, CONDITIONS))
        wanted = {assay: sizes_of_cells(size, cells) for assay, size in self.sizes.items()}
        numbers = self.noise.uniform_per_cell(cells, LIBRARY)
        own = codes if self.population is None else {}
        return codes, self._resolved_sizes(wanted, self.composition, own, numbers)

    def named(self, cells: range, codes: Codes) -> Codes:
        """Codes as ``obs`` has them, of a range of cells that are made with `codes`."""
        if self.null is None:
            return codes
        numbers = self.noise.uniform_per_cell(cells, NULL)
        return {**codes, self.null.condition.name: self.null.of(cells, numbers)}

    def make(self, cells: range) -> Batch:
        """Make a range of cells, one of :meth:`batches`."""
        module = self.module
        codes, sizes = self.conditions_of(cells)
        state, told = self.states(cells, codes, sizes)
        named, effects = self.named(cells, codes), None
        if self.effects is not None:
            factors = torch.from_numpy(self.effects.log_factors(named, len(cells)))
            effects = {RNA: factors.to(state)}
        drawn = module.draw_counts(state, cells, self.noise, told, effects)
        layers = {k: sp.csr_matrix(x.cpu().numpy()) for k, x in module.codec.layers(state).items()}
        return Batch(cells, named, sizes, sp.csr_matrix(as_integers(drawn)), layers)

    def states(
        self, cells: range, codes: Codes, sizes: Codes
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """States (cells, n_state) of a range of cells with these conditions, and what the decoder is told."""
        module, scale = self.module, self.options["guidance_scale"]
        rows = range(len(cells))
        if self.population is not None:
            state = self.population.states(cells, self.noise, POPULATION).to(module.device)
            told = self._codes_to_decode(self._codes_of(rows, codes, sizes), 0.0)
            return self._with_sizes(state, sizes, rows), told
        seen, moved = self._seen_codes(cells, codes)
        told = self._codes_to_decode(self._codes_of(rows, codes, sizes), scale)
        shown, to = (self._codes_of(rows, x, sizes) for x in (seen, moved))
        state = module.sample(shown, cells, self.noise, self.times, **self.options)
        if seen is not moved:
            ends = (self._codes_to_decode(x, scale) for x in (shown, to))
            state = module.codec.translate(state, *ends)
        return self._with_sizes(state, sizes, rows), told

    def obs(self, cells: range, codes: Codes, sizes: Codes) -> pd.DataFrame:
        """Conditions and names of a range of cells."""
        if self.names is not None:
            names = self.names[cells.start : cells.stop]
        else:
            own = [*codes.values(), *sizes.values()]
            names = pd.Index(cell_names(self.common, own, len(cells), cells.start))
        columns = {c.key: c.decode(codes[c.name]) for c in self._conditions}
        obs = pd.DataFrame(columns, index=names).assign(**{GENERATED: True})
        return (
            obs
            if self.effects is None
            else obs.assign(**{CELLS: self.effects.column(codes, len(obs))})
        )

    def whole_obs(self) -> pd.DataFrame:
        """Conditions and names of all cells, in memory."""
        parts = []
        for start in range(self.cells.start, self.cells.stop, _BLOCK):
            block = range(start, min(start + _BLOCK, self.cells.stop))
            codes, sizes = self.conditions_of(block)
            parts.append((self.named(block, codes), sizes))
        return self.obs(self.cells, *(joined(own) for own in zip(*parts, strict=True)))

    def example(self, without: Collection[str]) -> pd.DataFrame:
        """One row of ``obs``, in which the columns `without` have the category of cells without one."""
        codes = {
            c.name: np.array([DROPPED if c.key in without else 0])
            if isinstance(c, Category)
            else np.zeros(1)
            for c in self._conditions
        }
        return self.obs(self.cells[:1], codes, {})

    def without(self, codes: Codes) -> set[str]:
        """Columns of conditions in which some of the cells have no category."""
        return {
            c.key
            for c in self._conditions
            if isinstance(c, Category) and (codes[c.name] == DROPPED).any()
        }

    def depths_seen(self) -> DepthsSeen:
        """What looks at the depths of the assays whose library sizes are generated."""
        generated = [
            i
            for i, size in enumerate(self.sizes.values())
            if isinstance(size, str) and size == "model"
        ]
        names = list(self.sizes)
        return DepthsSeen({names[i]: self.composition.of_assay(i).library_size for i in generated})

    def asked_for(self) -> dict[str, str]:
        """Conditions, library sizes and names that were given, as text that differs if they do."""
        by_key = {c.key: c for c in self._conditions}
        found = {
            key: _digest(codes) if codes.ndim else str(by_key[key].decode(codes[None])[0])
            for key, codes in self.requested.described()
        }
        given = {k: size for k, size in self.sizes.items() if isinstance(size, np.ndarray)}
        found |= {f"library_size of {k}": _digest(size) for k, size in given.items()}
        if self.null is not None and self.null.given is not None:
            found |= {f"names of {k}": _digest(codes) for k, codes in self.null.given.described()}
        if self.effects is not None:
            found["effects"] = self.effects.digest()
        if self.names is not None:
            names = pd.util.hash_array(self.names.to_numpy(dtype=object))
            found["the index of conditions"] = _digest(names)
        return found

    def _seen_codes(self, cells: range, codes: Codes) -> tuple[Codes, Codes]:
        """What the denoiser is asked for, and where the codec moves its states to: mostly `codes` both.

        Of a combination that no training cell has, the denoiser is asked for one that they have. The
        codec's prior moves the state from there: the sum of its parts is a better guess than what a
        network makes of them.
        """
        if not isinstance(self.module.codec, LatentCodec) or not codes:
            return codes, codes
        numbers = self.noise.uniform_per_cell(cells, SEEN)
        return self.composition.seen_like(codes, numbers, first="labels")

    def _codes_to_decode(
        self, codes: Mapping[str, torch.Tensor], scale: float | Mapping[str, float]
    ) -> dict[str, torch.Tensor]:
        """What the decoder is told: a condition that guidance drops is not known to it either."""
        scales = scale if isinstance(scale, Mapping) else dict.fromkeys(codes, scale)
        return {
            name: code if scales.get(name, 1) else torch.full_like(code, dropped_code(code))
            for name, code in codes.items()
        }


def joined(parts: Sequence[Codes]) -> Codes:
    """Codes of cells that follow each other, as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _digest(values: np.ndarray) -> str:
    return blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()
