"""Judge predicted effects of a condition on each cell type, beside a floor and simple baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class, check_int, check_rng
from scdit.tl._effect_cells import read_effect_cells
from scdit.tl._effect_rows import choose_effect_metrics, effect_rows
from scdit.tl._modal_sides import check_all_sides, take_modality
from scdit.tl._population import check_key


def evaluate_effects(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    *,
    condition_key: str,
    control: str | float,
    condition: str | float,
    labels_key: str,
    reference: AnnData | MuData | None = None,
    layer: str | None = None,
    metrics: Sequence[str] | None = None,
    n_genes: int = 100,
    max_cells: int = 3000,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
    modality: str | None = None,
    assays: Mapping[str, str] | None = None,
    protein_expression_obsm_key: str | None = None,
) -> pd.DataFrame:
    r"""Compare the generated effect of a condition on each cell type with the real effect.

    The effect on a gene is its log fold change: the difference in mean
    :math:`\log(1 + \text{counts per } 10^4)` between cells of the condition and control cells of
    the same type, in natural logarithms. Every value stands beside a floor and three baselines. A
    model that is not better than the baselines has learnt nothing about the type.

    Real cells of a type are cut at random into parts that share no cell. Genes are chosen on the
    first part, the second is the truth, and the third is the floor. The control that is subtracted
    from predictions is not that of the truth: their common noise would look like agreement. Values
    are means over 10 such cuts. Generated cells are subsampled to the size of the floor.

    Of MuData objects, one modality is compared, on all cells that have it. In place of the log
    expression of genes it has :math:`\log(1 + \text{counts})` of proteins, or :math:`\log(1 + 10^4 /
    \text{open peaks of the cell})` of open peaks and 0 of others.

    Parameters
    ----------
    real
        Held-out real cells of the condition and of the control, with raw counts.
    generated
        Generated cells with at least the genes of `real`, in any order. Only those of the condition
        are used.
    condition_key
        Column of `obs` with conditions, in all objects. Of a MuData, columns are taken from
        ``mdata.obs``, or else from the modality that has them.
    control
        Value of that column without the effect.
    condition
        Value of that column with the effect. Cells of other conditions are ignored.
    labels_key
        Column of `obs` with cell types.
    reference
        Cells that the generator was trained on. Given these, what is known of other types comes
        from them, and `real` may hold a single type.
    layer
        Layer with the counts of `real` and `reference`, and of generated cells that have it; `X`
        where it is None.
    metrics
        Names of metrics, at least one. By default all. Those of the Virtual Cell Challenge take
        longest.
    n_genes
        Number of genes that are chosen; at most half of all genes are.
    max_cells
        Most cells of a type and condition; more are subsampled.
    rng
        Seed or generator. The same seed gives the same table.
    modality
        Modality of MuData objects to compare; the first of `real` if None.
    assays, protein_expression_obsm_key
        As in :func:`scdit.tl.evaluate`.

    Returns
    -------
    pandas.DataFrame
        One row per metric and group. Nothing of the arguments is changed.

        - ``metric``, ``group`` (a type, or ``"all"``: the median over types)
        - ``value``: of the generated cells
        - ``floor``: real cells of the condition in the place of the generated ones
        - ``no_effect``: control cells in their place
        - ``mean_response``: the unweighted mean effect on the other types, added to the control
        - ``additive``: the same, weighted by numbers of cells. This is the least-squares fit of log
          expression by a main effect of type and one of condition, without the cells it predicts
        - ``better``, ``ideal``: as in :func:`scdit.tl.evaluate`
        - ``n``: cells of the condition in the place of the generated ones; for ``"all"``, their sum
        - ``note``: why there is no value or baseline

    Raises
    ------
    KeyError
        If a column, layer or modality is missing.
    TypeError
        If an argument is of the wrong class, some sides are AnnData and some MuData, or a matrix is of
        a kind that is not supported.
    ValueError
        If the control or condition is unknown, `real` and `generated` share no type, values are no
        counts, genes or labels are missing, a metric is unknown or for genes only, or `modality` is
        given for AnnData objects.

    Warns
    -----
    UserWarning
        If types were generated that cannot be judged, or cells are on two sides at once.

    Notes
    -----
    A type needs 15 real cells of the condition, 20 of the control and 5 generated ones.

    - ``lfc_r``, ``lfc_slope``, ``lfc_sign``: on the chosen genes, with predicted effects :math:`p`
      and true effects :math:`t`, the slope is :math:`p \cdot t / t \cdot t`.
    - ``de_overlap``: the chosen number of genes with the largest absolute t statistic of Welch (1947).
    - ``specific_r``: effects minus the mean effect on the other types.
    - ``systema_r``: expression minus the mean of the other types' cells of the condition, instead of
      the control (Systema, Viñas Torné et al. 2025, Nature Biotechnology). Between types it mostly
      shows which type it is; compare it with ``no_effect``.
    - ``rmse``, ``cosine``, ``rmse_rank``, ``cosine_rank``: over all genes. A rank is the share of
      the other types' predictions that are nearer to the truth: 0 is best, and 0.5 is chance
      (PerturBench, Wu et al. 2024, arXiv 2408.10609). The mean response ranks near 1, because the
      means for the other types contain this type.

    - ``vcc_...``: the six metrics of the Virtual Cell Challenge 2026. They need the package
      cell-eval2 (``pip install 'scdit[effects]'``). Each type is scored on its own. Predicted and
      real effects share the control cells, as in the challenge. ``vcc_discrimination``
      compares the effects on the types, without a shared control. Cells are cut once, and the
      values are not rescaled as scores of the challenge are. They are for genes only.

    Examples
    --------
    >>> table = scdit.tl.evaluate_effects(
    ...     test,
    ...     new,
    ...     condition_key="condition",
    ...     control="ctrl",
    ...     condition="stim",
    ...     labels_key="cell_type",
    ... )
    >>> table.query("group == 'all'").set_index("metric")[["value", "floor", "mean_response"]]
    """
    sides = check_all_sides(
        real, generated, reference, protein_expression_obsm_key=protein_expression_obsm_key
    )
    keys = [
        check_class(name, key, str)
        for name, key in (("condition_key", condition_key), ("labels_key", labels_key))
    ]
    check_key("layer", layer)
    *cells_of, kind = take_modality(*sides, modality, keys=keys, layer=layer, assays=assays)
    chosen = choose_effect_metrics(metrics, kind)
    n_genes = check_int("n_genes", n_genes, 3)
    generator = np.random.default_rng(check_rng(rng))
    cells = read_effect_cells(
        *cells_of,
        condition_key=condition_key,
        control=control,
        condition=condition,
        labels_key=labels_key,
        layer=layer,
        max_cells=max_cells,
        rng=generator,
        kind=kind,
    )
    return pd.DataFrame(effect_rows(chosen, cells, n_genes, generator))
