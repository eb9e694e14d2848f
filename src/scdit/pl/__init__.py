"""Plots: do the generated cells look like real ones?"""

from scdit.pl._denoising import denoising
from scdit.pl._effects import effects
from scdit.pl._embedding import embedding
from scdit.pl._evaluation import evaluation
from scdit.pl._genes import correlation, gene_statistics
from scdit.pl._power import power
from scdit.pl._proteins import proteins
from scdit.pl._training import training

__all__ = [
    "correlation",
    "denoising",
    "effects",
    "embedding",
    "evaluation",
    "gene_statistics",
    "power",
    "proteins",
    "training",
]
