"""Train on real cells, generate new ones, and compare them with held-out real cells.

python scripts/demo.py
python scripts/demo.py --data my.h5ad --labels cell_type
"""

import argparse
import time
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib
import pandas as pd
import scvi
from matplotlib import pyplot as plt
from sklearn.model_selection import train_test_split

import scdit

MIN_LABEL_CELLS = 5
N_DRAWS = 5  # sets of generated cells that are compared: one of 140 cells says little
SHORT_TABLE = (
    "c2st_rf_pca",
    "mmd",
    "frechet",
    "coverage",
    "pc_sd_ratio",
    "gene_mean_r",
    "gene_zeros_r",
    "correlation_r",
    "library_size_ks",
    "label_fidelity",
    "memorization_ratio",
    "exact_duplicates",
)


def load(path: Path | None, labels_key: str | None, layer: str | None) -> ad.AnnData:
    """Read the user's cells, or take those inside scanpy; end with a clear message if that fails."""
    if path is None:
        adata = scdit.datasets.pbmc68k()
    elif not path.is_file():
        raise SystemExit(f"demo: there is no file {path}")
    else:
        try:
            adata = ad.read_h5ad(path)
        except OSError as error:
            raise SystemExit(f"demo: {path} is not an h5ad file ({error})") from error
    if labels_key is not None and labels_key not in adata.obs:
        columns = ", ".join(adata.obs.columns) or "none"
        raise SystemExit(f"demo: the cells have no column {labels_key!r}; there are: {columns}")
    if layer is not None:
        if layer not in adata.layers:
            layers = ", ".join(adata.layers) or "none"
            raise SystemExit(f"demo: the cells have no layer {layer!r}; there are: {layers}")
        adata.X = adata.layers[layer]
    adata.var_names_make_unique()
    return adata


def split(adata: ad.AnnData, labels_key: str | None, seed: int) -> tuple[ad.AnnData, ad.AnnData]:
    """Hold out a fifth of the cells, of every label where there are labels."""
    stratify = None
    if labels_key is not None:
        sizes = adata.obs[labels_key].value_counts()
        kept = adata.obs[labels_key].isin(sizes.index[sizes >= MIN_LABEL_CELLS]).to_numpy()
        if not kept.all():
            print(
                f"Leaving out {(~kept).sum():,} cells that have no label, or one of fewer than "
                f"{MIN_LABEL_CELLS} cells."
            )
            adata = adata[kept]
        stratify = adata.obs[labels_key].astype(str)
    try:
        train, test = train_test_split(
            range(adata.n_obs), test_size=0.2, stratify=stratify, random_state=seed
        )
    except ValueError as error:
        raise SystemExit(f"demo: the cells cannot be split: {error}") from error
    return adata[train].copy(), adata[test].copy()


def short_table(table: pd.DataFrame) -> str:
    """Return some metrics over all cells as a Markdown table."""
    rows = table[(table["group"] == "all") & table["metric"].isin(SHORT_TABLE)]
    lines = [
        f"{'metric':<20} | {'generated':>9} | {'sd':>9} | {'floor':>9} | better",
        f"{'-' * 20} | {'-' * 8}: | {'-' * 8}: | {'-' * 8}: | ------",
    ]
    for row in rows.dropna(subset=["value"]).itertuples():
        better = row.better
        if better == "closer":
            better += f" to {'the floor' if pd.isna(row.ideal) else f'{row.ideal:g}'}"
        lines.append(
            f"{row.metric:<20} | {row.value:9.3f} | {row.sd:9.3f} | {row.floor:9.3f} | {better}"
        )
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="h5ad file of counts [PBMCs inside scanpy]")
    parser.add_argument("--labels", help="column of obs with cell types")
    parser.add_argument("--layer", help="layer of the counts [X]")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write to")
    parser.add_argument("--n", type=int, default=5000, help="number of cells to generate")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.data is None and args.labels is None:
        args.labels = "bulk_labels"

    matplotlib.use("Agg")
    start = time.perf_counter()
    adata = load(args.data, args.labels, args.layer)
    train, test = split(adata, args.labels, args.seed)
    print(
        f"Training on {train.n_obs:,} cells x {train.n_vars:,} genes; "
        f"{test.n_obs:,} cells are held out."
    )
    try:
        scdit.SCDiT.setup_anndata(train, labels_key=args.labels)
    except ValueError as error:
        raise SystemExit(f"demo: {error}") from error
    scvi.settings.seed = args.seed
    model = scdit.SCDiT(train)
    model.train()
    new = model.generate(n=args.n, rng=args.seed)

    print(f"Comparing {N_DRAWS} draws of {test.n_obs:,} cells with held-out cells")
    args.out.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, Any] = {"n": test.n_obs}
    if args.labels is not None:
        wanted = {"labels": test.obs[args.labels].value_counts()}
    draws = [
        model.generate(**wanted, rng=args.seed + draw, silent=True) for draw in range(N_DRAWS)
    ]
    table = scdit.tl.evaluate(test, draws, reference=train, labels_key=args.labels, rng=args.seed)
    table.to_csv(args.out / "evaluation.csv", index=False)
    (args.out / "evaluation.md").write_text(short_table(table) + "\n")
    new.write_h5ad(args.out / "generated.h5ad", compression="gzip")

    print("Drawing")
    figures = {
        "training": lambda: scdit.pl.training(model),
        "embedding": lambda: scdit.pl.embedding(
            test, new, args.labels, reference=train, rng=args.seed
        ),
        "gene_statistics": lambda: scdit.pl.gene_statistics(test, new),
    }
    for name, draw in figures.items():
        draw()[0].figure.savefig(args.out / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close("all")
    scdit.tl.report(
        test,
        new,
        args.out / "report.html",
        labels_key=args.labels,
        reference=train,
        evaluation=table,
        rng=args.seed,
    )

    print(
        f"\n{short_table(table)}\n\nValues are means over draws. The floor is what real cells score."
    )
    files = ", ".join(sorted(path.name for path in args.out.iterdir()))
    print(f"Written to {args.out}/ in {time.perf_counter() - start:.0f} s: {files}")


if __name__ == "__main__":
    main()
