"""One small trained model for all tests that only use it."""

import pytest
import scvi

from scdit import SCDiT

QUICK = {"codec": 3, "denoiser": 3}


@pytest.fixture(autouse=True, scope="session")
def _one_split():
    """The same training cells in every run; seeding torch alone leaves the split to chance."""
    scvi.settings.seed = 0


def setup(adata):
    SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    return SCDiT(adata, n_hidden=32, width=32)


@pytest.fixture(scope="session")
def trained(make_adata):
    scvi.settings.seed = 0  # the same weights, whichever tests ran before
    model = setup(make_adata())
    model.train(max_epochs=QUICK, validation_size=0.1, silent=True)
    return model
