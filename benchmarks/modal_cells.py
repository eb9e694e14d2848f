"""Cells with two modalities for benchmarks: read, split, and made by simple generators."""

from pathlib import Path

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from baselines import BASELINES
from mudata import MuData
from splits import MIN_GENE_CELLS, split

from scdit._mudata import make_mudata

RNA = "rna"


def read_cells(path: Path) -> MuData:
    """Return genes (``"rna"``) beside proteins of ``obsm`` (``"prot"``), or beside peaks (``"atac"``)."""
    if path.suffix == ".h5mu":
        mdata = mudata.read_h5mu(path)
        parts = {RNA: mdata.mod[RNA], "atac": mdata.mod["atac"]}
        obs = mdata.mod[RNA].obs
    else:
        rna = ad.read_h5ad(path)
        obs, values = rna.obs, rna.obsm["protein_expression"]
        names = getattr(values, "columns", rna.uns.get("protein_names"))
        index = pd.DataFrame(index=obs.index)
        proteins = ad.AnnData(np.asarray(values), obs=index, var=pd.DataFrame(index=list(names)))
        parts = {RNA: ad.AnnData(rna.X, obs=obs, var=rna.var), "prot": proteins}
    return make_mudata(parts, obs)


def split_cells(
    mdata: MuData,
    labels_key: str,
    *,
    seed: int,
    genes: int | None,
    peaks: int | None = None,
    hold_out: str | None = None,
) -> tuple[MuData, MuData]:
    """Return training and test cells; see :func:`splits.split`.

    Of peaks, `peaks` are kept that most training cells have, and of these those that three have; of
    proteins, all that one has.
    """
    [other] = set(mdata.mod) - {RNA}
    rna = mdata[RNA].copy()
    rna.obs = mdata.obs
    sides = split(rna, labels_key, seed=seed, n_top_genes=genes, hold_out=hold_out)
    part = mdata[other]
    counts = sp.csr_matrix(part.X, dtype=np.float32)
    rows = [part.obs_names.get_indexer(side.obs_names) for side in sides]
    seen = counts[rows[0]].getnnz(axis=0)
    order = np.argsort(-seen, kind="stable")
    order = order[seen[order] >= (1 if other == "prot" else MIN_GENE_CELLS)]
    features = np.sort(order[:peaks] if other == "atac" else order)
    return tuple(
        make_mudata(
            {
                RNA: side,
                other: ad.AnnData(
                    counts[at][:, features],
                    obs=pd.DataFrame(index=side.obs_names),
                    var=part.var.iloc[features],
                ),
            },
            side.obs,
        )
        for side, at in zip(sides, rows, strict=True)
    )  # type: ignore[return-value]


def with_broken_pairs(mdata: MuData, labels_key: str, rng: np.random.Generator) -> MuData:
    """Return the same cells, of which the second modality belongs to another cell of the label."""
    [other] = set(mdata.mod) - {RNA}
    labels, order = mdata.obs[labels_key].astype(str).to_numpy(), np.arange(mdata.n_obs)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order[rows] = rng.permutation(rows)
    part = mdata[other][order].copy()
    part.obs_names = mdata.obs_names
    return make_mudata({RNA: mdata[RNA].copy(), other: part}, mdata.obs)


def independent_cells(
    train: MuData, labels_key: str, labels: np.ndarray, rng: np.random.Generator
) -> MuData:
    """Return cells whose features are independent negative binomials, per label and modality."""
    made = {}
    for name, part in train.mod.items():
        cells = ad.AnnData(part.X, obs=train.obs[[labels_key]], var=part.var)
        made[name] = BASELINES["nb"](cells, labels_key)(labels, rng)
    return make_mudata(made, made[RNA].obs)
