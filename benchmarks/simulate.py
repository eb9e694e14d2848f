"""Cells with a known truth: are effects as large as asked for, and do nulls have no effect?

Effects: cells like all training cells are made with and without random effects on 40% of the genes, with different
random numbers. Log2 ratios of pooled counts per 10,000 are compared with the truth, on genes with at least 50 counts on
both sides, in three bins of expression of equal size.

Null of a condition: cells of one type, whose names of the condition mean nothing, in several calls. Shares of Wilcoxon
p-values below .05, and the largest distance of their distribution from the uniform one (KS); beside real cells of the
type with permuted names. A classifier tells null cells from held-out cells of the type.

Null of all: clusters that Leiden finds with the defaults of scanpy, beside real cells and a Gaussian cloud with the
same principal components; marginals and correlations beside those of held-out cells.

    python benchmarks/simulate.py --data kang_ifnb.h5ad --control ctrl --value stim

Needs igraph.
"""

import argparse
import time

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from arguments import condition_parser, read_conditions
from models import fit
from records import write
from scipy.special import ndtr
from scipy.stats import rankdata
from sklearn.metrics import silhouette_score

import scdit

MIN_COUNTS, N_BINS, SHARE = (
    50,
    3,
    0.4,
)  # of a gene on a side; bins of expression; genes with effects
N_CELLS, CALLS, PERMUTATIONS = 600, 20, 200
DETECTED = 0.1  # share of cells with a gene, for tests of single cells
CLUSTERED = 2_000  # cells that are clustered
AUCS = ("c2st_rf_pca", "c2st_rf_genes", "c2st_lr_genes")


def pooled(cells: ad.AnnData) -> np.ndarray:
    """Counts of each gene in all cells."""
    return np.asarray(cells.X.sum(axis=0), dtype=np.float64).ravel()


def random_sizes(genes: pd.Index, seed: int) -> pd.Series:
    """Log2 fold changes of .25 to 2, up or down, of a share of the genes."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(genes))[: round(SHARE * len(genes))]
    sizes = rng.uniform(0.25, 2, len(chosen)) * rng.choice([-1, 1], len(chosen))
    return pd.Series(sizes, index=genes[chosen])


def log_ratios(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log2 ratio of pooled counts per 10,000 of each gene, and whether both sides have enough counts."""
    ratio = np.log2(after / after.sum()) - np.log2(before / before.sum())
    return ratio, np.minimum(before, after) >= MIN_COUNTS


def effect_rows(model: scdit.SCDiT, train: ad.AnnData, repeats: int) -> list[dict]:
    """Slope and offset of log2 ratios on the truth, in bins of expression."""
    parts: list[pd.DataFrame] = []
    for seed in range(repeats):
        before = pooled(model.generate(like=train, rng=2 * seed, silent=True))
        start = time.process_time()
        cells = model.generate(
            like=train, rng=2 * seed + 1, effects=random_sizes(train.var_names, seed), silent=True
        )
        seconds = time.process_time() - start
        after, truth = pooled(cells), cells.varm["scdit_log2fc_realised"]["all"].to_numpy()
        asked = cells.varm["scdit_log2fc"]["all"].to_numpy()
        ratio, kept = log_ratios(before, after)
        table = pd.DataFrame(
            {"mean": before / len(train), "truth": truth, "ratio": ratio, "named": asked != 0}
        )[kept]
        table["bin"] = pd.qcut(table["mean"], N_BINS, labels=False)
        print(f"{seconds:.0f} s of CPU for {len(train)} cells with effects", flush=True)
        parts.append(table)
    table = pd.concat(parts)
    rows = []
    for _, part in table.groupby("bin"):
        named, rest = part[part["named"]], part[~part["named"]]
        slope, _ = np.polyfit(named["truth"], named["ratio"], 1)
        rows.append(
            {
                "counts per cell": f"{part['mean'].min():.2g} to {part['mean'].max():.2g}",
                "genes": len(named) // repeats,
                "slope": float(slope),
                "r": float(np.corrcoef(named["truth"], named["ratio"])[0, 1]),
                "other genes, measured": float(rest["ratio"].mean()),
                "other genes, recorded": float(rest["truth"].mean()),
            }
        )  # fmt: skip
    return rows


class Wilcoxon:
    """P-values of the rank-sum test with corrections for ties, for any names of the same cells.

    Parameters
    ----------
    cells
        Counts; genes that are detected in few cells are left out.
    """

    def __init__(self, cells: ad.AnnData):
        counts = cells.X.toarray().astype(np.float64)
        counts = counts[:, (counts > 0).mean(axis=0) >= DETECTED]
        total = np.asarray(cells.X.sum(axis=1), dtype=np.float64).reshape(-1, 1)
        self.ranks = rankdata(counts / total, axis=0)
        self.variance = self.ranks.var(axis=0)  # of ranks with ties

    def __call__(self, first: np.ndarray) -> np.ndarray:
        """P-value of each gene between the cells `first`, bool (cells,), and the others."""
        n, m = len(first), int(first.sum())
        expected = m * (n + 1) / 2
        sd = np.sqrt(m * (n - m) / (n - 1) * self.variance)
        return 2 * ndtr(-np.abs(first @ self.ranks - expected) / sd)


def distance(p_values: np.ndarray) -> float:
    """Largest distance of the distribution of p-values from the uniform one."""
    p, n = np.sort(p_values), len(p_values)
    return float(np.maximum(np.arange(1, n + 1) / n - p, p - np.arange(n) / n).max())


def null_rows(
    model: scdit.SCDiT, sides: tuple[ad.AnnData, ad.AnnData], args: argparse.Namespace
) -> list[dict]:
    """The null of the condition, in each of some types."""
    rows = []
    for label in args.types:
        train, test = (x[x.obs[args.labels] == label] for x in sides)
        shares, distances = [], []
        for seed in range(CALLS):
            new = model.generate(N_CELLS, labels=label, null=args.condition, rng=seed, silent=True)
            p = Wilcoxon(new)((new.obs[args.condition] == args.value).to_numpy())
            shares.append((p < 0.05).mean())
            distances.append(distance(p))
        rng = np.random.default_rng(0)
        one = train[rng.permutation(train.n_obs)[:N_CELLS]]
        test_of_real, names = Wilcoxon(one), (one.obs[args.condition] == args.value).to_numpy()
        real = [test_of_real(rng.permutation(names)) for _ in range(PERMUTATIONS)]
        low, high = np.quantile([distance(p) for p in real], [0.005, 0.995])
        whole = model.generate(test.n_obs, labels=label, null=args.condition, rng=0, silent=True)
        table = scdit.tl.evaluate(test, whole, reference=train, metrics=AUCS)
        worst = max(
            zip(table["value"], table["floor"], strict=True), key=lambda v: v[0] - max(v[1], 0.5)
        )
        rows.append(
            {
                "type": label,
                "p < .05": float(np.mean(shares)),
                "p < .05, real": float(np.mean([(p < 0.05).mean() for p in real])),
                "KS, median": float(np.median(distances)),
                "KS, largest": float(np.max(distances)),
                "KS, real": f"{low:.3f} to {high:.3f}",
                "AUC (floor)": f"{worst[0]:.2f} ({worst[1]:.2f})",
            }
        )
    return rows


def clusters(x: np.ndarray) -> tuple[int, float]:
    """Number of Leiden clusters of points (cells, n), and their mean silhouette."""
    cloud = ad.AnnData(x.astype(np.float32))
    sc.pp.neighbors(cloud, use_rep="X")
    sc.tl.leiden(cloud, flavor="igraph", n_iterations=2, directed=False)
    found = cloud.obs["leiden"]
    return found.nunique(), float(silhouette_score(x, found)) if found.nunique() > 1 else 0.0


def components(cells: ad.AnnData) -> np.ndarray:
    """Scores (cells, 30) of principal components of log expression."""
    own = ad.AnnData(cells.X.astype(np.float32))
    sc.pp.normalize_total(own, target_sum=1e4)
    sc.pp.log1p(own)
    sc.pp.pca(own, n_comps=30)
    return own.obsm["X_pca"]


def population_rows(model: scdit.SCDiT, sides: tuple[ad.AnnData, ad.AnnData]) -> list[dict]:
    """The null of all conditions beside real cells and ordinary ones."""
    train, test = sides
    top = np.argsort(pooled(train))[-100:]

    def log(cells: ad.AnnData, genes: np.ndarray) -> np.ndarray:
        x = cells.X.toarray().astype(np.float64)
        return np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))[:, genes]

    seen = np.flatnonzero(pooled(train) >= MIN_COUNTS)
    of_real = log(train, seen)
    correlations = np.corrcoef(log(train, top).T)[np.triu_indices(len(top), 1)]
    rng = np.random.default_rng(0)
    sets = {
        "real cells": test,
        "generated": model.generate(CLUSTERED, rng=0, silent=True),
        'null="labels"': model.generate(CLUSTERED, null="labels", rng=0, silent=True),
    }
    rows = []
    for name, cells in sets.items():
        cells = cells[rng.permutation(cells.n_obs)[:CLUSTERED]]
        x, own = components(cells), log(cells, seen)
        number, silhouette = clusters(x)
        if "null" in name:
            cloud = rng.multivariate_normal(x.mean(axis=0), np.cov(x.T), len(x))
        sd = own.std(axis=0) / of_real.std(axis=0)
        other = np.corrcoef(log(cells, top).T)[np.triu_indices(len(top), 1)]
        rows.append(
            {
                "cells": name,
                "clusters": number,
                "silhouette": silhouette,
                "mean, r": float(np.corrcoef(own.mean(axis=0), of_real.mean(axis=0))[0, 1]),
                "SD ratio": float(np.median(sd)),
                "correlations, r": float(np.corrcoef(correlations, other)[0, 1]),
                "correlations, slope": float(correlations @ other / (correlations @ correlations)),
            }
        )
    number, silhouette = clusters(cloud)
    empty = dict.fromkeys(list(rows[0])[3:], "–")
    rows.append({"cells": "Gaussian cloud", "clusters": number, "silhouette": silhouette, **empty})
    return rows


def main() -> None:
    """Train what is missing, measure, and write the tables."""
    parser = condition_parser(__doc__)
    parser.add_argument("--types", nargs="+", default=["CD4 T cells", "CD14+ Monocytes"])
    parser.add_argument("--repeats", type=int, default=2, help="draws of effects [2]")
    args = parser.parse_args()
    sides = read_conditions(args)
    name = f"{args.data.stem}_both"
    setup = {"labels_key": args.labels, "categorical_covariate_keys": [args.condition]}
    model = fit(sides[0], args.models, name, **setup)
    write(f"simulate_effects_{args.data.stem}", effect_rows(model, sides[0], args.repeats), 3)
    write(f"simulate_population_{args.data.stem}", population_rows(model, sides))
    write(f"simulate_null_{args.data.stem}", null_rows(model, sides, args), 3)


if __name__ == "__main__":
    main()
