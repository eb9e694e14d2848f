"""The denoiser's networks: the diffusion transformer, its tokens, embeddings of time and conditions.

Torch only; they know no counts. Usable without scvi-tools or scanpy.
"""

from scdit.nn._dit import DiT
from scdit.nn._embedding import (
    CONTINUOUS,
    DROPPED,
    ConditionEmbedding,
    TimeEmbedding,
    drop_conditions,
    dropped_code,
)
from scdit.nn._terms import ConditionTerms
from scdit.nn._tokens import DenseTokens, PatchTokens
from scdit.nn._zero_inflated import ZeroInflatedHead

__all__ = [
    "CONTINUOUS",
    "DROPPED",
    "ConditionEmbedding",
    "ConditionTerms",
    "DenseTokens",
    "DiT",
    "PatchTokens",
    "TimeEmbedding",
    "ZeroInflatedHead",
    "drop_conditions",
    "dropped_code",
]
