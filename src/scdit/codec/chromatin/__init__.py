"""The assay of chromatin accessibility: fragments in peaks, or whether there are any."""

from scdit.codec.chromatin._assay import Chromatin
from scdit.codec.chromatin._defaults import default_chromatin_likelihood

__all__ = ["Chromatin", "default_chromatin_likelihood"]
