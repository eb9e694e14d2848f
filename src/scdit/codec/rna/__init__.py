"""The assay of RNA: its decoder, defaults, and the statistics that it starts from."""

from scdit.codec.rna._assay import RNA
from scdit.codec.rna._defaults import (
    default_gene_likelihood,
    default_n_hidden,
    default_n_latent,
)
from scdit.codec.rna._start import statistics

__all__ = [
    "RNA",
    "default_gene_likelihood",
    "default_n_hidden",
    "default_n_latent",
    "statistics",
]
