"""Training: plans for the two phases, their data, and the runner that joins them."""

from scdit.train._codecs import codec_training
from scdit.train._data import CellDataModule, StateDataModule
from scdit.train._defaults import default_gene_likelihood, default_n_hidden, default_n_latent
from scdit.train._plan import CodecPlan, DenoiserPlan
from scdit.train._runner import PhasesRunner

__all__ = [
    "CellDataModule",
    "CodecPlan",
    "DenoiserPlan",
    "PhasesRunner",
    "StateDataModule",
    "codec_training",
    "default_gene_likelihood",
    "default_n_hidden",
    "default_n_latent",
]
