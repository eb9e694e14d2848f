"""What does it cost a generator that it has to learn from n cells?

Cells of a generator are drawn around what it has estimated from its training cells, and a classifier of many
genes sees the error of the estimates. Here the truth is known: independent negative binomials per label and
gene, with the moments of a data set, make as many training and test cells of every label as the data set has.
The same family, fitted to these training cells, is a generator without any fault but its estimates. Its AUCs
stand beside those of the truth itself and of the floor, as means over repetitions with their standard errors.

    python benchmarks/limit.py --data pbmc3k.h5ad --drop-labels unassigned
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from arguments import data_parser, read_split
from baselines import negative_binomial
from fragments import pipes, write_fragment
from trial import describe_machine, describe_versions

import scdit

ROOT = Path(__file__).parents[1]
COLUMNS = {
    "c2st_rf_pca": "RF on PCs",
    "c2st_rf_genes": "RF on genes",
    "c2st_lr_genes": "LR on genes",
}


def main() -> None:
    """Repeat the experiment, and write results and table."""
    parser = data_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=8)
    args = parser.parse_args()
    train, test = read_split(args)
    truth = negative_binomial(train, args.labels)
    labels = {
        name: a.obs[args.labels].astype(str) for name, a in (("train", train), ("test", test))
    }
    values = []
    for repeat in range(args.repeats):
        rng = np.random.default_rng(repeat)
        known, real = truth(labels["train"], rng), truth(labels["test"], rng)
        makers = {"fitted": negative_binomial(known, args.labels), "truth": truth}
        for name, make in makers.items():
            table = scdit.tl.evaluate(
                real, make(labels["test"], rng), reference=known, labels_key=args.labels,
                metrics=list(COLUMNS), rng=repeat,
            ).query("group == 'all'").set_index("metric")  # fmt: skip
            values.append({"generator": name, **table["value"]})
        values.append({"generator": "floor", **table["floor"]})  # the same beside either generator
        print(f"repetition {repeat} done", flush=True)
    table = pd.DataFrame(values).groupby("generator")[list(COLUMNS)]
    mean, error = table.mean(), table.sem()
    lines = [["independent genes", *COLUMNS.values()]]
    for name in ("floor", "truth", "fitted"):
        lines.append([name, *(f"{mean[m][name]:.3f} ± {error[m][name]:.3f}" for m in COLUMNS)])
    results = {
        "data": args.data.stem,
        "cells": [train.n_obs, test.n_obs],
        "values": values,
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    out = ROOT / "benchmarks" / f"limit_{args.data.stem}.json"
    out.write_text(json.dumps(results) + "\n")
    write_fragment(f"limit_{args.data.stem}", pipes(lines))


if __name__ == "__main__":
    main()
