"""Checkpoints: what a training that is killed goes on from."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

_SECONDS = 180.0  # between two checkpoints
_TOGETHER = 100  # steps after which several processes agree whether it is time
_KEY = "scdit"  # of what is written beside Lightning's own entries
_SUFFIX = ".ckpt"


class Checkpoints(Callback):
    """Writes a checkpoint when a phase begins, every three minutes, and when it ends.

    Lightning writes weights (those of the moving average too), optimiser, schedule, its loops, and the
    state of callbacks. Its own ``ModelCheckpoint`` is not used: it would put scvi's callback for
    checkpoints into the trainer, and writes neither before the first step nor in one move.

    Parameters
    ----------
    folder
        Where the file ``<phase>.ckpt`` is written. It is there as a whole, or as it was before.
    phase
        Name of the phase.
    about
        What the training is, see :func:`read_checkpoint`: of plain types.
    history
        Values that were logged before this phase, and in it so far.
    """

    def __init__(self, folder: Path, phase: str, about: Mapping[str, Any], history: Any):
        self.path = folder / f"{phase}{_SUFFIX}"
        self.phase, self.about, self.history = phase, about, history
        self.random = torch.get_rng_state()  # of the beginning of the phase
        self.last = 0.0

    def on_train_start(self, trainer: Trainer, *_) -> None:
        """Write the beginning of the phase; where it goes on, its file is there."""
        if not trainer.global_step:
            self._write(trainer)
        self.last = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, *_) -> None:
        """Write if it is time: after a step, the moving average would be one step behind."""
        if trainer.world_size > 1 and trainer.global_step % _TOGETHER:
            return
        due = time.monotonic() - self.last >= _SECONDS
        # all processes take part in writing
        if trainer.strategy.reduce_boolean_decision(due, all=False):
            self.random = torch.get_rng_state()
            self._write(trainer)
            self.last = time.monotonic()

    def on_train_end(self, trainer: Trainer, *_) -> None:
        """Write the end of the phase."""
        self.random = torch.get_rng_state()
        self._write(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, plan: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what Lightning does not know of."""
        earlier, current = self.history()
        checkpoint[_KEY] = {
            **self.about,
            "phase": self.phase,
            "random": self.random,
            "history": _plain(earlier),
            "logged": _plain(current),
        }

    def _write(self, trainer: Trainer) -> None:
        new = self.path.with_suffix(".new")
        trainer.save_checkpoint(new)
        if trainer.is_global_zero:
            os.replace(new, self.path)


def read_checkpoint(path: Any) -> dict[str, Any]:
    """A checkpoint of a training, as tensors and plain types: no code is run.

    Parameters
    ----------
    path
        A file that :class:`Checkpoints` wrote, or the folder of it, whose last phase is taken.

    Returns
    -------
    What Lightning wrote, with ``path``, and under ``scdit`` what :class:`Checkpoints` was given and added.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the file is damaged or is no checkpoint of scdit.
    """
    path = Path(path)
    if path.is_dir():
        found = checkpoints_in(path)
        if not found:
            raise FileNotFoundError(
                f"resume_from: the folder {str(path)!r} has no checkpoint of a training ({_SUFFIX})"
            )
        path = found[-1]
    if not path.exists():
        raise FileNotFoundError(f"resume_from: there is no file {str(path)!r}")
    try:
        if not zipfile.is_zipfile(path):  # as torch writes them
            raise OSError
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint[_KEY]["phase"]
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError) as error:
        raise ValueError(
            f"resume_from: {str(path)!r} is damaged or no checkpoint of scdit. Use the file of an "
            "earlier phase, or train anew"
        ) from error
    return {**checkpoint, "path": path}


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the last one written at the end."""
    return sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)


def _plain(history: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """Tables of one column as lists."""
    return {
        name: {
            "index": str(table.index.name),
            "at": [int(at) for at in table.index],
            "values": [float(value) for value in table[name]],
        }
        for name, table in history.items()
    }


def tables(history: Mapping[str, Mapping[str, Any]]) -> dict[str, pd.DataFrame]:
    """Tables of one column, from a checkpoint."""
    return {
        name: pd.DataFrame(
            {name: pd.Series(kept["values"], index=kept["at"], dtype=float)}
        ).rename_axis(kept["index"])
        for name, kept in history.items()
    }
