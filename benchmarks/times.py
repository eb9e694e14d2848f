"""What do training and generation cost, and where does the time go? CPU seconds of one thread.

Training with the defaults, beside scVI's defaults: some epochs of scVI are timed, and its default number of
epochs is as many times that, unless ``--scvi-early-stopping`` lets it run until it stops by itself. Generation
with the default number of calls, beside one call: decoding, drawing and assembly are in both. Then the parts of
a call, timed one after the other on the same cells. All in one process, so that ratios are fair on a shared machine.

    python benchmarks/times.py --data kang_ifnb.h5ad --cells 10000
    python benchmarks/times.py --data pbmc3k.h5ad --drop-labels unassigned --genes 20000 --what generate
"""

import time
from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp
import scvi
import torch
from arguments import data_parser, read_split
from records import write
from scvi.model._utils import get_max_epochs_heuristic

import scdit
from scdit.diffusion import KeyedNoise, time_grid
from scdit.module._diffusion import COUNTS


def seconds(do: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU and wall time of a call, and what it returns."""
    cpu, wall = time.process_time(), time.perf_counter()
    value = do()
    return time.process_time() - cpu, time.perf_counter() - wall, value


def training(train: ad.AnnData, labels_key: str, epochs: int, early: bool) -> list[dict]:
    """Rows of scdit and scVI."""
    scvi.settings.seed = 0
    ours = train.copy()
    scdit.SCDiT.setup_anndata(ours, labels_key=labels_key)
    start_cpu, start_wall, model = seconds(lambda: scdit.SCDiT(ours))
    cpu, wall, _ = seconds(lambda: model.train(silent=True))
    rows = [_row("scdit, defaults", start_cpu + cpu, start_wall + wall, 1.0)]
    theirs = train.copy()
    scvi.model.SCVI.setup_anndata(theirs, labels_key=labels_key)

    def fit(max_epochs: int | None, **options: Any) -> tuple[float, float, Any]:
        model = scvi.model.SCVI(theirs)
        options |= {"enable_progress_bar": False, "accelerator": "cpu"}
        cpu, wall, _ = seconds(lambda: model.train(max_epochs=max_epochs, **options))
        return cpu, wall, model

    fit(1)  # warms up
    default = get_max_epochs_heuristic(theirs.n_obs)
    cpu, wall, _ = fit(epochs)
    scale = default / epochs
    name = f"scVI, {default} epochs ({epochs} timed)"
    rows.append(_row(name, scale * cpu, scale * wall, rows[0]["CPU s"]))
    if early:
        cpu, wall, model = fit(None, early_stopping=True)
        name = f"scVI, early stopping after {len(model.history['train_loss_epoch'])} epochs"
        rows.append(_row(name, cpu, wall, rows[0]["CPU s"]))
    return rows


def _row(name: str, cpu: float, wall: float, ours: float) -> dict:
    return {
        "training": name,
        "CPU s": round(cpu, 1),
        "wall s": round(wall, 1),
        "CPU of scdit's": f"{cpu / ours:.1f}" if ours != 1.0 else "1",
    }


def generation(model: scdit.SCDiT, n: int) -> list[dict]:
    """Rows of the parts of a call for `n` cells, and of whole calls."""
    model.generate(64, silent=True)  # warms up
    one, _, _ = seconds(lambda: model.generate(n, n_steps=1, rng=0, silent=True))
    whole, _, new = seconds(lambda: model.generate(n, rng=0, silent=True))
    n_steps, batch_size = (int(new.uns["scdit"][k]) for k in ("n_steps", "batch_size"))
    times = time_grid(n_steps, model.module.schedule, new.uns["scdit"]["spacing"])
    sampler = new.uns["scdit"]["sampler"]
    noise, spent = KeyedNoise(0), dict.fromkeys(
        ("denoiser", "uniform numbers", "decoder", "counts and their calibrations", "sparse matrix"), 0.0
    )  # fmt: skip
    module, n_features = model.module, new.n_vars
    codes = {
        name: torch.as_tensor(np.resize(np.asarray(code), n)).long()
        for name, code in model.composition_["codes"].items()
    }
    for start in range(0, n, batch_size):
        cells = range(start, min(start + batch_size, n))
        told = {name: code[start : cells.stop] for name, code in codes.items()}

        def timed(part: str, do: Callable[[], Any]) -> Any:
            cpu, _, value = seconds(do)
            spent[part] += cpu
            return value

        with torch.inference_mode():
            state = timed(
                "denoiser",
                lambda c=cells, k=told: module.sample(k, c, noise, times, sampler=sampler),
            )
            timed(
                "uniform numbers",
                lambda c=cells: noise.uniform(c.start, c.stop, n_features, COUNTS),
            )
            timed("decoder", lambda s=state, k=told: module.codec.decode(s, k))
            drawn = timed(
                "counts and their calibrations",
                lambda s=state, c=cells, k=told: module.draw_counts(s, c, noise, k),
            )
        timed("sparse matrix", lambda d=drawn: sp.csr_matrix(d.numpy().astype(np.int32)))
    # drawing counts does these two again
    spent["counts and their calibrations"] -= spent["uniform numbers"] + spent["decoder"]
    spent |= {"all, as generate() does it": whole, "all with one call": one}
    return [
        {
            "generation": part,
            "CPU ms per cell": f"{1e3 * cpu / n:.3f}",
            "of one call": f"{cpu / one:.2f}",
        }
        for part, cpu in spent.items()
    ]


def main() -> None:
    """Time what is asked for and write the tables."""
    parser = data_parser(__doc__, hvg=2000)
    parser.add_argument("--cells", type=int, help="training cells at most [all]")
    parser.add_argument("--generate", type=int, default=2048, help="cells to generate [2048]")
    parser.add_argument("--scvi-epochs", type=int, default=10, help="epochs that are timed [10]")
    parser.add_argument("--scvi-early-stopping", action="store_true", help="and run it to its end")
    parser.add_argument("--what", nargs="+", default=["train", "generate"])
    args = parser.parse_args()
    train, _ = read_split(args)
    if args.cells is not None and args.cells < train.n_obs:
        rows = np.random.default_rng(0).permutation(train.n_obs)[: args.cells]
        train = train[np.sort(rows)].copy()
    torch.set_num_threads(1)  # after all of scanpy: numba sets torch to all cores
    name = f"{args.data.stem}_{train.n_vars}"
    if "train" in args.what:
        rows = training(train, args.labels, args.scvi_epochs, args.scvi_early_stopping)
        write(f"times_training_{name}", rows)
    if "generate" in args.what:
        scvi.settings.seed = 0
        scdit.SCDiT.setup_anndata(train, labels_key=args.labels)
        model = scdit.SCDiT(train)
        # what the denoiser has learnt does not matter to its speed
        model.train(max_epochs={"denoiser": 1}, silent=True)
        write(f"times_generation_{name}", generation(model, args.generate))


if __name__ == "__main__":
    main()
