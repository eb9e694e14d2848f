"""Do generated cells keep an effect that is weaker than the noise of one cell?

Simulated cells of two labels differ in 10 of 40 genes, while a stronger programme of 15 others varies within
both. The model is trained with the conditions in the prior of its codec and in its decoder, as by default, with one
of both, and with neither.
The slope of generated on simulated log fold changes of the 10 genes is 1 where nothing is lost, 0 where all is.

    python benchmarks/weak_effect.py
"""

import anndata as ad
import numpy as np
import scvi
from fragments import pipes, write_fragment
from models import no_effects, replacing, standard_normal_prior

import scdit

N_CELLS, N_GENES, DEPTH = 800, 40, 30
AFFECTED, PROGRAMME = slice(0, 10), slice(10, 25)
EFFECTS = (0.25, 0.5, 1.0)
_PRIOR = {"scdit.codec._latent.ConditionPrior": standard_normal_prior}
_DECODER = {"scdit.codec.rna._assay.ConditionTerms": no_effects}
# what is replaced by what in the package
TOLD = {
    "neither": _PRIOR | _DECODER,
    "the prior": _DECODER,
    "the decoder": _PRIOR,
    "both (default)": {},
}
FAST = {"lr": 3e-3}


def simulate(effect: float) -> ad.AnnData:
    """Return cells of two labels; the log of 10 genes differs by `effect`, up or down."""
    rng = np.random.default_rng(0)
    log = np.repeat(np.log(rng.gamma(2, size=(1, N_GENES))), 2, axis=0)
    log[1, AFFECTED] += effect * rng.choice([-1, 1], 10)
    label = rng.integers(2, size=N_CELLS)
    weights = np.exp(log)[label]
    weights[:, PROGRAMME] *= rng.lognormal(0, 0.4, (N_CELLS, 1))
    depth = rng.lognormal(np.log(DEPTH), 0.3, (N_CELLS, 1))
    adata = ad.AnnData(
        rng.poisson(depth * weights / weights.sum(1, keepdims=True)).astype(np.float32)
    )
    adata.obs["label"] = np.where(label, "B", "A")
    return adata[adata.X.sum(1) > 0].copy()


def changes(cells: ad.AnnData) -> np.ndarray:
    """Return log fold changes of the affected genes from label A to B."""
    a, b = (np.asarray(cells[cells.obs["label"] == k].X.mean(0)).ravel() for k in "AB")
    return np.log(b / a)[AFFECTED]


def slope(effect: float, replaced: dict[str, object], seed: int) -> float:
    """Train, generate, and return the slope of generated on simulated log fold changes."""
    scvi.settings.seed = seed
    adata = simulate(effect)
    scdit.SCDiT.setup_anndata(adata, labels_key="label")
    with replacing(replaced):
        model = scdit.SCDiT(adata, n_latent=2, n_hidden=32, width=32)
    model.train(max_epochs=60, plan_kwargs={"codec": FAST, "denoiser": FAST}, silent=True)
    new = model.generate(labels={"A": 4000, "B": 4000}, rng=seed, silent=True)
    real = changes(adata)
    return float(changes(new) @ real / (real @ real))


def main() -> None:
    """Two trainings for every effect and variant, and the table."""
    lines = [["what is told the conditions", *(f"effect {effect:g}" for effect in EFFECTS)]]
    for name, replaced in TOLD.items():
        slopes = [[slope(effect, replaced, seed) for seed in (0, 1)] for effect in EFFECTS]
        lines.append([name, *(f"{one:.2f}, {two:.2f}" for one, two in slopes)])
        print(*lines[-1], flush=True)
    write_fragment("weak_effect", pipes(lines))


if __name__ == "__main__":
    main()
