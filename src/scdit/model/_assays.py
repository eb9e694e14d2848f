"""What is given to a model and what it returns, in the user's form and as one joint AnnData."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class, listed
from scdit.conditions import (
    Composition,
    Condition,
    LibrarySize,
    describe_library_size,
    lengths_of,
)
from scdit.model._joint import joint_like, joint_of
from scdit.model._modalities import PROTEIN, Modality, registered_modalities, split, to_mudata
from scdit.model._told import ToldMixin
from scdit.module import RNA, SCDiTModule


class AssaysMixin(ToldMixin):
    """What other mixins need to be the same for genes alone and for several modalities.

    There are no modalities for an AnnData of genes alone, which is used as it is.
    """

    adata: AnnData | None
    module: SCDiTModule
    registry: dict
    composition_: dict
    vars_: dict[str, pd.DataFrame]
    var_: pd.DataFrame
    get_var_names: Callable[[], Sequence[str]]
    _conditions: list[Condition]

    @property
    def _layer(self) -> str | None:
        """Layer of the counts that are trained on; a joint AnnData has none."""
        return None if self._modalities else self.registry["setup_args"]["layer"]

    @property
    def _training_cells(self) -> Composition:
        """The training cells, with what was found among them in earlier calls."""
        known = vars(self).get("_found_among_cells")
        if known is None or known.codes is not self.composition_["codes"]:
            known = self._found_among_cells = Composition(**self.composition_)
        return known

    @property
    def _modalities(self) -> list[Modality]:
        return registered_modalities(self.registry, self.get_var_names())

    def _n_features(self) -> dict[str, int]:
        """Number of features by assay."""
        return {m.assay: len(m.features) for m in self._modalities} or {
            RNA: len(self.get_var_names())
        }

    def _genes(self) -> slice:
        """Positions of the genes among the features of all assays."""
        names = list(self.module.n_features)
        first = sum(self.module.n_features[k] for k in names[: names.index(RNA)])
        return slice(first, first + self.module.n_features[RNA])

    def _joined(self, data: Any) -> Any:
        """Cells that the user gives, as the AnnData that the model knows.

        Raises
        ------
        TypeError
            If they are of the wrong class.
        ValueError
            If they lack features, or all modalities.
        """
        if not self._modalities or data is self.adata:
            return data
        check_class("adata", data, MuData, AnnData)
        known = joint_of(data) if isinstance(data, AnnData) else data
        if known is self.adata:
            return known
        return joint_like(data, self.registry, self.get_var_names())

    def _as_given(self, new: AnnData) -> AnnData | MuData:
        """New cells of all assays in the form of the training data."""
        modalities = self._modalities
        if not modalities:
            return new
        parts = split(new, modalities, self.vars_)
        if self._is_mudata:
            return to_mudata(parts, new.obs, new.uns, self._owners())
        rna, proteins = parts.values()
        rna.obs, rna.uns = new.obs, dict(new.uns)
        setup = self.registry["setup_args"]
        if setup["protein_names_uns_key"] is not None:
            rna.uns[setup["protein_names_uns_key"]] = proteins.var_names.to_numpy(dtype=object)
        values = self._protein_table(proteins.X, new.obs_names)
        rna.obsm[setup["protein_expression_obsm_key"]] = values
        return rna

    @property
    def _is_mudata(self) -> bool:
        """Whether cells of the model are a MuData."""
        return self.registry.get("setup_method_name") == "setup_mudata"

    def _protein_table(
        self, counts: sp.csr_matrix, obs_names: pd.Index
    ) -> pd.DataFrame | np.ndarray:
        """Counts (cells, proteins) as they stand in the ``obsm`` of an AnnData with proteins."""
        if self.registry["setup_args"]["protein_names_uns_key"] is not None:
            return counts.toarray()
        names = self.vars_[PROTEIN].index
        return pd.DataFrame(counts.toarray(), index=obs_names, columns=names)

    def _owners(self) -> dict[str, str]:
        """Modality that a column of conditions belongs to, where the user said one."""
        setup = self.registry["setup_args"]
        owners: dict[str, str] = {}
        for argument, name in setup["modalities"].items():
            keys = setup.get(argument)
            if argument.endswith("_layer") or name is None or keys is None:
                continue
            owners |= dict.fromkeys([keys] if isinstance(keys, str) else keys, name)
        return owners

    # -- library sizes ---------------------------------------------------------------------------

    def _sizes_by_assay(self, request: Any) -> dict[str, LibrarySize]:
        """Library size that is asked for of each assay.

        Raises
        ------
        ValueError
            If there are several modalities and it is not said which is meant, or one is unknown.
        """
        modalities = self._modalities
        if not modalities:
            # a codec whose states have no library size draws that of training cells
            is_model = isinstance(request, str) and request == "model"
            return {RNA: "empirical" if is_model and self.module.context_names else request}
        by_name = {m.name: m.assay for m in modalities}
        if isinstance(request, Mapping):
            unknown = [name for name in request if name not in by_name]
            if unknown:
                raise ValueError(
                    f"library_size names {listed(unknown)}; the modalities are {listed(by_name)}"
                )
            return {assay: request.get(name, "model") for name, assay in by_name.items()}
        if not isinstance(request, str) and len(by_name) > 1:
            raise ValueError(
                "library_size must say of which modality it is, such as "
                f"{{{next(iter(by_name))!r}: 5000}}; the modalities are {listed(by_name)}"
            )
        return dict.fromkeys(by_name.values(), request)

    def _described_sizes(self, requests: Mapping[str, LibrarySize]) -> str | dict[str, str]:
        """Library sizes as they stand in the provenance: one, or one for each modality."""
        described = {assay: describe_library_size(request) for assay, request in requests.items()}
        names = {m.assay: m.name for m in self._modalities}
        if not names:
            return described[RNA]
        return {names[assay]: text for assay, text in described.items()}


def lengths_of_all(requests: Mapping[str, LibrarySize]) -> dict[str, int]:
    """Number of cells that library sizes are given for, by what gives it, see `lengths_of`."""
    found = {}
    for assay, request in requests.items():
        for name, length in lengths_of(request).items():
            found[name if len(requests) == 1 else f"{name} of {assay}"] = length
    return found
