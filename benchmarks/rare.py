"""Do generated cells help a classifier to find rare types among held-out real cells?

A classifier is trained on real training cells as they are; with rare types oversampled (copies) up to a
number of cells; with weights that balance the types; and with :func:`scdit.tl.augment` up to the same
number. Principal components are those of the real training cells in all of them.

    python benchmarks/rare.py --data baron_human1.h5ad --test-fraction 0.5 --min-cells 100
    python benchmarks/rare.py --data pbmc3k.h5ad --drop-labels unassigned --min-cells 100
"""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
from arguments import data_parser, read_split
from models import fit
from records import write
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from unseen import log_expression

import scdit

N_GENES, N_PCS, N_REPEATS = 2000, 30, 3


def logistic(balance: str | None, seed: int) -> ClassifierMixin:
    """Logistic regression on standardised components."""
    return make_pipeline(
        StandardScaler(),
        LogisticRegression(max_iter=2000, class_weight=balance, random_state=seed),
    )


def forest(balance: str | None, seed: int) -> ClassifierMixin:
    """A random forest."""
    return RandomForestClassifier(200, class_weight=balance, random_state=seed)


CLASSIFIERS: dict[str, Callable] = {"logistic": logistic, "forest": forest}


def oversample(labels: np.ndarray, min_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of all cells, then of copies of rare ones up to `min_cells` of each label."""
    rows = [np.arange(len(labels))]
    for label, size in zip(*np.unique(labels, return_counts=True), strict=True):
        rows.append(rng.choice(np.flatnonzero(labels == label), max(0, min_cells - size)))
    return np.concatenate(rows)


def main() -> None:
    """Train what is missing, measure, and write the table."""
    parser = data_parser(__doc__)
    parser.add_argument("--test-fraction", type=float, default=0.2)
    parser.add_argument("--min-cells", type=int, default=100, help="labels with fewer are rare")
    parser.add_argument("--models", type=Path, help="folder in which trained models are kept")
    args = parser.parse_args()

    train, test = read_split(args, args.test_fraction)
    name = args.data.stem + ("" if args.test_fraction == 0.2 else f"_{args.test_fraction:g}")
    model = fit(train, args.models, name, labels_key=args.labels)

    x = log_expression(train)
    genes = np.argsort(-x.var(0) / (x.mean(0) + 0.01))[:N_GENES]
    pca = PCA(N_PCS, random_state=0).fit(x[:, genes])

    def project(cells: ad.AnnData) -> tuple[np.ndarray, np.ndarray]:
        points = pca.transform(log_expression(cells)[:, genes])
        return points, cells.obs[args.labels].astype(str).to_numpy()

    points, labels = project(train)
    held_out, truth = project(test)
    sizes = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    rare = [label for label, size in sizes.items() if size < args.min_cells]
    print("rare, training and test cells:", {k: (sizes[k], int((truth == k).sum())) for k in rare})

    scores: dict[tuple[str, str], list] = {}
    for seed in range(N_REPEATS):
        rows = oversample(labels, args.min_cells, np.random.default_rng(seed))
        more = scdit.tl.augment(
            train, model, min_cells=args.min_cells, labels_key=args.labels, rng=seed, silent=True
        )
        added, added_labels = project(more[more.obs["scdit_generated"]])
        ways = {
            "nothing": (points, labels, None),
            "copies": (points[rows], labels[rows], None),
            "balanced weights": (points, labels, "balanced"),
            "scdit.tl.augment": (
                np.concatenate([points, added]), np.concatenate([labels, added_labels]), None
            ),
        }  # fmt: skip
        for classifier, make in CLASSIFIERS.items():
            for way, (cells, names, balance) in ways.items():
                predicted = make(balance, seed).fit(cells, names).predict(held_out)
                scores.setdefault((classifier, way), []).append(
                    (
                        recall_score(truth, predicted, labels=rare, average="macro"),
                        f1_score(truth, predicted, labels=rare, average="macro"),
                        np.mean(predicted == truth),
                    )
                )
    names = ("recall of rare types", "F1 of rare types", "accuracy")
    write(
        f"rare_{args.data.stem}",
        [
            {"classifier": classifier, "added": way}
            | dict(zip(names, map(float, np.mean(values, axis=0)), strict=True))
            | {"SD of recall": float(np.std([v[0] for v in values]))}
            for (classifier, way), values in scores.items()
        ],
        digits=3,
    )


if __name__ == "__main__":
    main()
