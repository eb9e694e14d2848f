"""A training that is cut goes on from its checkpoint, and from nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scvi
import torch
from lightning.pytorch import Callback

from scdit import SCDiT
from scdit.train import _checkpoints, read_checkpoint

EPOCHS = {"codec": 4, "denoiser": 3}


def make(adata, **kwargs):
    scvi.settings.seed = 0
    SCDiT.setup_anndata(adata, labels_key="cell_type")
    return SCDiT(adata, n_hidden=16, width=16, n_heads=2, **kwargs)


def train(model, **kwargs):
    scvi.settings.seed = 0
    model.train(**{"max_epochs": EPOCHS, "validation_size": 0.1, "silent": True} | kwargs)


def weights(model):
    return torch.cat([p.double().ravel() for p in model.module.state_dict().values()])


class Cut(Callback):
    """Ends a training as a failing machine does, after so many steps of a phase."""

    def __init__(self, phase, step):
        self.phase, self.step = phase, step

    def on_train_batch_end(self, trainer, plan, *_):
        if plan.phase == self.phase and trainer.global_step == self.step:
            raise OSError("the machine fails")


@pytest.fixture
def often(monkeypatch):
    """A checkpoint after each step."""
    monkeypatch.setattr(_checkpoints, "_SECONDS", 0.0)


@pytest.fixture(scope="module")
def whole(make_adata, tmp_path_factory):
    """A training that nothing cuts, and the folder of its checkpoints."""
    folder = tmp_path_factory.mktemp("whole")
    model = make(make_adata())
    train(model, checkpoint_dir=folder)
    return model, folder


def test_checkpoints_change_nothing(adata, whole):
    model = make(adata)
    train(model)
    assert torch.equal(weights(model), weights(whole[0]))
    assert sorted(p.name for p in whole[1].iterdir()) == ["codec.ckpt", "denoiser.ckpt"]


@pytest.mark.parametrize("phase", ["codec", "denoiser"])
def test_from_the_beginning_of_a_phase_it_is_the_same_training(adata, tmp_path, whole, phase):
    """The state of everything is in the checkpoint, random numbers too."""
    model = make(adata)
    with pytest.raises(OSError, match="machine"):
        train(model, checkpoint_dir=tmp_path, callbacks=[Cut(phase, 1)])
    assert not model.is_trained_
    again = make(adata)
    torch.manual_seed(99)
    scvi.settings.seed = None
    again.train(max_epochs=EPOCHS, validation_size=0.1, silent=True, resume_from=tmp_path)
    assert torch.equal(weights(again), weights(whole[0]))
    for name, table in whole[0].history.items():
        np.testing.assert_array_equal(again.history[name], table, err_msg=name)
        assert again.history[name].index.equals(table.index)
    np.testing.assert_array_equal(again.train_indices, whole[0].train_indices)
    assert (
        again.generate(9, rng=0, silent=True).X != whole[0].generate(9, rng=0, silent=True).X
    ).nnz == 0


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(("phase", "step"), [("codec", 5), ("denoiser", 2)])
def test_in_the_middle_optimiser_schedule_and_average_go_on(adata, tmp_path, phase, step):
    with pytest.raises(OSError, match="machine"):
        train(make(adata), checkpoint_dir=tmp_path, callbacks=[Cut(phase, step + 1)])
    saved = read_checkpoint(tmp_path)
    assert (saved["scdit"]["phase"], saved["global_step"]) == (phase, step)
    seen = {}

    class First(Callback):
        def on_train_batch_start(self, trainer, plan, *_):
            if plan.phase == phase and not seen:
                optimizer = trainer.optimizers[0]
                seen["step"] = trainer.global_step
                seen["lr"] = optimizer.param_groups[0]["lr"]
                seen["moment"] = next(iter(optimizer.state.values()))["exp_avg"].clone()
                seen["averaged"] = int(plan.module.ema.n_averaged)
                seen["weights"] = {k: v.clone() for k, v in plan.state_dict().items()}

    model = make(adata)
    train(model, resume_from=tmp_path / f"{phase}.ckpt", callbacks=[First()])
    assert seen["step"] == step
    assert seen["lr"] == saved["optimizer_states"][0]["param_groups"][0]["lr"]
    assert torch.equal(seen["moment"], saved["optimizer_states"][0]["state"][0]["exp_avg"])
    assert seen["averaged"] == (step if phase == "denoiser" else 0)
    for name, value in saved["state_dict"].items():
        assert torch.equal(seen["weights"][name], value), name
    assert model.is_trained_
    assert len(model.history["codec_loss_train"]) == EPOCHS["codec"]
    assert len(model.history["denoiser_loss_validation"]) == EPOCHS["denoiser"]
    assert model.trainer.global_step == EPOCHS["denoiser"]  # of one batch
    model.generate(5, silent=True)


def test_best_weights_and_patience_go_on(adata, tmp_path):
    stopping = {"codec": True, "denoiser": True}
    train(make(adata), checkpoint_dir=tmp_path, early_stopping=stopping)
    saved = read_checkpoint(tmp_path)["callbacks"]
    best = saved["BestWeights"]
    model = make(adata)
    train(model, resume_from=tmp_path, early_stopping=stopping)
    assert best["best_value"] == model.history["denoiser_loss_validation"].min().item()
    for name, value in model.module.denoiser.state_dict().items():
        assert torch.equal(value, best["best"][f"0.{name}"])


def test_the_expression_codec(adata, tmp_path):
    def run(**kwargs):
        scvi.settings.seed = 0
        SCDiT.setup_anndata(adata, labels_key="cell_type")
        model = SCDiT(adata, codec="expression", width=16, n_heads=2)
        train(model, max_epochs=3, **kwargs)
        return model

    whole = run()
    with pytest.raises(OSError, match="machine"):
        run(checkpoint_dir=tmp_path, callbacks=[Cut("denoiser", 2)])
    assert torch.equal(weights(run(resume_from=tmp_path)), weights(whole))


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from conftest import _make_adata
from lightning.pytorch import Callback
from model.test_checkpoints import make, train
from scdit.train import _checkpoints

_checkpoints._SECONDS = 0.0

class Kill(Callback):
    def on_train_batch_end(self, trainer, plan, *_):
        if plan.phase == "denoiser" and trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGKILL)

train(make(_make_adata()), checkpoint_dir={folder!r}, callbacks=[Kill()])
"""


def test_after_a_kill(adata, tmp_path):
    script = SCRIPT.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read_checkpoint(tmp_path)["global_step"] == 1
    model = make(adata)
    train(model, resume_from=tmp_path)
    assert model.trainer.global_step == EPOCHS["denoiser"]


def test_a_checkpoint_of_something_else(adata, make_adata, whole, tmp_path):
    folder = whole[1]
    with pytest.raises(ValueError, match="of another model: n_latent is 1 there and 2 here"):
        train(make(adata, n_latent=2), resume_from=folder)
    with pytest.raises(
        ValueError, match="of another training: max_epochs is .* there and .* here"
    ):
        train(make(adata), resume_from=folder, max_epochs=9)
    other = make_adata()
    other.X[0, 0] += 1
    with pytest.raises(ValueError, match="of other data, which differ in X"):
        train(make(other), resume_from=folder)
    saved = torch.load(folder / "denoiser.ckpt", weights_only=True)
    saved["scdit"]["version"] = "9.9"
    torch.save(saved, tmp_path / "denoiser.ckpt")
    with pytest.raises(ValueError, match=r"written by scdit 9\.9, and this is"):
        train(make(adata), resume_from=tmp_path)


def test_a_damaged_or_missing_checkpoint(adata, whole, tmp_path):
    model = make(adata)
    with pytest.raises(FileNotFoundError, match="has no checkpoint"):
        train(model, resume_from=tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        train(model, resume_from=tmp_path / "none.ckpt")
    content = (whole[1] / "denoiser.ckpt").read_bytes()
    for part in (b"", content[: len(content) // 2], b"text"):
        (tmp_path / "denoiser.ckpt").write_bytes(part)
        with pytest.raises(ValueError, match="damaged or no checkpoint"):
            train(model, resume_from=tmp_path)
    torch.save({"a": torch.zeros(2)}, tmp_path / "denoiser.ckpt")
    with pytest.raises(ValueError, match="damaged or no checkpoint"):
        train(model, resume_from=tmp_path)
    assert not model.is_trained_


def test_checkpoints_of_another_training_are_kept(adata, whole, tmp_path):
    before = (whole[1] / "codec.ckpt").read_bytes()
    with pytest.raises(FileExistsError, match="has checkpoints of another training"):
        train(make(adata), checkpoint_dir=whole[1])
    assert (whole[1] / "codec.ckpt").read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="must be a folder"):
        train(make(adata), checkpoint_dir=tmp_path / "file")
