"""Cells of a type under a condition in which it was never measured, against real ones.

Each type in turn is left out of the training in one condition. Cells of that type and condition are
generated, and real control cells of the type are translated; the effects of the condition are compared
with the real ones by ``scdit.tl.evaluate_effects``. Beside them stand real cells (the floor), latent
arithmetic in the space of the same model (scGen, Lotfollahi et al. 2019), the mean response of the other
types and the additive model.

    python benchmarks/unseen.py --data kang_ifnb.h5ad --control ctrl --value stim

All real cells of a combination that was left out are judged with. Control cells are all of the type, too: four
in five were trained on, whose chance then agrees with that of the generated cells and not with the true effect,
so that values are too low if anything. The MMD is taken in 30 principal components of the training cells.
"""

import argparse
import warnings
from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd
from arguments import condition_parser, read_conditions
from models import decode, fit
from records import write
from sklearn.decomposition import PCA

import scdit

N_PCS, MOST = 30, 1_500  # cells of a side of the MMD
MEASURES = {"slope": "lfc_slope", "r": "lfc_r"}


def log_expression(adata: ad.AnnData) -> np.ndarray:
    """Log1p of counts per 10,000, dense (cells, genes)."""
    counts = adata.X.toarray().astype(np.float64)
    return np.log1p(1e4 * counts / np.maximum(counts.sum(1, keepdims=True), 1))


class Held:
    """A type whose cells of one condition were not trained on.

    Parameters
    ----------
    train, test
        Cells of all types and conditions.
    label
        The type.
    args
        Of the command line.
    """

    def __init__(self, train: ad.AnnData, test: ad.AnnData, label: str, args: argparse.Namespace):
        def rows(adata: ad.AnnData, value: str) -> np.ndarray:
            return (
                adata.obs[args.labels].eq(label) & adata.obs[args.condition].eq(value)
            ).to_numpy()

        self.label, self.args = label, args
        self.known = train[~rows(train, args.value)].copy()
        everything = ad.concat([train, test])
        self.real = everything[rows(everything, args.value)].copy()
        self.control = everything[rows(everything, args.control)].copy()
        self.source = np.flatnonzero(rows(self.known, args.control))
        self.pca = PCA(N_PCS, random_state=0).fit(log_expression(self.known))

    def effects(self, cells: ad.AnnData) -> pd.DataFrame:
        """Measures (rows) of the predicted effect, and those of floor and baselines."""
        table = scdit.tl.evaluate_effects(
            ad.concat([self.real, self.control]), cells, reference=self.known,
            condition_key=self.args.condition, control=self.args.control, condition=self.args.value,
            labels_key=self.args.labels, metrics=list(MEASURES.values()),
        )  # fmt: skip
        return table[table["group"] == self.label].set_index("metric")

    def mmd(self, expression: np.ndarray, real: np.ndarray | None = None) -> float:
        """Of log expression (cells, genes) from that of the real cells, times 1,000."""
        real = log_expression(self.real) if real is None else real
        some = (np.random.default_rng(0).permutation(x)[:MOST] for x in (real, expression))
        return 1000 * scdit.tl.mmd(*(self.pca.transform(x) for x in some))


def named(cells: ad.AnnData, held: Held) -> ad.AnnData:
    """Cells with the names that the left-out combination has."""
    cells.obs[held.args.labels], cells.obs[held.args.condition] = held.label, held.args.value
    return cells


def latent_arithmetic(model: scdit.SCDiT, held: Held) -> ad.AnnData:
    """Control cells of the type, moved by the mean of the latent shifts of all other types."""
    latent = model.get_latent_representation()
    column = held.known.obs[held.args.labels]
    is_value = held.known.obs[held.args.condition].eq(held.args.value)
    is_control = held.known.obs[held.args.condition].eq(held.args.control)
    shifts = [
        latent[(column.eq(other) & is_value).to_numpy()].mean(0)
        - latent[(column.eq(other) & is_control).to_numpy()].mean(0)
        for other in column.unique()
        if (column.eq(other) & is_value).any() and (column.eq(other) & is_control).any()
    ]
    moved = latent[held.source] + np.mean(shifts, axis=0)
    return named(decode(model, moved, model.adata.X[held.source].sum(1).A1), held)


def mean_effect(held: Held) -> np.ndarray:
    """Unweighted mean effect on the other types of the training cells, (genes,)."""
    obs = held.known.obs
    return np.mean(
        [
            log_expression(held.known[(of_type & obs[held.args.condition].eq(held.args.value)).to_numpy()]).mean(0)
            - log_expression(held.known[(of_type & obs[held.args.condition].eq(held.args.control)).to_numpy()]).mean(0)
            for other in obs[held.args.labels].unique()
            for of_type in [obs[held.args.labels].eq(other)]
            if other != held.label and (of_type & obs[held.args.condition].eq(held.args.value)).any()
        ],
        axis=0,
    )  # fmt: skip


def measure(model: scdit.SCDiT, held: Held, draws: int) -> dict[str, Mapping[str, float]]:
    """Values of each measure, by what was predicted with."""
    args, n = held.args, held.real.n_obs
    wish = {"covariates": {args.condition: args.value}, "silent": True}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no training cell has")
        made = {
            "generated": [
                model.generate(n, labels=held.label, rng=i, **wish) for i in range(draws)
            ],
            "translated": [
                model.translate(indices=held.source, rng=i, **wish) for i in range(draws)
            ],
            "latent arithmetic": [latent_arithmetic(model, held)],
        }
    tables = {name: [held.effects(cells) for cells in each] for name, each in made.items()}
    found: dict[str, dict[str, float]] = {}
    for measure, metric in MEASURES.items():
        first = tables["generated"][0].loc[metric]
        found[measure] = {
            "floor": first["floor"],
            **{k: float(np.mean([t.loc[metric, "value"] for t in v])) for k, v in tables.items()},
            "mean response": first["mean_response"],
            "additive": first["additive"],
        }
    half, rest = np.array_split(np.random.default_rng(0).permutation(log_expression(held.real)), 2)
    control = log_expression(held.known[held.source])
    found["mmd"] = {
        "floor": held.mmd(half, rest),
        **{k: float(np.mean([held.mmd(log_expression(c)) for c in v])) for k, v in made.items()},
        "mean response": held.mmd(np.maximum(control + mean_effect(held), 0)),
        "no effect": held.mmd(control),
    }
    return found


def main() -> None:
    """Train what is missing, measure, and write the tables."""
    parser = condition_parser(__doc__)
    parser.add_argument("--types", nargs="*", help="types to leave out in turn [all]")
    parser.add_argument("--also", nargs="*", default=[], help="further columns of conditions")
    parser.add_argument("--draws", type=int, default=2, help="of generated cells [2]")
    args = parser.parse_args()

    train, test = read_conditions(args)
    setup = {
        "labels_key": args.labels,
        "categorical_covariate_keys": [args.condition, *args.also],
    }
    name = args.data.stem.split("_")[0]
    rows: dict[str, list[dict]] = {}
    for label in args.types or sorted(train.obs[args.labels].astype(str).unique()):
        held = Held(train, test, label, args)
        kept = f"{name}_{label.replace(' ', '_').replace('+', '')}"
        model = fit(held.known, args.models, kept, **setup)
        for measure_name, values in measure(model, held, args.draws).items():
            rows.setdefault(measure_name, []).append({"type left out": label, **values})
            print(label, measure_name, values, flush=True)
    for measure_name, found in rows.items():
        median = pd.DataFrame(found).median(numeric_only=True).to_dict()
        write(
            f"unseen_{name}_{measure_name}",
            [*found, {"type left out": "median", **median}],
            digits=0 if measure_name == "mmd" else 2,
        )


if __name__ == "__main__":
    main()
