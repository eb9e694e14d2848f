"""Training: history, phases, limits, and that it learns."""

import pickle
import re
import signal

import numpy as np
import pytest
import scanpy
import scvi
import torch
from lightning.pytorch import Callback

from scdit import SCDiT

from .conftest import QUICK, setup

SERIES = {
    "codec_loss",
    "codec_reconstruction_loss",
    "codec_kl",
    "denoiser_loss",
}


def test_history_has_both_phases(trained):
    expected = {f"{name}_{stage}" for name in SERIES for stage in ("train", "validation")}
    assert set(trained.history) == expected
    assert all(np.isfinite(curve).all(axis=None) for curve in trained.history.values())
    assert len(trained.history["codec_loss_train"]) == QUICK["codec"]


def test_a_second_training_goes_on(adata):
    model = setup(adata)
    model.train(max_epochs=QUICK, silent=True)
    components = model.module.codec.assays.rna.encoder.pc_loadings.clone()
    model.train(max_epochs=2, silent=True)
    assert len(model.history["codec_loss_train"]) == 5
    assert model.history["codec_loss_train"].index.is_unique
    np.testing.assert_array_equal(components, model.module.codec.assays.rna.encoder.pc_loadings)


def test_a_second_training_begins_without_the_corrections_of_the_first(adata):
    class Watch(Callback):
        seen: list = []

        def on_train_start(self, trainer, plan):
            centres = plan.module.codec.assays.rna.regions.centres
            self.seen.append((plan.phase, bool((centres < 1e6).any())))

    model = setup(adata)
    for _ in range(2):
        model.train(max_epochs=1, silent=True, callbacks=[Watch()])
    assert Watch.seen == [("codec", False), ("denoiser", True)] * 2


def test_both_losses_fall(make_adata):
    torch.manual_seed(0)
    model = setup(make_adata(500))
    model.train(
        max_epochs={"codec": 10, "denoiser": 20},
        batch_size=16,
        validation_size=0.3,
        train_size=0.7,
        shuffle_set_split=False,
        silent=True,
    )
    for name in ("codec_loss_validation", "denoiser_loss_validation"):
        curve = model.history[name].iloc[:, 0]
        assert curve.iloc[-3:].mean() < 0.98 * curve.iloc[:2].mean()


def test_early_stopping_keeps_the_best_weights(adata):
    model = setup(adata)
    # a learning rate at which the loss explodes after the first epochs
    model.train(
        max_epochs={"codec": 2, "denoiser": 60},
        plan_kwargs={"denoiser": {"lr": 3.0}},
        early_stopping={"denoiser": True},
        silent=True,
    )
    curve = model.history["denoiser_loss_validation"].iloc[:, 0]
    assert len(curve) < 60
    assert curve.idxmin() < curve.index[-1]


@pytest.mark.filterwarnings("ignore:Category 0 in adata.obs.*fewer than 3 cells")
@pytest.mark.parametrize("n_cells", [2, 3, 21])
@pytest.mark.parametrize("batch_size", [1, 20])
def test_few_cells_and_last_batches_of_one_cell(adata, n_cells, batch_size):
    few = adata[:n_cells].copy()
    SCDiT.setup_anndata(few)
    model = SCDiT(few, n_hidden=32, width=32)
    model.train(max_epochs=1, batch_size=batch_size, silent=True)
    assert model.generate(4, silent=True).X.sum() > 0


@pytest.mark.filterwarnings("ignore:Category 0 in adata.obs.*fewer than 3 cells")
def test_one_cell_is_refused(adata):
    one = adata[:1].copy()
    SCDiT.setup_anndata(one)
    model = SCDiT(one)
    with pytest.raises(ValueError, match="one cell"):
        model.train()


def test_all_cells_can_be_trained_on(adata):
    model = setup(adata)
    model.train(max_epochs=1, train_size=1.0, silent=True)
    assert len(model.train_indices) == adata.n_obs
    assert "codec_loss_validation" not in model.history


@pytest.mark.parametrize(
    ("wishes", "n_held_out"),
    [
        ({}, 0),
        ({"early_stopping": {"codec": False, "denoiser": False}}, 0),
        ({"early_stopping": {"denoiser": True}}, 12),
        ({"early_stopping": True}, 12),
        ({"validation_size": 0.1}, 12),
        ({"validation_size": 0}, 0),
        ({"train_size": 0.9}, 12),
    ],
)
def test_cells_are_held_out_only_on_request(adata, wishes, n_held_out):
    model = setup(adata)
    model.train(max_epochs=1, silent=True, **wishes)
    assert len(model.validation_indices) == n_held_out
    assert len(model.train_indices) == adata.n_obs - n_held_out


def test_split_sizes(adata):
    model = setup(adata)
    model.train(max_epochs=1, train_size=0.5, validation_size=0.25, silent=True)
    sizes = [len(i) for i in (model.train_indices, model.validation_indices, model.test_indices)]
    assert sizes == [60, 30, 30]
    everything = np.concatenate(
        [model.train_indices, model.validation_indices, model.test_indices]
    )
    assert sorted(everything) == list(range(120))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epochs": 0}, "max_epochs of the codec must be a positive integer"),
        ({"max_epochs": {"coder": 3}}, "phases are codec, denoiser"),
        ({"batch_size": -1}, "batch_size of the codec"),
        ({"train_size": 1.5}, "train_size"),
        ({"train_size": 0.8, "validation_size": 0.5}, "validation_size"),
        ({"plan_kwargs": {"lr": 1e-3}}, "phases are"),
        ({"devices": 0}, "devices must be a number"),
    ],
)
def test_bad_arguments(adata, arguments, message):
    model = setup(adata)
    with pytest.raises(ValueError, match=message):
        model.train(**arguments)
    assert not model.is_trained


def test_precision_and_clipping_are_honoured(adata):
    model = setup(adata)
    model.train(max_epochs=1, precision="bf16-mixed", gradient_clip_val=0.5, silent=True)
    assert model.trainer.precision == "bf16-mixed"
    assert model.trainer.gradient_clip_val == 0.5
    assert model.generate(3, silent=True).X.sum() > 0


def test_progress_bar(adata, capsys, caplog, monkeypatch):
    model = setup(adata)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    model.train(max_epochs=1)
    model.generate(600, n_steps=1)
    shown = capsys.readouterr()
    assert "Training the denoiser: 100%" in shown.err
    assert "train_loss=" in shown.err
    assert "Generating: 100%" in shown.err
    model.train(max_epochs=1, silent=True)
    model.generate(5, n_steps=1, silent=True)
    shown = capsys.readouterr()
    assert shown.err == shown.out == ""
    assert not caplog.records


def test_progress_in_a_log(adata, caplog, capsys):
    """Where nobody looks at a bar, every tenth of the way is a line."""
    model = setup(adata)
    with caplog.at_level("INFO", "scdit"):
        model.train(max_epochs=20)
        model.generate(5, n_steps=1)
    lines = [r.getMessage() for r in caplog.records if r.name == "scdit"]
    training = [line for line in lines if line.startswith("Training the")]
    assert 9 <= len(training) <= 10
    assert training[-1].startswith("Training the denoiser: 100%")
    assert re.search(r"\(\d+ of \d+, [\d.e+]+ batches/s\), train_loss", training[-1])
    assert re.fullmatch(r"Generating: 100% \(5 of 5, [\d.e+]+ cells/s\)", lines[-1])
    assert "%|" not in capsys.readouterr().err  # no bar


def test_the_users_data_is_not_changed(adata, make_adata):
    model = SCDiT
    model.setup_anndata(adata, labels_key="cell_type")
    SCDiT(adata, n_hidden=8).train(max_epochs=1, silent=True)
    original = make_adata()
    np.testing.assert_array_equal(adata.X.toarray(), original.X.toarray())
    assert list(adata.var.columns) == list(original.var.columns)
    assert not adata.obsm
    assert not adata.layers


class Stop(Callback):
    """Fails, or interrupts, in a phase after some steps."""

    def __init__(self, error, phase="denoiser", after=0):
        self.error, self.phase, self.after = error, phase, after

    def on_train_batch_end(self, trainer, plan, *_):
        if plan.phase == self.phase and trainer.global_step > self.after:
            raise self.error


@pytest.mark.parametrize(
    ("error", "phase"),
    [
        (RuntimeError("stop"), "codec"),
        (RuntimeError("stop"), "denoiser"),
        (KeyboardInterrupt(), "codec"),
    ],
)
def test_a_training_that_fails_leaves_the_model_as_it_was(adata, error, phase):
    model = setup(adata)
    model.train(max_epochs=1, train_size=0.8, silent=True)
    before = model.generate(10, rng=0, silent=True)
    known = {k: v for k, v in vars(model).items() if "indices" in k or k == "composition_"}
    assert known
    with pytest.raises(type(error)):
        model.train(max_epochs=1, train_size=0.5, callbacks=[Stop(error, phase)], silent=True)
    assert len(model.history["codec_loss_train"]) == 1
    after = model.generate(10, rng=0, silent=True)
    assert (after.X != before.X).nnz == 0
    assert list(after.obs_names) == list(before.obs_names)
    for name, value in known.items():
        assert vars(model)[name] is value, name


def test_an_interrupted_denoiser_is_kept(adata):
    """With a finished codec, Ctrl-C keeps what is trained, and says so."""
    model = setup(adata)
    stop, handler = Stop(KeyboardInterrupt(), after=4), signal.getsignal(signal.SIGINT)
    with pytest.warns(UserWarning, match="denoiser was interrupted after 5 of 40 steps") as caught:
        model.train(max_epochs=40, batch_size=120, callbacks=[stop], silent=True)
    assert caught[0].filename == __file__
    assert model.is_trained
    assert len(model.train_indices) == 120
    assert len(model.history["denoiser_loss_train"]) >= 4
    assert model.generate(20, rng=0, silent=True).X.sum(1).min() > 0
    assert signal.getsignal(signal.SIGINT) is handler  # another Ctrl-C is heard, too
    model.train(max_epochs=1, silent=True)  # goes on


@pytest.mark.parametrize(
    ("phase", "lr"), [("codec", 1e4), ("codec", 30.0), ("denoiser", 100.0), ("denoiser", 1e6)]
)
def test_a_phase_that_diverges_is_named(adata, phase, lr):
    model = setup(adata)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    with pytest.raises(RuntimeError, match=f"the {phase} diverged.*plan_kwargs=.*{phase}.*lr"):
        model.train(max_epochs=20, plan_kwargs={phase: {"lr": lr}}, silent=True)
    after = model.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not model.is_trained
    assert model.composition_ == {}


class Hours(Callback):
    """Notes whether a phase has begun."""

    started = False

    def on_train_start(self, *_):
        self.started = True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"devices": "2"}, "devices must be a number of devices, .* got '2'"),
        ({"devices": "-1"}, "devices must be a number"),
        ({"devices": []}, "devices must be a number"),
        ({"devices": True}, "devices must be a number"),
        ({"devices": 1.5}, "devices must be a number"),
        ({"strategy": "ddp"}, "strategy must be one of .*unused_parameters_true, got 'ddp'"),
        ({"strategy": "fsdp"}, "strategy must be one of"),
        ({"num_nodes": 0}, "num_nodes must be a positive integer"),
        ({"accelerator": None}, "accelerator must be a name"),
        ({"precision": "64-true"}, "precision must be"),
        ({"precision": "16-true"}, "precision must be"),
        ({"precision": "bf16-true"}, "precision must be"),
        ({"lr": 1e-3}, "plan_kwargs=.*lr"),
        ({"learning_rate": 1e-3}, "no argument 'learning_rate'"),
        ({"max_epoch": 3}, "did you mean 'max_epochs'|no argument 'max_epoch'"),
        ({"early_stopping_monitor": "x"}, "no argument 'early_stopping_monitor'"),
        ({"early_stopping_patience": 0}, "early_stopping_patience must be"),
        ({"early_stopping": "yes"}, "early_stopping of the codec must be True or False"),
        ({"train_size": "0.9"}, "train_size must be"),
        ({"train_size": 0}, "train_size"),
        ({"train_size": np.nan}, "train_size must be"),
        ({"validation_size": [0.1]}, "validation_size must be"),
        ({"max_epochs": 2.5}, "max_epochs of the codec"),
        ({"max_epochs": {"denoiser": 0}}, "max_epochs of the denoiser"),
        ({"batch_size": "64"}, "batch_size of the codec"),
        ({"silent": None}, "silent must be"),
        ({"shuffle_set_split": "no"}, "shuffle_set_split must be"),
        ({"plan_kwargs": {"lr": 1e-3}}, "plan_kwargs names"),
        ({"plan_kwargs": {"denoiser": 1e-3}}, "plan_kwargs of the denoiser must be a mapping"),
        ({"plan_kwargs": [1]}, "plan_kwargs must be a mapping"),
        ({"plan_kwargs": {"denoiser": {"lr": np.nan}}}, "lr of the denoiser must be"),
        ({"plan_kwargs": {"denoiser": {"lr": 0}}}, "lr of the denoiser must be"),
        ({"plan_kwargs": {"denoiser": {"weight_decay": -1}}}, "weight_decay of the denoiser"),
        ({"plan_kwargs": {"denoiser": {"lrr": 1}}}, "did you mean 'lr'"),
        ({"limit_train_batches": 0}, "limit_train_batches must not be 0"),
        ({"limit_train_batches": 0.0}, "limit_train_batches must not be 0"),
        ({"max_steps": 0}, "max_steps must not be 0"),
        ({"gradient_clip_val": -1}, "gradient_clip_val must be"),
        ({"early_stopping": True, "train_size": 1.0}, "needs validation cells"),
        ({"early_stopping": True, "validation_size": 0}, "needs validation cells"),
        ({"early_stopping": {"denoiser": True}, "limit_val_batches": 0}, "needs validation cells"),
    ],
    ids=str,
)
def test_arguments_are_checked_before_any_work(adata, arguments, message):
    model, hours = setup(adata), Hours()
    with pytest.raises(ValueError, match=message):
        model.train(**({"max_epochs": 1, "silent": True} | arguments), callbacks=[hours])
    assert not hours.started


def test_a_training_without_a_step_is_no_training(adata, capsys):
    class Refuses(Callback):
        def on_train_start(self, trainer, plan):
            trainer.should_stop = True

        def on_train_batch_start(self, *_):
            return -1

    model = setup(adata)
    with pytest.raises(RuntimeError, match="the codec made no step"):
        model.train(max_epochs=1, silent=True, callbacks=[Refuses()])
    assert not model.is_trained
    assert capsys.readouterr().out == ""  # scvi prints failures


def test_patience_is_that_of_the_call(adata):
    from lightning.pytorch.callbacks import EarlyStopping

    model = setup(adata)
    model.train(max_epochs=2, early_stopping=True, early_stopping_patience=50, silent=True)
    assert 50 in [c.patience for c in model.trainer.callbacks if isinstance(c, EarlyStopping)]


def test_validation_curves_need_one_argument(adata):
    model = setup(adata)
    model.train(max_epochs=2, validation_size=0.1, silent=True)
    assert {"codec_loss_validation", "denoiser_loss_validation"} <= set(model.history)
    assert len(model.validation_indices) == 12
    model.train(max_epochs=1, validation_size=0.3, silent=True)
    assert (len(model.train_indices), len(model.validation_indices)) == (84, 36)


def test_a_second_training_of_the_codec_is_one(adata):
    """In the mode of training, in which counts and conditions are hidden."""
    modes = []

    class Mode(Callback):
        def on_train_batch_end(self, trainer, plan, *_):
            modes.append((plan.phase, plan.module.training, plan.module.codec.training))

    model = setup(adata)
    for _ in range(2):
        model.train(max_epochs=1, callbacks=[Mode()], silent=True)
    assert set(modes) == {("codec", True, True), ("denoiser", True, True)}


def test_default_types_and_threads_of_torch_are_kept(adata):
    scvi.settings.seed = 0
    model = setup(adata)
    model.train(max_epochs=1, silent=True)
    torch.set_default_dtype(torch.float64)
    try:
        scvi.settings.seed = 0
        other = setup(adata)
        other.train(max_epochs=1, silent=True)
        made = other.generate(20, rng=0, silent=True)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert {v.dtype for v in other.module.parameters()} == {torch.float32}
    assert (made.X != model.generate(20, rng=0, silent=True).X).nnz == 0


def test_the_number_of_threads_is_the_users(adata):
    """Also after another library has set it to all cores, which it does in one thread only."""
    seen = []

    class Threads(Callback):
        def on_train_start(self, *_):
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        changed = adata.copy()
        scanpy.pp.normalize_total(changed)
        setup(adata).train(max_epochs=1, callbacks=[Threads()], silent=True)
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_a_seed_of_lightning_reproduces_a_training(adata, monkeypatch):
    import lightning

    monkeypatch.setattr("scvi.settings._seed", None)
    made, splits = [], []
    for _ in range(2):
        lightning.seed_everything(3, verbose=False)
        model = setup(adata)
        model.train(max_epochs=1, train_size=0.8, silent=True)
        splits.append(model.train_indices)
        made.append(model.generate(10, rng=0, silent=True).X)
    np.testing.assert_array_equal(*splits)
    assert (made[0] != made[1]).nnz == 0


def test_a_first_training_that_fails_leaves_the_weights_of_the_start(adata):
    model = setup(adata)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    with pytest.raises(RuntimeError, match="stop"):
        model.train(max_epochs=1, callbacks=[Stop(RuntimeError("stop"))], silent=True)
    after = model.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not model.is_trained


def test_counts_that_were_normalised_meanwhile(adata):
    model = setup(adata)
    adata.X = adata.X.log1p()
    with pytest.raises(ValueError, match="log-transformed"):
        model.train()


def test_cells_of_one_depth_stay_so(make_adata):
    adata = make_adata()
    counts = np.random.default_rng(0).multinomial(400, np.full(40, 1 / 40), size=120)
    adata.X = counts.astype(np.float32)
    model = setup(adata)
    model.train(max_epochs=2, silent=True)
    states, _ = model.denoising_path(200, rng=0)
    scores = model.module.unstandardise(torch.from_numpy(states[-1]))[:, -1]
    depth = model.module.codec.assays.rna.library_scores.inverse(scores).exp()
    cap = model.module.codec.assays.rna.cap.numpy()
    # of the 400, counts above the caps of their genes are not a part
    np.testing.assert_allclose(depth, np.minimum(counts, cap).sum(1).mean(), rtol=0.01)


def test_a_model_can_be_pickled(trained):
    again = pickle.loads(pickle.dumps(trained.module))
    assert set(again.state_dict()) == set(trained.module.state_dict())


@pytest.mark.parametrize(
    ("schedule", "prediction"),
    [("ddpm", "eps"), ("ddpm", "v"), ("linear", "v"), ("cosine", "x0"), ("linear", "x0")],
)
def test_schedules_and_predictions_learn_the_depth(adata, schedule, prediction):
    torch.manual_seed(0)
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, n_hidden=16, width=32, schedule=schedule, prediction=prediction)
    model.train(max_epochs={"codec": 2, "denoiser": 60}, batch_size=16, silent=True)
    real, made = adata.X.sum(1).A1, model.generate(400, rng=0, silent=True).X.sum(1).A1
    assert np.log(made).mean() == pytest.approx(np.log(real).mean(), abs=0.15)
    assert np.log(made).std() == pytest.approx(np.log(real).std(), rel=0.4)
