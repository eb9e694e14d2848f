"""How many steps does each sampler need, with either codec?

Trains one model per codec on 80% of the cells. Every sampler makes as many cells of every label as
are held out, at several numbers of steps, all from the same trained model; values are means over
draws. Results are kept as JSON; the tables and the figure of `docs/sampling.md` are made from them.

    python benchmarks/sampling.py --data pbmc3k.h5ad --drop-labels unassigned
    python benchmarks/sampling.py --data pbmc3k.h5ad --tables-only
"""

import time
from operator import itemgetter
from pathlib import Path

import anndata as ad
import numpy as np
from arguments import data_parser, read_split
from models import fit
from records import RESULTS, read_results, write_results
from sampling_page import write_tables
from scores import mean_scores, to_json

import scdit
from scdit.diffusion import sampler_names

STEPS = (6, 10, 20, 50, 100, 250, 1000)
# samplers of second order are at their limit long before: what more steps cost is not spent on them
MOST_STEPS = {"ab2": 50, "ab3": 50, "dpmpp_2m": 50, "heun": 50, "euler": 100}
CALLS_PER_STEP = {"heun": 2}
METRICS = (
    "c2st_rf_pca", "c2st_rf_genes", "pc_sd_ratio", "paper_kl", "paper_wasserstein", "paper_mmd",
)  # fmt: skip


def measure(
    model: scdit.SCDiT, sampler: str, n_steps: int, sides: tuple[ad.AnnData, ad.AnnData],
    labels_key: str, draws: int,
) -> dict:  # fmt: skip
    """Generate, time and evaluate some draws: one row of the results."""
    train, test = sides
    sizes = test.obs[labels_key].value_counts(sort=False).to_dict()
    milliseconds = []

    def draw(seed: int) -> ad.AnnData:
        start = time.process_time()
        new = model.generate(labels=sizes, sampler=sampler, n_steps=n_steps, rng=seed, silent=True)
        milliseconds.append(1e3 * (time.process_time() - start) / new.n_obs)
        return new

    scores = to_json(mean_scores(draw, draws, train, test, labels_key, METRICS))
    return {
        "sampler": sampler,
        "n_steps": n_steps,
        "calls": n_steps * CALLS_PER_STEP.get(sampler, 1) - (sampler == "heun"),
        "cpu_ms_per_cell": round(float(np.median(milliseconds)), 2),
        "draws": draws,
        "metrics": scores,
    }


def merge(rows: list[dict], new: dict) -> list[dict]:
    """Return rows with a new one, which replaces that of the same setting."""
    key = itemgetter("codec", "sampler", "n_steps")
    return [*(row for row in rows if key(row) != key(new)), new]


def main() -> None:
    """Run what is asked for, and write results, tables and figure."""
    parser = data_parser(__doc__, hvg=2000)
    parser.add_argument("--codecs", nargs="+", default=["latent", "expression"])
    parser.add_argument("--samplers", nargs="+", default=sampler_names(), choices=sampler_names())
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--draws", type=int, default=3, help="draws of cells per row")
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    parser.add_argument("--tables-only", action="store_true", help="only write the tables again")
    args = parser.parse_args()
    path = RESULTS / f"sampling_{args.data.stem}.json"
    if not args.tables_only:
        sides = read_split(args)
        for codec in args.codecs:
            model = fit(
                sides[0], args.models, f"sampling_{codec}", 0, {"codec": codec},
                labels_key=args.labels,
            )  # fmt: skip
            for n_steps in args.steps:
                for sampler in args.samplers:
                    if n_steps > MOST_STEPS.get(sampler, n_steps):
                        continue
                    row = {"codec": codec} | measure(
                        model, sampler, n_steps, sides, args.labels, args.draws
                    )
                    value, floor = row["metrics"]["c2st_rf_pca"]
                    print(f"{codec} {sampler} {n_steps}: {value:.3f} ({floor:.3f})", flush=True)
                    # read again: another process may have added to the file
                    write_results(merge(read_results(path), row), path)
    write_tables(read_results(path))


if __name__ == "__main__":
    main()
