"""What does a cell cost: the default model at 10 network calls, beside the paper's network at 100?

Both generate whole cells - sampling, decoding, counts - on one thread, one after the other, in single and
in bfloat16 precision; times are CPU time. What the denoisers have learnt does not matter to their speed, so both
are trained for one pass, the paper's over a few cells. What the codec draws does, and it is trained to the end.

    python benchmarks/speed.py --data pbmc3k.h5ad --labels cell_type
"""

import json
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from arguments import data_parser, read_split
from trial import describe_machine, describe_versions

import scdit

ROOT = Path(__file__).parents[1]
# arguments of the model, training cells, how and how many cells are generated
MODELS = {
    "scdit, default": ({}, None, {"sampler": "ab2", "n_steps": 10}, 4096),
    "DiT of the paper's size": ({"preset": "scrdit"}, 64, {"sampler": "ddim", "n_steps": 100}, 16),
}
PRECISIONS = {"float32": nullcontext, "bfloat16": lambda: torch.autocast("cpu", torch.bfloat16)}


def main() -> None:
    """Time both models in both precisions and print the ratios."""
    parser = data_parser(__doc__, hvg=2000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "speed.json")
    parser.add_argument(
        "--precisions", nargs="+", default=list(PRECISIONS), choices=list(PRECISIONS),
        help="bfloat16 is slow on processors without instructions for it",
    )  # fmt: skip
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells, _ = read_split(args)
    results: dict = {"machine": describe_machine(), "versions": describe_versions(), "ms": {}}
    for name, (architecture, n_train, sampling, n) in MODELS.items():
        train = cells[:n_train].copy()
        scdit.SCDiT.setup_anndata(train)
        model = scdit.SCDiT(train, **architecture)
        model.train(max_epochs={"denoiser": 1}, silent=True)
        model.generate(2, n_steps=1, silent=True)  # warms up
        for precision in args.precisions:
            with PRECISIONS[precision]():
                start = time.process_time()
                model.generate(n, **sampling, rng=0, silent=True)
                milliseconds = 1e3 * (time.process_time() - start) / n
            results["ms"].setdefault(precision, {})[name] = round(milliseconds, 4)
            print(f"{name}, {precision}: {milliseconds:.3f} ms of CPU time per cell", flush=True)
    for precision, (ours, theirs) in ((p, list(v.values())) for p, v in results["ms"].items()):
        print(f"{precision}: the ratio is {theirs / ours:,.0f}")
    args.out.write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
