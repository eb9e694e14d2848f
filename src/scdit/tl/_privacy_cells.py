"""The cells of an audit of privacy: AnnData, or MuData of several modalities, or a model that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class
from scdit.tl._modalities import Modalities
from scdit.tl._mudata import as_mudata
from scdit.tl._population import Population, read_generated, read_population
from scdit.tl._read_modalities import read_modalities
from scdit.tl._together import Together, together

if TYPE_CHECKING:
    from scdit.model import SCDiT

Cells: TypeAlias = Population | Together
Layer: TypeAlias = str | Mapping[str, str | None] | None  # one name, or one of each modality


def check_model(generated: Any, train: AnnData | MuData) -> SCDiT | None:
    """Return the model that makes the generated cells, or None where they are given.

    Raises
    ------
    RuntimeError
        If it is not trained.
    TypeError
        If the generated cells are not of the class of the training cells.
    """
    of_train = MuData if isinstance(train, MuData) else AnnData
    if isinstance(generated, of_train):
        return None
    from scdit.model import SCDiT  # no cost to those who have cells only

    model = check_class("generated", generated, of_train, SCDiT)
    if not model.is_trained_:
        raise RuntimeError("generated is a model that is not trained: call model.train() first")
    makes = MuData if model.registry.get("setup_method_name") == "setup_mudata" else AnnData
    if makes is not of_train:
        raise TypeError(
            f"train must be of the class that the model generates, {makes.__name__}, got "
            f"{of_train.__name__}"
        )
    return model


def layer_of(model: SCDiT) -> Layer:
    """Return the layer that a model was trained on; of a MuData, that of each modality."""
    from scdit.model._modalities import assay_names

    setup = model.registry["setup_args"]
    if "layer" in setup:
        return setup["layer"]
    names = assay_names(setup["modalities"])
    return {name: setup[f"{assay}_layer"] for assay, name in names.items()}


class Reader:
    """Reads cells with the modalities and features of the training cells.

    Parameters
    ----------
    train
        The training cells.
    layer
        Layer with the counts.
    assays, protein_expression_obsm_key
        As in :func:`scdit.tl.evaluate`.
    """

    def __init__(
        self,
        train: AnnData | MuData,
        layer: Layer,
        assays: Mapping[str, str] | None,
        protein_expression_obsm_key: str | None,
    ) -> None:
        self._layer, self._assays, self._key = layer, assays, protein_expression_obsm_key
        self._genes: list[str] = []
        self._first: Modalities | None = None
        train = as_mudata(train, "train", self._key)
        if isinstance(train, MuData):
            self._first = read_modalities(train, "train", assays=assays)
        elif assays is not None:
            raise ValueError("assays names modalities of a MuData; these are AnnData objects")
        else:
            self._genes = list(train.var_names)

    def read(self, cells: AnnData | MuData, name: str, labels_key: str | None = None) -> Cells:
        """Read the counts of some cells and, of a column of `obs`, their labels.

        Raises
        ------
        KeyError, TypeError, ValueError
            As :func:`scdit.tl.privacy`.
        """
        cells = as_mudata(cells, name, self._key)
        if self._first is not None:
            side = self._first
            if name != "train":
                side = read_modalities(cells, name, like=self._first)
            side.warn_of_flags()
            like = None if name == "train" else self._first
            return together(
                list(side.populations(like, labels_key=labels_key, layer=self._layer).values())
            )
        layer = cast(str | None, self._layer)
        if name == "generated":
            return read_generated(cells, genes=self._genes, labels_key=None, layer=layer)
        return read_population(cells, name, genes=self._genes, labels_key=labels_key, layer=layer)
