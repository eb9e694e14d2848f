"""Networks: the diffusion transformer, embeddings of time and conditions, and the codecs.

Torch only; usable without scvi-tools or scanpy.
"""

from scdit.nn._calibrate import Mixture, fit_marginals
from scdit.nn._codec import LatentCodec
from scdit.nn._counts import NegativeBinomial, ZeroInflatedNegativeBinomial
from scdit.nn._dit import DiT
from scdit.nn._embedding import (
    CONTINUOUS,
    DROPPED,
    ConditionEmbedding,
    TimeEmbedding,
    drop_conditions,
    dropped_code,
)
from scdit.nn._encoder import CountEncoder
from scdit.nn._expression import ExpressionCodec
from scdit.nn._extra_zeros import ExtraZeros
from scdit.nn._library import LibraryScores
from scdit.nn._marginal_map import N_BINS, MarginalMap, fit_map
from scdit.nn._prior import ConditionPrior
from scdit.nn._regions import MAX_REGIONS, Regions
from scdit.nn._shape import CountShape, fit_shape, interval_probabilities
from scdit.nn._terms import ConditionTerms
from scdit.nn._tokens import DenseTokens, PatchTokens
from scdit.nn._weight_prior import WeightPrior
from scdit.nn._zero_inflated import ZeroInflatedHead

__all__ = [
    "CODECS",
    "CONTINUOUS",
    "DROPPED",
    "MAX_REGIONS",
    "N_BINS",
    "ConditionEmbedding",
    "ConditionPrior",
    "ConditionTerms",
    "CountEncoder",
    "CountShape",
    "DenseTokens",
    "DiT",
    "ExpressionCodec",
    "ExtraZeros",
    "LatentCodec",
    "LibraryScores",
    "MarginalMap",
    "Mixture",
    "NegativeBinomial",
    "PatchTokens",
    "Regions",
    "TimeEmbedding",
    "WeightPrior",
    "ZeroInflatedHead",
    "ZeroInflatedNegativeBinomial",
    "drop_conditions",
    "dropped_code",
    "fit_map",
    "fit_marginals",
    "fit_shape",
    "interval_probabilities",
]

CODECS = {"latent": LatentCodec, "expression": ExpressionCodec}
"""Name -> codec, the pair of maps between counts and the space of the diffusion."""
