"""Which metrics are computed: those of a preset, or those named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scdit._checks import check_names, did_you_mean, shown
from scdit.tl._joint_metrics import JOINT_METRICS
from scdit.tl._metrics import METRICS

PRESETS: dict[str, tuple[str, ...]] = {
    "default": (
        *(n for n in METRICS if not n.startswith(("cfgen_", "paper_"))),
        *JOINT_METRICS,
    ),
    "cfgen": tuple(name for name in METRICS if name.startswith("cfgen_")),
    "paper": tuple(name for name in METRICS if name.startswith("paper_")),
    "all": (*METRICS, *JOINT_METRICS),
}


def choose_metrics(preset: str, names: Sequence[str] | None, *, several: bool) -> list[str]:
    """Return the names of the metrics of a preset, or those named.

    Parameters
    ----------
    preset, names
        As in :func:`scdit.tl.evaluate`.
    several
        Whether cells have several modalities. If not, metrics across modalities are left out of
        a preset, and refused where they are named.

    Raises
    ------
    TypeError
        If a metric is no name.
    ValueError
        If the preset or a metric is unknown, or there is none.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ValueError(
            f"Unknown preset {shown(preset)}. There are: {', '.join(PRESETS)}"
            + did_you_mean(preset, PRESETS)
        )
    if names is None:
        return [name for name in PRESETS[preset] if several or name in METRICS]
    if not isinstance(names, Sequence | np.ndarray) or isinstance(names, str) or not len(names):
        raise ValueError(
            f"metrics must be a list of at least one name, got {shown(names)}: for example ['mmd']"
        )
    chosen = list(dict.fromkeys(check_names("metrics", names)))
    unknown = [name for name in chosen if name not in PRESETS["all"]]
    if unknown:
        raise ValueError(
            f"Unknown metrics {unknown}. There are: {', '.join(PRESETS['all'])}"
            + did_you_mean(unknown[0], PRESETS["all"])
        )
    joint = [name for name in chosen if name in JOINT_METRICS]
    if joint and not several:
        raise ValueError(
            f"metrics {joint} compare modalities: give a MuData with several of them, or AnnData "
            "objects with protein_expression_obsm_key"
        )
    return chosen
