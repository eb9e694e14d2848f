"""What each part of the default model buys: the same model without it.

Trains each variant on 80% of the cells and lets it make as many cells of every label as are held out, in
several draws. The posterior is no generator: training cells are encoded, a state of each is drawn and decoded
with the cell's own depth, which bounds what any diffusion over these latents can reach. What is fitted once the
codec is trained, on which its latents do not depend, is taken from the default model part by part. Results are
kept as JSON, where a variant that is repeated replaces the older one; a Markdown table is made from all of them.

    python benchmarks/ablation.py --data pbmc3k.h5ad --drop-labels unassigned
"""

import json
import math
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scvi
from arguments import data_parser, read_split
from baselines import as_cells
from fragments import pipes, write_fragment
from models import no_effects, replacing, resampler, rows_like, standard_normal_prior
from scores import mean_scores, to_json
from trial import describe_machine, describe_versions

import scdit

ROOT = Path(__file__).parents[1]
POSTERIOR = "posterior resampling"
# parts of a trained codec that are cleared one after the other
CLEARED = {
    "without the map": "quantile_map",
    "without shapes either": "shape",
    "not calibrated": "regions",
}
# arguments of the model, arguments of train, and what is replaced by what in the package
VARIANTS: dict[str, tuple[dict, dict, dict]] = {
    "default": ({}, {}, {}),
    "a tenth of the cells held out, early stopping": ({}, {"early_stopping": {"denoiser": True}}, {}),
    "counts not capped": (
        {}, {}, {"scdit.codec.rna._start.gene_caps": lambda c: np.full(c.shape[1], np.inf)},
    ),
    "conditions not in the codec's prior": (
        {}, {}, {"scdit.codec._latent.ConditionPrior": standard_normal_prior},
    ),
    "conditions not in the decoder": ({}, {}, {"scdit.codec.rna._assay.ConditionTerms": no_effects}),
    "no step after the encoder's estimate": ({}, {}, {"scdit.codec._latent._STEP": 0.0}),
    "strong prior on the nonlinear decoder (300 cells, not 30)": (
        {}, {}, {"scdit.codec.rna._assay._PRIOR_NONLINEAR": 300.0},
    ),
    "up to half of the counts hidden from the encoder": (
        {}, {}, {"scdit.codec.rna._start._FEW_CELLS": math.inf},
    ),
    "no priors on the decoder": (
        {}, {}, {
            f"scdit.codec.{module}._PRIOR_{name}": 0.0
            for module, name in (
                ("rna._assay", "LINEAR"), ("rna._assay", "NONLINEAR"), ("rna._assay", "EFFECTS"),
                ("likelihood._dispersion", "THETA"), ("likelihood._dispersion", "CELL"),
            )
        },
    ),
    "encoder's input per 10,000 counts": (
        {}, {}, {"scdit.codec.rna._start._target": lambda library: 1e4},
    ),
    "dispersion does not follow the proportion": ({}, {}, {"scdit.codec.likelihood._dispersion._FAR": 0.0}),
    "dispersion per gene": ({"dispersion": "gene"}, {}, {}),
    "zero-inflated likelihood": ({"gene_likelihood": "zinb"}, {}, {}),
    "32 latent dimensions": ({"n_latent": 32}, {}, {}),
}  # fmt: skip
COLUMNS = (
    ("c2st_rf_pca", "RF on PCs", 3),
    ("c2st_rf_genes", "RF on genes", 3),
    ("c2st_lr_genes", "LR on genes", 3),
    ("coverage", "coverage", 2),
    ("label_fidelity", "label fidelity", 3),
    ("marker_slope", "marker slope", 3),
    ("pc_sd_ratio_within", "SD ratio within labels", 2),
    ("correlation_error", "error of correlations", 3),
    ("detected_genes_ks", "detected genes, KS", 3),
)


def posterior(
    model: scdit.SCDiT, cells: ad.AnnData, labels: np.ndarray, key: str
) -> Callable[[int], ad.AnnData]:
    """Return a function of a seed that resamples training cells of these labels."""
    known = cells.obs[key].astype(str).to_numpy()
    resample = resampler(model)

    def draw(seed: int) -> ad.AnnData:
        rows = rows_like(known, labels, np.random.default_rng(seed))
        return as_cells(resample(rows, seed), cells, key, known[rows])

    return draw


def run(name: str, train: ad.AnnData, test: ad.AnnData, key: str, draws: int) -> dict[str, dict]:
    """Train a variant and evaluate its cells; of the default, its posterior and parts as well."""
    architecture, training, replaced = VARIANTS[name]
    scvi.settings.seed = 0
    cells = train.copy()  # setup_anndata writes into it
    with replacing(replaced):
        scdit.SCDiT.setup_anndata(cells, labels_key=key)
        model = scdit.SCDiT(cells, **architecture)
        start = time.process_time()
        model.train(silent=True, **training)
    seconds = round(time.process_time() - start)
    labels = test.obs[key].astype(str).to_numpy()
    sizes = pd.Series(labels).value_counts(sort=False).to_dict()
    rows = {}

    def add(row: str, draw: Callable[[int], ad.AnnData]) -> None:
        scores = mean_scores(draw, draws, train, test, key, [m for m, *_ in COLUMNS])
        rows[row] = {"cpu_seconds": seconds, **to_json(scores)}

    def generated(seed: int) -> ad.AnnData:
        return model.generate(labels=sizes, rng=seed, silent=True)

    add(name, generated)
    if name == "default":
        add(POSTERIOR, posterior(model, cells, labels, key))
        for row, part in CLEARED.items():
            attrgetter(part)(model.module.codec.assays["rna"]).clear()
            add(row, generated)
    return rows


def table(rows: dict[str, dict]) -> str:
    """One row per variant, floor and posterior first; a row older than a column has a dash there."""

    def values(row: dict, which: int) -> list[str]:
        return [f"{row[m][which]:.{d}f}" if m in row else "–" for m, _, d in COLUMNS]

    head = ["", *(title for _, title, _ in COLUMNS), "training, CPU s"]
    first = next(iter(rows.values()))
    lines = [head, ["floor (real cells)", *values(first, 1), ""]]
    default, *others = VARIANTS
    for name in [POSTERIOR, default, *CLEARED, *others]:
        if name in rows:
            lines.append([name, *values(rows[name], 0), str(rows[name]["cpu_seconds"])])
    return pipes(lines)


def main() -> None:
    """Run the variants asked for, and write results and table."""
    parser = data_parser(__doc__)
    parser.add_argument("--draws", type=int, default=3, help="draws of cells per model")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "ablation.json")
    args = parser.parse_args()
    train, test = read_split(args)
    results = json.loads(args.out.read_text()) if args.out.exists() else {"rows": {}}
    results |= {"machine": describe_machine(), "versions": describe_versions()}
    for name in args.variants:
        new = run(name, train, test, args.labels, args.draws)
        results["rows"].update(new)
        for row, values in new.items():
            print(row, {m: values[m][0] for m, *_ in COLUMNS}, flush=True)
        args.out.write_text(json.dumps(results) + "\n")
    write_fragment("ablation", table(results["rows"]))


if __name__ == "__main__":
    main()
