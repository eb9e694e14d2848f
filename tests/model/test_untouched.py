"""No public call changes what the user has."""

import numpy as np
import pytest

from scdit import SCDiT


@pytest.fixture(scope="module")
def registered(make_adata):
    """A model of dense, Fortran-ordered counts in a layer, with numbers and unordered genes."""
    adata = make_adata()
    adata.layers["counts"] = np.asfortranarray(adata.X.toarray())
    adata.X = adata.X.log1p()
    adata.obs["age"] = np.linspace(20, 80, adata.n_obs)
    adata.var["symbol"] = [f"s{i}" for i in range(adata.n_vars)]
    adata.uns["mine"] = {"a": 1}
    adata.obsm["pca"] = np.ones((adata.n_obs, 2))
    SCDiT.setup_anndata(
        adata,
        layer="counts",
        labels_key="cell_type",
        batch_key="batch",
        continuous_covariate_keys=["age"],
    )
    model = SCDiT(adata, n_hidden=8, width=8, n_heads=2, n_latent=2)
    model.train(max_epochs=1, silent=True)
    return model


def snapshot(adata):
    """All that an AnnData holds, byte by byte."""
    counts = adata.layers["counts"]
    return (
        adata.X.data.tobytes(), adata.X.indices.tobytes(), counts.tobytes("A"), counts.strides,
        adata.obs.to_json(), adata.var.to_json(), str(adata.obs.dtypes.to_dict()),
        str(sorted(adata.uns)), str(adata.uns["mine"]), adata.obsm["pca"].tobytes(),
        list(adata.layers), list(adata.obsm), adata.is_view,
    )  # fmt: skip


CALLS = {
    "train": lambda m, a, p: m.train(max_epochs=1, silent=True),
    "generate": lambda m, a, p: m.generate(like=a, n_steps=1, silent=True),
    "conditions": lambda m, a, p: m.generate(
        conditions=a.obs[["cell_type"]].reset_index(drop=True), n_steps=1, silent=True
    ),
    "interpolate": lambda m, a, p: m.interpolate(a, [0, 1, 2], n=3, steps=2, silent=True),
    "denoising_path": lambda m, a, p: m.denoising_path(5, n_steps=6),
    "latent": lambda m, a, p: m.get_latent_representation(a),
    "expression": lambda m, a, p: m.get_normalized_expression(a, transform_batch="one"),
    "predictive": lambda m, a, p: m.posterior_predictive_sample(a),
    "parameters": lambda m, a, p: m.get_likelihood_parameters(a),
    "elbo": lambda m, a, p: m.get_elbo(a),
    "error": lambda m, a, p: m.get_reconstruction_error(a),
    "differential": lambda m, a, p: m.differential_expression(groupby="cell_type", group1="B"),
    "save": lambda m, a, p: m.save(str(p / "m"), save_anndata=True, overwrite=True),
    "load": lambda m, a, p: (m.save(str(p / "l")), SCDiT.load(str(p / "l"), adata=a)),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_users_object(registered, call, tmp_path):
    adata = registered.adata
    before = snapshot(adata)
    CALLS[call](registered, adata, tmp_path)
    assert snapshot(adata) == before
