"""The assay of RNA: encoder, decoder, library sizes, and the statistics that they start from."""

from scdit.codec.rna._assay import RNA
from scdit.codec.rna._defaults import (
    default_gene_likelihood,
    default_n_hidden,
    default_n_latent,
)
from scdit.codec.rna._encoder import CountEncoder
from scdit.codec.rna._library import LibraryScores

__all__ = [
    "RNA",
    "CountEncoder",
    "LibraryScores",
    "default_gene_likelihood",
    "default_n_hidden",
    "default_n_latent",
]
