"""More cells of rare types, for methods that need some of each."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_bool, check_class, check_int, check_rng, did_you_mean, listed
from scdit._columns import GENERATED
from scdit.tl._augment_cells import read_real

if TYPE_CHECKING:
    from scdit.model import SCDiT

_MOST = 1_000_000  # cells of one label
_OWN = ("self", "n", "labels", "conditions", "like", "rng", "silent")  # not for generate_kwargs
_OTHER_CELLS = ("effects", "null", "reference", "new_donors")  # that real cells do not belong to


def augment(
    adata: AnnData | MuData,
    model: SCDiT,
    *,
    min_cells: int,
    labels_key: str,
    layer: str | None = None,
    rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    silent: bool = False,
    **generate_kwargs,
) -> AnnData | MuData:
    """Top up rare labels with generated cells.

    Parameters
    ----------
    adata
        Real cells with raw counts of the model's genes; it is not changed. Pass the cells that the
        model was trained on. If the model has also seen others, such as test cells, the generated
        cells carry information on these into the result. For a model
        of a MuData, a MuData with its modalities, of which cells may lack some; for a model of genes
        and of proteins in ``obsm``, an AnnData with both.
    model
        A trained model, to which `labels_key` was registered.
    min_cells
        Each label of `adata` with fewer cells than this gets generated ones up to it; at most a
        million.
    labels_key
        Column of `obs` with the labels; of a MuData, where they were registered from.
    layer
        Layer with the counts of genes; None for the one that the model was trained on. They are ``X``
        of the result and, where it is a layer, also there. Modalities of a MuData have the layers
        that they were registered with: leave it out.
    rng, silent
        As in :meth:`scdit.SCDiT.generate`.
    **generate_kwargs
        Other arguments of it, but those that say which cells, ``n``, ``labels``, ``conditions`` and
        ``like``, and those that make cells unlike the real ones, ``effects``, ``null``,
        ``reference`` and ``new_donors``.

    Returns
    -------
    A new AnnData: the real cells with the model's genes, then the generated ones, flagged in
    ``obs["scdit_generated"]``. Generated cells have values in the columns of conditions only. Other
    columns are missing there, so that integers and booleans become ``Int64`` and ``boolean``. Of
    ``layers`` only that of the counts is kept, and of ``obsm`` only proteins. Counts have the type of
    those in `adata`, or a larger type of integers if generated counts need one.

    Of a MuData, a new MuData in the same way, with the modalities and features of the model. The flags
    are in ``mdata.obs``. Generated cells have all modalities; a real cell has the rows that it had.

    Raises
    ------
    KeyError
        If the column, the layer or the entry of ``obsm`` does not exist.
    RuntimeError
        If the model is not trained.
    TypeError
        If an argument is of the wrong class, or :meth:`scdit.SCDiT.generate` has none of that name.
    ValueError
        If a matrix does not hold raw counts, labels were not registered with the model under this
        name, genes or modalities are missing, `layer` is given for a MuData, `min_cells` is out of
        range or the cells were augmented before.

    Examples
    --------
    >>> more = scdit.tl.augment(train, model, min_cells=100, labels_key="cell_type")
    >>> more.obs["scdit_generated"].sum()
    """
    _check_model(model, generate_kwargs)
    check_bool("silent", silent)
    check_rng(rng)
    min_cells = check_int("min_cells", min_cells, high=_MOST)
    check_class("labels_key", labels_key, str)
    setup = model.registry["setup_args"]
    real = read_real(adata, model, layer)
    if labels_key not in real.obs:
        raise KeyError(f"{labels_key!r} is not a column of adata.obs")
    if GENERATED in real.obs:
        raise ValueError(f"adata.obs[{GENERATED!r}] exists: these cells were augmented before")
    registered = setup["labels_key"]
    if registered != labels_key:
        raise ValueError(
            f"the labels of this model are {registered!r}, not {labels_key!r}: "
            "setup_anndata(adata, labels_key=...)"
        )
    wanted = {
        label: int(min_cells - size)
        for label, size in real.obs[labels_key].value_counts().items()
        if 0 < size < min_cells and label != setup["unlabeled_category"]
    }
    new = None
    if wanted:
        new = model.generate(labels=wanted, rng=rng, silent=silent, **generate_kwargs)
    return real.with_generated(new, labels_key)


def _check_model(model: object, generate_kwargs: Iterable[str]) -> None:
    """Raise unless `model` is trained and its `generate` takes these arguments from here."""
    from scdit.model import SCDiT

    check_class("model", model, SCDiT)
    if not model.is_trained_:  # type: ignore[attr-defined]
        raise RuntimeError("model is not trained: call model.train() first")
    refused = {*_OWN, *_OTHER_CELLS}
    allowed = [n for n in inspect.signature(SCDiT.generate).parameters if n not in refused]
    for name in generate_kwargs:
        if name in _OWN:
            raise TypeError(
                f"{name} cannot be passed on: min_cells and labels_key say which cells"
            )
        if name in _OTHER_CELLS:
            raise TypeError(
                f"{name} cannot be passed on: it makes cells unlike the real ones; call generate"
            )
        if name not in allowed:
            raise TypeError(
                f"generate has no argument {name!r}; it has {listed(allowed)}"
                + did_you_mean(name, allowed)
            )
