"""Does a path from one type to another go through the types that lie between them in real cells?

A classifier of real training cells names the cells along the path, and the distance to their nearest
training cells says whether there are such cells at all. Beside :meth:`scdit.SCDiT.interpolate` stand a
straight line in latent space, and at each weight a mixture of cells of the two ends.

    python benchmarks/interpolation.py --data paul15.h5ad --chain 7MEP 6Ery 5Ery 4Ery 3Ery 2Ery 1Ery
"""

from pathlib import Path

import anndata as ad
import numpy as np
from arguments import data_parser, read_split
from fragments import FIGURES
from models import decode, fit
from records import write
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from unseen import log_expression

import scdit

N_PATHS, N_STEPS = 100, 11
N_GENES, N_PCS, N_NEIGHBORS = 2000, 30, 5


class Judge:
    """Types of cells and their distance to real ones, from training cells and held-out ones."""

    def __init__(self, train: ad.AnnData, test: ad.AnnData, labels_key: str, chain: list[str]):
        x = log_expression(train)
        self.genes = np.argsort(-x.var(0) / (x.mean(0) + 0.01))[:N_GENES]
        self.pca = PCA(N_PCS, random_state=0).fit(x[:, self.genes])
        points = self.pca.transform(x[:, self.genes])
        self.classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        self.classifier.fit(points, train.obs[labels_key].astype(str))
        self.neighbors = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(points)
        self.usual, self.chain = np.median(self._distance(self._project(test))), chain
        self.accuracy = self.classifier.score(
            self._project(test), test.obs[labels_key].astype(str)
        )

    def _project(self, cells: ad.AnnData) -> np.ndarray:
        return self.pca.transform(log_expression(cells)[:, self.genes])

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return self.neighbors.kneighbors(points)[0].mean(1)

    def __call__(self, row: str, cells: ad.AnnData, weight: np.ndarray) -> tuple[dict, np.ndarray]:
        """One row of the table, and the share of each type of the chain at each weight."""
        points = self._project(cells)
        types = self.classifier.predict(points)
        inner = (weight > 0) & (weight < 1)
        between = np.isin(types, self.chain[1:-1])
        on_chain = np.isin(types, self.chain)
        place = np.array([self.chain.index(t) if t in self.chain else -1 for t in types])
        distance = self._distance(points) / self.usual
        shares = np.array(
            [[np.mean(types[weight == w] == t) for t in self.chain] for w in np.unique(weight)]
        )
        return {
            "path": row,
            "on the chain": float(on_chain[inner].mean()),
            "between its ends": float(between[inner].mean()),
            "types passed": int((shares[:, 1:-1].max(0) >= 0.1).sum()),
            "order (Spearman)": float(spearmanr(weight[on_chain], place[on_chain])[0]),
            "farthest from real cells": float(
                max(np.median(distance[weight == w]) for w in np.unique(weight))
            ),
        }, shares


def straight(model: scdit.SCDiT, a: np.ndarray, b: np.ndarray) -> tuple[ad.AnnData, np.ndarray]:
    """Cells on straight lines between the latent states of training cells `a` and `b`."""
    rng = np.random.default_rng(0)
    log_library = np.log(model.adata.X.sum(1).A1)
    ends = [
        np.column_stack([model.get_latent_representation(indices=i), log_library[i]])
        for i in (rng.choice(a, N_PATHS), rng.choice(b, N_PATHS))
    ]
    weight = np.repeat(np.linspace(0, 1, N_STEPS), N_PATHS)
    states = (1 - weight)[:, None] * np.tile(ends[0], (N_STEPS, 1))
    states += weight[:, None] * np.tile(ends[1], (N_STEPS, 1))
    return decode(model, states[:, :-1], np.exp(states[:, -1])), weight


def mixture(model: scdit.SCDiT, a: np.ndarray, b: np.ndarray) -> tuple[ad.AnnData, np.ndarray]:
    """At each weight training cells of `b` with this probability, else of `a`."""
    rng, weight = np.random.default_rng(0), np.repeat(np.linspace(0, 1, N_STEPS), N_PATHS)
    chosen = np.where(
        rng.random(len(weight)) < weight, rng.choice(b, len(weight)), rng.choice(a, len(weight))
    )
    return model.adata[chosen], weight


def draw(shares: np.ndarray, chain: list[str], path: Path) -> None:
    """The share of each type of the chain along the path, as a figure."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 2.8), layout="constrained")
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(chain)))
    for share, label, color in zip(shares.T, chain, colors, strict=True):
        axes.plot(np.linspace(0, 1, len(shares)), share, label=label, color=color, marker=".")
    axes.set(xlabel="weight", ylabel="share of cells", xlim=(0, 1), ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train what is missing, measure, and write table and figure."""
    parser = data_parser(__doc__)
    parser.add_argument("--chain", nargs="+", required=True, help="labels in their real order")
    parser.add_argument("--name", help="of the results [that of the file]")
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    args = parser.parse_args()

    name = args.name or args.data.stem
    train, test = read_split(args)
    model = fit(train, args.models, args.data.stem, labels_key=args.labels)
    judge = Judge(train, test, args.labels, args.chain)
    print(f"accuracy of the classifier on held-out cells: {judge.accuracy:.3f}")
    labels = train.obs[args.labels].astype(str).to_numpy()
    a, b = (np.flatnonzero(labels == args.chain[i]) for i in (0, -1))

    ends = ({args.labels: args.chain[i]} for i in (0, -1))
    settings = {"n": N_PATHS, "steps": N_STEPS, "rng": 0, "silent": True}
    between_conditions = model.interpolate(*ends, **settings)
    between_cells = model.interpolate(a, b, **settings)
    weight = between_cells.obs["scdit_weight"].to_numpy()
    row, shares = judge("interpolate, conditions", between_conditions, weight)
    rows = [
        row,
        judge("interpolate, cells", between_cells, weight)[0],
        judge("straight line in latent space", *straight(model, a, b))[0],
        judge("mixture of the ends", *mixture(model, a, b))[0],
    ]
    write(f"interpolation_{name}", rows)
    draw(shares, args.chain, FIGURES / f"interpolation_{name}.png")


if __name__ == "__main__":
    main()
