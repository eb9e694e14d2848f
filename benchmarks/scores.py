"""What a generator scores in the mean over some draws of its cells."""

from collections.abc import Callable, Sequence

import anndata as ad
import pandas as pd

import scdit


def mean_scores(
    draw: Callable[[int], ad.AnnData],
    draws: int,
    train: ad.AnnData,
    test: ad.AnnData,
    key: str,
    metrics: Sequence[str],
) -> pd.DataFrame:
    """Return mean `value` and `floor` of each metric, a row each; `draw` makes cells from a seed."""
    tables = []
    for seed in range(draws):
        table = scdit.tl.evaluate(
            test, draw(seed), reference=train, labels_key=key, metrics=metrics, rng=seed
        )
        tables.append(table[table["group"] == "all"].set_index("metric")[["value", "floor"]])
    return (sum(tables) / draws).loc[list(metrics)]


def to_json(scores: pd.DataFrame) -> dict[str, list[float]]:
    """Return value and floor of each metric, four digits of them, as results are kept."""
    return {metric: [float(f"{x:.4g}") for x in scores.loc[metric]] for metric in scores.index}
