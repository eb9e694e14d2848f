"""Cells of a combination of conditions that a model has never seen, against real ones.

One model is trained without the cells that have both a label and a value of a condition, another one
with them. Both make such cells, which are compared with held-out real ones, beside control cells of
that label, latent arithmetic in the space of the first model (scGen, Lotfollahi et al. 2019), and real
training cells (the floor).

    python benchmarks/unseen.py --data kang_ifnb.h5ad --label "CD14+ Monocytes" --value stim \
        --relative "FCGR3A+ Monocytes"

Genes are chosen on all training cells. Response genes, and the principal components in which the MMD is
taken, are found on training cells that are not compared with anything.
"""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from models import decode, fit
from records import write
from sklearn.decomposition import PCA
from splits import split

import scdit

N_RESPONSE = 100  # genes
N_PCS = 30


def log_expression(adata: ad.AnnData) -> np.ndarray:
    """Log1p of counts per 10,000, dense (cells, genes)."""
    counts = adata.X.toarray().astype(np.float64)
    return np.log1p(1e4 * counts / np.maximum(counts.sum(1, keepdims=True), 1))


class Judge:
    """Compares cells with held-out real ones.

    Parameters
    ----------
    real, control
        Held-out cells of the combination, and of the same label under the other condition.
    background
        Training cells: components are fitted on them.
    response
        Training cells of the combination and of its control: they name the response genes.
    """

    def __init__(
        self,
        real: ad.AnnData,
        control: ad.AnnData,
        background: ad.AnnData,
        response: tuple[ad.AnnData, ad.AnnData],
    ):
        stimulated, resting = (log_expression(cells).mean(0) for cells in response)
        self.genes = np.argsort(-np.abs(stimulated - resting))[:N_RESPONSE]
        self.pca = PCA(N_PCS, random_state=0).fit(log_expression(background))
        self.real, self.base = log_expression(real), log_expression(control).mean(0)[self.genes]
        self.truth = self.real.mean(0)[self.genes] - self.base

    def __call__(self, row: str, cells: ad.AnnData) -> dict:
        """MMD x 1000, and log fold changes of the response genes made against true ones."""
        made = log_expression(cells)
        n = min(len(made), len(self.real))
        points = (self.pca.transform(x[:n]) for x in (self.real, made))
        change = made.mean(0)[self.genes] - self.base
        return {
            "cells": row,
            "MMD x 1000": 1000 * scdit.tl.mmd(*points),
            "LFC r": float(np.corrcoef(self.truth, change)[0, 1]),
            "LFC slope": float(change @ self.truth / (self.truth @ self.truth)),
            "SD ratio": float(
                np.median(made[:, self.genes].std(0) / self.real[:, self.genes].std(0))
            ),
        }


def encoded(model: scdit.SCDiT, cells: ad.AnnData) -> ad.AnnData:
    """Cells, encoded and decoded again: what the codec can show of them."""
    return decode(model, model.get_latent_representation(cells), cells.X.sum(1).A1)


def latent_arithmetic(
    model: scdit.SCDiT,
    source: np.ndarray,
    others: Sequence[str],
    column: pd.Series,
    is_value: pd.Series,
) -> ad.AnnData:
    """Training cells `source`, moved by the shift that the condition is to other labels.

    The shift is the difference of latent means, each of the labels `others` in `column` weighing the
    same; the library sizes stay those of the source cells.
    """
    latent = model.get_latent_representation()
    shifts = [
        latent[(column.eq(other) & is_value).to_numpy()].mean(0)
        - latent[(column.eq(other) & ~is_value).to_numpy()].mean(0)
        for other in others
    ]
    moved = latent[source] + np.mean(shifts, axis=0)
    return decode(model, moved, model.adata.X[source].sum(1).A1)


def main() -> None:
    """Train what is missing, measure, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of counts")
    parser.add_argument("--labels", default="cell_type", help="column of labels")
    parser.add_argument("--condition", default="condition", help="column of the condition")
    parser.add_argument("--label", required=True, help="label of the combination")
    parser.add_argument("--value", required=True, help="value of the condition")
    parser.add_argument(
        "--relative", help="a label whose response is like that of the one left out"
    )
    parser.add_argument("--hvg", type=int, default=2000, help="number of variable genes [2000]")
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    args = parser.parse_args()

    adata = ad.read_h5ad(args.data)
    group = adata.obs[args.labels].astype(str) + "|" + adata.obs[args.condition].astype(str)
    adata.obs["group"] = group
    train, test = split(adata, "group", n_top_genes=args.hvg)
    combination = f"{args.label}|{args.value}"

    def cells(data: ad.AnnData, is_combination: bool) -> ad.AnnData:
        rows = data.obs[args.labels].eq(args.label) & (
            data.obs["group"].eq(combination) == is_combination
        )
        return data[rows.to_numpy()].copy()

    known = train[(train.obs["group"] != combination).to_numpy()].copy()
    setup = {"labels_key": args.labels, "categorical_covariate_keys": [args.condition]}
    name = args.data.stem.split("_")[0]
    unseen = fit(known, args.models, f"{name}_unseen", **setup)
    seen = fit(train, args.models, f"{name}_seen", **setup)

    order = np.random.default_rng(0).permutation(cells(train, True).n_obs)
    floor, fitted = (cells(train, True)[half].copy() for half in np.array_split(order, 2))
    judge = Judge(
        cells(test, True),
        cells(test, False),
        ad.concat([known, fitted]),
        (fitted, cells(train, False)),
    )
    n = cells(test, True).n_obs

    def generate(model: scdit.SCDiT, **guidance: object) -> ad.AnnData:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no training cell has")
            return model.generate(
                n, labels=args.label, covariates={args.condition: args.value},
                rng=0, silent=True, **guidance,
            )  # fmt: skip

    column, is_value = known.obs[args.labels], known.obs[args.condition].eq(args.value)
    source = np.random.default_rng(0).permutation(np.flatnonzero(column.eq(args.label)))[:n]
    arithmetic = {
        "mean shift of the others": [x for x in column.unique() if x != args.label],
        **({f"shift of {args.relative}": [args.relative]} if args.relative else {}),
    }
    rows = [
        judge("floor: real training cells", floor),
        judge("these, through the codec that has not seen them", encoded(unseen, floor)),
        judge("control cells", cells(train, False)),
        *(
            judge(
                f"latent arithmetic, {name}",
                latent_arithmetic(unseen, source, others, column, is_value),
            )
            for name, others in arithmetic.items()
        ),
        judge("seen, joint", generate(seen)),
    ]
    for scale in (1.0, 2.0, 3.0):
        rows.append(judge(f"unseen, joint, {scale:g}", generate(unseen, guidance_scale=scale)))
    for scale in (1.0, 2.0, 3.0):
        scales = {args.labels: 1.0, args.condition: scale}
        rows.append(
            judge(
                f"unseen, compositional, 1 and {scale:g}", generate(unseen, guidance_scale=scales)
            )
        )
    write("unseen", rows)


if __name__ == "__main__":
    main()
