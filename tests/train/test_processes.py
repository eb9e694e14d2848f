"""Several processes: they divide batches, end with one model, and make the cells of one process."""

import json
import os
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, RandomSampler

from scdit import SCDiT
from scdit.train._processes import SharedBatches

SCRIPT = """
import json, sys
import anndata, scdit, scvi, torch

path, out = sys.argv[1:]
torch.set_num_threads(1)
scvi.settings.seed = 0
adata = anndata.read_h5ad(path)
scdit.SCDiT.setup_anndata(adata, labels_key="cell_type")
model = scdit.SCDiT(adata, width=16, n_heads=2)
model.train(
    accelerator="cpu", devices=2, max_epochs=4, validation_size=0.1, early_stopping=True,
    checkpoint_dir=f"{out}/checkpoints",
)
rank = model.trainer.global_rank
model.generate(100, path=f"{out}/cells.zarr", shard=(rank, 2), rng=0, batch_size=16, silent=True)
if rank == 0:
    model.save(f"{out}/model")
about = {
    "weights": [float(x.double().sum()) for x in model.module.state_dict().values()],
    "train": model.train_indices.tolist(),
    "history": {name: table[name].tolist() for name, table in model.history.items()},
}
with open(f"{out}/{rank}.json", "w") as file:
    json.dump(about, file)
"""


@pytest.mark.parametrize("n_cells", [100, 96, 33])
def test_parts_of_a_batch_are_the_batch(n_cells):
    """Of one size, in another order each epoch, which all processes agree on."""

    def parts(rank):
        torch.manual_seed(rank)  # whatever state their random numbers are in
        batches = BatchSampler(RandomSampler(range(n_cells)), 32, drop_last=False)
        return SharedBatches(batches, rank, 3)

    shared = [parts(rank) for rank in range(3)]
    epochs = []
    for _ in range(2):
        epoch = list(zip(*shared, strict=True))
        assert len(epoch) == len(shared[0])
        for batch in epoch:
            assert len({len(part) for part in batch}) == 1
        sizes = [len({cell for part in batch for cell in part}) for batch in epoch]
        assert sizes[:-1] == [32] * (len(sizes) - 1)
        seen = [cell for batch in epoch for part in batch for cell in part]
        assert set(seen) == set(range(n_cells))
        epochs.append(seen)
    assert epochs[0] != epochs[1]


@pytest.mark.slow  # three imports of scvi-tools
def test_two_processes_train_one_model(make_adata, tmp_path):
    make_adata(300).write_h5ad(tmp_path / "cells.h5ad")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path / "cells.h5ad", tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("100%") == 1  # one progress
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    model = SCDiT.load(tmp_path / "model", adata=ad.read_h5ad(tmp_path / "cells.h5ad"))
    weights = [float(x.double().sum()) for x in model.module.state_dict().values()]
    np.testing.assert_array_equal(weights, first["weights"])
    # a file of checkpoints, and a training that one process goes on with
    assert {x.name for x in (tmp_path / "checkpoints").iterdir()} == {
        "codec.ckpt",
        "denoiser.ckpt",
    }
    whole = model.generate(100, rng=0, batch_size=16, silent=True)
    shards = [ad.read_zarr(tmp_path / f"cells.shard-{rank}-of-2.zarr") for rank in range(2)]
    both = ad.concat(shards)
    assert (both.X != whole.X).nnz == 0
    assert list(both.obs["cell_type"]) == list(whole.obs["cell_type"])


@pytest.mark.slow
def test_two_processes_learn_as_well_as_one(make_adata, tmp_path):
    """The bound of held-out cells, which two trainings of one process differ in by about 1%."""
    make_adata(300).write_h5ad(tmp_path / "cells.h5ad")
    losses = []
    for n in (1, 2):
        script = SCRIPT.replace("devices=2", f"devices={n}").replace(
            "max_epochs=4", "max_epochs=20"
        )
        script = script.replace("shard=(rank, 2)", "overwrite=True")
        (tmp_path / f"{n}").mkdir()
        (tmp_path / "script.py").write_text(
            script.replace("model.generate", "rank or model.generate")
        )
        subprocess.run(
            [sys.executable, tmp_path / "script.py", tmp_path / "cells.h5ad", tmp_path / f"{n}"],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            timeout=600,
        )
        history = json.loads((tmp_path / f"{n}" / "0.json").read_text())["history"]
        losses.append(min(history["codec_loss_validation"]))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
