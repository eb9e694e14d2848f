"""What setup_anndata and the constructor accept, and what they say about the rest."""

import numpy as np
import pytest
import scipy.sparse as sp

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


@pytest.mark.parametrize("kind", ["dense", "csr", "csc", "int"])
def test_matrix_formats(adata, kind):
    adata.X = {
        "dense": lambda x: x.toarray(),
        "csr": lambda x: x,
        "csc": lambda x: x.tocsc(),
        "int": lambda x: x.astype(np.int64),
    }[kind](adata.X)
    if kind == "csc":
        with pytest.warns(UserWarning, match="formatted as CSR"):
            setup(adata)
        adata.X = adata.X.tocsr()
    else:
        setup(adata)
    model = SCDiT(adata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    assert model.generate(3, silent=True).shape == (3, adata.n_vars)


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
