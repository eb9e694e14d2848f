"""RNA and proteins, or RNA and chromatin: is each right, do they fit together, does one predict the other?

A joint model and a model of the RNA alone are trained on the same 80% of the cells with the defaults, and generate as
many cells of every label as there are among the others. `scdit.tl.evaluate` compares them, beside training cells in
their place (the floor), the floor with pairs broken within labels, independent negative binomials per label and, if
asked for, totalVI or MultiVI. Proteins of the held-out cells are predicted from their genes.

    python benchmarks/modalities.py --data teaseq_pbmc.h5ad --seed 0 --genes 4000
    python benchmarks/modalities.py --data snareseq_cortex.h5mu --seed 0 --peaks 8000 --peer
    python benchmarks/modalities.py --data covid_citeseq_liu.h5ad --seed 0 --hold-out donor

With --hold-out, only predictions are measured, on donors that were not trained on. Results of a seed replace older ones
of it; tables show medians over seeds.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np
import pandas as pd
import scvi
from anndata import AnnData
from arguments import data_parser
from fragments import pipes, write_fragment
from modal_cells import independent_cells, read_cells, split_cells, with_broken_pairs
from modal_peers import PEERS, fit_peer, resampled
from modal_prediction import predictions
from models import rows_like
from mudata import MuData
from records import RESULTS, read_results, write_results
from scipy.stats import ks_2samp
from trial import describe_machine, describe_versions

import scdit
from scdit._mudata import make_mudata

ASSAYS = {"rna": "rna_layer", "prot": "protein_layer", "atac": "atac_layer"}
# a forest on log counts of all proteins, or on components
FORESTS = {"rna": "c2st_rf_pca", "prot": "c2st_rf_genes", "atac": "c2st_rf_pca"}
JOINT = ("joint_rf", "cca_within", "cross_rmse")
# tables of one file of results, by the end of their names
TABLES = {
    "": {
        "rna_rf": "RF, RNA", "prot_rf": "RF, proteins", "atac_rf": "RF, chromatin",
        "joint_rf": "RF, joint", "cca_within": "CCA within labels",
        "cross_rmse": "RMSE of cross-correlations",
    },
    "_more": {
        "rna_detected_ks": "detected genes, KS", "prot_detected_ks": "detected proteins, KS",
        "atac_detected_ks": "detected peaks, KS", "protein_ks": "KS per protein, median",
        "train_cpu_s": "train, CPU s", "ms_per_cell": "CPU ms/cell",
    },
}  # fmt: skip
PREDICTED = {"": {"pearson": "Pearson", "spearman": "Spearman", "pit_ks": "PIT, KS"}}
# in the order of the tables
ROWS = (
    "floor (real cells)", "scdit", "scdit, RNA alone",
    *(f"{peer}, resampled" for peer in PEERS.values()),
    "independent NB per label", "floor, pairs broken", "kNN, 30 PCs", "ridge",
)  # fmt: skip
DIGITS = {"train_cpu_s": 0, "ms_per_cell": 1}
Draw = Callable[[int], MuData | AnnData]


def main() -> None:
    """Train, generate, compare, predict, and write the tables."""
    parser = data_parser(__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of split and training [0]")
    parser.add_argument("--peaks", type=int, metavar="N", help="peaks to keep, the most frequent")
    parser.add_argument("--draws", type=int, default=3, help="draws of cells, of which means [3]")
    parser.add_argument("--peer", action="store_true", help="train totalVI or MultiVI, too")
    parser.add_argument("--hold-out", metavar="COLUMN", help="predict for unseen donors only")
    parser.add_argument("--epochs", type=int, help="trial of so many epochs; writes nothing")
    args = parser.parse_args()
    train, test = split_cells(
        read_cells(args.data), args.labels,
        seed=args.seed, genes=args.hvg, peaks=args.peaks, hold_out=args.hold_out,
    )  # fmt: skip
    print(f"{train.n_obs} training and {test.n_obs} test cells, {_shape(train)} features")
    model, seconds = trained(train, args)
    common = {
        "seed": args.seed, "genes": args.hvg, "peaks": args.peaks, "hold_out": args.hold_out,
        "n_train": train.n_obs, "n_test": test.n_obs, "n_features": _shape(train),
        "machine": describe_machine(), "versions": describe_versions(),
    }  # fmt: skip
    name = f"modalities_{args.data.stem}"
    if args.hold_out is None:
        rows = [common | row for row in generated(model, seconds, train, test, args)]
        report(name, rows, TABLES, args)
    if "prot" in train.mod:
        rows = [common | row for row in predictions(model, train, test, args.seed)]
        end = "prediction" if args.hold_out is None else f"prediction_{args.hold_out}"
        report(f"{name}_{end}", rows, PREDICTED, args)


def trained(data: MuData | AnnData, args: argparse.Namespace) -> tuple[scdit.SCDiT, float]:
    """Train with the defaults; return the CPU seconds that it takes, too."""
    scvi.settings.seed = args.seed
    if isinstance(data, MuData):
        names = {ASSAYS[name]: name for name in data.mod}
        scdit.SCDiT.setup_mudata(data, labels_key=args.labels, modalities=names)
    else:
        scdit.SCDiT.setup_anndata(data, labels_key=args.labels)
    start = time.process_time()
    model = scdit.SCDiT(data)
    model.train(max_epochs=args.epochs, silent=True)
    return model, time.process_time() - start


def generated(
    model: scdit.SCDiT, seconds: float, train: MuData, test: MuData, args: argparse.Namespace
) -> list[dict]:
    """Return the rows of the table of generated cells."""
    labels = test.obs[args.labels].astype(str).to_numpy()
    known = train.obs[args.labels].astype(str).to_numpy()
    sizes = pd.Series(labels).value_counts(sort=False).to_dict()
    rna = train["rna"].copy()
    rna.obs = train.obs.copy()
    alone, seconds_alone = trained(rna, args)

    def independent(seed: int) -> MuData:
        return independent_cells(train, args.labels, labels, np.random.default_rng(seed))

    makers: dict[str, tuple[Draw, dict]] = {
        "scdit": (
            lambda seed: model.generate(labels=sizes, rng=seed, silent=True),
            {"train_cpu_s": seconds},
        ),
        "scdit, RNA alone": (
            lambda seed: alone.generate(labels=sizes, rng=seed, silent=True),
            {"train_cpu_s": seconds_alone},
        ),
        "independent NB per label": (independent, {}),
    }
    if args.peer:
        start = time.process_time()
        peer, epochs = fit_peer(train, args.seed, args.epochs)
        [name] = [PEERS[x] for x in train.mod if x in PEERS]
        makers[f"{name}, resampled"] = (
            lambda seed: resampled(peer, train, args.labels, labels, np.random.default_rng(seed)),
            {"train_cpu_s": time.process_time() - start, "epochs": epochs},
        )
    rows, floors = [], []
    for row, (draw, costs) in makers.items():
        found = []
        start, cells = time.process_time(), [draw(1000 * args.seed + i) for i in range(args.draws)]
        costs["ms_per_cell"] = 1e3 * (time.process_time() - start) / (args.draws * len(labels))
        for made in cells:
            values, floor = measured(test, made, train, args.labels)
            found.append(values)
            floors += [floor] if isinstance(made, MuData) else []
        rows.append({"row": row, **_mean(found), **costs})
        print(rows[-1], flush=True)
    broken, of_floor = [], []
    for i in range(args.draws):
        rng = np.random.default_rng(1000 * args.seed + i)
        at = np.sort(rows_like(known, labels, rng))
        cells = train[at].copy()
        of_floor.append(_protein_ks(test, cells))
        # the floor's cells are not fitted on, here as there
        rest = train[np.setdiff1d(np.arange(train.n_obs), at)].copy()
        broken.append(
            measured(test, with_broken_pairs(cells, args.labels, rng), rest, args.labels)[0]
        )
    first = {"row": "floor (real cells)", **_mean(floors), **_mean(of_floor)}
    return [first, *rows, {"row": "floor, pairs broken", **_mean(broken)}]


def measured(
    test: MuData, made: MuData | AnnData, train: MuData, labels_key: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Return values and floors of cells, of the RNA alone if these are an AnnData."""
    sides = [test, made if isinstance(made, MuData) else _only(made), train]
    values, floors = {}, {}
    for name in sides[1].mod:
        parts = [_only(side[name], name, side.obs) for side in sides]
        keys = {FORESTS[name]: f"{name}_rf", "detected_genes_ks": f"{name}_detected_ks"}
        _evaluate(parts, keys, labels_key, values, floors)
    if len(sides[1].mod) > 1:
        _evaluate(sides, dict(zip(JOINT, JOINT, strict=True)), labels_key, values, floors)
        values |= _protein_ks(test, sides[1])
    return values, floors


def _only(part: AnnData, name: str = "rna", obs: pd.DataFrame | None = None) -> MuData:
    """Return a MuData of one modality."""
    return make_mudata({name: part.copy()}, part.obs if obs is None else obs)


def _evaluate(
    sides: Sequence[MuData],
    keys: Mapping[str, str],
    labels_key: str,
    values: dict[str, float],
    floors: dict[str, float],
) -> None:
    """Add metrics of all cells to `values` and `floors`, under the names that `keys` has for them."""
    real, made, reference = sides
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN|invalid value")
        table = scdit.tl.evaluate(
            real, made, reference=reference, labels_key=labels_key, metrics=list(keys)
        )
    for row in table[table["group"] == "all"].itertuples():
        values[keys[row.metric]], floors[keys[row.metric]] = row.value, row.floor


def _protein_ks(test: MuData, made: MuData) -> dict[str, float]:
    """Kolmogorov-Smirnov distance of the counts of a protein; the median over proteins."""
    if "prot" not in made.mod:
        return {}
    real, other = (x["prot"].X for x in (test, made))
    real, other = (x.toarray() if hasattr(x, "toarray") else x for x in (real, other))
    return {
        "protein_ks": float(
            np.median([ks_2samp(a, b).statistic for a, b in zip(real.T, other.T, strict=True)])
        )
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return means of the numbers over draws."""
    return {key: float(value) for key, value in pd.DataFrame(rows).mean().items()}


def _shape(mdata: MuData) -> dict[str, int]:
    return {name: part.n_vars for name, part in mdata.mod.items()}


def report(
    name: str, rows: list[dict], tables: Mapping[str, Mapping[str, str]], args: argparse.Namespace
) -> None:
    """Put rows into the file of results, in the place of older ones, and write tables of all seeds."""
    path = RESULTS / f"{name}.json"
    same = ("row", "seed", "genes", "peaks")
    new = {tuple(row[key] for key in same) for row in rows}
    old = [row for row in read_results(path) if tuple(row[key] for key in same) not in new]
    kept = rows if args.epochs is not None else [*rows, *old]
    kept = sorted(kept, key=lambda row: (ROWS.index(row["row"]), row["seed"]))
    if args.epochs is None:
        write_results(kept, path)
    shown = [row for row in kept if (row["genes"], row["peaks"]) == (args.hvg, args.peaks)]
    for end, columns in tables.items():
        table = pipes(_medians(shown, columns))
        print(table, flush=True)
        if args.epochs is None:
            write_fragment(name + end, table)


def _medians(rows: list[dict], columns: Mapping[str, str]) -> list[list[str]]:
    """Return the lines of a table: medians over seeds, of the columns and rows that have values."""
    found = [key for key in columns if any(row.get(key) is not None for row in rows)]
    lines = [["cells", *(columns[key] for key in found)]]
    for name in dict.fromkeys(row["row"] for row in rows):
        values = [
            [x[key] for x in rows if x["row"] == name and x.get(key) is not None] for key in found
        ]
        texts = [
            f"{median(v):.{DIGITS.get(key, 3)}f}" if v else "–"
            for key, v in zip(found, values, strict=True)
        ]
        if any(values):
            lines.append([name, *texts])
    return lines


if __name__ == "__main__":
    main()
