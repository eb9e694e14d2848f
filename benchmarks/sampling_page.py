"""The tables and the figure of the sampling benchmark, made from its rows."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from fragments import FIGURES, pipes, write_fragment
from matplotlib import pyplot as plt

# metric, title, digits
COLUMNS = (
    ("c2st_rf_pca", "RF on PCs", 3),
    ("c2st_rf_genes", "RF on genes", 3),
    ("pc_sd_ratio", "SD ratio", 2),
    ("paper_kl", "KL", 2),
    ("paper_wasserstein", "Wasserstein", 3),
    ("paper_mmd", "MMD²", 3),
)
# what a reader chooses between: the defaults, and what the paper compares
CHOICES = {
    "latent": (("ab3", 6), ("ddim", 10), ("ddim", 50), ("ddpm", 1000)),
    "expression": (("ab2", 8), ("ddim", 20), ("ddim", 50), ("ddpm", 250), ("ddpm", 1000)),
}


def write_tables(rows: list[dict]) -> None:
    """Write the fragments that the pages include, and the figure."""
    for codec in dict.fromkeys(row["codec"] for row in rows):
        ours = [row for row in rows if row["codec"] == codec]
        chosen = [r for r in ours if (r["sampler"], r["n_steps"]) in CHOICES[codec]]
        write_fragment(f"sampling_{codec}", choices(chosen))
        write_fragment(f"sampling_{codec}_all", table(ours))
    draw(rows, FIGURES / "sampling.png")


def value_of(row: dict, metric: str) -> float:
    """Value of a metric in a row of the results."""
    return row["metrics"][metric][0]


def choices(rows: list[dict]) -> str:
    """A table of some rows for a user's page: what classifiers see, and what a cell costs."""
    metrics = COLUMNS[:2]
    head = ["sampler", "calls", *(title for _, title, _ in metrics), "CPU ms per cell"]
    floor = ["real cells", "", *(f"{rows[0]['metrics'][m][1]:.2f}" for m, *_ in metrics), ""]
    lines = [
        [
            f"`{row['sampler']}`, {row['n_steps']:,} steps",
            f"{row['calls']:,}",
            *(f"{value_of(row, m):.2f}" for m, *_ in metrics),
            f"{row['cpu_ms_per_cell']:.1f}",
        ]
        for row in sorted(rows, key=lambda r: r["calls"])
    ]
    return pipes([head, floor, *lines])


def table(rows: list[dict]) -> str:
    """All samplers and steps, the floor first."""
    head = ["sampler", "steps", "calls", *(title for _, title, _ in COLUMNS), "CPU ms per cell"]
    floor = [f"{rows[0]['metrics'][m][1]:.{d}f}" for m, _, d in COLUMNS]
    lines = [head, ["real cells", "", "", *floor, ""]]
    for row in sorted(rows, key=lambda r: (r["sampler"], r["n_steps"])):
        values = [f"{value_of(row, m):.{d}f}" for m, _, d in COLUMNS]
        lines.append(
            [f"`{row['sampler']}`", str(row["n_steps"]), str(row["calls"]), *values,
             f"{row['cpu_ms_per_cell']:.2f}"]
        )  # fmt: skip
    return pipes(lines)


def draw(rows: list[dict], path: Path) -> None:
    """AUC against network calls, a panel per codec."""
    codecs = list(dict.fromkeys(row["codec"] for row in rows))
    figure, panels = plt.subplots(
        1, len(codecs), figsize=(4 * len(codecs) + 1, 3.5), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    samplers = sorted({row["sampler"] for row in rows})
    colors = dict(zip(samplers, plt.get_cmap("tab10").colors, strict=False))  # one in all panels
    for axes, codec in zip(panels[0], codecs, strict=True):
        ours = sorted((r for r in rows if r["codec"] == codec), key=lambda r: r["calls"])
        for sampler in samplers:
            line = [r for r in ours if r["sampler"] == sampler]
            axes.plot(
                [r["calls"] for r in line],
                [value_of(r, "c2st_rf_pca") for r in line],
                marker="o", markersize=3, label=sampler, color=colors[sampler],
            )  # fmt: skip
        floor = ours[0]["metrics"]["c2st_rf_pca"][1]
        axes.axhline(floor, color="black", linestyle=":", label="real cells")
        axes.set(xscale="log", xlabel="network calls per cell", title=f"{codec} codec")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("AUC of a random forest on PCs")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside right upper")
    figure.savefig(path, dpi=120)
    plt.close(figure)
