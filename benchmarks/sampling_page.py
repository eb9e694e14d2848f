"""The page and the figure of the sampling benchmark, made from its results."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from fragments import pipes
from matplotlib import pyplot as plt

FIGURE = "sampling.png"
TOLERANCE = 0.02  # of an AUC: what repeated draws of the same model differ by
SLACK = 1.1  # of the paper's metrics
# metric, title, factor, digits
COLUMNS = (
    ("c2st_rf_pca", "RF on PCs", 1, 3),
    ("c2st_rf_genes", "RF on genes", 1, 3),
    ("pc_sd_ratio", "SD ratio", 1, 2),
    ("mmd", "MMD² x 1000", 1000, 2),
    ("w2", "W2", 1, 2),
    ("paper_kl", "KL (paper)", 1, 2),
    ("paper_wasserstein", "Wasserstein (paper)", 1, 4),
    ("paper_mmd", "MMD² (paper)", 1, 4),
)

INTRODUCTION = """\
# Samplers and steps

How many steps does each sampler need? This page compares samplers on one trained model for each codec.

```python
new = model.generate(1000)  # ab3, 6 steps
new = model.generate(1000, sampler="ddim", n_steps=50)
```

The measurements below are of an older model, with `ab2` and 20 calls as its default; the default now is
[`ab3` with 6 calls](design/road.md#six-calls), which is not in the tables.

**With the latent codec**, 10 calls of `ab2`, `ddim` or `dpmpp_2m` give cells that classifiers tell from real ones no more
easily than those of 1,000 steps of `ddpm`. More calls change little.

**With the expression codec**, no deterministic sampler reaches `ddpm` with 250 steps, judged by a random forest on principal components
([discussion](expression.md#is-ddim-10-to-20-times-faster-at-no-loss)).

## How to read the tables

Each sampler makes as many cells of every label as are held out. The floor is what real cells score in their place.

- **RF on PCs, RF on genes**: AUC of random forests that tell generated from held-out real cells. 0.5 is ideal. Repeated
  draws differ by about 0.02.
- **SD ratio**: spread on principal components over that of real cells. 1 is ideal.
- **MMD², W2**: distances on principal components; the aim is the floor.
- **KL, Wasserstein, MMD² with "(paper)"**: the metrics of Dong et al. 2024, means over labels. They are
  [blind to much](evaluation.md#rules).
- **calls**: network calls per cell, one per step, two with `heun`.

Steps of `ddim` narrow the distribution. This flatters it where the cells of a model are too wide.
"""


def write_page(results: dict, path: Path) -> None:
    """Write the Markdown page, and the figure beside it."""
    figure = path.parent / "figures" / FIGURE
    figure.parent.mkdir(parents=True, exist_ok=True)
    draw(results, figure)
    n_train, n_test, n_genes = results["shape"]
    machine, versions = results["machine"], results["versions"]
    parts = [
        INTRODUCTION,
        f"`{results['data']}`: {n_train:,} training and {n_test:,} test cells, {n_genes:,} variable "
        "genes.\n",
        f"```{{image}} figures/{FIGURE}\n:alt: AUC against network calls for each sampler\n```\n",
    ]
    for codec, runs in results["codecs"].items():
        parts += [f"## {codec.capitalize()} codec\n", reached(runs["rows"]), table(runs["rows"])]
        parts += [per_label(runs["rows"])]
    parts.append(
        f"Made by `benchmarks/sampling.py` on {machine['cores']} shared cores of an {machine['cpu']} without a GPU. "
        "Times are CPU time of one thread. Training took "
        + " and ".join(f"{r['train_cpu_seconds']} s ({c})" for c, r in results["codecs"].items())
        + f". Python {versions['python']}, torch {versions['torch']}.\n"
    )
    path.write_text("\n".join(parts))


def value_of(row: dict, metric: str, group: str = "all") -> float:
    """Value of a metric in a row of the results."""
    return row["metrics"][metric][group][0]


def reached(rows: list[dict]) -> str:
    """A table of the calls with which each sampler is as good as the most steps of ddpm, by two standards."""
    ddpm = [row for row in rows if row["sampler"] == "ddpm"]
    if not ddpm:
        return ""
    most = max(ddpm, key=lambda row: row["n_steps"])
    metrics = [metric for metric, *_ in COLUMNS]
    classifiers, paper = metrics[:2], [m for m in metrics if m.startswith("paper")]
    tops = {m: value_of(most, m) + TOLERANCE for m in classifiers}
    # beyond real cells there is nothing to win
    paper_tops = {m: SLACK * max(most["metrics"][m]["all"]) for m in paper}
    by_classifiers, by_paper = _fewest_calls(rows, tops), _fewest_calls(rows, paper_tops)
    head = ["sampler", "calls, by classifiers", "calls, by the paper's metrics"]
    lines = [head, *([f"`{name}`", n, by_paper[name]] for name, n in by_classifiers.items())]
    return (
        f"The fewest network calls with which a sampler is as good as {most['n_steps']:,} steps of `ddpm`. *By "
        f"classifiers*: both AUCs are at most {TOLERANCE} higher. *By the paper's metrics*: each is at most "
        f"{SLACK - 1:.0%} above the larger of ddpm's value and the floor.\n\n" + pipes(lines)
    )


def _fewest_calls(rows: list[dict], tops: dict[str, float]) -> dict[str, str]:
    """Fewest calls of each sampler whose metrics are all at most so large."""
    found = {}
    for sampler in sorted({row["sampler"] for row in rows}):
        calls = [
            row["calls"]
            for row in rows
            if row["sampler"] == sampler
            and all(value_of(row, metric) <= top for metric, top in tops.items())
        ]
        found[sampler] = str(min(calls)) if calls else "never"
    return found


def table(rows: list[dict]) -> str:
    """All samplers and steps over all cells, the floor first."""
    head = ["sampler", "steps", "calls", *(title for _, title, *_ in COLUMNS), "CPU ms per cell"]
    floor = [f"{rows[0]['metrics'][m]['all'][1] * f:.{d}f}" for m, _, f, d in COLUMNS]
    lines = [head, ["floor (real cells)", "", "", *floor, ""]]
    for row in sorted(rows, key=lambda r: (r["sampler"], r["n_steps"])):
        values = [f"{value_of(row, m) * f:.{d}f}" for m, _, f, d in COLUMNS]
        lines.append(
            [f"`{row['sampler']}`", str(row["n_steps"]), str(row["calls"]), *values,
             f"{row['cpu_ms_per_cell']:.2f}"]
        )  # fmt: skip
    return pipes(lines)


def per_label(rows: list[dict]) -> str:
    """The paper's metrics for every label: ddim at 50 steps beside the most steps of ddpm."""
    ddpm = max(
        (r for r in rows if r["sampler"] == "ddpm"), key=lambda r: r["n_steps"], default=None
    )
    ddim = next((r for r in rows if (r["sampler"], r["n_steps"]) == ("ddim", 50)), None)
    if ddpm is None or ddim is None:
        return ""
    metrics = [column for column in COLUMNS if column[0].startswith("paper")] + [
        next(c for c in COLUMNS if c[0] == "mmd")
    ]
    head = ["label"]
    for _, title, *_ in metrics:
        head += [f"{title}: floor", f"ddpm {ddpm['n_steps']}", "ddim 50"]
    lines = [head]
    for label in sorted(set(ddim["metrics"]["paper_kl"]) - {"all"}):
        line = [label]
        for metric, _, factor, digits in metrics:
            pair = [row["metrics"][metric].get(label) for row in (ddpm, ddim)]
            if None in pair:
                line += ["–"] * 3
                continue
            values = (pair[0][1], pair[0][0], pair[1][0])
            line += [f"{value * factor:.{digits}f}" for value in values]
        lines.append(line)
    return "Per label:\n\n" + pipes(lines)


def draw(results: dict, path: Path) -> None:
    """AUC against network calls, a panel per codec."""
    codecs = results["codecs"]
    figure, axes = plt.subplots(1, len(codecs), figsize=(4.5 * len(codecs), 3.5), sharey=True)
    for axis, (codec, runs) in zip(
        axes if len(codecs) > 1 else [axes], codecs.items(), strict=True
    ):
        for sampler in sorted({row["sampler"] for row in runs["rows"]}):
            rows = sorted(
                (r for r in runs["rows"] if r["sampler"] == sampler), key=lambda r: r["calls"]
            )
            axis.plot(
                [r["calls"] for r in rows],
                [value_of(r, "c2st_rf_pca") for r in rows],
                marker="o", markersize=3, label=sampler,
            )  # fmt: skip
        floor = runs["rows"][0]["metrics"]["c2st_rf_pca"]["all"][1]
        axis.axhline(floor, color="black", linestyle=":", label="floor")
        axis.set(xscale="log", xlabel="network calls per cell", title=f"{codec} codec")
    first = figure.axes[0]
    first.set_ylabel("AUC of a random forest on PCs")
    first.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
