"""The page of benchmarks, made from the results of `quality`. Needs the standard library only."""

from collections.abc import Callable, Iterable
from itertools import groupby
from statistics import median

from fragments import pipes

FLOOR = "floor"

# rows of the tables in their order, and what each of them is
ROWS = {
    FLOOR: "real cells in the place of the generated ones: a sample of the training cells with the "
    "label composition of the test cells, on which the evaluation fits nothing (generators do train "
    "on them). No generator can be expected to do better by more than chance; one that does is "
    "shrinking or copying.",
    "scdit": "this package with its defaults, conditioned on the label; library sizes are "
    "generated with the cells.",
    "scvi_posterior": "scVI with its defaults (zero-inflated negative binomial, no batch, no "
    "labels) and early stopping. For every cell, another training cell of its label is encoded, a "
    "state drawn from its posterior and decoded with its own library size. It needs the training "
    "cells at hand and its states are theirs, so the distribution of states, which is what a "
    "generator has to learn, is given to it: it measures scVI's decoder.",
    "scvi_mixture": "the same scVI as a generator: per label, a Gaussian with the mean and "
    "(Ledoit-Wolf shrunk) full covariance of the aggregated posterior, decoded with library sizes "
    "drawn from the label's training cells.",
    "scvi_prior": "the same scVI, states drawn from its standard normal prior, library sizes from "
    "all training cells. It knows no labels, so what is measured per label is left out. The prior "
    "was never made for this: scVI warms up the weight of its KL term over 400 epochs.",
    "nb": "independent negative binomials per label and gene (moments), given a library size "
    "drawn from the label's training cells. Knows no correlation but that of depth and label.",
    "poisson": "the same with Poisson counts: no dispersion either.",
    "bootstrap": "copies of training cells, drawn with replacement: not a generator but a trap. "
    "Marginals, correlations and the literature's distances praise it; `memorization_ratio` does "
    "not. Where training cells are few, neither does what is measured on principal components: "
    "these are fitted on training cells and know the noise of those that are copied.",
}

# what the cells are, and where they are from
DATA = {
    "baron_human1": ("human pancreas (Baron et al. 2016)", "inDrop, donor 1, GSM2230757"),
    "covid_citeseq_liu": (
        "PBMC of healthy donors and COVID-19 patients (Liu et al. 2021)",
        "CITE-seq, a part of GSE161918: 43 donors, 1,000 genes, RNA only",
    ),
    "kang_ifnb": (
        "PBMC, control and IFN-beta (Kang et al. 2018)",
        "10x, GSE96583, the cells of Seurat's `ifnb`",
    ),
    "marrow_cd34_palantir": (
        "CD34+ bone marrow (Setty et al. 2019)",
        "10x, replicate 1, the cells of palantir's tutorial; labels by clustering",
    ),
    "papalexi_thp1_299g": (
        "THP-1 cells with knock-outs (Papalexi et al. 2021)",
        "ECCITE-seq, 299 genes, the low-MOI example of sceptre",
    ),
    "paul15": ("mouse myeloid progenitors (Paul et al. 2015)", "MARS-seq, GSE72857, 16 batches"),
    "pbmc3k": (
        "PBMC 3k (10x Genomics)",
        "the cells of `scanpy.datasets.pbmc3k`, labels of `pbmc3k_processed`; cells without one are "
        "left out",
    ),
    "teaseq_pbmc": ("PBMC, TEA-seq (Swanson et al. 2021)", "a part of GSE158013, RNA only"),
}

# metric, factor, digits; two tables, because one would be too wide for a page
METRICS = (
    (
        ("c2st_rf_pca", 1, 3),
        ("c2st_rf_genes", 1, 3),
        ("c2st_lr_genes", 1, 3),
        ("mmd", 1000, 1),
        ("frechet", 1, 2),
        ("coverage", 1, 2),
        ("pc_sd_ratio", 1, 2),
        ("memorization_ratio", 1, 2),
        ("detected_genes_ks", 1, 3),
    ),
    (
        ("correlation_r", 1, 2),
        ("marker_slope", 1, 2),
        ("label_fidelity", 1, 3),
        ("cfgen_w2", 1, 2),
        ("cfgen_mmd", 1, 3),
    ),
)
COSTS = (
    ("train_seconds", "train s", 0),
    ("ms_per_cell", "ms/cell", 2),
    ("peak_memory_gb", "peak GB", 1),
)

INTRODUCTION = """\
# Benchmarks

How good are generated cells, what do they cost, and what would real cells have scored in their place? Of every label, a fifth
of the cells is held out; genes are kept that are seen in at least three of the training cells. Each generator is fitted to the
training cells and makes as many cells of every label as the test set has. It draws library sizes itself and never sees those of the
test cells. {func}`scdit.tl.evaluate` then compares the generated with the held-out cells. [Evaluation](evaluation.md)
says what the metrics are.

In every column, **the aim is the value of the floor**. Read several columns together: copies of training cells look perfect
in some of them, and Wasserstein distances reward cells that are shrunk to the mean of their type. A label fidelity above
the floor means cells that are too typical of their label. Values are medians over seeds, each of which is another split of the cells
and another training; the value of a seed is the mean over some draws of cells.
"""

Run = dict
Runs = list[Run]


def markdown(runs: Runs) -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for _, group in groupby(sorted(runs, key=_data), key=_data):
        parts.append(_section(list(group)))
    present = {FLOOR, *(run["row"] for run in runs)}
    about = [f"- **{_name(row)}**: {text}" for row, text in ROWS.items() if row in present]
    parts += ["## What the rows are\n", "\n".join(about) + "\n"]
    known = sorted({run["data"] for run in runs} & DATA.keys())
    sources = [f"- `{name}`: {DATA[name][0]}; {DATA[name][1]}." for name in known]
    parts += ["## The data\n", "\n".join(sources) + "\n"] if sources else []
    return "\n".join([*parts, _how(runs)])


def _title(data: str) -> str:
    return DATA[data][0] if data in DATA else data


def differing_floors(runs: Runs) -> list[str]:
    """Say where runs on the same split have different floors, and so cannot stand in one table.

    They do when the evaluation has changed between the runs.
    """
    messages = []
    for key, group in groupby(sorted(runs, key=_split), key=_split):
        cells = list(group)
        for metric, *_ in sum(METRICS, ()):
            floors = [x for run in cells if (x := _floor(run, metric)) is not None]
            if floors and max(floors) - min(floors) > 1e-4 + 1e-3 * abs(floors[0]):
                rows = ", ".join(f"{r['row']} ({r['date']})" for r in cells)
                messages.append(f"{key}: floors of {metric} differ: {floors}, of {rows}")
    return messages


def _section(runs: Runs) -> str:
    """Return heading, sizes and tables of one data set."""
    first = runs[0]
    genes = "all genes of the file" if first["hvg"] is None else f"{first['hvg']:,} variable genes"
    lines = [
        f"## {_title(first['data'])}, {genes}\n",
        f"`{first['data']}`: {_span(r['n_train'] for r in runs)} training and "
        f"{_span(r['n_test'] for r in runs)} test cells of {_span(r['n_labels'] for r in runs)} "
        f"labels, {_span(r['n_genes'] for r in runs)} genes.\n",
    ]
    by_row = {row: [r for r in runs if r["row"] == row] for row in {r["row"] for r in runs}}
    known = [row for row in ROWS if row in by_row]
    rows = known + sorted(set(by_row) - set(known))
    for number, columns in enumerate(METRICS):
        costs = COSTS if number == len(METRICS) - 1 else ()
        head = ["", *(f"`{m}`" + (f" x {f}" if f != 1 else "") for m, f, _ in columns)]
        table = [[_name(FLOOR), *_cells(runs, columns, _floor)]]
        table += [[_name(row), *_cells(by_row[row], columns, _value)] for row in rows]
        if costs:
            head += [name for _, name, _ in costs] + ["seeds"]
            table[0] += [""] * (len(costs) + 1)
            for row, line in zip(rows, table[1:], strict=True):
                line += [_format([r[c] for r in by_row[row]], 1, d) for c, _, d in costs]
                line.append(str(len(by_row[row])))
        lines.append(pipes([head, *table]))
    return "\n".join(lines)


def _cells(
    runs: Runs, columns: Iterable[tuple], get: Callable[[Run, str], float | None]
) -> list[str]:
    """Return the medians over seeds of some metrics as text."""
    texts = []
    for metric, factor, digits in columns:
        # a floor that several rows have is that of the one with most draws
        by_seed = {
            run["seed"]: x
            for run in sorted(runs, key=lambda run: run["draws"])
            if (x := get(run, metric)) is not None
        }
        texts.append(_format(list(by_seed.values()), factor, digits))
    return texts


def _how(runs: Runs) -> str:
    """Return the commands, machines, dates and versions."""
    lines = ["## How it was run\n", "```bash", *_commands(runs), "```\n"]
    dates = sorted({run["date"] for run in runs})
    lines.append(f"- **Date**: {' to '.join(dict.fromkeys((dates[0], dates[-1])))}.")
    lines += _by_generator("Machine", runs, _machine)
    lines.append(
        "- **Times** are wall-clock; peak memory is that of a process that loads, trains and "
        "generates, and for scVI holds the cells of its three rows. The load average when a trial "
        f"began was {_span((r['load'] for r in runs), 'g')}: where it is above the number of threads, "
        "other programs shared the cores, and times are upper bounds."
    )
    notes: dict[tuple[str, str], dict[str, None]] = {}
    for run in sorted(runs, key=_split):
        if run["note"]:
            trained = notes.setdefault((run["generator"], run["data"]), {})
            trained[f"seed {run['seed']}: {run['note']}"] = None
    for (generator, data), texts in notes.items():
        lines.append(f"- **Training of {generator}** on `{data}`: {'; '.join(texts)}.")
    lines += _by_generator("Versions", runs, _versions)
    lines += _by_generator(
        "Commit of this repository", runs, lambda run: run["versions"].get("commit", "not known")
    )
    return "\n".join(lines) + "\n"


def _by_generator(title: str, runs: Runs, describe: Callable[[Run], str]) -> list[str]:
    """Return one line for each description, with its generators if there are several."""
    groups: dict[str, dict[str, None]] = {}
    for run in runs:
        groups.setdefault(describe(run), {})[f"{run['generator']} on {run['data']}"] = None
    if len(groups) == 1:
        return [f"- **{title}**: {next(iter(groups))}."]
    return [f"- **{title}** ({', '.join(names)}): {text}." for text, names in groups.items()]


def _commands(runs: Runs) -> list[str]:
    """Return the commands that give these results: one per data set, where seeds and draws are the same."""
    commands = []
    for _, group in groupby(sorted(runs, key=_data), key=_data):
        cells = sorted(group, key=_rank)
        alike: dict[tuple[tuple[int, ...], int], Runs] = {}
        for name in dict.fromkeys(run["generator"] for run in cells):
            own = [run for run in cells if run["generator"] == name]
            seeds = tuple(sorted({run["seed"] for run in own}))
            alike.setdefault((seeds, own[0]["draws"]), []).append(own[0])
        for (seeds, draws), firsts in alike.items():
            run = firsts[0]
            words = ["python benchmarks/quality.py", f"--data {run['data']}.h5ad"]
            words.append(f"--labels {run['labels_key']}")
            if run["drop_labels"]:
                words.append(f"--drop-labels {' '.join(run['drop_labels'])}")
            if run["hvg"] is not None:
                words.append(f"--hvg {run['hvg']}")
            words.append(f"--generators {' '.join(run['generator'] for run in firsts)}")
            words += [f"--scvi-epochs {r['scvi_epochs']}" for r in firsts if r["scvi_epochs"]]
            words.append(f"--seeds {' '.join(map(str, seeds))}")
            words.append(f"--draws {draws}")
            commands.append(" ".join(words))
    return commands


def _machine(run: Run) -> str:
    machine = run["machine"]
    cores = f"{machine['cores']} cores, threads of a trial: {machine['threads']}"
    return f"{machine['cpu']}, {cores}, {machine['gpu'] or 'no GPU'}, {machine['system']}"


def _versions(run: Run) -> str:
    # a commit is not a version; and of a source tree that was never installed, none is known
    known = {k: v for k, v in run["versions"].items() if k != "commit" and v != "unknown"}
    return ", ".join(f"{name} {version}" for name, version in known.items())


def _name(row: str) -> str:
    return "floor (real cells)" if row == FLOOR else row


def _rank(run: Run) -> int:
    rows = list(ROWS)
    return rows.index(run["row"]) if run["row"] in ROWS else len(rows)


def _data(run: Run) -> tuple[str, int]:
    return run["data"], run["hvg"] or 0


def _split(run: Run) -> tuple[str, int, int]:
    return *_data(run), run["seed"]


def _value(run: Run, metric: str) -> float | None:
    return run["metrics"].get(metric, {}).get("value")


def _floor(run: Run, metric: str) -> float | None:
    return run["metrics"].get(metric, {}).get("floor")


def _format(values: list[float], factor: float, digits: int) -> str:
    return f"{factor * median(values):,.{digits}f}" if values else "–"


def _span(values: Iterable[float], spec: str = ",") -> str:
    ends = sorted(set(values))
    return " to ".join(f"{x:{spec}}" for x in dict.fromkeys((ends[0], ends[-1])))
