"""Training: plans for the two phases, their data, and the runner that joins them."""

from scdit.train._data import CellDataModule, LatentDataModule
from scdit.train._initialise import default_batch_size, default_epochs, initialise_codec
from scdit.train._plan import CodecPlan, DenoiserPlan
from scdit.train._runner import PHASES, TwoPhaseRunner

__all__ = [
    "PHASES",
    "CellDataModule",
    "CodecPlan",
    "DenoiserPlan",
    "LatentDataModule",
    "TwoPhaseRunner",
    "default_batch_size",
    "default_epochs",
    "initialise_codec",
]
