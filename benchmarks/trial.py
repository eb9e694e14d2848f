"""One trial: split a file of cells, train a generator, generate, evaluate."""

import datetime
import math
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from generators import GENERATORS
from splits import split

import scdit

PACKAGES = ("scvi-tools", "torch", "numpy", "scikit-learn", "anndata", "scanpy")


def run_trial(
    data: Path,
    generator: str,
    seed: int,
    *,
    labels_key: str,
    hvg: int | None,
    drop_labels: Sequence[str],
    scvi_epochs: int | None,
    draws: int,
) -> list[dict]:
    """Train one generator on one split, and evaluate some draws of its rows against the test cells.

    Each draw is as many cells as the test set has; values and floors are means over draws, because
    the classifiers' of a single one are off by .01 to .02. Peak memory is that of this process until
    all cells are generated, evaluation not included: a trial belongs in a process of its own.
    """
    load = os.getloadavg()[0]
    adata = ad.read_h5ad(data)
    adata.var_names_make_unique()
    train, test = split(adata, labels_key, seed=seed, n_top_genes=hvg, drop_labels=drop_labels)
    del adata
    labels = test.obs[labels_key].astype(str).to_numpy()

    start = time.perf_counter()
    fitted = GENERATORS[generator](train, labels_key, seed, scvi_epochs)
    train_seconds = time.perf_counter() - start
    generated, milliseconds = {}, {}
    for number, (row, sample) in enumerate(fitted.samplers.items()):
        start = time.perf_counter()
        generated[row] = [
            sample(labels, np.random.default_rng([seed, number, draw])) for draw in range(draws)
        ]
        milliseconds[row] = 1e3 * (time.perf_counter() - start) / (draws * len(labels))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_bytes = peak if sys.platform == "darwin" else 1024 * peak

    shared = {
        "seed": seed,
        "data": data.stem,
        "hvg": hvg,
        "labels_key": labels_key,
        "drop_labels": list(drop_labels),
        "n_train": train.n_obs,
        "n_test": test.n_obs,
        "n_genes": train.n_vars,
        "n_labels": len(np.unique(labels)),
        "train_seconds": _rounded(train_seconds),
        "peak_memory_gb": _rounded(peak_bytes / 1e9),
        "note": fitted.note,
        "scvi_epochs": scvi_epochs if generator == "scvi" else None,
        "draws": draws,
        "date": datetime.date.today().isoformat(),
        "load": round(load, 1),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    runs = []
    for row, cells in generated.items():
        tables = [_evaluate(test, c, train, labels_key, seed, n) for n, c in enumerate(cells)]
        mean = pd.concat(tables).groupby(level=0)[["value", "floor"]].mean()
        metrics = {
            r.Index: {"value": _rounded(r.value), "floor": _rounded(r.floor), "note": note}
            for r, note in zip(mean.itertuples(), tables[0].loc[mean.index, "note"], strict=True)
        }
        runs.append(
            {
                "row": row,
                "generator": generator,
                **shared,
                "ms_per_cell": _rounded(milliseconds[row]),
                "metrics": metrics,
            }
        )
    return runs


def _evaluate(
    test: ad.AnnData, cells: ad.AnnData, train: ad.AnnData, key: str, seed: int, draw: int
) -> pd.DataFrame:
    """Return value, floor and note of each metric over all cells; each draw has a floor of its own."""
    with warnings.catch_warnings():
        # that some generators know no labels is meant
        warnings.filterwarnings("ignore", message="`generated.obs` lacks the column")
        rng = np.random.SeedSequence([seed, draw])
        table = scdit.tl.evaluate(
            test, cells, reference=train, labels_key=key, preset="all", rng=rng
        )
    return table[table["group"] == "all"].set_index("metric")


def describe_machine() -> dict[str, object]:
    """Return what timings depend on."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [s for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
    }


def describe_versions() -> dict[str, str]:
    """Return what results depend on; the commit is that of this checkout, if it is one."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return {
        "scdit": scdit.__version__,
        "commit": git.stdout.strip(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def _rounded(value: float) -> float | None:
    """Six significant digits; None for NaN, which JSON does not know."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
