"""Codecs: counts <-> the state that the diffusion runs on, and all that is fitted for it.

The latent codec composes assays, one for each modality (:class:`RNA`); the expression codec is that of the
scRDiT paper. numpy, scipy, scikit-learn and torch only; usable without scvi-tools or scanpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from scdit.codec._expression import ExpressionCodec
from scdit.codec._latent import LatentCodec
from scdit.codec._prior import ConditionPrior
from scdit.codec._protocol import Assay, Codec, Phase, TrainedCodec
from scdit.codec._weight_prior import WeightPrior
from scdit.codec.likelihood import NegativeBinomial, ZeroInflatedNegativeBinomial
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
    "Codec",
    "ConditionPrior",
    "ExpressionCodec",
    "LatentCodec",
    "NegativeBinomial",
    "Phase",
    "TrainedCodec",
    "WeightPrior",
    "ZeroInflatedNegativeBinomial",
    "default_gene_likelihood",
    "default_n_hidden",
    "default_n_latent",
    "latent_codec",
]


def latent_codec(
    n_genes: int, n_categories: Mapping[str, int] | None = None, **settings: Any
) -> LatentCodec:
    """The latent codec of RNA alone; arguments are those of :class:`RNA`."""
    return LatentCodec({"rna": RNA(n_genes, n_categories, **settings)}, n_categories)


def _expression_codec(n_genes: int, n_categories: Mapping[str, int], **settings: Any) -> nn.Module:
    return ExpressionCodec(n_genes, **settings)  # which has no use for conditions


CODECS: dict[str, Callable[..., nn.Module]] = {
    "latent": latent_codec,
    "expression": _expression_codec,
}
"""Name -> function of the numbers of genes and of categories by condition, and settings, that makes a codec."""
