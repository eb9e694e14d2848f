"""Training and generation on a GPU beside the processor: cells per second and peak memory.

A few minutes on one device. Without one it says so and measures the processor alone.

    python benchmarks/gpu.py --data kang_ifnb.h5ad --cells 100000
"""

import argparse
import time
from pathlib import Path

import anndata as ad
import torch
from records import write
from splits import split

import scdit


def generate(model: scdit.SCDiT, device: str, n: int, batch_size: int) -> dict:
    """Generate cells and time it, after a short call that warms the device up."""
    model.to_device(device)
    on_gpu = model.device.type == "cuda"
    model.generate(batch_size, rng=0, batch_size=batch_size, silent=True)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    start = time.perf_counter()
    model.generate(n, rng=1, batch_size=batch_size, silent=True)
    seconds = time.perf_counter() - start
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "processor",
        "batch size": batch_size,
        "cells per second": n / seconds,
        "peak memory, GiB": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else float("nan"),
    }


def main() -> None:
    """Train once on each device, generate, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="h5ad file of counts")
    parser.add_argument("--labels", default="cell_type", help="column of cell types")
    parser.add_argument("--hvg", type=int, default=2000, help="number of variable genes [2000]")
    parser.add_argument("--cells", type=int, default=100_000, help="cells to generate [100000]")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4_096, 16_384, 65_536])
    args = parser.parse_args()

    train, _ = split(ad.read_h5ad(args.data), args.labels, n_top_genes=args.hvg)
    devices = ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]
    trainings, rows = [], []
    for device in devices:
        cells = train.copy()
        scdit.SCDiT.setup_anndata(cells, labels_key=args.labels)
        model = scdit.SCDiT(cells)
        start = time.perf_counter()
        model.train(accelerator="cpu" if device == "cpu" else "gpu", silent=True)
        seconds = time.perf_counter() - start
        trainings.append({"trained on": device, "cells": cells.n_obs, "seconds": seconds})
        sizes = [512] if device == "cpu" else args.sizes
        n = min(args.cells, 5_000) if device == "cpu" else args.cells
        rows += [generate(model, device, n, size) for size in sizes]
    write("gpu_training", trainings, digits=0)
    write("gpu_generation", rows)
    if len(devices) == 1:
        print("There is no GPU here: these are the figures of the processor alone.", flush=True)


if __name__ == "__main__":
    main()
