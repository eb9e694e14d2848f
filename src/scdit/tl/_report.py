"""One self-contained HTML page about generated cells."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from string import Template
from typing import Literal, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scdit._checks import check_choice, check_class, check_rng
from scdit.tl._evaluate import check_table, evaluate
from scdit.tl._metrics import METRICS
from scdit.tl._population import ALL, check_key, check_sides, read_labels, read_pair
from scdit.tl._privacy import LEAST, check_donors, privacy

PAGE = Template((Path(__file__).parent / "_report.html").read_text(encoding="utf-8"))


def report(
    real: AnnData,
    generated: AnnData,
    path: str | PathLike[str],
    *,
    labels_key: str | None = None,
    reference: AnnData | None = None,
    donor_key: str | None = None,
    layer: str | None = None,
    evaluation: pd.DataFrame | None = None,
    basis: Literal["umap", "pca"] = "umap",
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
) -> Path:
    """Write one HTML page with figures, tables and provenance; it needs no other file.

    Parameters
    ----------
    real, generated
        Held-out real cells and generated ones, with raw counts.
    path
        Where to write the page.
    labels_key, reference, layer
        As in :func:`scdit.tl.evaluate`. With `reference`, the page has the audit of
        :func:`scdit.tl.privacy` too.
    donor_key
        As in :func:`scdit.tl.privacy`; needs `reference`.
    evaluation
        Table that :func:`scdit.tl.evaluate` returned; computed with its defaults if None.
    basis
        Embedding to draw.
    rng
        Seed or generator of evaluation and embedding.

    Returns
    -------
    The path of the page.

    Raises
    ------
    OSError
        If `path` has no folder, is one, or cannot be written: before anything is computed.
    KeyError, TypeError, ValueError
        As :func:`scdit.tl.evaluate` does.
    """
    # the plots read cells with this package's functions: imported here, not in a circle
    from scdit import pl

    path = _writable(path)
    check_sides(real, generated, reference)
    check_choice("basis", basis, ("umap", "pca"))
    for name, key in {"labels_key": labels_key, "donor_key": donor_key, "layer": layer}.items():
        check_key(name, key)
    if donor_key is not None:
        if reference is None:
            raise ValueError("donor_key needs reference, the cells that were trained on")
        check_donors(
            read_labels(reference, "reference", donor_key), read_labels(real, "real", donor_key)
        )
    if evaluation is not None:
        check_table("evaluation", evaluation)
        read_pair(real, generated, layer=layer)
    rng = np.random.default_rng(check_rng(rng))
    if evaluation is None:
        evaluation = evaluate(
            real, generated, labels_key=labels_key, reference=reference, layer=layer, rng=rng
        )
    has_labels = labels_key is not None and labels_key in generated.obs
    color = labels_key if has_labels else None
    page = PAGE.substitute(
        title="Generated cells against real cells",
        summary=_summary(real, generated, reference),
        provenance=_provenance(generated.uns.get("scdit")),
        evaluation=_figure(
            "Every metric as a ratio to its floor", lambda: pl.evaluation(evaluation)
        ),
        embedding=_figure(
            "Real and generated cells in one embedding",
            lambda: pl.embedding(real, generated, color, basis=basis, layer=layer, rng=rng),
        ),
        genes=_figure(
            "Mean, variance and zero fraction of each gene, generated against real",
            lambda: pl.gene_statistics(real, generated, layer=layer),
        ),
        correlation=_figure(
            "Gene-gene correlations of real and of generated cells",
            lambda: pl.correlation(real, generated, layer=layer),
        ),
        metrics=_metric_table(evaluation),
        labels=_label_table(evaluation),
        privacy=_privacy_table(real, generated, reference, donor_key, layer, rng),
    )
    path.write_text(page, encoding="utf-8")
    return path


def _writable(path: str | PathLike[str]) -> Path:
    """A path that a page can be written to, which is found out before anything is computed."""
    check_class("path", path, str, PathLike)
    page = Path(path)
    if not page.parent.is_dir():
        raise FileNotFoundError(f"no folder {page.parent} to write the report to")
    if page.is_dir():
        raise IsADirectoryError(f"{page} is a folder: name a file, such as {page / 'report.html'}")
    if not os.access(page if page.exists() else page.parent, os.W_OK):
        raise PermissionError(f"{page} cannot be written")
    return page


def _summary(real: AnnData, generated: AnnData, reference: AnnData | None) -> str:
    """Say in a sentence what is compared."""
    text = (
        f"{generated.n_obs:,} generated cells against {real.n_obs:,} real cells of "
        f"{real.n_vars:,} genes. "
    )
    if reference is None:
        return text + "Without the training cells, copies of them cannot be found."
    return text + f"The floor and all features come from {reference.n_obs:,} training cells."


def _provenance(record: object) -> str:
    """Return where the cells come from as a section, or nothing where that is not known."""
    if not isinstance(record, Mapping):
        return ""
    rows = "".join(
        f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(str(value))}</td></tr>"
        for key, value in record.items()
    )
    return f"<h2>Provenance</h2><table>{rows}</table>"


def _figure(about: str, draw: Callable[[], Axes | np.ndarray]) -> str:
    """Return a figure as an image in the page, and close it; or why there is none.

    Some figures need more genes or labels than an evaluation does.
    """
    try:
        axes = draw()
    except ValueError as reason:
        return f"<p>Not drawn: {html.escape(str(reason))}</p>"
    first = axes if isinstance(axes, Axes) else axes[0]
    figure = cast(Figure, first.get_figure(root=True))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    image = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{image}" alt="{about}">'


def _metric_table(evaluation: pd.DataFrame) -> str:
    """Return the rows of all cells, with a line on what each metric is."""
    table = evaluation[evaluation["group"] == ALL].drop(columns="group")
    about = [METRICS[name].about if name in METRICS else "" for name in table["metric"]]
    table.insert(1, "about", about)
    return _to_html(table)


def _label_table(evaluation: pd.DataFrame) -> str:
    """Return a section with value and floor of each label, or nothing without labels."""
    table = evaluation[evaluation["group"] != ALL]
    if table.empty:
        return ""
    cells = table.assign(
        text=[
            "" if np.isnan(row.value) else f"{row.value:.3g} ({row.floor:.3g})"
            for row in table.itertuples()
        ]
    )
    wide = cells.pivot(index="metric", columns="group", values="text")
    wide = wide.loc[table["metric"].unique()].rename_axis(index=None, columns=None)
    return (
        "<h2>Each label</h2><p>Value (floor). Empty: too few cells.</p>"
        f'<div class="wide">{wide.to_html(border=0)}</div>'
    )


def _privacy_table(
    real: AnnData,
    generated: AnnData,
    reference: AnnData | None,
    donor_key: str | None,
    layer: str | None,
    rng: np.random.Generator,
) -> str:
    """Return a section on what the cells reveal of the training cells, or why there is none."""
    title = "<h2>What the cells reveal of the training cells</h2>"
    if reference is None:
        return title + "<p>Unknown: this needs the training cells, <code>reference=</code>.</p>"
    if min(side.n_obs for side in (real, generated, reference)) < LEAST:
        return f"{title}<p>Unknown: this needs {LEAST} cells on each side.</p>"
    table = privacy(generated, reference, real, donor_key=donor_key, layer=layer, rng=rng)
    return (
        f"{title}<p>An attacker who has these cells guesses which cells were trained on. A value at its "
        "floor means that this attack finds nothing; another one may.</p>"
        f'<div class="wide">{_to_html(table)}</div>'
    )


def _to_html(table: pd.DataFrame) -> str:
    """Return a table with numbers of three digits."""
    return table.to_html(index=False, border=0, na_rep="", float_format=lambda x: f"{x:.3g}")
