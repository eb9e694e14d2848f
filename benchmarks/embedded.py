"""Can a random forest tell generated cells from held-out real ones?

scdit, the baselines and the floor (real cells in the place of the generated ones), on the real cells
inside scanpy or on a file of counts: AUC of a random forest on principal components, 0.5 is ideal. Each
generator makes as many cells of every label as the test set has.

    python benchmarks/embedded.py
    python benchmarks/embedded.py --data counts.h5ad --labels cell_type --splits 1
"""

import argparse
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from generators import GENERATORS
from splits import split

import scdit

METRIC = "c2st_rf_pca"
NAMES = ("scdit", "poisson", "nb", "bootstrap")


def main() -> None:
    """Print one row per generator: its AUC on every split, and the median."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="h5ad file of counts")
    parser.add_argument("--labels", default="bulk_labels", help="column of cell types")
    parser.add_argument("--splits", type=int, default=5, help="number of splits")
    parser.add_argument("--out", type=Path, help="write the table to this CSV file too")
    args = parser.parse_args()

    adata = ad.read_h5ad(args.data) if args.data else scdit.datasets.pbmc68k()
    rows: dict[str, list[float]] = {}
    for seed in range(args.splits):
        train, test = split(adata, args.labels, seed=seed)
        print(f"split {seed + 1}: {train.n_obs} training and {test.n_obs} test cells", flush=True)
        labels = test.obs[args.labels].astype(str).to_numpy()
        for name in NAMES:
            sample = GENERATORS[name](train, args.labels, seed).samplers[name]
            table = scdit.tl.evaluate(
                test,
                sample(labels, np.random.default_rng(seed)),
                reference=train,
                labels_key=args.labels,
                metrics=[METRIC],
            )
            row = table.set_index("group").loc["all"]
            rows.setdefault(name, []).append(row["value"])
            print(f"  {name}: {row['value']:.3f}", flush=True)
        rows.setdefault("floor", []).append(row["floor"])

    result = pd.DataFrame(rows).T
    result.columns = [f"split {i + 1}" for i in range(result.shape[1])]
    result.insert(0, "median", result.median(axis=1))
    print(f"\n{METRIC}, 0.5 is ideal\n{result.round(3).to_string()}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        result.to_csv(args.out)


if __name__ == "__main__":
    main()
