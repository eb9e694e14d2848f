"""What guidance does to fidelity and diversity, scale by scale.

    python benchmarks/guidance.py --data pbmc3k.h5ad --drop-labels unassigned
    python benchmarks/guidance.py --data kang_ifnb.h5ad --condition condition --hvg 2000

With a condition, each of the two is guided on its own as well, with scale 1 for the other. Generated
cells have the test set's conditions; the floor is real training cells in their place.
"""

from pathlib import Path

import anndata as ad
import numpy as np
from arguments import data_parser
from fragments import FIGURES
from models import fit
from records import write
from splits import split

import scdit

SCALES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
MAX_CELLS = 1000  # held-out cells that are compared
METRICS = {
    "label_fidelity": "fidelity",
    "pc_sd_ratio_within": "SD ratio",
    "coverage": "coverage",
    "c2st_rf_pca": "AUC",
}


def measure(
    new: ad.AnnData, test: ad.AnnData, train: ad.AnnData, key: str, metrics: dict[str, str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Metrics of generated cells whose conditions in `key` are judged, and their floor."""
    table = scdit.tl.evaluate(
        test, new, reference=train, labels_key=key, metrics=list(metrics), rng=0
    )
    whole = table[table["group"] == "all"].set_index("metric")
    return tuple(
        {title: float(whole.loc[name, side]) for name, title in metrics.items()}
        for side in ("value", "floor")
    )  # type: ignore[return-value]


def draw(rows: list[dict], floor: dict, path: Path) -> None:
    """Each metric over the scale, one line for each way to guide."""
    import matplotlib.pyplot as plt

    names = list(METRICS.values())
    figure, panels = plt.subplots(1, len(names), figsize=(9, 2.5), layout="constrained")
    for axes, name in zip(panels, names, strict=True):
        for guided in dict.fromkeys(row["guided"] for row in rows):
            lines = [row for row in rows if row["guided"] == guided]
            axes.plot(
                [row["scale"] for row in lines], [row[name] for row in lines], ".-", label=guided
            )
        axes.axhline(floor[name], color="0.5", linestyle=":", label="real cells")
        axes.set(title=name, xlabel="guidance scale", xticks=(0, 1, 2, 3))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train what is missing, measure, and write table and figure."""
    parser = data_parser(__doc__)
    parser.add_argument("--condition", help="column of a second condition")
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    args = parser.parse_args()

    adata = ad.read_h5ad(args.data)
    keys = [key for key in (args.labels, args.condition) if key]
    adata = adata[~adata.obs[args.labels].isin(args.drop_labels)].copy()
    adata.obs["group"] = adata.obs[keys].astype(str).agg("|".join, axis=1)
    train, test = split(adata, "group", n_top_genes=args.hvg)
    chosen = np.random.default_rng(0).permutation(test.n_obs)[:MAX_CELLS]
    test = test[np.sort(chosen)].copy()
    covariates = [args.condition] if args.condition else None
    name = args.data.stem.split("_")[0]
    model = fit(
        train, args.models, f"{name}_seen" if args.condition else name,
        labels_key=args.labels, categorical_covariate_keys=covariates,
    )  # fmt: skip

    guided: dict[str, list] = {"joint": [(s, s) for s in SCALES]}
    if args.condition:
        for key in keys:
            guided[f"{key} alone"] = [(s, dict.fromkeys(keys, 1.0) | {key: s}) for s in SCALES]
    rows = []
    for way, settings in guided.items():
        for scale, guidance in settings:
            new = model.generate(like=test, guidance_scale=guidance, rng=0, silent=True)
            row = {"guided": way, "scale": scale}
            values, floor = measure(new, test, train, args.labels, METRICS)
            row |= values
            if args.condition:
                fidelity = {"label_fidelity": f"{args.condition} fidelity"}
                values, more = measure(new, test, train, args.condition, fidelity)
                row, floor = row | values, floor | more
            rows.append(row)
            print(row, flush=True)
    write(
        f"guidance_{args.data.stem}",
        [{"guided": "floor: real cells", "scale": "", **floor}, *rows],
    )
    draw(rows, floor, FIGURES / f"guidance_{args.data.stem}.png")


if __name__ == "__main__":
    main()
