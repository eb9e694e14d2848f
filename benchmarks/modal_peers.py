"""totalVI and MultiVI of scvi-tools as generators: posterior-predictive resampling of training cells.

Of every cell that is wanted, a training cell of its label is encoded, and counts are drawn from the decoder at its
own depth. The training cells have to be at hand, so this measures the decoder, and not the distribution of states.
"""

import logging
from collections.abc import Iterator

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvi
import torch
from models import rows_like
from mudata import MuData

from scdit._mudata import make_mudata

MINUTES = 20
PEERS = {"prot": "totalVI", "atac": "MultiVI"}


def fit_peer(
    train: MuData, seed: int, max_epochs: int | None
) -> tuple[scvi.model.base.BaseModelClass, int]:
    """Train with the defaults and early stopping, for at most 20 minutes; return the epochs too."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scvi.settings.seed = seed
    train = make_mudata({name: part.copy() for name, part in train.mod.items()}, train.obs)
    if "prot" in train.mod:
        train["prot"].X = train["prot"].X.toarray()  # of which a mixture is fitted to start from
        peer, layers = scvi.model.TOTALVI, {"rna_layer": "rna", "protein_layer": "prot"}
    else:
        peer, layers = scvi.model.MULTIVI, {"rna_layer": "rna", "atac_layer": "atac"}
    peer.setup_mudata(train, modalities=layers)
    model = peer(train)
    model.train(
        **({} if max_epochs is None else {"max_epochs": max_epochs}),
        early_stopping=True,
        max_time={"minutes": MINUTES},
        enable_progress_bar=False,
    )
    return model, len(model.history["elbo_train"])


def resampled(
    model: scvi.model.base.BaseModelClass,
    train: MuData,
    labels_key: str,
    labels: np.ndarray,
    rng: np.random.Generator,
) -> MuData:
    """Return draws at training cells with these labels."""
    known = train.obs[labels_key].astype(str).to_numpy()
    rows = rows_like(known, labels, rng)
    torch.manual_seed(int(rng.integers(2**31)))
    loader = model._make_data_loader(adata=model.adata, indices=rows, batch_size=256)
    draw = _draws_of_proteins if "prot" in train.mod else _draws_of_peaks
    parts = [sp.vstack(x, format="csr") for x in zip(*draw(model.module, loader), strict=True)]
    obs = pd.DataFrame(
        {labels_key: pd.Categorical(known[rows])},
        index=[f"generated-{i}" for i in range(len(rows))],
    )
    return make_mudata(
        {
            name: ad.AnnData(counts, obs=obs[[]].copy(), var=train[name].var)
            for name, counts in zip(train.mod, parts, strict=True)
        },
        obs,
    )


Draws = Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]


@torch.inference_mode()
def _draws_of_proteins(module: torch.nn.Module, loader: Iterator) -> Draws:
    for tensors in loader:
        _, made = module(tensors, compute_loss=False)
        genes = scvi.distributions.NegativeBinomial(mu=made["px_"]["rate"], theta=made["px_"]["r"])
        # rates as in the loss of the model: module.sample leaves out the efficiency of a protein
        rates = made["py_norm_"]
        proteins = scvi.distributions.NegativeBinomialMixture(
            mu1=rates["rate_back"],
            mu2=rates["rate_fore"],
            theta1=rates["r"],
            mixture_logits=rates["mixing"],
        )
        yield tuple(sp.csr_matrix(x.sample().cpu().numpy()) for x in (genes, proteins))  # type: ignore[misc]


@torch.inference_mode()
def _draws_of_peaks(module: torch.nn.Module, loader: Iterator) -> Draws:
    for tensors in loader:
        inferred, made = module(tensors, compute_loss=False)
        rna = scvi.distributions.ZeroInflatedNegativeBinomial(
            mu=made["px_rate"], theta=made["px_r"], zi_logits=made["px_dropout"]
        )
        # the loss of the model: whether a peak is open, at the depth of the cell
        is_open = made["p"] * inferred["libsize_acc"] * torch.sigmoid(module.region_factors)
        peaks = torch.bernoulli(is_open)
        yield tuple(sp.csr_matrix(x.cpu().numpy()) for x in (rna.sample(), peaks))  # type: ignore[misc]
