"""The figure of README and landing page: real PBMCs and as many generated ones in one UMAP.

The model is trained on 80% of the cells; the figure shows all of them, and generated cells with the same labels.

    python benchmarks/cells_figure.py --data pbmc3k.h5ad --labels cell_type --drop-labels unassigned
"""

from pathlib import Path

import anndata as ad
from arguments import data_parser, read_split
from models import fit

import scdit

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


def main() -> None:
    """Train the model if it is missing, generate, and draw."""
    parser = data_parser(__doc__, hvg=2000)
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    args = parser.parse_args()

    train, test = read_split(args)
    model = fit(train, args.models, f"steps_{args.data.stem}", labels_key=args.labels)
    real = ad.concat([train, test], merge="same")
    sizes = real.obs[args.labels].value_counts().to_dict()
    new = model.generate(labels=sizes, rng=0, silent=True)
    axes = scdit.pl.embedding(real, new, args.labels)
    path = FIGURES / f"cells_{args.data.stem}.png"
    axes[0].figure.savefig(path, dpi=100, bbox_inches="tight")
    print(f"{new.n_obs:,} generated and {real.n_obs:,} real cells: {path}")


if __name__ == "__main__":
    main()
