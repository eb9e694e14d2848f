"""Do the defaults fit few cells and many, few genes and all?

Trains on some of the training cells, with nothing but the defaults, and compares generated cells with all held-out
ones. Results are kept as JSON, where a size that is repeated replaces the older one; a Markdown table is made from
all of them.

    python benchmarks/sizes.py --data marrow.h5ad --cells 500 1000 2000
    python benchmarks/sizes.py --data marrow.h5ad --hvg 300
"""

import argparse
import time
from pathlib import Path

import anndata as ad
from arguments import data_parser, read_split
from fragments import pipes, write_fragment
from models import fit
from records import read_results, write_results
from scores import mean_scores, to_json
from splits import split
from trial import describe_machine, describe_versions

RESULTS = Path(__file__).parent / "sizes.json"
AUCS = ("c2st_rf_pca", "c2st_rf_genes", "c2st_lr_genes")
OTHERS = {
    "coverage": "coverage",
    "pc_sd_ratio_within": "SD ratio within labels",
    "label_fidelity": "label fidelity",
    "memorization_ratio": "memorisation",
}


def few(args: argparse.Namespace, n_cells: int) -> tuple[ad.AnnData, ad.AnnData]:
    """Return so many training cells, and held-out cells of their labels; the genes are chosen on the former."""
    train, test = split(ad.read_h5ad(args.data), args.labels, drop_labels=args.drop_labels)
    if not 0 < n_cells < train.n_obs:
        raise ValueError(
            f"--cells {n_cells}: has to be less than the {train.n_obs} training cells"
        )
    left_out = 1 - n_cells / train.n_obs
    train, _ = split(train, args.labels, test_fraction=left_out, n_top_genes=args.hvg)
    test = test[test.obs[args.labels].isin(train.obs[args.labels].unique()), train.var_names]
    return train, test[test.X.getnnz(axis=1) > 0].copy()


def run(args: argparse.Namespace, n_cells: int | None) -> dict:
    """Train on so many cells, all if None, and evaluate."""
    train, test = read_split(args) if n_cells is None else few(args, n_cells)
    start = time.process_time()
    model = fit(train, None, "", labels_key=args.labels)
    seconds = time.process_time() - start
    sizes = test.obs[args.labels].astype(str).value_counts(sort=False).to_dict()
    scores = mean_scores(
        lambda seed: model.generate(labels=sizes, rng=seed, silent=True),
        args.draws, train, test, args.labels, [*AUCS, *OTHERS],
    )  # fmt: skip
    return {
        "data": args.data.stem,
        "cells": train.n_obs,
        "genes": train.n_vars,
        "n_latent": model.module.codec.n_latent,
        "passes": [len(model.history_[f"{p}_loss_train"]) for p in ("codec", "denoiser")],
        "cpu_seconds": round(seconds),
        "scores": to_json(scores),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }


def table(runs: list[dict]) -> str:
    """One row per size; the floor stands in brackets."""
    head = ["data", "cells", "genes", "latent dimensions", "passes: codec, denoiser", "CPU s"]
    lines = [[*head, "RF-PCs / RF-genes / LR-genes", *OTHERS.values()]]
    for r in runs:
        values, floors = (
            " / ".join(f"{r['scores'][m][i]:.2f}" for m in AUCS).replace("0.", ".") for i in (0, 1)
        )
        others = [f"{v:.2f} ({floor:.2f})" for v, floor in (r["scores"][m] for m in OTHERS)]
        passes = ", ".join(map(str, r["passes"]))
        lines.append(
            [r["data"], f"{r['cells']:,}", f"{r['genes']:,}", str(r["n_latent"]), passes,
             f"{r['cpu_seconds']:,}", f"{values} ({floors})", *others]
        )  # fmt: skip
    return pipes(lines)


def main() -> None:
    """Run the sizes asked for, and write results and table."""
    parser = data_parser(__doc__)
    parser.add_argument(
        "--cells", type=int, nargs="+", default=[None], help="training cells [all]"
    )
    parser.add_argument("--draws", type=int, default=3, help="draws of cells per model")
    args = parser.parse_args()
    for n_cells in args.cells:
        new = run(args, n_cells)
        # read again: another process may have added to the file
        runs = {(r["data"], r["cells"], r["genes"]): r for r in [*read_results(RESULTS), new]}
        kept = [runs[key] for key in sorted(runs)]
        write_results(kept, RESULTS)
        write_fragment("sizes", table(kept))
        print(new["cells"], new["genes"], new["scores"], flush=True)


if __name__ == "__main__":
    main()
