"""How far from the exact flow does each sampler end? One trained model per data set.

The flow from the same noise is followed with 100 steps of ab2, and with few calls of each sampler. The table has
the root mean square distance of the standardised states, mean over data sets, and the mean ratio of their standard
deviations; with and without guidance.

    python benchmarks/steps.py --data pbmc3k.h5ad paul15.h5ad --labels cell_type --drop-labels unassigned
"""

import numpy as np
import torch
from arguments import files_parser, read_splits
from models import fit
from records import write

import scdit
from scdit.diffusion import KeyedNoise, time_grid

SETTINGS = (
    ("ab2", "uniform"), ("ab2", "power"), ("ab3", "uniform"), ("ab3", "power"),
    ("dpmpp_2m", "uniform"), ("ddim", "uniform"),
)  # fmt: skip


def distances(model: scdit.SCDiT, calls: list[int], guidance: float, n: int) -> dict:
    """Distance and ratio of standard deviations, by sampler, spacing and number of calls."""
    module = model.module.eval()
    rows = np.random.default_rng(0).integers(0, len(model.composition_["library_size"]), n)
    codes = {
        name: torch.as_tensor(np.asarray(code)[rows]).long()
        for name, code in model.composition_["codes"].items()
    }

    def end(sampler: str, spacing: str, n_steps: int) -> torch.Tensor:
        times = time_grid(n_steps, module.schedule, spacing)
        path = module.path(
            codes, range(n), KeyedNoise(0), times, sampler=sampler, guidance_scale=guidance
        )
        for state in path:
            last = state
        return last

    exact = end("ab2", "uniform", 100)
    found = {}
    for sampler, spacing in SETTINGS:
        for n_calls in calls:
            state = end(sampler, spacing, n_calls)
            distance = (state - exact).pow(2).mean().sqrt().item()
            ratio = (state.std(0) / exact.std(0)).mean().item()
            found[sampler, spacing, n_calls] = distance, ratio
    return found


def main() -> None:
    """Train what is missing, measure, and write the table."""
    parser = files_parser(__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[5, 6, 8, 20])
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--cells", type=int, default=1000, help="cells to generate [1000]")
    args = parser.parse_args()

    found: dict[float, list[dict]] = {guidance: [] for guidance in args.guidance}
    for name, (train, _) in read_splits(args):
        torch.set_num_threads(1)
        model = fit(train, args.models, f"steps_{name}", labels_key=args.labels)
        for guidance, each in found.items():
            each.append(distances(model, args.calls, guidance, args.cells))
    rows = []
    for sampler, spacing in SETTINGS:
        for guidance, each in found.items():
            row: dict = {"sampler": sampler, "spacing": spacing, "guidance": guidance}
            for n_calls in args.calls:
                distance, ratio = np.mean([f[sampler, spacing, n_calls] for f in each], axis=0)
                row[f"{n_calls} calls"] = f"{distance:.3f} / {ratio:.3f}"
            rows.append(row)
    write("steps", rows, digits=0)


if __name__ == "__main__":
    main()
