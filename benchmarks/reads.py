"""What of protocols that count reads, and not molecules?

Full-length protocols without molecular barcodes count each molecule as often as it was amplified. Here the molecules of
real cells are amplified: each gene has a gain of its own, each cell another, each molecule a random one. Generators are
fitted to these reads and compared with held-out cells of reads; `scdit_nb` is scdit without extra zeros.

    python benchmarks/reads.py --data baron_human1.h5ad
    python benchmarks/reads.py --data baron_human1.h5ad --gain 3
"""

from functools import partial

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from arguments import data_parser, read_split
from fragments import pipes, write_fragment
from generators import GENERATORS, fit_scdit
from scores import mean_scores

GAIN_SD = 1.0  # over genes, of the logarithm of the reads per molecule
CELL_SD = 0.4  # of the logarithm of a cell's gain
MOLECULE_SHAPE = 1.5  # of the gamma distribution of a molecule's gain
COLUMNS = {
    "c2st_rf_pca": "RF on PCs",
    "c2st_rf_genes": "RF on genes",
    "c2st_lr_genes": "LR on genes",
    "coverage": "coverage",
    "pc_sd_ratio_within": "SD ratio within labels",
    "label_fidelity": "label fidelity",
    "marker_slope": "marker slope",
    "detected_genes_ks": "detected genes, KS",
}


def amplified(cells: AnnData, gains: pd.Series, rng: np.random.Generator) -> AnnData:
    """Return cells with a Poisson number of reads for every molecule."""
    counts = sp.coo_matrix(cells.X)
    gain = gains.loc[cells.var_names].to_numpy()[counts.col]
    gain = gain * np.exp(rng.normal(0, CELL_SD, cells.n_obs))[counts.row]
    molecules = rng.gamma(MOLECULE_SHAPE * counts.data) / MOLECULE_SHAPE
    reads = rng.poisson(molecules * gain).astype(np.float32)
    matrix = sp.csr_matrix((reads, (counts.row, counts.col)), counts.shape)
    matrix.eliminate_zeros()
    return AnnData(matrix, obs=cells.obs, var=cells.var)


def main() -> None:
    """Amplify, fit, compare, and write the table."""
    parser = data_parser(__doc__)
    fits = {**GENERATORS, "scdit_nb": partial(fit_scdit, gene_likelihood="nb")}
    names = ["scdit", "scdit_nb", "nb"]
    parser.add_argument("--generators", nargs="+", default=names, choices=fits)
    parser.add_argument("--gain", type=float, default=40, help="reads per molecule, median [40]")
    parser.add_argument("--draws", type=int, default=3, help="draws of cells per model")
    args = parser.parse_args()
    train, test = read_split(args)
    rng = np.random.default_rng(0)
    gains = pd.Series(args.gain * np.exp(rng.normal(0, GAIN_SD, train.n_vars)), train.var_names)
    train, test = (amplified(cells, gains, rng) for cells in (train, test))
    labels = test.obs[args.labels].astype(str).to_numpy()

    lines = [["reads", *COLUMNS.values()]]
    for name in args.generators:
        for row, sample in fits[name](train, args.labels, 0).samplers.items():
            scores = mean_scores(
                lambda seed, sample=sample: sample(labels, np.random.default_rng(seed)),
                args.draws, train, test, args.labels, list(COLUMNS),
            )  # fmt: skip
            if len(lines) == 1:
                lines.append(["floor (real cells)", *(f"{x:.3f}" for x in scores["floor"])])
            lines.append(
                [row if name in GENERATORS else name, *(f"{x:.3f}" for x in scores["value"])]
            )
            print(*lines[-1], flush=True)
    write_fragment(f"reads_{args.data.stem}_{args.gain:g}", pipes(lines))


if __name__ == "__main__":
    main()
