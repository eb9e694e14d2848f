"""Trained models, kept in a folder so that several scripts can ask things of one training."""

from collections.abc import Mapping
from pathlib import Path

import scvi
from anndata import AnnData

import scdit


def fit(
    train: AnnData,
    folder: Path | None,
    name: str,
    seed: int = 0,
    architecture: Mapping[str, object] | None = None,
    **setup,
) -> scdit.SCDiT:
    """Return a model of the cells, trained with the defaults, or read from `folder` if it is there.

    Parameters
    ----------
    train
        Training cells.
    folder
        Where models are kept; None to keep none.
    name
        Of this training, in the folder.
    seed
        Of the training.
    architecture
        Passed to :class:`scdit.SCDiT`.
    setup
        Passed to :meth:`scdit.SCDiT.setup_anndata`.
    """
    train = train.copy()  # setup_anndata writes into it
    path = None if folder is None else folder / name
    if path is not None and path.is_dir():
        return scdit.SCDiT.load(str(path), adata=train)
    scvi.settings.seed = seed
    scdit.SCDiT.setup_anndata(train, **setup)
    model = scdit.SCDiT(train, **(architecture or {}))
    model.train(silent=True)
    if path is not None:
        model.save(str(path))
    return model
