"""Cells of a MuData as the metrics see them: paired, in one order, with their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdit._checks import shortened
from scdit.tl._kinds import Kind
from scdit.tl._population import Population, read_column, read_counts, read_labels
from scdit.tl._warnings import marked_generated, warn_of_flags


@dataclass(frozen=True, eq=False)
class Modalities:
    """The cells that all modalities have, in one order.

    Attributes
    ----------
    name
        What the caller calls them; used in messages.
    mdata
        Where they come from. It stays as it is.
    parts
        Cells of each modality, as views where they are not all or in another order.
    kinds
        What each modality counts.
    """

    name: str
    mdata: MuData
    parts: dict[str, AnnData]
    kinds: dict[str, Kind]

    @property
    def cells(self) -> pd.Index:
        """Names of the cells."""
        return next(iter(self.parts.values())).obs_names

    def has(self, key: str) -> bool:
        """Whether there is a column of that name, wherever :meth:`column` looks for it."""
        return bool(self._holders(key))

    def column(self, key: str) -> pd.Series:
        """Return a column of `obs` without missing values: shared, or of a modality.

        It is looked for in ``mdata.obs``, then in the modality that ``"rna:column"`` names, then
        in all modalities.

        Raises
        ------
        KeyError
            If there is none.
        ValueError
            If modalities have different values, or values are missing.
        """
        holders = self._holders(key)
        if not holders:
            columns = {f"{self.name}.obs": self.mdata.obs.columns} | {
                f"{self.name}[{part!r}].obs": adata.obs.columns
                for part, adata in self.parts.items()
            }
            has = "; ".join(f"`{k}`: {shortened(list(v)) or 'none'}" for k, v in columns.items())
            raise KeyError(f"`{self.name}` has no column {key!r}. It has, in {has}")
        (where, first), *others = (
            (where, read_column(AnnData(obs=obs), where, column))
            for where, (obs, column) in holders.items()
        )
        for other, values in others:
            n = int((first.astype(str).to_numpy() != values.astype(str).to_numpy()).sum())
            if n:
                raise ValueError(
                    f"column {key!r} of `{where}` and of `{other}` differ in {n} cells: put the "
                    f"right one in `{self.name}.obs`"
                )
        return first

    def with_column(self, key: str) -> AnnData:
        """Return the cells with a column of `obs`, without counts, and with `uns` of the MuData."""
        return AnnData(obs=self.column(key).to_frame(key), uns=dict(self.mdata.uns))

    def labels(self, key: str) -> np.ndarray:
        """Return a column as text, shape (cells,); see :func:`read_labels`."""
        return read_labels(self.with_column(key), self.name, key)

    def populations(
        self,
        like: Modalities | None = None,
        *,
        labels_key: str | None = None,
        layer: str | Mapping[str, str | None] | None = None,
    ) -> dict[str, Population]:
        """Read the counts of each modality, with the features of `like`, and the labels.

        `layer` is one name for all modalities, or one for each; a modality without it has counts in `X`.

        Raises
        ------
        KeyError, TypeError, ValueError
            As :func:`read_population` does.
        """
        labels = None if labels_key is None else self.labels(labels_key)
        if isinstance(layer, str) and all(layer not in x.layers for x in self.parts.values()):
            if self.name != "generated":
                raise KeyError(f"no modality of `{self.name}` has a layer {layer!r}")
        layers = layer if isinstance(layer, Mapping) else dict.fromkeys(self.parts, layer)
        return {
            key: Population(
                read_counts(
                    part,
                    f"{self.name}[{key!r}]",
                    genes=None if like is None else list(like.parts[key].var_names),
                    layer=layers.get(key) if layers.get(key) in part.layers else None,
                    kind=self.kinds[key],
                ),
                labels,
                self.kinds[key],
            )
            for key, part in self.parts.items()
        }

    def warn_of_flags(self) -> None:
        """Warn where a modality marks real cells as generated, or the reverse."""
        frames = (self._shared, *(part.obs for part in self.parts.values()))
        marks = [flags for obs in frames if (flags := marked_generated(obs)) is not None]
        warn_of_flags(np.any(marks, axis=0) if marks else None, self.name)

    @property
    def _shared(self) -> pd.DataFrame:
        """``mdata.obs`` of these cells."""
        positions = self.mdata.obs_names.get_indexer(self.cells)
        if (positions < 0).any():
            raise ValueError(
                f"`{self.name}.obs` lacks {int((positions < 0).sum())} cells of its modalities: "
                f"call {self.name}.update()"
            )
        return self.mdata.obs.iloc[positions]

    def _holders(self, key: str) -> dict[str, tuple[pd.DataFrame, str]]:
        """Tables with a column of that name, and its name there."""
        if key in self.mdata.obs:
            return {self.name: (self._shared, key)}
        part, _, column = key.partition(":")
        if part in self.parts and column in self.parts[part].obs:
            return {f"{self.name}[{part!r}]": (self.parts[part].obs, column)}
        return {
            f"{self.name}[{part!r}]": (adata.obs, key)
            for part, adata in self.parts.items()
            if key in adata.obs
        }
