"""Trained models, kept in a folder so that several scripts can ask things of one training."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp
import scvi
import torch
from anndata import AnnData

import scdit
from scdit.codec import ConditionPrior
from scdit.diffusion import KeyedNoise
from scdit.nn import ConditionTerms
from scdit.train._data import CellDataModule, condition_codes
from scdit.train._states import encode


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


def standard_normal_prior(_: Mapping[str, int], n_latent: int) -> ConditionPrior:
    """Return, in the place of a codec's prior, one that knows no conditions: N(0, I)."""
    return ConditionPrior({}, n_latent)


def no_effects(_: Mapping[str, int], n_genes: int) -> ConditionTerms:
    """Return, in the place of a codec's effects on genes, none."""
    return ConditionTerms({}, n_genes)


@contextmanager
def replacing(replaced: Mapping[str, object]) -> Iterator[None]:
    """Put other values in the place of names of the package for a while."""
    with ExitStack() as stack:
        for target, value in replaced.items():
            stack.enter_context(patch(target, value))
        yield


@torch.inference_mode()
def decode(model: scdit.SCDiT, latent: np.ndarray, library: np.ndarray) -> AnnData:
    """Return cells drawn from the decoder of a model, which is told no conditions.

    Parameters
    ----------
    model
        The model.
    latent
        Latent states (cells, n_latent).
    library
        Library sizes (cells,).
    """
    module = model.module
    state = torch.zeros(len(latent), module.codec.n_state)
    state[:, : latent.shape[1]] = torch.from_numpy(latent)
    state = module.codec.with_library_size(state, {"rna": torch.from_numpy(library).float()})
    counts = module.draw_counts(state, range(len(state)), KeyedNoise(0))
    return AnnData(sp.csr_matrix(counts.numpy()), var=model.adata.var)


def rows_like(known: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return rows of cells whose labels are `known`, none twice, as many of each label as in `labels`."""
    return np.concatenate(
        [
            rng.permutation(np.flatnonzero(known == name))[:n]
            for name, n in zip(*np.unique(labels, return_counts=True), strict=True)
        ]
    )


def resampler(model: scdit.SCDiT) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a function of rows of the model's cells and a seed that draws counts (rows, genes).

    A state of each cell is drawn from its posterior and decoded with the cell's own depth.
    """
    module = model.module
    codes = condition_codes(model.adata_manager, module.condition_names)
    counts = sp.csr_matrix(model.adata_manager.get_from_registry("X"))
    with torch.inference_mode():
        mean, sd = encode(module, CellDataModule(counts, codes))

    def draw(rows: np.ndarray, seed: int) -> np.ndarray:
        rng, noise = np.random.default_rng(seed), KeyedNoise(seed)
        normal = torch.from_numpy(rng.standard_normal((len(rows), sd.shape[1]), dtype=np.float32))
        state = mean[rows] + sd[rows] * normal
        own = {name: code[rows] for name, code in codes.items()}
        parts = []
        for i in range(0, len(rows), 1_000):
            cells = range(len(rows))[i : i + 1_000]
            part = slice(cells.start, cells.stop)
            known = {name: code[part] for name, code in own.items()}
            parts.append(module.draw_counts(state[part], cells, noise, known).numpy())
        return np.concatenate(parts)

    return draw
