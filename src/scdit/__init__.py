"""scdit: new single cells from your own, made by a latent diffusion transformer.

Importing the package costs nothing: the names below are loaded when they are first used, so that
``scdit.diffusion``, ``scdit.nn`` and ``scdit.codec`` can be used without scvi-tools or scanpy.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scdit import codec, datasets, diffusion, nn, pl, tl
    from scdit.model import SCDiT

__all__ = ["SCDiT", "codec", "datasets", "diffusion", "nn", "pl", "tl"]

try:
    __version__ = version("scdit")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "unknown"


def __getattr__(name: str) -> object:
    if name == "SCDiT":
        return import_module("scdit.model").SCDiT
    if name in __all__:
        return import_module(f"scdit.{name}")
    raise AttributeError(f"module 'scdit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
