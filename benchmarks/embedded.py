"""Can a random forest tell generated cells from held-out real ones?

scdit, the baselines and the floor (real cells in the place of the generated ones), on the real cells
inside scanpy or on a file of counts: AUC of a random forest on principal components, 0.5 is ideal. Each
generator makes as many cells of every label as the test set has.

    python benchmarks/embedded.py
    python benchmarks/embedded.py --data counts.h5ad --labels cell_type --splits 1
"""

import argparse
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from baselines import BASELINES
from splits import stratified_splits

import scdit

METRIC = "c2st_rf_pca"


def generate_scdit(train: ad.AnnData, labels_key: str, labels: np.ndarray) -> ad.AnnData:
    """Train on `train` and generate one cell per label."""
    train = train.copy()  # setup_anndata writes into it
    scdit.SCDiT.setup_anndata(train, labels_key=labels_key)
    model = scdit.SCDiT(train)
    start = time.perf_counter()
    model.train()
    print(f"trained in {time.perf_counter() - start:.0f} s", flush=True)
    return model.generate(labels=pd.Series(labels).value_counts().to_dict(), rng=0)


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
    splits = stratified_splits(adata, args.labels, n_splits=args.splits)
    for number, (train, test) in enumerate(splits, start=1):
        print(f"split {number}: {train.n_obs} training and {test.n_obs} test cells", flush=True)
        labels = test.obs[args.labels].astype(str).to_numpy()
        generated = {"scdit": generate_scdit(train, args.labels, labels)}
        for name, baseline in BASELINES.items():
            generated[name] = baseline(train, args.labels, labels, np.random.default_rng(number))
        for name, cells in generated.items():
            table = scdit.tl.evaluate(
                test, cells, reference=train, labels_key=args.labels, metrics=[METRIC]
            )
            row = table.set_index("group").loc["all"]
            rows.setdefault(name, []).append(row["value"])
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
