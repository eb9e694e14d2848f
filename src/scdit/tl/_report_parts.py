"""Fragments of the page of a report: figures and tables as HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scdit.tl._joint_metrics import JOINT_METRICS
from scdit.tl._metrics import METRICS
from scdit.tl._population import ALL

_ABOUT = {name: metric.about for name, metric in (METRICS | JOINT_METRICS).items()}


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
    return f'<img src="data:image/png;base64,{image}" alt="{about}">'


def metric_table(evaluation: pd.DataFrame) -> str:
    """Return the rows of all cells, with a line on what each metric is."""
    text = ""
    for heading, table in _of_modalities(evaluation[evaluation["group"] == ALL]):
        table = table.drop(columns="group")
        table.insert(1, "about", [_ABOUT.get(name, "") for name in table["metric"]])
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
        text += f'{heading}<div class="wide">{wide.to_html(border=0)}</div>'
    return text


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
