"""What the command lines of several benchmarks have in common."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
from splits import split


def data_parser(doc: str | None, *, hvg: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with the arguments of :func:`read_split`; `hvg` is a default."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of counts")
    parser.add_argument("--labels", default="cell_type", help="column of cell types")
    parser.add_argument("--drop-labels", nargs="+", default=[], help="labels to leave out")
    parser.add_argument(
        "--hvg",
        "--genes",
        type=int,
        default=hvg,
        metavar="N",
        help=f"variable genes to keep [{hvg or 'all'}]",
    )
    return parser


def files_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments of :func:`read_splits`, and of models that are kept."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="h5ad files of counts")
    parser.add_argument("--labels", default="cell_type", help="column of cell types")
    parser.add_argument("--drop-labels", nargs="+", default=[], help="labels to leave out")
    parser.add_argument("--hvg", type=int, default=2000, help="number of variable genes [2000]")
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    return parser


def read_splits(args: argparse.Namespace) -> Iterator[tuple[str, tuple[ad.AnnData, ad.AnnData]]]:
    """Yield the name of each file, and its training and test cells."""
    for path in args.data:
        yield (
            path.stem,
            split(
                ad.read_h5ad(path), args.labels, n_top_genes=args.hvg, drop_labels=args.drop_labels
            ),
        )


def read_split(
    args: argparse.Namespace, test_fraction: float = 0.2
) -> tuple[ad.AnnData, ad.AnnData]:
    """Return training and test cells of the file that was named."""
    return split(
        ad.read_h5ad(args.data),
        args.labels,
        n_top_genes=args.hvg,
        drop_labels=args.drop_labels,
        test_fraction=test_fraction,
    )


def condition_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments of :func:`read_conditions`, of a control and of models."""
    parser = data_parser(doc, hvg=2000)
    parser.add_argument("--condition", default="condition", help="column of the condition")
    parser.add_argument("--control", required=True, help="value of the control")
    parser.add_argument("--value", required=True, help="value of the condition to predict")
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    return parser


def read_conditions(args: argparse.Namespace) -> tuple[ad.AnnData, ad.AnnData]:
    """Return training and test cells, split within each label and condition."""
    adata = ad.read_h5ad(args.data)
    adata = adata[~adata.obs[args.labels].isin(args.drop_labels)].copy()
    group = adata.obs[args.labels].astype(str) + "|" + adata.obs[args.condition].astype(str)
    adata.obs["group"] = group
    return split(adata, "group", n_top_genes=args.hvg)
