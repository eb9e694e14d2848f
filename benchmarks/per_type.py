"""One model per cell type, as the paper trains them, or one conditional model on all types?

For each codec and each of some types: a model that is trained on the type's cells alone, and one model of
all types that is asked for this type, both compared with the type's held-out cells. Results are kept as
JSON; a Markdown table is made from them.

    python benchmarks/per_type.py --data pbmc3k.h5ad --types "CD4 T cells" "B cells"
"""

import json
import time
from pathlib import Path

import anndata as ad
from arguments import data_parser, read_split
from fragments import pipes, write_fragment
from models import fit
from trial import describe_machine, describe_versions

import scdit

ROOT = Path(__file__).parents[1]
COLUMNS = (
    ("c2st_rf_pca", "RF on PCs", 1, 3),
    ("c2st_rf_genes", "RF on genes", 1, 3),
    ("mmd", "MMD² x 1000", 1000, 1),
    ("w2", "W2", 1, 2),
    ("paper_kl", "KL (paper)", 1, 2),
    ("paper_wasserstein", "Wasserstein (paper)", 1, 4),
    ("paper_mmd", "MMD² (paper)", 1, 4),
)


def train(cells: ad.AnnData, codec: str, labels_key: str | None) -> tuple[scdit.SCDiT, int]:
    """Train a model with the defaults of its codec; return it with its CPU seconds."""
    start = time.process_time()
    model = fit(cells, None, codec, architecture={"codec": codec}, labels_key=labels_key)
    return model, round(time.process_time() - start)


def main() -> None:
    """Train all models, compare, and write results and table."""
    parser = data_parser(__doc__, hvg=2000)
    parser.add_argument("--types", nargs="+", required=True, help="types to compare on")
    parser.add_argument("--codecs", nargs="+", default=["expression", "latent"])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "per_type.json")
    args = parser.parse_args()
    cells, test = read_split(args)
    head = ["type", "codec", "model", *(title for _, title, *_ in COLUMNS), "training, CPU s"]
    lines: dict[str, list[list[str]]] = {name: [] for name in args.types}
    rows = []
    for codec in args.codecs:
        everything, seconds = train(cells, codec, args.labels)
        for name in args.types:
            own = cells[cells.obs[args.labels] == name]
            real = test[test.obs[args.labels] == name].copy()
            alone, own_seconds = train(own, codec, None)
            made = {
                ("alone", own_seconds): alone.generate(real.n_obs, rng=0, silent=True),
                ("conditional", seconds): everything.generate(
                    real.n_obs, labels=name, rng=0, silent=True
                ),
            }
            for (model, cost), new in made.items():
                new.obs[args.labels] = name
                table = scdit.tl.evaluate(
                    real, new, reference=own, labels_key=args.labels,
                    metrics=[m for m, *_ in COLUMNS],
                ).query("group == 'all'").set_index("metric")  # fmt: skip
                if not lines[name]:
                    floor = [f"{table.floor[m] * f:.{d}f}" for m, _, f, d in COLUMNS]
                    lines[name].append([name, "", "floor (real cells)", *floor, ""])
                values = [f"{table.value[m] * f:.{d}f}" for m, _, f, d in COLUMNS]
                lines[name].append([name, codec, model, *values, str(cost)])
                rows.append(dict(zip(head, lines[name][-1], strict=True)))
                print(rows[-1], flush=True)
    results = {"rows": rows, "machine": describe_machine(), "versions": describe_versions()}
    args.out.write_text(json.dumps(results) + "\n")
    write_fragment("per_type", pipes([head, *(line for name in lines for line in lines[name])]))


if __name__ == "__main__":
    main()
