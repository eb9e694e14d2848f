"""The torch module that joins codec and denoiser."""

from scdit.module._diffusion import LIBRARY_SIZE
from scdit.module._module import PRESENT, RNA, SCDiTModule, by_assay

__all__ = ["LIBRARY_SIZE", "PRESENT", "RNA", "SCDiTModule", "by_assay"]
