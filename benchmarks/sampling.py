"""How many steps does each sampler need, with either codec?

Trains one model per codec on 80% of the cells and lets every sampler make as many cells of every label
as are held out, at several numbers of steps, all from the same trained model. Results are kept as JSON;
the page and its figure are made from them.

    python benchmarks/sampling.py --data pbmc3k.h5ad --labels cell_type --drop-labels unassigned
    python benchmarks/sampling.py --page-only
"""

import argparse
import json
import time
from pathlib import Path

import anndata as ad
from models import fit
from sampling_page import write_page
from splits import split
from trial import describe_machine, describe_versions

import scdit
from scdit.diffusion import sampler_names

ROOT = Path(__file__).parents[1]
STEPS = (5, 10, 20, 50, 100, 250, 1000)
# samplers of second order are at their limit long before: what more steps cost is not spent on them
MOST_STEPS = {"ab2": 100, "dpmpp_2m": 100, "heun": 100, "euler": 250}
CALLS_PER_STEP = {"heun": 2}
METRICS = (
    "c2st_rf_pca", "c2st_rf_genes", "mmd", "w2", "pc_sd_ratio",
    "paper_kl", "paper_wasserstein", "paper_mmd",
)  # fmt: skip


def measure(
    model: scdit.SCDiT, sampler: str, n_steps: int, train: ad.AnnData, test: ad.AnnData,
    labels_key: str, seed: int,
) -> dict:  # fmt: skip
    """Generate, time and evaluate: one row of the results."""
    sizes = test.obs[labels_key].value_counts(sort=False).to_dict()
    start = time.process_time()
    new = model.generate(labels=sizes, sampler=sampler, n_steps=n_steps, rng=seed, silent=True)
    milliseconds = 1e3 * (time.process_time() - start) / new.n_obs
    table = scdit.tl.evaluate(
        test, new, reference=train, labels_key=labels_key, metrics=METRICS, rng=seed
    ).dropna(subset=["value"])
    values: dict[str, dict] = {}
    for row in table.itertuples():
        values.setdefault(row.metric, {})[row.group] = [
            float(f"{x:.5g}") for x in (row.value, row.floor)
        ]
    return {
        "sampler": sampler,
        "n_steps": n_steps,
        "calls": n_steps * CALLS_PER_STEP.get(sampler, 1) - (sampler == "heun"),
        "cpu_ms_per_cell": round(milliseconds, 3),
        "metrics": values,
    }


def main() -> None:
    """Run what is asked for, and write results, page and figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="h5ad file of counts")
    parser.add_argument("--labels", default="cell_type", help="column of cell types")
    parser.add_argument("--drop-labels", nargs="+", default=[], help="labels to leave out")
    parser.add_argument("--hvg", type=int, default=2000, help="variable genes to keep")
    parser.add_argument("--codecs", nargs="+", default=["latent", "expression"])
    parser.add_argument("--samplers", nargs="+", default=sampler_names(), choices=sampler_names())
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "sampling.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "sampling.md")
    parser.add_argument("--page-only", action="store_true", help="only rebuild the page")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    if not args.page_only:
        if args.data is None or not args.data.is_file():
            parser.error(f"no such file: {args.data}; --data is needed, or --page-only")
        cells, test = split(
            ad.read_h5ad(args.data), args.labels, seed=args.seed, n_top_genes=args.hvg,
            drop_labels=args.drop_labels,
        )  # fmt: skip
        results |= {
            "data": args.data.stem,
            "shape": [cells.n_obs, test.n_obs, cells.n_vars],
            "machine": describe_machine(),
            "versions": describe_versions(),
        }
        for codec in args.codecs:
            start = time.process_time()
            architecture = {"codec": codec}
            model = fit(cells, None, codec, args.seed, architecture, labels_key=args.labels)
            runs = results.setdefault("codecs", {})[codec] = {
                "train_cpu_seconds": round(time.process_time() - start),
                "rows": [],
            }
            for n_steps in args.steps:
                for sampler in args.samplers:
                    if n_steps > MOST_STEPS.get(sampler, n_steps):
                        continue
                    row = measure(model, sampler, n_steps, cells, test, args.labels, args.seed)
                    runs["rows"].append(row)
                    value, floor = row["metrics"]["c2st_rf_pca"]["all"]
                    print(f"{codec} {sampler} {n_steps}: {value:.3f} ({floor:.3f})", flush=True)
                    args.out.write_text(json.dumps(results) + "\n")
    write_page(results, args.page)


if __name__ == "__main__":
    main()
