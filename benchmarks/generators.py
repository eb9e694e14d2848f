"""The generators that are compared: scdit, scVI, and the simple baselines.

A generator is fitted to training cells once and then makes one or more rows of the table, each
with a sampler as described in `baselines`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import pandas as pd
import scvi
import torch
from anndata import AnnData
from baselines import BASELINES, Sampler, as_cells
from sklearn.covariance import ledoit_wolf

import scdit

DECODED_AT_ONCE = 512


@dataclass(frozen=True)
class Fitted:
    """A trained generator.

    Attributes
    ----------
    samplers
        One for each row of the table.
    note
        What else the table should say of the training.
    """

    samplers: dict[str, Sampler]
    note: str = ""


# of training cells, the column of labels, a seed, and (optionally) a cap on scVI's epochs
Fit: TypeAlias = Callable[..., Fitted]


def fit_scdit(
    train: AnnData, labels_key: str, seed: int, _: int | None = None, **architecture
) -> Fitted:
    """Train scdit with its defaults, but for arguments of the model."""
    scvi.settings.seed = seed
    train = train.copy()  # setup_anndata writes into it
    scdit.SCDiT.setup_anndata(train, labels_key=labels_key)
    model = scdit.SCDiT(train, **architecture)
    model.train(silent=True)

    def sample(labels: np.ndarray, rng: np.random.Generator) -> AnnData:
        sizes = pd.Series(labels).value_counts(sort=False).to_dict()
        return model.generate(labels=sizes, rng=rng, silent=True)

    return Fitted({"scdit": sample})


def fit_scvi(train: AnnData, labels_key: str, seed: int, max_epochs: int | None = None) -> Fitted:
    """Train scVI with its defaults and early stopping; make three generators of it.

    Neither batches nor labels are registered. What is drawn is always a draw from the model's
    own likelihood, and library sizes are those of training cells.

    - ``scvi_posterior``: for every cell, another training cell of its label is encoded, a state
      is drawn from its posterior and decoded with its own library size.
    - ``scvi_mixture``: per label, a Gaussian with the mean and (Ledoit-Wolf shrunk) covariance of
      the aggregated posterior, decoded with library sizes drawn from the label's cells.
    - ``scvi_prior``: the standard normal prior, with library sizes drawn from all cells. It knows
      no labels, and its cells have none.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scvi.settings.seed = seed
    train = train.copy()
    scvi.model.SCVI.setup_anndata(train)
    model = scvi.model.SCVI(train)
    planned = min(round(20_000 / train.n_obs * 400), 400)  # scVI's own heuristic
    allowed = planned if max_epochs is None else min(planned, max_epochs)
    model.train(max_epochs=allowed, early_stopping=True, enable_progress_bar=False)
    epochs = len(model.history["elbo_train"])

    train_labels = train.obs[labels_key].astype(str).to_numpy()
    members = {label: np.flatnonzero(train_labels == label) for label in np.unique(train_labels)}
    library = np.asarray(train.X.sum(axis=1), dtype=np.float64).ravel()
    mean, variance = model.get_latent_representation(return_dist=True)
    gaussians = {
        label: (
            mean[cells].mean(axis=0),
            ledoit_wolf(mean[cells])[0] + np.diag(variance[cells].mean(axis=0)),
        )
        for label, cells in members.items()
    }

    def posterior(labels: np.ndarray, rng: np.random.Generator) -> AnnData:
        sources = np.empty(len(labels), dtype=int)
        for label, cells in members.items():
            wanted = np.flatnonzero(labels == label)
            # without replacement as long as there are cells: the stronger generator
            sources[wanted] = rng.choice(cells, len(wanted), replace=len(wanted) > len(cells))
        torch.manual_seed(rng.integers(2**31))
        counts = model.posterior_predictive_sample(
            indices=sources, batch_size=DECODED_AT_ONCE
        ).to_scipy_sparse()
        return as_cells(counts, train, labels_key, labels)

    def mixture(labels: np.ndarray, rng: np.random.Generator) -> AnnData:
        state = np.stack([rng.multivariate_normal(*gaussians[label]) for label in labels])
        sizes = np.array([library[rng.choice(members[label])] for label in labels])
        return as_cells(_decode(model, state, sizes, rng), train, labels_key, labels)

    def prior(labels: np.ndarray, rng: np.random.Generator) -> AnnData:
        state = rng.standard_normal((len(labels), mean.shape[1]))
        sizes = rng.choice(library, len(labels))
        return as_cells(_decode(model, state, sizes, rng), train, labels_key)

    end = "stopped early" if epochs < allowed else "ended by the cap on epochs"
    if epochs == planned:
        end = "all that scVI plans"
    return Fitted(
        {"scvi_posterior": posterior, "scvi_mixture": mixture, "scvi_prior": prior},
        note=f"{epochs} epochs, {end}",
    )


@torch.inference_mode()
def _decode(
    model: scvi.model.SCVI, state: np.ndarray, library: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw counts (cells, genes) from scVI's likelihood, given states and library sizes."""
    torch.manual_seed(rng.integers(2**31))
    model.module.eval()
    state, library = (
        torch.as_tensor(x, dtype=torch.float32, device=model.device)
        for x in (state, np.log(library)[:, None])
    )
    parts = []
    for z, log_size in zip(
        state.split(DECODED_AT_ONCE), library.split(DECODED_AT_ONCE), strict=True
    ):
        batch = torch.zeros(len(z), 1, device=model.device)
        likelihood = model.module.generative(z, log_size, batch)["px"]
        parts.append(likelihood.sample().cpu().numpy())
    return np.concatenate(parts)


def _fit_baseline(
    name: str, train: AnnData, labels_key: str, seed: int, _: int | None = None
) -> Fitted:
    return Fitted({name: BASELINES[name](train, labels_key)})


GENERATORS: dict[str, Fit] = {
    "scdit": fit_scdit,
    "scvi": fit_scvi,
    **{name: partial(_fit_baseline, name) for name in BASELINES},
}
