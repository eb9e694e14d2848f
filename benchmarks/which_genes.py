"""Which genes tell decoded from real cells? A classifier of many cells, of one trained codec.

Half of the training cells are encoded, a state of each is drawn and decoded; the other half stands for real
cells. Gradient boosted trees on log counts per 10,000 learn from seven tenths of both, and their AUC on the
rest is far more sensitive than that of the evaluation, which compares at most 1,500 cells: its genes show what
is wrong. The same states are decoded without the map of marginals, without shapes, and without any calibration.

    python benchmarks/which_genes.py --data covid_citeseq_liu.h5ad
"""

import numpy as np
import scipy.sparse as sp
import scvi
from arguments import data_parser, read_split
from fragments import pipes, write_fragment
from models import resampler
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import scdit

MIN_MEAN = 0.05  # counts per cell of the genes that are looked at
N_NAMED = 6


def told_by(
    real: np.ndarray, made: np.ndarray, genes: np.ndarray, seed: int = 1
) -> tuple[float, str]:
    """Return the AUC of real against made counts (cells, genes), and the genes of largest gain."""
    counts = np.concatenate([real, made]).astype(np.float32)
    is_made = np.repeat([0, 1], [len(real), len(made)])
    logs = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True).clip(1))
    order = np.random.default_rng(seed).permutation(len(logs))
    known, asked = np.split(order, [int(0.7 * len(order))])
    trees = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.08, max_leaf_nodes=15, max_features=0.1, random_state=0
    ).fit(logs[known], is_made[known])
    gain = np.zeros(len(genes))
    for (tree,) in trees._predictors:
        split = tree.nodes[tree.nodes["is_leaf"] == 0]
        np.add.at(gain, split["feature_idx"], split["gain"])
    auc = float(roc_auc_score(is_made[asked], trees.decision_function(logs[asked])))
    return auc, ", ".join(genes[np.argsort(-gain)[:N_NAMED]])


def main() -> None:
    """Train a codec, and write what tells its cells."""
    args = data_parser(__doc__).parse_args()
    cells, _ = read_split(args)
    counts = sp.csr_matrix(cells.X)
    seen = np.flatnonzero(np.asarray(counts.mean(axis=0)).ravel() >= MIN_MEAN)
    genes = cells.var_names.to_numpy()[seen]
    scvi.settings.seed = 0
    scdit.SCDiT.setup_anndata(cells, labels_key=args.labels)
    model = scdit.SCDiT(cells)
    model.train(max_epochs={"denoiser": 1}, silent=True)  # which is not looked at
    draw = resampler(model)
    half, other = np.array_split(np.random.default_rng(0).permutation(cells.n_obs), 2)
    real = counts[other][:, seen].toarray()

    lines = [["", "AUC", "genes of largest gain"]]

    def add(name: str, made: np.ndarray) -> None:
        auc, named = told_by(real, made, genes)
        lines.append([name, f"{auc:.3f}", named])
        print(*lines[-1], flush=True)

    rna = model.module.codec.assays["rna"]
    add("calibrated (default)", draw(half, 0)[:, seen])
    rna.quantile_map.clear()
    add("without the map", draw(half, 0)[:, seen])
    rna.shape.clear()
    add("without shapes either", draw(half, 0)[:, seen])
    rna.regions.clear()
    add("not calibrated", draw(half, 0)[:, seen])
    auc, _ = told_by(real, counts[half][:, seen].toarray(), genes)
    lines.append(["real cells", f"{auc:.3f}", ""])
    write_fragment(f"which_genes_{args.data.stem}", pipes(lines))


if __name__ == "__main__":
    main()
