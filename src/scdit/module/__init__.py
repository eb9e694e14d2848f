"""The torch module that joins codec and denoiser."""

from scdit.module._module import LIBRARY_SIZE, SCDiTModule

__all__ = ["LIBRARY_SIZE", "SCDiTModule"]
