"""What the denoiser and the decoder are told of cells to generate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from scdit.conditions import Composition, Condition, LibrarySize, resolve_library_sizes
from scdit.module import RNA, SCDiTModule

# purposes of random numbers: each cell's conditions and library size, the order of combined requests,
# what stands in for combinations that were never seen, names of a null, states of one population, and new
# donors
CONDITIONS, LIBRARY, ORDER, SEEN, NULL, POPULATION, DONORS = 10, 11, 12, 13, 14, 15, 16


class ToldMixin:
    """What needs a module and its conditions only, for a model and for a recipe that is sent elsewhere."""

    module: SCDiTModule
    _conditions: Sequence[Condition]

    def _codes_of(
        self, cells: range, codes: Mapping[str, np.ndarray], sizes: Mapping[str, np.ndarray]
    ) -> dict[str, torch.Tensor]:
        """All that the denoiser is told of a range of cells, on the module's device."""
        rows, device = slice(cells.start, cells.stop), self.module.device
        told = {
            c.name: torch.from_numpy(c.standardise(codes[c.name][rows])).to(device)
            for c in self._conditions
        }
        for name in self.module.context_names:
            wanted = torch.from_numpy(sizes[RNA][rows]).to(device)
            told[name] = self.module.codec.library_code(wanted)
        return told

    def _resolved_sizes(
        self,
        requests: Mapping[str, LibrarySize],
        composition: Composition,
        codes: Mapping[str, np.ndarray],
        numbers: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Library sizes (n,) of the assays for which the state's own is not kept; see `resolve_library_sizes`."""
        sizes = {}
        for i, (assay, request) in enumerate(requests.items()):
            own = composition.of_assay(i)
            found = resolve_library_sizes(request, own, codes, numbers)
            if found is not None:
                sizes[assay] = found
        return sizes

    def _with_sizes(self, state: Tensor, sizes: Mapping[str, np.ndarray], rows: range) -> Tensor:
        """States (cells, n_state) of the cells at `rows`, with their library sizes of some assays."""
        if not sizes:
            return state
        given = {
            assay: torch.from_numpy(np.asarray(size)[rows.start : rows.stop]).to(state)
            for assay, size in sizes.items()
        }
        return self.module.codec.with_library_size(state, given)
