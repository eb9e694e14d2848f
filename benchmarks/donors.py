"""Do new donors differ as real donors do, and do tests between them err as often?

A model is trained on some of the donors, of each condition and batch. Donors are compared within a type and a condition,
with the same number of cells each: new donors, held-out real ones, training donors (floor), and the training
donors as the model generates them.

Differences: on log counts per 10,000, the between-donor share of the variance (ICC) of each gene, by an analysis of
variance; and the distance between the mean profiles of two donors.

Cells: the share of a type among the cells of a donor, and their mean log library size, vary between donors.

Tests: two groups of four donors of one condition; the share of genes with p < .05 in tests that take cells as
replicates, and in a pseudobulk test.

Power: `scdit.tl.power` on the first type, for several numbers of donors and cells.

    python benchmarks/donors.py --data covid_citeseq_liu.h5ad --value Severe

With --shuffle, training cells are given to the donors of their batch and condition at random: how much do new donors
differ where donors do not?
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from models import fit
from records import write

import scdit
from scdit.tl._group_tests import TESTS
from scdit.tl._power_study import new_names

HELD_OUT = 0.3  # of the donors of a condition and batch
MOST = 300  # training cells of a donor
N_CELLS = 30  # of a donor and type that are compared
N_DONORS, N_GROUP, REPEATS = 60, 4, 40  # new donors that are compared; of a group; pairs of groups
SIZE = 0.5  # log2 fold change of the genes with effects in the study of power
DETECTED = 0.1  # share of cells with a gene that is looked at

Sets = dict[str, tuple[np.ndarray, np.ndarray]]  # (donors, cells, genes) and condition of donors


def split_donors(
    adata: ad.AnnData, args: argparse.Namespace
) -> tuple[ad.AnnData, ad.AnnData, ad.AnnData]:
    """Return cells to train on, all cells of training donors, and those of held-out donors."""
    rng = np.random.default_rng(0)
    of_donor = adata.obs.groupby(args.donors, observed=True)[[args.batch, args.condition]].first()
    held_out: list[str] = []
    for _, own in of_donor.groupby([args.batch, args.condition], observed=True):
        names = rng.permutation(own.index.to_numpy())
        held_out += list(names[: round(HELD_OUT * len(names))])
    is_test = adata.obs[args.donors].isin(held_out).to_numpy()
    rows = []
    for own in adata.obs[~is_test].groupby(args.donors, observed=True).indices.values():
        rows.append(rng.permutation(np.flatnonzero(~is_test)[own])[:MOST])
    parts = [adata[np.sort(np.concatenate(rows))], adata[~is_test], adata[is_test]]
    for i, part in enumerate(parts):
        own = part.copy()
        for name in own.obs.select_dtypes("category"):
            own.obs[name] = own.obs[name].cat.remove_unused_categories()
        parts[i] = own
    return parts[0], parts[1], parts[2]


def shuffled(cells: ad.AnnData, args: argparse.Namespace) -> ad.AnnData:
    """Return the cells with donors who do not differ, within a batch and condition."""
    rng, cells = np.random.default_rng(1), cells.copy()
    names = cells.obs[args.donors].astype(str).to_numpy().copy()
    for rows in cells.obs.groupby([args.batch, args.condition], observed=True).indices.values():
        names[rows] = rng.permutation(names[rows])
    cells.obs[args.donors] = pd.Categorical(names)
    return cells


def by_donor(
    cells: ad.AnnData, label: str, args: argparse.Namespace, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return as many rows of `cells` of each donor, (donors, cells), and the condition of each donor."""
    rng = np.random.default_rng(seed)
    rows, condition = [], []
    own = cells.obs[args.labels] == label
    for at in cells.obs[own].groupby(args.donors, observed=True).indices.values():
        if len(at) >= N_CELLS:
            rows.append(rng.permutation(np.flatnonzero(own)[at])[:N_CELLS])
            condition.append(cells.obs[args.condition].iloc[rows[-1][0]])
    return np.stack(rows), np.array(condition)


def log_counts(cells: ad.AnnData, rows: np.ndarray) -> np.ndarray:
    """Return log counts per 10,000 of some rows."""
    x = cells.X[rows.ravel()].toarray().astype(np.float64)
    return np.log1p(1e4 * x / x.sum(axis=1, keepdims=True)).reshape(*rows.shape, -1)


def components(x: np.ndarray, condition: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance of each gene between donors of a condition and within donors, and distances of means.

    Parameters
    ----------
    x
        Log counts (donors, cells, genes).
    condition
        Of each donor.
    """
    mean, within = x.mean(axis=1), x.var(axis=1, ddof=1).mean(axis=0)
    squares, freedom, distances = np.zeros(len(within)), 0, []
    for name in np.unique(condition):
        own = mean[condition == name]
        squares += ((own - own.mean(axis=0)) ** 2).sum(axis=0)
        freedom += len(own) - 1
        i, j = np.triu_indices(len(own), 1)
        distances.append(np.linalg.norm(own[i] - own[j], axis=1))
    return squares / freedom - within / x.shape[1], within, np.concatenate(distances)


def new_donors(
    model: scdit.SCDiT, n: int, label: str, args: argparse.Namespace, seed: int, **asked
) -> ad.AnnData:
    """Return as many cells of a type of each of `n` new donors."""
    table = pd.DataFrame({args.donors: np.repeat(new_names(model, args.donors, n), N_CELLS)})
    return model.generate(
        new_donors={args.donors: n}, conditions=table, labels=label, rng=seed, silent=True, **asked
    )


def known_donors(
    model: scdit.SCDiT, train: ad.AnnData, label: str, args: argparse.Namespace
) -> ad.AnnData:
    """Return as many cells of a type of each training donor, as the model makes them."""
    columns = [args.donors, args.condition, args.batch]
    own = train.obs[train.obs[args.labels] == label][columns].drop_duplicates(args.donors)
    table = own.loc[own.index.repeat(N_CELLS)].reset_index(drop=True)
    return model.generate(conditions=table, labels=label, rng=0, silent=True)


def differences(
    model: scdit.SCDiT, train: ad.AnnData, real: dict[str, ad.AnnData], args: argparse.Namespace
) -> Iterator[dict]:
    """How donors differ, in each type."""
    for label in args.types:
        sets = {
            **real,
            "training, generated": known_donors(model, train, label, args),
            "new": new_donors(model, N_DONORS, label, args, 0),
        }
        genes = None
        for name, cells in sets.items():
            rows, condition = by_donor(cells, label, args, 0)
            x = log_counts(cells, rows)
            if genes is None:
                genes = (x > 0).mean(axis=(0, 1)) >= DETECTED
            between, within, distances = components(x[:, :, genes], condition)
            icc = between.clip(0) / (between.clip(0) + within)
            if name == "held-out":
                of_held_out = icc
            yield {
                "type": label,
                "donors": name,
                "number": len(rows),
                "share between donors": float(between.sum() / (between.sum() + within.sum())),
                "ICC of genes, r": float(np.corrcoef(icc, of_held_out)[0, 1])
                if name != "held-out"
                else "–",
                "distance": float(np.median(distances)),
                "its 5% to 95%": "{:.1f} to {:.1f}".format(*np.quantile(distances, [0.05, 0.95])),
            }


def shares_and_depths(
    model: scdit.SCDiT, real: dict[str, ad.AnnData], args: argparse.Namespace
) -> Iterator[dict]:
    """How the share of each type and the library size of its cells vary between donors."""
    n = MOST * N_DONORS
    sets = {
        **real,
        "new": model.generate(n, new_donors={args.donors: N_DONORS}, rng=0, silent=True),
    }
    for name, cells in sets.items():
        size = np.log(np.asarray(cells.X.sum(axis=1), dtype=np.float64).ravel())
        table = cells.obs[[args.donors, args.labels]].assign(size=size)
        shares = pd.crosstab(table[args.donors], table[args.labels], normalize="index")
        for label in args.types:
            own = table[table[args.labels] == label].groupby(args.donors, observed=True)["size"]
            found = own.agg(["mean", "var", "size"]).query("size >= 20")
            noise = (found["var"] / found["size"]).mean()
            yield {
                "type": label,
                "donors": name,
                "mean share": float(shares[label].mean()),
                "its SD": float(shares[label].std()),
                "SD of log library size": float(np.sqrt(max(found["mean"].var() - noise, 0))),
            }


def of_groups(cells: ad.AnnData, rows: np.ndarray, args: argparse.Namespace) -> ad.AnnData:
    """Return cells (donors, cells) of two groups, the donors of the first before those of the second."""
    own = cells[rows.ravel()].copy()
    n = rows.shape[1]
    donor, group = (np.arange(rows.size) // size for size in (n, rows.size // 2))
    obs = pd.DataFrame({"donor": donor, "group": np.array(["one", "two"])[group]}, own.obs_names)
    own.obs = obs.astype("category")
    return own


def rejections(groups: Iterator[ad.AnnData]) -> dict[str, float]:
    """Mean share of genes with p < .05 by each test."""
    shares: dict[str, list[float]] = {name: [] for name in TESTS}
    for cells in groups:
        genes = cells.X.getnnz(axis=0) >= DETECTED * cells.n_obs
        for name, test in TESTS.items():
            p = test(cells, "group", "donor")[genes]
            shares[name].append(float((p < 0.05).mean()))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def tests(
    model: scdit.SCDiT, real: dict[str, ad.AnnData], args: argparse.Namespace
) -> Iterator[dict]:
    """Shares of genes that tests find between two groups of donors, in each type."""
    asked = {"covariates": {args.condition: args.value}}

    def of_real(cells: ad.AnnData, label: str) -> Iterator[ad.AnnData]:
        rng = np.random.default_rng(0)
        for seed in range(REPEATS):
            rows, condition = by_donor(cells, label, args, seed)
            rows = rng.permutation(rows[condition == args.value])[: 2 * N_GROUP]
            yield of_groups(cells, rows, args)

    def of_new(label: str) -> Iterator[ad.AnnData]:
        for seed in range(REPEATS):
            new = new_donors(model, 2 * N_GROUP, label, args, seed, **asked)
            yield of_groups(new, np.arange(new.n_obs).reshape(2 * N_GROUP, N_CELLS), args)

    for label in args.types:
        for name, cells in real.items():
            yield {"type": label, "donors": name, **rejections(of_real(cells, label))}
        yield {"type": label, "donors": "new", **rejections(of_new(label))}


def study(model: scdit.SCDiT, args: argparse.Namespace) -> Iterator[dict]:
    """Power and error rates of tests by the number of donors and their cells, for the first type."""
    effects = scdit.tl.random_effects(model, n_genes=100, log2fc=SIZE, rng=0)
    for test, n_cells in (("wilcoxon", [30]), ("pseudobulk", [30, 100])):
        table = scdit.tl.power(
            model,
            n_cells=n_cells,
            n_donors=[4, 8, 16],
            donor_key=args.donors,
            test=test,
            effects=effects,
            labels=args.types[0],
            covariates={args.condition: args.value},
            silent=True,
        )
        for (cells, donors), own in table.groupby(["n_cells", "n_donors"]):
            texts = {
                row.metric: f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"
                for row in own.itertuples()
            }
            yield {"test": test, "cells of a donor": int(cells), "donors": int(donors), **texts}


def main() -> None:
    """Train what is missing, measure, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of counts")
    parser.add_argument("--labels", default="cell_type", help="column of cell types")
    parser.add_argument("--donors", default="donor", help="column of donors")
    parser.add_argument("--batch", default="batch", help="column of batches")
    parser.add_argument("--condition", default="condition", help="column of the condition")
    parser.add_argument("--value", required=True, help="condition of the donors that are tested")
    parser.add_argument("--types", nargs="+", default=["CD4_Mem", "Mono_Classical", "B_Mem"])
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    parser.add_argument("--shuffle", action="store_true", help="donors who do not differ")
    args = parser.parse_args()
    train, of_training, held_out = split_donors(ad.read_h5ad(args.data), args)
    name, own = args.data.stem, f"{args.data.stem}_donors"
    if args.shuffle:
        train, own = shuffled(train, args), f"{own}_shuffled"
        of_training = train
    model = fit(
        train,
        args.models,
        own,
        labels_key=args.labels,
        batch_key=args.batch,
        categorical_covariate_keys=[args.condition, args.donors],
    )
    real = {"held-out": held_out, "training": of_training}
    if args.shuffle:
        write(f"simulate_donors_shuffled_{name}", list(differences(model, train, real, args)), 3)
        return
    write(f"simulate_donors_{name}", list(differences(model, train, real, args)), 3)
    rows = sorted(shares_and_depths(model, real, args), key=lambda row: row["type"])
    write(f"simulate_donors_cells_{name}", rows)
    write(f"simulate_donors_tests_{name}", list(tests(model, real, args)), 3)
    write(f"simulate_power_{name}", list(study(model, args)))


if __name__ == "__main__":
    main()
