"""Training: plans for the two phases, their data, and the runner that joins them."""

from scdit.train._data import CellDataModule, LatentDataModule
from scdit.train._defaults import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_EARLY_STOPPING,
    PHASES,
    default_epochs,
    default_n_latent,
)
from scdit.train._initialise import initialise_codec
from scdit.train._plan import CodecPlan, DenoiserPlan
from scdit.train._runner import TwoPhaseRunner
from scdit.train._states import prepare_states

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "DEFAULT_EARLY_STOPPING",
    "PHASES",
    "CellDataModule",
    "CodecPlan",
    "DenoiserPlan",
    "LatentDataModule",
    "TwoPhaseRunner",
    "default_epochs",
    "default_n_latent",
    "initialise_codec",
    "prepare_states",
]
