"""Which cells statistics are fitted to, and where the states of all cells are kept."""

from __future__ import annotations

import shutil
import tempfile

import numpy as np
import torch
from torch import Tensor

from scdit._lazy import LazyCounts, SelectedRows
from scdit._matrix import some_of
from scdit.module import RNA, SCDiTModule
from scdit.train._data import CellDataModule

# of counts that are not in memory: the codec of RNA starts from so many cells of any data
_MAX_CELLS = 20_000
_MAX_BYTES = 2**29  # of the states of all cells in memory
_CELLS_AT_ONCE = 2**16


def start_codec(module: SCDiTModule, cells: CellDataModule) -> None:
    """Take statistics of training cells, of at most 20,000 where counts are not in memory.

    Parameters
    ----------
    module
        Its codec is started, in place.
    cells
        The counts and the split of the cells.
    """
    rows = fitted_cells(cells)
    if _samples_itself(module):
        rows = rows[some_of(len(rows), _MAX_CELLS)]
    present = module.present_by_assay(cells.present_of(rows))
    module.codec.start(module.by_assay(cells.counts[rows]), present)


def calibrate(module: SCDiTModule, cells: CellDataModule, mean: Tensor, sd: Tensor) -> None:
    """Fit what is drawn at states of training cells to their counts, and choose these as above.

    Parameters
    ----------
    module
        Its codec is calibrated, in place.
    cells
        The counts and the split of the cells.
    mean, sd
        Posterior of the states of all cells, (cells, n_state).
    """
    rows = fitted_cells(cells)
    train = torch.as_tensor(rows)
    states = mean[train] + sd[train] * torch.randn_like(sd[train])
    codes = {name: code[train] for name, code in cells.codes.items()}
    if isinstance(cells.counts, LazyCounts) or list(module.n_features) != [RNA]:
        counts = module.by_assay(cells.counts[rows])
    else:  # without a copy of all counts
        counts = module.by_assay(SelectedRows(cells.counts, rows))
    module.codec.calibrate(states, counts, codes, module.present_by_assay(cells.present_of(train)))


def fitted_cells(cells: CellDataModule) -> np.ndarray:
    """Rows of the training cells, at most 20,000 of them where counts are not in memory."""
    rows = cells.train_idx
    return rows[some_of(len(rows), _MAX_CELLS)] if isinstance(cells.counts, LazyCounts) else rows


def _samples_itself(module: SCDiTModule) -> bool:
    """Whether a codec takes the same sample of many cells: no others need to be copied for it."""
    return list(module.n_features) == [RNA] and "codec" in module.codec.phases


def empty_states(n_cells: int, n_state: int) -> Tensor:
    """Room for numbers (cells, n_state), float32: in memory, or in a file where they are many.

    Raises
    ------
    OSError
        If the folder of temporary files has no room for them.
    """
    if in_memory(n_cells, n_state):
        return torch.empty(n_cells, n_state)
    needed, folder = 4 * n_cells * n_state, tempfile.gettempdir()
    if shutil.disk_usage(folder).free < needed:
        raise OSError(
            f"the states of {n_cells} cells need {needed / 2**30:.1f} GiB in {folder}, which has less "
            "space left: name another folder in the environment variable TMPDIR"
        )
    with tempfile.TemporaryFile() as file:  # gone with the last use of the array
        array = np.memmap(file, np.float32, "w+", shape=(n_cells, n_state))
    return torch.from_numpy(array)


def in_memory(n_cells: int, n_state: int) -> bool:
    """Whether mean and standard deviation of so many states are kept in memory."""
    return 2 * 4 * n_cells * n_state <= _MAX_BYTES


def moments(mean: Tensor, sd: Tensor, train: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, variance, minimum and maximum (n_state,) of states whose posteriors are given.

    Parameters
    ----------
    mean, sd
        Posterior of the states of all cells, (cells, n_state).
    train
        Rows of the training cells; variance is that of their posteriors, the range that of the means.
    """
    if in_memory(*mean.shape):
        own = mean[torch.as_tensor(train)]
        variance = own.var(0, correction=0) + sd[torch.as_tensor(train)].pow(2).mean(0)
        return own.mean(0), variance, *own.aminmax(dim=0)
    rows = np.sort(train)  # a file is read in order
    parts = np.split(rows, range(_CELLS_AT_ONCE, len(rows), _CELLS_AT_ONCE))
    total = sum(mean[part].sum(0, dtype=torch.float64) for part in parts)
    centre = torch.as_tensor(total / len(rows))
    squares = sum(
        ((mean[part].double() - centre).pow(2) + sd[part].double().pow(2)).sum(0) for part in parts
    )
    ranges = [mean[part].aminmax(dim=0) for part in parts]
    return (
        centre.float(),
        torch.as_tensor(squares / len(rows)).float(),
        torch.stack([low for low, _ in ranges]).amin(0),
        torch.stack([high for _, high in ranges]).amax(0),
    )


def standardise(module: SCDiTModule, mean: Tensor, sd: Tensor) -> None:
    """Take posteriors of states (cells, n_state) to the space of the diffusion, in place."""
    for start in range(0, len(mean), _CELLS_AT_ONCE):
        part = slice(start, start + _CELLS_AT_ONCE)
        mean[part], sd[part] = module.standardise(
            mean[part].to(module.device), sd[part].to(module.device)
        )
