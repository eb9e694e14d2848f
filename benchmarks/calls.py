"""How few calls of the denoiser are as good as many? Mean paired differences of AUCs from those of 20 calls.

One model is trained on 80% of the cells of each data set. With each sampler and number of calls it makes as many
cells as are held out, several times; the AUCs of classifiers against held-out cells are compared with those of 20
calls of ab2 with the same seeds, by mean difference and its standard error over data sets and draws.

    python benchmarks/calls.py --data pbmc3k.h5ad kang_ifnb.h5ad paul15.h5ad --labels cell_type --drop-labels unassigned
"""

import anndata as ad
import numpy as np
from arguments import files_parser, read_splits
from models import fit
from records import write

import scdit

METRICS = ("c2st_rf_pca", "c2st_rf_genes", "c2st_lr_genes", "pc_sd_ratio")
BASE = ("ab2", 20)


def values(
    model: scdit.SCDiT, sampler: str, n_steps: int, sides: tuple[ad.AnnData, ad.AnnData],
    labels_key: str, seed: int,
) -> list[float]:  # fmt: skip
    """One draw: the value of each metric."""
    train, test = sides
    sizes = test.obs[labels_key].value_counts(sort=False).to_dict()
    new = model.generate(labels=sizes, sampler=sampler, n_steps=n_steps, rng=seed, silent=True)
    table = scdit.tl.evaluate(test, new, reference=train, metrics=METRICS, rng=seed)
    return table.set_index("metric").loc[list(METRICS), "value"].tolist()


def main() -> None:
    """Train what is missing, measure, and write the table."""
    parser = files_parser(__doc__)
    parser.add_argument("--samplers", nargs="+", default=["ab3", "ab2"])
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 6, 8])
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()

    settings = [BASE, *((s, n) for s in args.samplers for n in args.steps)]
    found: dict[tuple[str, int], list[list[float]]] = {setting: [] for setting in settings}
    for name, sides in read_splits(args):
        # the model of steps.py
        model = fit(sides[0], args.models, f"steps_{name}", labels_key=args.labels)
        for setting in settings:
            for seed in range(args.draws):
                found[setting].append(values(model, *setting, sides, args.labels, seed))
            print(name, *setting, np.mean(found[setting][-args.draws :], axis=0), flush=True)
    base = np.array(found[BASE])
    rows = []
    for (sampler, n_steps), each in found.items():
        differences = np.array(each) - base
        error = differences.std(axis=0, ddof=1) / np.sqrt(len(differences))
        rows.append(
            {"sampler": sampler, "calls": n_steps}
            | {
                m: f"{d:+.3f} ± {e:.3f}"
                for m, d, e in zip(METRICS, differences.mean(axis=0), error, strict=True)
            }
        )
    write("calls", rows)


if __name__ == "__main__":
    main()
