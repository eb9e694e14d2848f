"""Tools: an evaluation of generated cells that one can trust, and what to do with them."""

from scdit.tl._augment import augment
from scdit.tl._classifiers import c2st
from scdit.tl._distances import frechet, mmd, sliced_wasserstein, wasserstein
from scdit.tl._effects import evaluate_effects
from scdit.tl._evaluate import evaluate
from scdit.tl._neighbors import memorization, neighborhood
from scdit.tl._power import power
from scdit.tl._privacy import privacy
from scdit.tl._random_effects import random_effects
from scdit.tl._report import report

__all__ = [
    "augment",
    "c2st",
    "evaluate",
    "evaluate_effects",
    "frechet",
    "memorization",
    "mmd",
    "neighborhood",
    "power",
    "privacy",
    "random_effects",
    "report",
    "sliced_wasserstein",
    "wasserstein",
]
