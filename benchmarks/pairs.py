"""Do pairs of genes vary together in generated cells as they do in real ones?

Pearson correlations of log counts per 10,000 in held-out cells, in generated cells with their labels, and in as many
training cells with their labels (the floor); means over some draws of the last two.

    python benchmarks/pairs.py --data pbmc3k.h5ad --drop-labels unassigned \
        --pairs MT-ND2 MT-CO2 RPL13 RPS2 FOS JUNB HLA-B HLA-C
"""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from arguments import data_parser, read_split
from models import fit, rows_like
from records import write
from unseen import log_expression


def correlations(cells: ad.AnnData, pairs: list[tuple[str, str]]) -> list[float]:
    """Return the correlation of each pair, over all cells."""
    log = pd.DataFrame(log_expression(cells), columns=cells.var_names)
    return [log[a].corr(log[b]) for a, b in pairs]


def main() -> None:
    """Train unless a model is there, and write the table."""
    parser = data_parser(__doc__)
    parser.add_argument("--pairs", nargs="+", required=True, help="genes, two for each pair")
    parser.add_argument("--draws", type=int, default=10, help="draws of cells")
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    args = parser.parse_args()
    if len(args.pairs) % 2:
        parser.error("--pairs: an even number of genes")

    train, test = read_split(args)
    model = fit(train, args.models, args.data.stem, labels_key=args.labels)
    pairs = list(zip(args.pairs[::2], args.pairs[1::2], strict=True))
    known, labels = (cells.obs[args.labels].astype(str).to_numpy() for cells in (train, test))
    sizes = pd.Series(labels).value_counts(sort=False).to_dict()

    def real(seed: int) -> ad.AnnData:
        return train[rows_like(known, labels, np.random.default_rng(seed))]

    def generated(seed: int) -> ad.AnnData:
        return model.generate(labels=sizes, rng=seed, silent=True)

    columns = {"held-out cells": correlations(test, pairs)}
    for name, draw in {"training cells (floor)": real, "generated": generated}.items():
        draws = [correlations(draw(seed), pairs) for seed in range(args.draws)]
        columns[name] = np.mean(draws, axis=0).tolist()
    table = pd.DataFrame({"genes": [" ~ ".join(pair) for pair in pairs], **columns})
    write(f"pairs_{args.data.stem}", table.to_dict("records"))


if __name__ == "__main__":
    main()
