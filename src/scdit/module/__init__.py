"""The torch module that joins codec and denoiser."""

from scdit.module._module import SCDiTModule

__all__ = ["SCDiTModule"]
