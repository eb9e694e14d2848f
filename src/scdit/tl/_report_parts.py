"""Fragments of the page of a report: figures and tables as HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scdit.tl._joint_metrics import JOINT_METRICS
from scdit.tl._metrics import METRICS
from scdit.tl._population import ALL
from scdit.tl._verdict import judge

_METRICS = METRICS | JOINT_METRICS
_HEADLINES = {
    "indistinguishable": "Indistinguishable from real cells, as far as these metrics can tell.",
    "close": "Close to real cells, but not the same.",
    "clearly different": "Clearly different from real cells.",
    "copies": "Many generated cells are copies of training cells, or nearly so.",
    "unknown": "No verdict: the evaluation lacks the AUC of a classifier.",
}
_RULE = (
    "A step is 0.05 of a score or a ratio, and a factor of 1.25 of an error. Decisive are the AUCs of "
    "classifiers, the spread of the cells and the correlations of pairs of genes, over all cells. "
    "Indistinguishable: none is more than one step worse than its floor. Close: none more than three "
    "steps. Clearly different: one is. Copies: the distance to training cells is more than 0.1 below its "
    "floor, or more than 5% of the cells are copies, beyond the floor. With few cells, a step is within "
    "chance: compare several draws. A verdict on all cells says nothing of a rare type."
)


def figure(about: str, draw: Callable[[], Axes | np.ndarray]) -> str:
    """Return a figure as an image in the page, and close it; or why there is none.

    Some figures need more genes or labels than an evaluation does.
    """
    try:
        axes = draw()
    except ValueError as reason:
        return f"<p>Not drawn: {html.escape(str(reason))}</p>"
    first = axes if isinstance(axes, Axes) else axes[0]
    drawn = cast(Figure, first.get_figure(root=True))
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=130, bbox_inches="tight", facecolor="white")
    plt.close(drawn)
    image = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<div class="figure"><img src="data:image/png;base64,{image}" alt="{about}"></div>'


def verdict_box(evaluation: pd.DataFrame) -> str:
    """Return the verdict in words, the values that decided, and the rule."""
    verdict = judge(evaluation)
    values = "".join(f"<li>{_sentence(row)}</li>" for row in verdict.rows.to_dict("records"))
    return (
        f'<div class="verdict {verdict.word.replace(" ", "-")}">'
        f"<p><strong>{_HEADLINES[verdict.word]}</strong></p><ul>{values}</ul>"
        f"<details><summary>The rule</summary><p>{_RULE}</p></details></div>"
    )


def _sentence(row: Mapping[str, Any]) -> str:
    """Say value, floor and steps of a metric."""
    name = str(row["metric"])
    words = html.escape(_METRICS[name].words)
    if "modality" in row:
        words = f"{html.escape(str(row['modality']))}: {words}"
    spread = "" if pd.isna(row.get("sd")) else f" ± {row['sd']:.2g}"
    how = "worse" if row["steps"] > 0 else "better"
    steps = "" if np.isnan(row["steps"]) else f": {abs(row['steps']):.1f} steps {how}"
    return f"{words}: {row['value']:.2f}{spread}, floor {row['floor']:.2f}{steps}"


def metric_table(evaluation: pd.DataFrame) -> str:
    """Return the rows of all cells, with a line on what each metric is."""
    text = ""
    for heading, table in _of_modalities(evaluation[evaluation["group"] == ALL]):
        table = table.drop(columns="group")
        about = [_METRICS[name].about if name in _METRICS else "" for name in table["metric"]]
        table.insert(len(table.columns) - 1, "about", about)
        text += f'{heading}<div class="wide">{to_html(table)}</div>'
    return text


def label_table(evaluation: pd.DataFrame) -> str:
    """Return a section with value and floor of each label, or nothing without labels."""
    table = evaluation[evaluation["group"] != ALL]
    if table.empty:
        return ""
    text = "<h2>Each label</h2><p>Value (floor). Empty: too few cells.</p>"
    for heading, part in _of_modalities(table):
        cells = part.assign(
            text=[
                "" if np.isnan(row.value) else f"{row.value:.3g} ({row.floor:.3g})"
                for row in part.itertuples()
            ]
        )
        wide = cells.pivot(index="metric", columns="group", values="text")
        wide = wide.loc[part["metric"].unique()].rename_axis(index=None, columns=None)
        wide.index = wide.index.map(_explained)
        wide.columns = wide.columns.map(lambda name: html.escape(str(name)))
        text += f'{heading}<div class="wide">{wide.to_html(border=0, escape=False)}</div>'
    return text


def _explained(name: str) -> str:
    """Return the name of a metric with what it measures on hover."""
    if name not in _METRICS:
        return html.escape(name)
    return f'<abbr title="{html.escape(_METRICS[name].about)}">{name}</abbr>'


def _of_modalities(evaluation: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Return a heading and the rows of each modality; no heading where there are none."""
    if "modality" not in evaluation:
        yield "", evaluation
        return
    for name, table in evaluation.groupby("modality", sort=False):
        yield f"<h3>{html.escape(str(name))}</h3>", table.drop(columns="modality")


def to_html(table: pd.DataFrame) -> str:
    """Return a table with numbers of three digits."""
    return table.to_html(index=False, border=0, na_rep="", float_format=lambda x: f"{x:.3g}")
