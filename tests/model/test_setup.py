"""What setup_anndata and the constructor accept, and what they say about the rest."""

import numpy as np
import pytest
import scipy.sparse as sp
import scvi

from scdit import SCDiT


def setup(adata, **kwargs):
    SCDiT.setup_anndata(adata, **({"labels_key": "cell_type"} | kwargs))


def dense(adata):
    adata.X = adata.X.toarray()
    return adata


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda x: np.log1p(x), "looks like log-transformed", id="log"),
        pytest.param(lambda x: x * 30.5, "normalised data, or .*RSEM.*round", id="normalised"),
        pytest.param(lambda x: x - 1, "negative values", id="negative"),
        pytest.param(lambda x: np.where(x == 3, np.nan, x), "NaN", id="nan"),
        pytest.param(lambda x: np.where(x == 3, np.inf, x), "infinite", id="inf"),
        pytest.param(
            lambda x: x * (np.arange(len(x)) > 1)[:, None], "2 cells .* no counts", id="empty"
        ),
    ],
)
@pytest.mark.parametrize("sparse", [True, False])
def test_bad_counts(adata, spoil, message, sparse):
    x = spoil(adata.X.toarray())
    adata.X = sp.csr_matrix(x) if sparse else x
    with pytest.raises(ValueError, match=message):
        setup(adata)
    assert "_scvi_labels" not in adata.obs  # nothing was written


def test_says_where_the_counts_are(adata):
    adata.layers["raw_counts"] = adata.X.copy()
    adata.X = np.log1p(adata.X.toarray())
    with pytest.raises(ValueError, match=r"adata\.X .* layer='raw_counts' looks like counts"):
        setup(adata)
    setup(adata, layer="raw_counts")
    adata.layers["log"] = adata.X
    with pytest.raises(ValueError, match=r"adata\.layers\['log'\] .* layer='raw_counts'"):
        setup(adata, layer="log")


def with_duplicates(x):
    """The same matrix with every entry stored as two halves of it, or as itself and a zero."""
    coo = x.tocoo()
    half = coo.data // 2
    rows, columns = np.tile(coo.row, 2), np.tile(coo.col, 2)
    stored = sp.csr_matrix(x.shape, dtype=x.dtype)
    order = np.argsort(rows, kind="stable")
    stored.data = np.concatenate([half, coo.data - half])[order]
    stored.indices = columns[order].astype(np.int32)
    stored.indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=x.shape[0]))])
    assert not stored.has_canonical_format
    return stored


FORMATS = {
    "dense": lambda x: x.toarray(),
    "fortran": lambda x: np.asfortranarray(x.toarray()),
    "strided": lambda x: np.repeat(x.toarray(), 2, axis=1)[:, ::2],
    "half": lambda x: x.toarray().astype(np.float16),
    "longdouble": lambda x: x.toarray().astype(np.longdouble),
    "csr": lambda x: x,
    "csc": lambda x: x.tocsc(),
    "csr_array": lambda x: sp.csr_array(x),
    "csc_array": lambda x: sp.csc_array(x),
    "int": lambda x: x.astype(np.int64),
    "uint8": lambda x: x.minimum(200).astype(np.uint8),
    "duplicates": with_duplicates,
}


def snapshot(x):
    """All that is stored of a matrix."""
    if sp.issparse(x):
        return type(x), x.data.tobytes(), x.indices.tobytes(), x.indptr.tobytes()
    return type(x), x.flags.c_contiguous, x.strides, x.dtype, x.tobytes()


@pytest.fixture(scope="module")
def from_csr(make_adata):
    """Cells of a model of the plain matrix."""
    return cells(make_adata())


def cells(adata):
    setup(adata)
    scvi.settings.seed = 0
    model = SCDiT(adata, n_hidden=8, width=8, n_heads=2, n_latent=2)
    model.train(max_epochs=1, silent=True)
    latent = model.get_latent_representation()
    return model.generate(50, n_steps=2, rng=0, silent=True).X, latent


@pytest.mark.parametrize("kind", FORMATS)
def test_matrix_formats(adata, kind, from_csr):
    """However counts are stored, the model is the same, and they stay as they are."""
    adata.X = FORMATS[kind](adata.X)
    before = snapshot(adata.X)
    counts, latent = cells(adata)
    assert snapshot(adata.X) == before
    assert (counts != from_csr[0]).nnz == 0
    np.testing.assert_allclose(latent, from_csr[1], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: x.astype(object), "matrix of type object"),
        (lambda x: np.ma.masked_array(x, x == 0), "masked array"),
        (lambda x: x + 1j, "matrix of type complex64"),
    ],
)
def test_matrices_that_are_none(adata, make, message):
    adata.layers["x"] = adata.X.toarray()
    adata.layers._data["x"] = make(adata.layers["x"])  # anndata itself refuses some
    with pytest.raises(TypeError, match=message):
        setup(adata, layer="x")


def test_missing_column_and_layer(adata):
    with pytest.raises(KeyError, match="did you mean 'cell_type'"):
        setup(adata, labels_key="cell_typ")
    with pytest.raises(KeyError, match="layer 'counts' is not in adata.layers"):
        setup(adata, layer="counts")


def test_missing_labels(adata):
    adata.obs.loc[adata.obs_names[:3], "cell_type"] = np.nan
    with pytest.raises(ValueError, match="3 of 120 cells have no value"):
        setup(adata)


def test_a_column_twice(adata):
    with pytest.raises(ValueError, match="more than one condition"):
        setup(adata, batch_key="cell_type")


def test_views_and_unregistered(adata, make_adata):
    with pytest.raises(ValueError, match="view"):
        setup(adata[:50])
    with pytest.raises(ValueError, match="setup"):
        SCDiT(make_adata())


def test_no_genes_or_cells(adata):
    with pytest.raises(ValueError, match="0 cells"):
        setup(adata[[]].copy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_latent": 2.5}, "n_latent must be a positive integer"),
        ({"n_latent": 41}, "n_latent must be a positive integer and at most 40"),
        ({"n_hidden": "8"}, "n_hidden must be"),
        ({"n_tokens": True}, "n_tokens must be"),
        ({"depth": 2.5}, "depth must be"),
        ({"mlp_ratio": np.nan}, "mlp_ratio must be"),
        ({"dropout_rate": 1.0}, "dropout_rate must be .* below 1"),
        ({"codec": ""}, "unknown codec ''"),
        ({"codec": ["latent"]}, "unknown codec"),
        ({"preset": "scRDiT"}, "did you mean 'scrdit'"),
        ({"condition_dropout": None}, "condition_dropout must be"),
        ({"gene_likelihood": "poisson"}, "nb, zinb"),
        ({"codec": "expression", "zero_value": 1}, "zero_value must be"),
        ({"codec": "expression", "zero_inflated": "no"}, "zero_inflated must be True or False"),
        ({"codec": "expression", "patch_size": 41}, "patch_size must be 1 to 40, got 41"),
        ({"codec": "expression", "gene_order": "name"}, "correlation, given, random"),
        ({"codec": "expression", "scaling": 1}, "gene, global, none"),
        ({"codec": "expression", "n_latent": 3}, "does not take n_latent"),
        ({"dispersion": "cell"}, "gene-cell"),
        ({"schedule": "sine"}, "cosine"),
        ({"prediction": "score"}, "eps, x0, v"),
        ({"prediction": "eps"}, "noise end of the 'cosine' schedule"),
        ({"ema_decay": 1.5}, "ema_decay"),
        ({"depth": 0}, "positive"),
        ({"width": 30, "n_heads": 4}, "multiple"),
    ],
)
def test_bad_architecture(adata, arguments, message):
    setup(adata)
    with pytest.raises(ValueError, match=message):
        SCDiT(adata, **arguments)


def test_repr_says_what_was_chosen(adata):
    setup(adata, batch_key="batch")
    text = repr(SCDiT(adata))
    for word in ("not trained", "120 cells x 40 genes", "cell_type (3)", "batch (2)", "cosine"):
        assert word in text
