"""Real cells under another condition: are they like real ones of it, and are they still the same cells?

A model is trained on all types and conditions. Held-out control cells are translated to the condition and
compared with held-out real cells of it, beside generated ones, by the metrics of ``scdit.tl.evaluate``. Whether a
cell is kept is measured in latent vectors that are read from counts alone, less their mean within type and
condition: their correlation before and after, and the share of cells whose own vector is nearest to that of their
translation among 10 cells of their type (chance: .1).

    python benchmarks/translation.py --data kang_ifnb.h5ad --control ctrl --value stim

A redraw is a translation to the cell's own condition, which nothing can exceed by much. A random cell is another
control cell of the type in the place of the own.
"""

import anndata as ad
import numpy as np
import pandas as pd
from arguments import condition_parser, read_conditions
from models import fit
from records import write

import scdit

METRICS = ["c2st_rf_pca", "c2st_rf_genes", "c2st_lr_genes", "mmd"]
RIVALS = 9


def residuals(model: scdit.SCDiT, cells: ad.AnnData, groups: pd.Series) -> np.ndarray:
    """Latent vectors less their mean within groups, in units of their SD within groups, (cells, n_latent)."""
    latent = pd.DataFrame(model.get_latent_representation(cells))
    within = latent - latent.groupby(groups.to_numpy()).transform("mean")
    return (within / within.std()).to_numpy()


def kept(before: np.ndarray, after: np.ndarray, types: np.ndarray) -> dict[str, float]:
    """Correlation of residuals, mean over dimensions, and share of cells that are nearest to themselves."""
    rng, hits = np.random.default_rng(0), []
    for i, own in enumerate(after):
        others = np.flatnonzero(types == types[i])
        rivals = rng.choice(others[others != i], RIVALS)
        distance = np.linalg.norm(before[[i, *rivals]] - own, axis=1)
        hits.append(distance.argmin() == 0)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(before.T, after.T, strict=True)]
    return {"residual r": float(np.mean(r)), "nearest to itself": float(np.mean(hits))}


def main() -> None:
    """Train if there is no model, translate, compare, and write the table."""
    args = condition_parser(__doc__).parse_args()
    train, test = read_conditions(args)
    name = args.data.stem.split("_")[0]
    setup = {"labels_key": args.labels, "categorical_covariate_keys": [args.condition]}
    model = fit(train, args.models, f"{name}_seen", **setup)

    def of(cells: ad.AnnData, value: str) -> ad.AnnData:
        return cells[cells.obs[args.condition].eq(value).to_numpy()].copy()

    control, real = of(test, args.control), of(test, args.value)
    wish = {"covariates": {args.condition: args.value}, "rng": 0, "silent": True}
    made = {
        "translated": model.translate(control, **wish),
        "translated, depth drawn": model.translate(control, library_size="empirical", **wish),
        "generated": model.generate(labels=control.obs[args.labels].astype(str).tolist(), **wish),
        "control cells": control,
    }
    redraw = model.translate(control, **{**wish, "covariates": {args.condition: args.control}})
    types = control.obs[args.labels].astype(str)
    before = residuals(model, control, types)
    shuffled = np.arange(len(types))
    for of_type in types.groupby(types.to_numpy()).indices.values():
        shuffled[of_type] = np.random.default_rng(0).permutation(of_type)

    rows = []
    for row, cells in made.items():
        table = scdit.tl.evaluate(
            real, cells, labels_key=args.labels, reference=of(train, args.value), metrics=METRICS
        )
        table = table[table["group"] == "all"].set_index("metric")
        same = {"residual r": np.nan, "nearest to itself": np.nan}
        if row == "translated":
            same = kept(before, residuals(model, cells, types), types.to_numpy())
        rows.append({"cells": row, **{m: float(table.loc[m, "value"]) for m in METRICS}, **same})
    floor = {m: float(table.loc[m, "floor"]) for m in METRICS}
    nothing = dict.fromkeys(METRICS, np.nan)
    rows += [
        {"cells": "floor: real cells", **floor, "residual r": np.nan, "nearest to itself": np.nan},
        {"cells": "redraw", **nothing, **kept(before, residuals(model, redraw, types), types.to_numpy())},
        {"cells": "random cell of the type", **nothing, **kept(before, before[shuffled], types.to_numpy())},
    ]  # fmt: skip
    write(f"translation_{name}", rows, digits=3)


if __name__ == "__main__":
    main()
