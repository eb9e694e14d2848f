"""The assay of proteins: counts of antibodies, a foreground above a background."""

from scdit.codec.protein._assay import Protein

__all__ = ["Protein"]
