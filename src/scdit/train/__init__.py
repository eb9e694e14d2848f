"""Training: plans for the two phases, their data, and the runner that joins them."""

from scdit.train._checkpoints import checkpoints_in, read_checkpoint
from scdit.train._data import CellDataModule, StateDataModule, condition_codes
from scdit.train._fitted import start_codec
from scdit.train._plan import CodecPlan, DenoiserPlan
from scdit.train._processes import STRATEGY
from scdit.train._runner import PhasesRunner

__all__ = [
    "STRATEGY",
    "CellDataModule",
    "CodecPlan",
    "DenoiserPlan",
    "PhasesRunner",
    "StateDataModule",
    "checkpoints_in",
    "condition_codes",
    "read_checkpoint",
    "start_codec",
]
