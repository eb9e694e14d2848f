"""Generated cells written to a file, a batch at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scdit._progress import progress
from scdit.conditions import Category
from scdit.model._assays import AssaysMixin
from scdit.model._recipe import Recipe
from scdit.store import Pieces, StoreWriter, Target, open_store


class StreamMixin(AssaysMixin):
    """Writes the cells of a recipe."""

    var_: pd.DataFrame

    def _suffixes(self) -> list[str]:
        """Suffixes of the files that can hold this model's cells."""
        return [".zarr", ".h5mu" if self._is_mudata else ".h5ad"]

    def _write(
        self,
        recipe: Recipe,
        settings: Mapping[str, Any],
        record: Mapping[str, Any],
        target: Target,
        silent: bool,
    ) -> AnnData | MuData:
        """Write the cells of a recipe to a file, and open it.

        Parameters
        ----------
        recipe
            What makes the cells.
        settings
            What ``uns`` says of them.
        record
            All that they depend on.
        target
            Where to.
        silent
            No progress bar.
        """
        if target.is_complete(record):
            return open_store(target.path)
        state = target.begin(record)
        depths = recipe.depths_seen()
        with target.kept_on_error():
            writer, state = self._writer(recipe, settings, target, state)
            done, without = state["done"], set(state["without"])
            depths.outside.update(state["outside"])
            first = recipe.cells.start
            unsettled: list[dict[str, Any]] = []
            bar = progress(len(recipe.cells), "Generating", "cell", silent, done)
            for cells in recipe.batches(first + done):
                batch = recipe.make(cells)
                without |= recipe.without(batch.codes)
                depths.see(recipe.module.by_assay(batch.counts))
                obs = recipe.obs(cells, batch.codes, batch.sizes)
                pieces = self._pieces(obs, batch.counts, batch.layers, done)
                done += len(cells)
                state = {
                    "done": done,
                    "without": sorted(without),
                    "outside": dict(depths.outside),
                    "rows": writer.append(pieces),
                }
                unsettled.append(state)
                settled = [x for x in unsettled if writer.has_written(x["rows"])]
                if settled:
                    target.save(settled[-1])
                    unsettled = unsettled[len(settled) :]
                bar.update(len(cells))
            bar.close()
            form, pieces = self._example(recipe, settings, without)
            writer.finish(pieces, json.dumps(record))
            if target.is_hdf5:
                writer.to_hdf5(target.copy, form, json.dumps(record))
            target.publish()
        depths.warn(len(recipe.cells))
        return open_store(target.path)

    def _writer(
        self,
        recipe: Recipe,
        settings: Mapping[str, Any],
        target: Target,
        state: dict[str, Any] | None,
    ) -> tuple[StoreWriter, dict[str, Any]]:
        """What writes cells, and how far it is: `state`, or no cell."""
        # the category of cells without one is there until it is known that no cell has it
        may_lack = [c.key for c in recipe._conditions if isinstance(c, Category) and c.unlabeled]
        form, pieces = self._example(recipe, settings, may_lack)
        if state is not None:
            return StoreWriter(target.store, pieces, state["rows"]), state
        StoreWriter.begin(target.store, form, pieces)
        return StoreWriter(target.store, pieces), {"done": 0, "without": [], "outside": {}}

    def _example(
        self, recipe: Recipe, settings: Mapping[str, Any], without: Collection[str]
    ) -> tuple[AnnData | MuData, Pieces]:
        """A cell without counts in the user's form, and its parts; `without` as in `Recipe.example`."""
        obs = recipe.example(without)
        counts = sp.csr_matrix((1, len(self.var_)), dtype=np.int32)
        layers = dict.fromkeys(recipe.layers, counts.astype(np.float32))
        new = self._new(counts, layers, obs.copy(), recipe, dict(settings))
        return new, self._pieces(obs, counts, layers)

    def _new(
        self,
        x: Any,
        layers: Mapping[str, Any],
        obs: pd.DataFrame,
        recipe: Recipe,
        settings: dict[str, Any],
    ) -> AnnData | MuData:
        """Cells of a recipe in the user's form: counts and layers (cells, features), and ``obs``."""
        varm: Mapping[str, pd.DataFrame] = {}
        if recipe.effects is not None:
            varm = recipe.effects.truth(self.var_.index, self._genes().start)
        new = AnnData(X=x, obs=obs, var=self.var_.copy(), uns={"scdit": settings}, varm=varm)
        new.layers.update(layers)
        return self._as_given(new)

    def _pieces(
        self,
        obs: pd.DataFrame,
        counts: sp.csr_matrix,
        layers: Mapping[str, sp.csr_matrix],
        start: int = 0,
    ) -> Pieces:
        """Parts of some cells, by their paths in a file; the first of the cells is row `start` of it."""
        modalities = self._modalities
        if not modalities:
            return {"obs": obs, "X": counts} | {f"layers/{k}": x for k, x in layers.items()}
        by_name = {m.name: self.module.by_assay(counts)[m.assay] for m in modalities}
        if not self._is_mudata:
            rna, proteins = by_name.values()
            values = self._protein_table(proteins, obs.index)
            key = self.registry["setup_args"]["protein_expression_obsm_key"]
            return {"obs": obs, "X": rna, f"obsm/{key}": values}
        pieces: dict[str, Any] = {"obs": obs}
        owners = self._owners()
        for name, part in by_name.items():
            own = [column for column, owner in owners.items() if owner == name and column in obs]
            pieces[f"mod/{name}/X"] = part
            pieces[f"mod/{name}/obs"] = obs[own]
            # of which cells the modality has, and where: all, in their order
            pieces[f"obsm/{name}"] = np.ones(len(obs), dtype=bool)
            pieces[f"obsmap/{name}"] = np.arange(start + 1, start + len(obs) + 1, dtype=np.uint64)
        return pieces
