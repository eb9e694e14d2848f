"""Codecs: counts <-> the state that the diffusion runs on, and all that is fitted for it.

The latent codec composes assays, one for each modality (:class:`RNA`, :class:`Protein`,
:class:`Chromatin`); the expression codec is that of the
scRDiT paper. numpy, scipy, scikit-learn and torch only; usable without scvi-tools or scanpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from scdit.codec._build import latent_codec
from scdit.codec._expression import ExpressionCodec
from scdit.codec._latent import LatentCodec
from scdit.codec._prior import ConditionPrior
from scdit.codec._protocol import Assay, Codec, Phase, TrainedCodec
from scdit.codec._weight_prior import WeightPrior
from scdit.codec.chromatin import Chromatin, default_chromatin_likelihood
from scdit.codec.likelihood import NegativeBinomial, ZeroInflatedNegativeBinomial
from scdit.codec.protein import Protein
from scdit.codec.rna import (
    RNA,
    default_gene_likelihood,
    default_n_hidden,
    default_n_latent,
)

__all__ = [
    "CODECS",
    "RNA",
    "Assay",
    "Chromatin",
    "Codec",
    "ConditionPrior",
    "ExpressionCodec",
    "LatentCodec",
    "NegativeBinomial",
    "Phase",
    "Protein",
    "TrainedCodec",
    "WeightPrior",
    "ZeroInflatedNegativeBinomial",
    "default_chromatin_likelihood",
    "default_gene_likelihood",
    "default_n_hidden",
    "default_n_latent",
    "latent_codec",
]


def _expression_codec(n_genes: int, n_categories: Mapping[str, int], **settings: Any) -> nn.Module:
    return ExpressionCodec(n_genes, **settings)  # which has no use for conditions


CODECS: dict[str, Callable[..., nn.Module]] = {
    "latent": latent_codec,
    "expression": _expression_codec,
}
"""Name -> function that makes a codec. It takes the number of genes, the number of categories by
condition, and the settings of the codec. ``latent``: :func:`latent_codec`; ``expression``:
:class:`ExpressionCodec`."""
