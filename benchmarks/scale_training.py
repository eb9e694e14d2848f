"""Memory and time of training: counts in memory, in a backed h5ad file, read lazily from zarr, or by annbatch.

The cells are those inside scanpy (700 PBMC, 765 genes), drawn many times, each time with another share of its
molecules, and their genes repeated until there are as many as asked for. They are written to disk once, block
by block. Each way of reading them runs in a process of its own, so that its peak memory is its own; the peak of
a process that has only imported the package stands beside them.

    python benchmarks/scale_training.py --cells 100000 --genes 2000 --steps 300 --folder cells
    python benchmarks/scale_training.py --cells 1000000 --modes backed annbatch --folder cells

"annbatch" needs Python 3.12. "large" is counts in memory with batches of 512, and "processes" the same by two processes,
which need a core each; the memory is that of the first. Without ``--modes`` these are left out. A run writes the rows
of its number of cells.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from fragments import pipes, write_fragment
from memory import peak_memory
from records import RESULTS, read_results, write_results
from trial import describe_machine, describe_versions

ROOT = Path(__file__).parents[1]
MODES = ("imports", "memory", "backed", "lazy", "annbatch", "large", "processes")
SHOWN = {
    "imports": "none (imports alone)", "memory": "in memory", "backed": "backed h5ad",
    "lazy": "zarr, `read_lazy`", "annbatch": "annbatch collection",
    "large": "in memory, batches of 512", "processes": "the same, two processes",
}  # fmt: skip
COLUMNS = {
    "peak_gb": "peak memory (GB)", "setup": "setup (s)", "codec_ms": "step of the codec (ms)",
    "denoiser_ms": "step of the denoiser (ms)", "between": "between the phases (s)",
}  # fmt: skip
BLOCK = 10_000  # cells written at once


def main() -> None:
    """Write the cells, train in every way, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--steps", type=int, default=300, help="of each phase")
    parser.add_argument("--folder", type=Path, required=True, help="for the cells")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES[:4])
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.mode is not None:
        found = measure(args.mode, path_of(args), args.steps)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(json.dumps(found))
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    suffixes = {".zarr" if mode == "lazy" else ".h5ad" for mode in args.modes}
    write_cells(path_of(args), args.cells, args.genes, suffixes)
    if "annbatch" in args.modes:
        write_collection(path_of(args))
    rows = []
    for mode in args.modes:
        command = [sys.executable, __file__, *sys.argv[1:], "--mode", mode]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{mode}: {done.stderr.strip().splitlines()[-1]}")
            continue
        rows.append({"mode": mode, **json.loads(done.stdout.strip().splitlines()[-1])})
        print(rows[-1], flush=True)
    about = {"machine": describe_machine(), "versions": describe_versions(), "cells": args.cells,
             "genes": args.genes, "steps": args.steps}  # fmt: skip
    write(rows, about)


def write(rows: list[dict], about: dict) -> None:
    """Put rows into the file of results, in the place of older ones, and write the table of all."""
    path = RESULTS / "scale_training.json"
    new = [row | about for row in rows]
    keys = {(row["mode"], row["cells"]) for row in new}
    kept = [row for row in read_results(path) if (row["mode"], row["cells"]) not in keys]
    rows = sorted([*kept, *new], key=lambda row: (row["cells"], MODES.index(row["mode"])))
    write_results(rows, path)
    lines = [
        [f"{row['cells']:,}", SHOWN[row["mode"]], *(_shown(row, key) for key in COLUMNS)]
        for row in rows
    ]
    write_fragment("scale_training", pipes([["cells", "counts", *COLUMNS.values()], *lines]))


def _shown(row: dict, key: str) -> str:
    return "-" if key not in row else f"{row[key]:.2f}" if key == "peak_gb" else f"{row[key]:.0f}"


def path_of(args: argparse.Namespace) -> Path:
    """Return the path of the cells, without its suffix."""
    return args.folder / f"cells_{args.cells}_{args.genes}"


def write_cells(path: Path, n_cells: int, n_genes: int, suffixes: set[str]) -> None:
    """Write the same cells with each suffix, ``.h5ad`` or ``.zarr``, unless they are there."""
    import h5py
    import zarr

    import scdit

    stores = {
        ".h5ad": lambda p: h5py.File(p, "w"),
        ".zarr": lambda p: zarr.open_group(p, mode="w"),
    }
    real = scdit.datasets.pbmc68k()
    labels = real.obs["bulk_labels"].astype(str).to_numpy()
    counts = real.X.toarray().astype(np.int64)
    which = np.random.default_rng(0).integers(real.n_obs, size=n_cells)
    genes = np.resize(np.arange(real.n_vars), n_genes)
    obs = pd.DataFrame(
        {"bulk_labels": pd.Categorical(labels[which])}, index=[f"cell{i}" for i in range(n_cells)]
    )
    var = pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)])
    for suffix in sorted(suffixes):
        store = path.with_suffix(suffix)
        if store.exists():
            continue
        group = stores[suffix](store)
        for start in range(0, n_cells, BLOCK):
            rng = np.random.default_rng(start)
            chosen = which[start : start + BLOCK]
            share = rng.uniform(0.4, 0.9, (len(chosen), 1))
            block = rng.binomial(counts[chosen][:, genes], share)
            # a cell without counts is none
            block[block.sum(axis=1) == 0, 0] = 1
            csr = sp.csr_matrix(block, dtype=np.float32)
            csr.indptr = csr.indptr.astype(np.int64)
            if start == 0:
                ad.io.write_elem(group, "X", csr)
            else:
                ad.io.sparse_dataset(group["X"]).append(csr)
        ad.io.write_elem(group, "obs", obs)
        ad.io.write_elem(group, "var", var)
        group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        if isinstance(group, h5py.File):
            group.close()


def write_collection(path: Path) -> None:
    """Write the cells of the h5ad file as an annbatch collection, unless it is there."""
    import scdit

    if not collection_of(path).exists():
        scdit.SCDiT.setup_annbatch(
            collection_of(path), paths=[path.with_suffix(".h5ad")], labels_key="bulk_labels"
        )


def collection_of(path: Path) -> Path:
    """Return the path of the collection."""
    return path.with_name(f"{path.name}_annbatch.zarr")


def measure(mode: str, path: Path, steps: int) -> dict:
    """Train in one way; return peak memory (GB) and times (seconds)."""
    import torch
    from lightning.pytorch import Callback

    class Steps(Callback):
        """Takes the time of steps, those that wait for data included."""

        def __init__(self):
            self.times = []

        def on_train_batch_end(self, *_):
            self.times.append(time.perf_counter())

    torch.set_num_threads(1)
    result: dict = {}
    if mode != "imports":
        begin = time.perf_counter()
        model = make(mode, path)
        ready = time.perf_counter()
        clock = Steps()
        how: dict = {"batch_size": 512} if mode in ("large", "processes") else {}
        if mode == "processes":
            how |= {"accelerator": "cpu", "devices": 2}
        model.train(max_steps=steps, silent=True, callbacks=[clock], **how)
        end = time.perf_counter()
        codec, denoiser = np.split(np.array(clock.times), 2)
        result = {
            "setup": round(ready - begin, 2),
            "codec_ms": round(1e3 * float(np.diff(codec).mean()), 2),
            "denoiser_ms": round(1e3 * float(np.diff(denoiser).mean()), 2),
            "between": round(float(denoiser[0] - codec[-1]), 2),
            "train": round(end - ready, 2),
        }
    return {**result, "peak_gb": round(peak_memory(), 3)}


def make(mode: str, path: Path) -> Any:
    """Return a model that is not trained."""
    import scdit

    if mode == "annbatch":
        data = scdit.SCDiT.setup_annbatch(collection_of(path), labels_key="bulk_labels")
        return scdit.SCDiT(registry=data.registry)
    if mode == "lazy":
        adata = ad.experimental.read_lazy(path.with_suffix(".zarr"))
        adata.obs = adata.obs.to_memory()
    else:
        backed = "r" if mode == "backed" else None
        adata = ad.read_h5ad(path.with_suffix(".h5ad"), backed=backed)
    scdit.SCDiT.setup_anndata(adata, labels_key="bulk_labels")
    return scdit.SCDiT(adata)


if __name__ == "__main__":
    main()
