"""How good are the generated cells, what do they cost, and what would real cells have scored?

Trains each generator on 80% of the cells, lets it make as many cells of every label as there are
among the other 20%, and compares the two with `scdit.tl.evaluate`; of several such draws the mean is
kept. Results are kept as JSON, where a trial that is repeated replaces the older one; the Markdown
table is made from all of them.

    python benchmarks/quality.py --data pbmc3k.h5ad --labels cell_type --drop-labels unassigned
    python benchmarks/quality.py --data kang.h5ad --labels cell_type --hvg 2000 --generators scdit nb
    python benchmarks/quality.py --table-only
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from records import read_results, write_results
from tables import differing_floors, markdown

ROOT = Path(__file__).parents[1]
GENERATORS = ("scdit", "scvi", "nb", "poisson", "bootstrap")


def merge(old: list[dict], new: list[dict]) -> list[dict]:
    """Return old and new runs; a new run replaces the old one of its data, row and seed."""
    runs = {(r["data"], r["hvg"] or 0, r["row"], r["seed"]): r for r in [*old, *new]}
    return [runs[key] for key in sorted(runs)]


def run_in_child(**arguments) -> list[dict]:
    """Run a trial in a process of its own, so that its peak memory is the generator's."""
    # this process stays small: a child's peak memory begins at that of its parent
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_trial, arguments).result()


def _trial(arguments: dict) -> list[dict]:
    from trial import run_trial

    return run_trial(**arguments)


def main() -> None:
    """Run the trials asked for, one after the other, and write results and table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="h5ad files of counts")
    parser.add_argument("--labels", default="cell_type", help="column of cell types")
    parser.add_argument("--drop-labels", nargs="+", default=[], help="labels to leave out")
    parser.add_argument(
        "--generators", nargs="+", choices=GENERATORS, default=GENERATORS, metavar="NAME",
        help=f"some of: {', '.join(GENERATORS)}; scvi makes three rows",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--draws", type=int, default=3, help="draws of cells per training")
    parser.add_argument(
        "--hvg", type=int, metavar="N", help="keep N variable genes of the training cells [all]"
    )
    parser.add_argument(
        "--scvi-epochs", type=int, metavar="N", help="cap on scVI's epochs [its own choice]"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results.json")
    parser.add_argument("--table", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--table-only", action="store_true", help="only rebuild the table")
    args = parser.parse_args()
    if not args.data and not args.table_only:
        parser.error("--data is needed, or --table-only")
    missing = [str(path) for path in args.data if not path.is_file()]
    if missing:
        parser.error(f"no such file: {', '.join(missing)}")

    runs = read_results(args.out)
    trials = [(d, s, g) for d in args.data for s in args.seeds for g in args.generators]
    for data, seed, generator in [] if args.table_only else trials:
        print(f"{data.stem}: {generator}, seed {seed}", flush=True)
        new = run_in_child(
            data=data,
            generator=generator,
            seed=seed,
            labels_key=args.labels,
            hvg=args.hvg,
            drop_labels=args.drop_labels,
            scvi_epochs=args.scvi_epochs,
            draws=args.draws,
        )
        # read again: another process may have added to the file
        runs = merge(read_results(args.out), new)
        write_results(runs, args.out)
        for run in new:
            auc = run["metrics"]["c2st_rf_pca"]
            print(
                f"  {run['row']}: AUC {auc['value']:.3f} (floor {auc['floor']:.3f}), trained in "
                f"{run['train_seconds']:.1f} s, {run['ms_per_cell']:.2f} ms per cell",
                flush=True,
            )
    if not runs:
        parser.error(f"{args.out} has no results")
    for message in differing_floors(runs):
        print(f"Warning: {message}")
    args.table.parent.mkdir(parents=True, exist_ok=True)
    args.table.write_text(markdown(runs))


if __name__ == "__main__":
    main()
