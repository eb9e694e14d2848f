"""Memory and speed of generation to a file, against the number of cells.

Each number of cells is a process of its own, whose peak memory is measured. The model is trained for a
few passes on simulated cells: how good it is changes neither.

    python benchmarks/scale.py --cells 10000 100000 1000000 --genes 2000
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from fragments import pipes, write_fragment
from memory import peak_memory
from records import RESULTS, read_results, write_results

PLANNED, WORKERS = (1_000_000, 10_000_000, 100_000_000), (1, 8, 64)


def main() -> None:
    """Measure each number of cells, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--suffix", choices=[".zarr", ".h5ad"], default=".zarr")
    parser.add_argument("--folder", type=Path, help="where files are written [a temporary folder]")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measure(args.folder, args.one, args.suffix)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        train(Path(folder), args.genes)
        path = RESULTS / "scale.json"
        rows = read_results(path)
        for n in args.cells:
            command = [sys.executable, __file__, "--folder", folder, "--one", str(n)]
            done = subprocess.run(
                [*command, "--suffix", args.suffix], capture_output=True, text=True, check=True
            )
            row = json.loads(done.stdout.splitlines()[-1])
            row |= {"genes": args.genes, "file": args.suffix, "date": str(date.today())}
            same = ("cells", "genes", "file")
            rows = [x for x in rows if any(x[k] != row[k] for k in same)] + [row]
            rows.sort(key=lambda x: (x["file"], x["genes"], x["cells"]))
            write_results(rows, path)
            write_fragment("scale_generation", table(rows))
            write_fragment("scale_plan", plan(rows))
            print(row, flush=True)


def train(folder: Path, genes: int) -> None:
    """Train a model on simulated cells, and save it."""
    import scdit

    rng = np.random.default_rng(0)
    profiles = rng.gamma(0.3, size=(8, genes)) + 0.02
    types = rng.integers(0, 8, 2000)
    mean = profiles[types] / profiles.sum(1)[types, None] * rng.lognormal(8, 0.4, (2000, 1))
    counts = sp.csr_matrix(rng.poisson(mean * rng.gamma(4, 1 / 4, mean.shape)), dtype=np.float32)
    obs = pd.DataFrame({"cell_type": [f"type {i}" for i in types]}).astype("category")
    obs["batch"] = pd.Categorical(rng.integers(0, 4, 2000).astype(str))
    obs.index = obs.index.astype(str)
    adata = ad.AnnData(counts, obs=obs)
    scdit.SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    model = scdit.SCDiT(adata)
    model.train(max_epochs={"codec": 5, "denoiser": 20}, silent=True)
    model.save(folder / "model")


def measure(folder: Path, n: int, suffix: str) -> dict:
    """Generate cells to a file; seconds, and memory before and at most."""
    import psutil

    import scdit

    model = scdit.SCDiT.load(folder / "model", adata=False)
    model.generate(n=512, rng=1, silent=True)
    before = psutil.Process().memory_info().rss / 2**20
    path = folder / f"cells{n}{suffix}"
    start, cpu = time.perf_counter(), time.process_time()
    new = model.generate(n=n, rng=0, path=path, silent=True)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return {
        "cells": new.n_obs,
        "before_mb": round(before),
        "peak_mb": round(1024 * peak_memory()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "file_mb": round(sum(file.stat().st_size for file in files) / 2**20),
    }


def table(rows: list[dict]) -> str:
    """Return the rows as Markdown."""
    head = ["cells", "genes", "file", "peak memory, MB", "cells/s", "CPU ms/cell", "file, MB"]
    lines = [
        [
            f"{row['cells']:,}",
            f"{row['genes']:,}",
            row["file"],
            f"{row['peak_mb']:,}",
            f"{row['cells'] / row['seconds']:,.0f}",
            f"{1e3 * row['cpu_seconds'] / row['cells']:.2f}",
            f"{row['file_mb']:,}",
        ]
        for row in rows
    ]
    return pipes([head, *lines])


def plan(rows: list[dict]) -> str:
    """Return what many cells would take, computed from the largest run, as Markdown."""
    row = max(rows, key=lambda row: row["cells"])
    lines = []
    for n in PLANNED:
        hours = n * row["cpu_seconds"] / row["cells"] / 3600
        size = n * row["file_mb"] / row["cells"] / 1024
        lines.append([f"{n:,}", *(_duration(hours / w) for w in WORKERS), f"{size:,.0f}"])
    head = ["cells", *(f"{w} worker{'s' * (w > 1)}" for w in WORKERS), "file, GB"]
    return pipes([head, *lines])


def _duration(hours: float) -> str:
    return f"{hours:.2g} h" if hours >= 1 else f"{60 * hours:.2g} min"


if __name__ == "__main__":
    main()
