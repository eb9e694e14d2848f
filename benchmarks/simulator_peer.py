"""Beside scdesigner, scDesign3 for Python: are cells like real ones, and are effects as large as asked for?

Both see the same training cells, their types and their condition. scdesigner has a negative binomial for each gene, whose
mean depends on type and condition, and a Gaussian copula for each type (with the Ledoit-Wolf estimate: the plain one is
not positive definite with more genes than cells). Both make cells like the test cells, which `scdit.tl.evaluate` compares,
and cells like the training cells with effects, as in simulate.py. Each is a process of its own, whose memory is measured.

    python benchmarks/simulator_peer.py --data kang_ifnb.h5ad --control ctrl --value stim --hvg 1000

Needs `pip install scdesigner`.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from arguments import condition_parser, read_conditions
from memory import peak_memory
from models import fit
from records import write
from simulate import log_ratios, pooled, random_sizes

import scdit

Draw = Callable[[pd.DataFrame, pd.Series | None, int], ad.AnnData]
METRICS = {
    "c2st_rf_genes": "RF, genes", "c2st_rf_pca": "RF, PCs", "gene_mean_error": "means",
    "gene_variance_error": "variances", "correlation_error": "correlations",
}  # fmt: skip


def main() -> None:
    """Measure both, and write the table."""
    parser = condition_parser(__doc__)
    parser.add_argument("--one", choices=list(MAKERS), help="measure this one, and print its row")
    args = parser.parse_args()
    if args.one is not None:
        torch.set_num_threads(1)
        train, test = read_conditions(args)
        print(json.dumps(measure(args.one, train, test, args)))
        return
    rows = []
    for name in MAKERS:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows += json.loads(done.stdout.strip().splitlines()[-1])
    floors = [row for row in rows if "fit, CPU s" not in row]
    rows = [floors[0], *(row for row in rows if row not in floors)]
    name = f"simulator_peer_{args.data.stem}"
    write(name, [{key: row[key] for key in ("cells", *METRICS.values())} for row in rows], 3)
    costs = ("cells", "slope of effects", "fit, CPU s", "ms/cell", "memory, GB")
    write(f"{name}_costs", [{key: row[key] for key in costs} for row in rows[1:]])


def measure(
    name: str, train: ad.AnnData, test: ad.AnnData, args: argparse.Namespace
) -> list[dict]:
    """Rows of the table: the floor, and one simulator."""
    start = time.process_time()
    draw = MAKERS[name](train, args)
    fitted = time.process_time()
    made = draw(test.obs, None, 0)
    drawn = time.process_time()
    table = scdit.tl.evaluate(
        test, made, reference=train, labels_key=args.labels, metrics=list(METRICS)
    )
    table = table[table["group"] == "all"].set_index("metric")
    before, effects = pooled(draw(train.obs, None, 1)), random_sizes(train.var_names, 0)
    after = pooled(draw(train.obs, effects, 2))
    ratio, kept = log_ratios(before, after)
    truth = effects.reindex(train.var_names)
    kept &= truth.notna().to_numpy()
    slope = np.polyfit(truth[kept], ratio[kept], 1)[0]
    costs = {
        "slope of effects": float(slope),
        "fit, CPU s": round(fitted - start),
        "ms/cell": 1e3 * (drawn - fitted) / test.n_obs,
        "memory, GB": peak_memory(),
    }
    values, floors = (
        {words: float(table.loc[key, column]) for key, words in METRICS.items()}
        for column in ("value", "floor")
    )
    return [{"cells": "floor (real cells)", **floors}, {"cells": name, **values, **costs}]


def of_scdit(train: ad.AnnData, args: argparse.Namespace) -> Draw:
    """scdit, with its defaults."""
    setup = {"labels_key": args.labels, "categorical_covariate_keys": [args.condition]}
    model = fit(train, args.models, f"{args.data.stem}_{args.hvg}_peer", **setup)

    def draw(obs: pd.DataFrame, effects: pd.Series | None, seed: int) -> ad.AnnData:
        conditions = obs[[args.labels, args.condition]]
        return model.generate(conditions=conditions, effects=effects, rng=seed, silent=True)

    return draw


def of_scdesigner(train: ad.AnnData, args: argparse.Namespace) -> Draw:
    """Negative binomials and a copula, with the defaults of the fit."""
    from scdesigner.copulas import StandardCopula
    from scdesigner.covariance import LedoitWolf
    from scdesigner.distributions import NegBin
    from scdesigner.simulators import SCD3Simulator
    from scdesigner.transform import replace_param

    cells = ad.AnnData(train.X.copy(), obs=columns(train.obs, args), var=train.var[[]])
    torch.manual_seed(0)
    fitted = SCD3Simulator(
        NegBin({"mean": "~ label * condition", "dispersion": "~ label"}),
        StandardCopula("~ label", estimator=LedoitWolf()),
    )
    fitted.fit(cells, batch_size=256)

    def draw(obs: pd.DataFrame, effects: pd.Series | None, seed: int) -> ad.AnnData:
        changed = fitted
        if effects is not None:
            mean = fitted.parameters["marginal"]["mean"].copy()
            mean.loc["Intercept", effects.index] += np.log(2) * effects.to_numpy()
            changed = replace_param(fitted, ["marginal", "mean"], mean)
        torch.manual_seed(seed)
        np.random.seed(seed)  # which it draws with
        made = changed.sample(columns(obs, args), batch_size=512)
        return ad.AnnData(sp.csr_matrix(made.X), obs=obs.copy(), var=train.var[[]])

    return draw


def columns(obs: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    """Label and condition under names that a formula can have."""
    table = {"label": obs[args.labels].astype(str), "condition": obs[args.condition].astype(str)}
    return pd.DataFrame(table, index=obs.index)


MAKERS = {"scdit": of_scdit, "scdesigner": of_scdesigner}

if __name__ == "__main__":
    main()
