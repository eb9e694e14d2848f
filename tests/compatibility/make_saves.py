"""Write the saved models that later versions have to read, with the counts they generate.

Run it with the version that is to be remembered, and never again: the saves are compared with what later versions
make of them.

    python tests/compatibility/make_saves.py tests/compatibility/0.1.0.dev0
"""

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvi

import scdit

SMALL = {"width": 16, "n_heads": 2, "depth": 1, "mlp_ratio": 1.0}
N_CELLS = 400
CALLS = {
    "ab2": {"sampler": "ab2", "n_steps": 5},
    "ddpm": {"sampler": "ddpm", "n_steps": 8},
    "guided": {"sampler": "ab2", "n_steps": 4, "guidance_scale": 2.0},
}


def embedded() -> ad.AnnData:
    """400 of the cells inside scanpy, 40 genes, with a label, a batch and a number."""
    adata = scdit.datasets.pbmc68k()
    best = np.argsort(-np.asarray(adata.X.sum(0)).ravel(), kind="stable")[:40]
    adata = adata[:400, np.sort(best)].copy()
    rng = np.random.default_rng(0)
    label = np.where(adata.obs["bulk_labels"].str.startswith("CD"), "lymphoid", "other")
    obs = {"label": label, "lane": rng.choice(["a", "b"], 400), "age": rng.uniform(20, 80, 400)}
    adata.obs = pd.DataFrame(obs, index=adata.obs_names)
    return ad.AnnData(adata.X, obs=adata.obs, var=pd.DataFrame(index=adata.var_names))


def reads() -> ad.AnnData:
    """400 cells x 30 genes of about 30 reads a molecule."""
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 2, 400)
    level = np.exp(rng.uniform(np.log(0.05), np.log(3), 30))
    molecules = rng.poisson(level * np.exp(rng.normal(0, 0.7, (2, 30)))[kind])
    molecules[:, 0] += 1
    gain = 30 * rng.gamma(1.5 * np.maximum(molecules, 1)) / 1.5
    counts = rng.poisson(gain * (molecules > 0))
    obs = pd.DataFrame({"label": np.array(["x", "y"])[kind]}, index=[f"r{i}" for i in range(400)])
    var = pd.DataFrame(index=[f"gene{i}" for i in range(30)])
    return ad.AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs, var=var)


CONDITIONS = {
    "labels_key": "label",
    "batch_key": "lane",
    "continuous_covariate_keys": ["age"],
}
MODELS = {
    "latent_nb": (embedded, CONDITIONS, {"n_hidden": 12, "n_latent": 3, "gene_likelihood": "nb"}),
    "latent_zinb": (
        reads,
        {"labels_key": "label"},
        {"n_hidden": 12, "n_latent": 3, "gene_likelihood": "zinb"},
    ),
    "expression": (embedded, {"labels_key": "label"}, {"codec": "expression", "patch_size": 10}),
    "expression_plain": (
        embedded,
        {},
        {"codec": "expression", "patch_size": 10, "zero_inflated": False},
    ),
}


def generate(name: str, model: scdit.SCDiT) -> dict[str, sp.csr_matrix]:
    """Counts (cells, genes) of each call, of which nothing is drawn but states and counts."""
    _, setup, architecture = MODELS[name]
    rng = np.random.default_rng(2)
    asked: dict[str, object] = {}
    if architecture.get("codec") == "expression":
        asked["library_size"] = np.round(np.exp(rng.normal(6, 0.4, N_CELLS)))
    if "labels_key" in setup:
        known = ["lymphoid", "other"] if name != "latent_zinb" else ["x", "y"]
        asked["labels"] = list(np.resize(known, N_CELLS))
    if "batch_key" in setup:
        asked["batch"] = list(rng.choice(["a", "b"], N_CELLS))
        asked["covariates"] = {"age": list(rng.uniform(20, 80, N_CELLS))}
    return {
        call: model.generate(n=N_CELLS, rng=3, silent=True, **asked, **settings).X
        for call, settings in CALLS.items()
    }


def main(folder: Path) -> None:
    """Train, save and generate."""
    for name, (data, setup, architecture) in MODELS.items():
        scvi.settings.seed = 0
        adata = data()
        scdit.SCDiT.setup_anndata(adata, **setup)
        model = scdit.SCDiT(adata, **architecture, **SMALL)
        model.train(max_epochs=8, silent=True)
        model.save(str(folder / name), overwrite=True)
        for call, counts in generate(name, model).items():
            sp.save_npz(folder / name / f"{call}.npz", sp.csr_matrix(counts, dtype=np.int16))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
