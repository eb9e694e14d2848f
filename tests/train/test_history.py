"""The history of a training, whichever loggers the user has."""

import numpy as np
import pandas as pd
import pytest
from lightning.pytorch.loggers import CSVLogger

from scdit import SCDiT


def train(model, **kwargs):
    epochs = {"codec": 3, "denoiser": 2}
    model.train(max_epochs=epochs, validation_size=0.1, silent=True, **kwargs)


def make(adata):
    SCDiT.setup_anndata(adata, labels_key="cell_type")
    return SCDiT(adata, n_hidden=32, width=32)


def test_history_has_one_value_for_each_epoch_also_when_training_goes_on(adata):
    model = make(adata)
    for times in (1, 2):
        train(model)
        for phase, n in (("codec", 3), ("denoiser", 2)):
            for stage in ("train", "validation"):
                values = model.history[f"{phase}_loss_{stage}"]
                assert values.index.name == "epoch"
                assert values.index.tolist() == list(range(times * n))
                assert np.isfinite(values.to_numpy()).all()


@pytest.mark.parametrize("several", [False, True])
def test_history_beside_the_users_logger(adata, tmp_path, several):
    model, logger = make(adata), CSVLogger(tmp_path)
    for times in (1, 2):
        train(model, logger=[logger] if several else logger)
        assert len(model.history["codec_loss_train"]) == 3 * times
        assert len(model.history["denoiser_loss_validation"]) == 2 * times
    assert model.trainer.logger is logger
    # both have the same values
    written = pd.read_csv(next(tmp_path.rglob("metrics.csv")))["codec_loss_train"].dropna()
    np.testing.assert_allclose(
        written.to_numpy()[:3], model.history["codec_loss_train"].to_numpy().ravel()[:3]
    )


def test_history_without_any_logger(adata):
    model = make(adata)
    train(model, logger=False)
    assert len(model.history["codec_loss_train"]) == 3
