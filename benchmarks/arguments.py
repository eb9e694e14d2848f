"""What the command lines of several benchmarks have in common."""

import argparse
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
        type=int,
        default=hvg,
        metavar="N",
        help=f"variable genes to keep [{hvg or 'all'}]",
    )
    return parser


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
