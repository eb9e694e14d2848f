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
import scanpy as sc
from arguments import data_parser, read_split
from fragments import pipes, write_fragment
from models import fit


def correlations(cells: ad.AnnData, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Return the correlation of each pair, over all cells."""
    cells = cells.copy()
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    return np.array([np.corrcoef(cells[:, list(pair)].X.toarray().T)[0, 1] for pair in pairs])


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
    sizes = test.obs[args.labels].astype(str).value_counts(sort=False)
    known = train.obs[args.labels].astype(str).reset_index(drop=True)

    def real(seed: int) -> ad.AnnData:
        drawn = [known[known == name].sample(n, random_state=seed) for name, n in sizes.items()]
        return train[pd.concat(drawn).index.to_numpy()]

    def generated(seed: int) -> ad.AnnData:
        return model.generate(labels=sizes.to_dict(), rng=seed, silent=True)

    floor, new = (
        np.mean([correlations(draw(seed), pairs) for seed in range(args.draws)], axis=0)
        for draw in (real, generated)
    )
    rows = zip(pairs, correlations(test, pairs), floor, new, strict=True)
    lines = [["genes", "held-out cells", "training cells (floor)", "generated"]]
    lines += [[" ~ ".join(pair), *(f"{value:.2f}" for value in values)] for pair, *values in rows]
    write_fragment(f"pairs_{args.data.stem}", pipes(lines))
    print(pipes(lines))


if __name__ == "__main__":
    main()
