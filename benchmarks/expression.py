"""What each choice of the expression codec does: one change at a time from the defaults.

Every variant is trained on 80% of the cells for the same number of passes and makes as many cells of
every label as are held out. Results are kept as JSON, where a variant that is repeated replaces the older
one; a Markdown table is made from all of them.

    python benchmarks/expression.py --data pbmc3k.h5ad --labels cell_type --drop-labels unassigned
    python benchmarks/expression.py --data pbmc3k.h5ad --variants default "random order"
"""

import json
import time
from pathlib import Path

import anndata as ad
import scvi
from arguments import data_parser, read_split
from fragments import pipes, write_fragment
from trial import describe_machine, describe_versions

import scdit

ROOT = Path(__file__).parents[1]
VARIANTS: dict[str, dict] = {
    "default": {},
    "without the zero-inflated head": {"zero_inflated": False},
    "random order": {"gene_order": "random"},
    "given order": {"gene_order": "given"},
    "patches of 100": {"patch_size": 100},
    "patches of 400": {"patch_size": 400},
    "zeros at 0": {"zero_value": 0.0},
    "zeros at -3": {"zero_value": -3.0},
    "unit variance for each gene": {"scaling": "gene"},
    "x0-prediction": {"prediction": "x0"},
    "DDPM schedule": {"schedule": "ddpm"},
    "DDPM schedule, eps-prediction": {"schedule": "ddpm", "prediction": "eps"},
    "the paper's choices, small network": {
        "zero_value": -10.0, "gene_order": "given", "scaling": "none", "zero_inflated": False,
        "schedule": "ddpm", "prediction": "eps",
    },
}  # fmt: skip
SAMPLINGS = {"ab2": {"sampler": "ab2", "n_steps": 20}, "ddpm": {"sampler": "ddpm", "n_steps": 100}}
COLUMNS = (
    ("c2st_rf_pca", "RF on PCs"),
    ("c2st_rf_genes", "RF on genes"),
    ("c2st_lr_genes", "LR on genes"),
    ("pc_sd_ratio", "SD ratio"),
    ("correlation_r", "correlations"),
)


def run(changes: dict, train: ad.AnnData, test: ad.AnnData, labels_key: str, epochs: int) -> dict:
    """Train a variant, generate with each sampler, evaluate."""
    scvi.settings.seed = 0
    cells = train.copy()  # setup_anndata writes into it
    scdit.SCDiT.setup_anndata(cells, labels_key=labels_key)
    model = scdit.SCDiT(cells, codec="expression", **changes)
    start = time.process_time()
    model.train(max_epochs=epochs, batch_size=64, early_stopping=False, silent=True)
    result: dict = {"train_cpu_seconds": round(time.process_time() - start), "epochs": epochs}
    sizes = test.obs[labels_key].value_counts(sort=False).to_dict()
    for name, sampling in SAMPLINGS.items():
        new = model.generate(labels=sizes, rng=0, silent=True, **sampling)
        table = scdit.tl.evaluate(
            test, new, reference=train, labels_key=labels_key, metrics=[m for m, _ in COLUMNS]
        )
        rows = table[table["group"] == "all"].set_index("metric")
        result[name] = {
            m: [float(f"{x:.4g}") for x in rows.loc[m, ["value", "floor"]]] for m, _ in COLUMNS
        }
    return result


def table(results: dict) -> str:
    """One row per variant, two columns per metric: the samplers."""
    head = ["", *(f"{t}: {s}" for _, t in COLUMNS for s in SAMPLINGS), "training, CPU s"]
    first = next(iter(results["variants"].values()))
    lines = [
        head,
        [
            "floor (real cells)",
            *(f"{first[s][m][1]:.3f}" for m, _ in COLUMNS for s in SAMPLINGS),
            "",
        ],
    ]
    for name in [n for n in VARIANTS if n in results["variants"]]:
        r = results["variants"][name]
        lines.append(
            [
                name,
                *(f"{r[s][m][0]:.3f}" for m, _ in COLUMNS for s in SAMPLINGS),
                str(r["train_cpu_seconds"]),
            ]
        )
    return pipes(lines)


def main() -> None:
    """Run the variants asked for and write results and table."""
    parser = data_parser(__doc__, hvg=2000)
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training cells")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "expression.json")
    args = parser.parse_args()
    train, test = read_split(args)
    results = json.loads(args.out.read_text()) if args.out.exists() else {"variants": {}}
    results |= {"machine": describe_machine(), "versions": describe_versions()}
    for name in args.variants:
        result = run(VARIANTS[name], train, test, args.labels, args.epochs)
        results["variants"][name] = result
        shown = {s: [result[s][m][0] for m, _ in COLUMNS] for s in SAMPLINGS}
        print(f"{name}: {shown}, {result['train_cpu_seconds']} s", flush=True)
        args.out.write_text(json.dumps(results) + "\n")
    write_fragment("expression", table(results))


if __name__ == "__main__":
    main()
