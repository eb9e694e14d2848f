"""Example data that comes without a download."""

from scdit.datasets._pbmc68k import pbmc68k
from scdit.datasets._synthetic import synthetic_citeseq, synthetic_multiome

__all__ = ["pbmc68k", "synthetic_citeseq", "synthetic_multiome"]
