"""Networks: the diffusion transformer, embeddings of time and conditions, and the codecs.

Torch only; usable without scvi-tools or scanpy.
"""

from scdit.nn._calibrate import fit_marginals
from scdit.nn._codec import LatentCodec
from scdit.nn._counts import NegativeBinomial
from scdit.nn._dit import DiT
from scdit.nn._embedding import (
    CONTINUOUS,
    DROPPED,
    ConditionEmbedding,
    TimeEmbedding,
    drop_conditions,
)

__all__ = [
    "CONTINUOUS",
    "DROPPED",
    "ConditionEmbedding",
    "DiT",
    "LatentCodec",
    "NegativeBinomial",
    "TimeEmbedding",
    "drop_conditions",
    "fit_marginals",
]
