"""One self-contained HTML page about generated cells."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from string import Template
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_choice, check_class, check_rng
from scdit.tl._evaluate import evaluate
from scdit.tl._kinds import FEATURES, Kind, find_kinds
from scdit.tl._modal_sides import check_all_sides, read_modality
from scdit.tl._modalities import Modalities
from scdit.tl._population import check_key, read_labels
from scdit.tl._privacy import LEAST, check_donors, privacy
from scdit.tl._read_modalities import read_modalities
from scdit.tl._report_parts import figure, label_table, metric_table, to_html, verdict_box
from scdit.tl._tables import check_table

PAGE = Template((Path(__file__).parent / "_report.html").read_text(encoding="utf-8"))


def report(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    path: str | PathLike[str],
    *,
    labels_key: str | None = None,
    reference: AnnData | MuData | None = None,
    donor_key: str | None = None,
    layer: str | None = None,
    evaluation: pd.DataFrame | None = None,
    basis: Literal["umap", "pca"] = "umap",
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
    assays: Mapping[str, str] | None = None,
    protein_expression_obsm_key: str | None = None,
) -> Path:
    """Write one HTML page with a verdict, figures, tables and provenance; it needs no other file.

    The verdict is *indistinguishable*, *close*, *clearly different*, *copies* or, without the AUC of a
    classifier, *unknown*. The page has
    the rule and the values that decided. Of MuData, each modality has its figures and tables.

    Parameters
    ----------
    real
        Held-out real cells, with raw counts.
    generated
        Generated cells, with raw counts.
    path
        Where to write the page.
    labels_key, layer
        As in :func:`scdit.tl.evaluate`.
    reference
        As in :func:`scdit.tl.evaluate`. With it, the page has the audit of :func:`scdit.tl.privacy`
        too; of MuData, that of all modalities together.
    donor_key
        As in :func:`scdit.tl.privacy`; needs `reference`.
    evaluation
        Table that :func:`scdit.tl.evaluate` returned; computed with its defaults if None. With the table
        of several draws, the marks of the first figure have error bars.
    basis
        Embedding to draw.
    rng
        Seed or generator of evaluation and embedding.
    assays, protein_expression_obsm_key
        As in :func:`scdit.tl.evaluate`.

    Returns
    -------
    The path of the page.

    Raises
    ------
    OSError
        If `path` has no folder, is one, or cannot be written: before anything is computed.
    KeyError, TypeError, ValueError
        As :func:`scdit.tl.evaluate` does.

    Examples
    --------
    >>> scdit.tl.report(test, new, "report.html", labels_key="cell_type", reference=train)
    """
    # the plots read cells with this package's functions: imported here, not in a circle
    from scdit import pl

    path = _writable(path)
    record = getattr(generated, "uns", {}).get("scdit")
    real, generated, reference = check_all_sides(
        real, generated, reference, protein_expression_obsm_key=protein_expression_obsm_key
    )
    check_choice("basis", basis, ("umap", "pca"))
    for name, key in {"labels_key": labels_key, "donor_key": donor_key, "layer": layer}.items():
        check_key(name, key)
    sides = _sides(real, generated, reference, assays)
    if donor_key is not None:
        if reference is None:
            raise ValueError("donor_key needs reference, the cells that were trained on")
        check_donors(*(_labels(sides, name, donor_key) for name in ("reference", "real")))
    modalities: list[str | None] = list(real.mod) if isinstance(real, MuData) else [None]
    if evaluation is not None:
        check_table("evaluation", evaluation)
        for name in [name for name in sides if name != "generated"]:
            if labels_key is not None:
                _labels(sides, name, labels_key)
        for modality in modalities:
            read_modality(real, generated, modality, layer=layer, assays=assays)
    rng = np.random.default_rng(check_rng(rng))
    if evaluation is None:
        evaluation = evaluate(
            real,
            generated,
            labels_key=labels_key,
            reference=reference,
            layer=layer,
            rng=rng,
            assays=assays,
        )
    made = sides["generated"]
    has_labels = labels_key is not None and (
        made.has(labels_key) if isinstance(made, Modalities) else labels_key in made.obs
    )
    color = labels_key if has_labels else None
    page = PAGE.substitute(
        title="Generated cells against real cells",
        summary=_summary(sides),
        verdict=verdict_box(evaluation),
        fitted="Fitted on the real cells, so that others are placed near the edges of clusters."
        if reference is None
        else "Fitted on the training cells.",
        provenance=_provenance(record),
        evaluation=figure(
            "How far every metric is from its floor", lambda: pl.evaluation(evaluation)
        ),
        embedding=figure(
            "Real and generated cells in one embedding",
            lambda: pl.embedding(
                real,
                generated,
                color,
                reference=reference,
                basis=basis,
                layer=layer,
                rng=rng,
                assays=assays,
            ),
        ),
        features="".join(
            _features(real, generated, modality, layer, assays) for modality in modalities
        ),
        metrics=metric_table(evaluation),
        labels=label_table(evaluation),
        privacy=_privacy_table(sides, donor_key=donor_key, layer=layer, rng=rng, assays=assays),
    )
    path.write_text(page, encoding="utf-8")
    return path


def _sides(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    reference: AnnData | MuData | None,
    assays: Mapping[str, str] | None,
) -> dict[str, AnnData] | dict[str, Modalities]:
    """Return the sides that were given, by name; cells of MuData are paired."""
    if not isinstance(real, MuData):
        named = {"real": real, "generated": generated, "reference": reference}
        return {name: side for name, side in named.items() if isinstance(side, AnnData)}
    sides = {"real": read_modalities(real, "real", assays=assays)}
    for name, side in {"generated": generated, "reference": reference}.items():
        if side is not None:
            sides[name] = read_modalities(side, name, like=sides["real"])
    return sides


def _labels(sides: Mapping[str, AnnData | Modalities], name: str, key: str) -> np.ndarray:
    """Return a column of `obs` of one side as text."""
    side = sides[name]
    return side.labels(key) if isinstance(side, Modalities) else read_labels(side, name, key)


def _features(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    modality: str | None,
    layer: str | None,
    assays: Mapping[str, str] | None,
) -> str:
    """Return a section on the genes (proteins, peaks) of a modality."""
    from scdit import pl

    kind: Kind = "rna"
    kwargs: dict[str, Any] = {"layer": layer}
    if isinstance(real, MuData) and modality is not None:
        kind = find_kinds(real.mod, assays, "real")[modality]
        kwargs |= {"modality": modality, "assays": assays}
    what = FEATURES[kind]
    text = "<h2>Genes</h2>" if modality is None else f"<h2>{html.escape(modality)}: {what}</h2>"
    text += figure(
        f"Mean, variance and zero fraction of each {what[:-1]}, generated against real",
        lambda: pl.gene_statistics(real, generated, **kwargs),
    )
    text += figure(
        f"Correlations of {what} of real and of generated cells",
        lambda: pl.correlation(real, generated, **kwargs),
    )
    if kind == "protein":
        text += figure(
            "Counts of proteins, generated against real",
            lambda: pl.proteins(real, generated, modality=modality, layer=layer),
        )
    return text


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


def _summary(sides: Mapping[str, AnnData | Modalities]) -> str:
    """Say in a sentence what is compared."""
    n_cells = {name: _size(side) for name, side in sides.items()}
    real = sides["real"]
    if isinstance(real, Modalities):
        features = " and ".join(
            f"{part.n_vars:,} {FEATURES[real.kinds[key]]}" for key, part in real.parts.items()
        )
    else:
        features = f"{real.n_vars:,} genes"
    text = (
        f"{n_cells['generated']:,} generated cells against {n_cells['real']:,} real cells of "
        f"{features}. "
    )
    if "reference" not in sides:
        return text + "Without the training cells, copies of them cannot be found."
    return text + f"The floor and all features come from {n_cells['reference']:,} training cells."


def _provenance(record: object) -> str:
    """Return where the cells come from as a section, or nothing where that is not known."""
    if not isinstance(record, Mapping):
        return ""
    rows = "".join(
        f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(str(value))}</td></tr>"
        for key, value in record.items()
    )
    return f'<h2>Provenance</h2><div class="wide"><table>{rows}</table></div>'


def _privacy_table(sides: Mapping[str, AnnData | Modalities], **kwargs: Any) -> str:
    """Return a section on what the cells reveal of the training cells, or why there is none.

    Further arguments are those of :func:`scdit.tl.privacy`.
    """
    title = "<h2>What the cells reveal of the training cells</h2>"
    if "reference" not in sides:
        return title + "<p>Unknown: this needs the training cells, <code>reference=</code>.</p>"
    if min(map(_size, sides.values())) < LEAST:
        return f"{title}<p>Unknown: this needs {LEAST} cells on each side.</p>"
    cells = {
        name: side.mdata if isinstance(side, Modalities) else side for name, side in sides.items()
    }
    table = privacy(cells["generated"], cells["reference"], cells["real"], **kwargs)
    return (
        f"{title}<p>An attacker who has these cells guesses which cells were trained on. A value at its "
        "floor means that this attack finds nothing; another one may.</p>"
        f'<div class="wide">{to_html(table)}</div>'
    )


def _size(side: AnnData | Modalities) -> int:
    return len(side.cells) if isinstance(side, Modalities) else side.n_obs
