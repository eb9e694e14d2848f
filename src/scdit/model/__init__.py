"""What the user calls: the model class."""

from scdit.model._scdit import SCDiT

__all__ = ["SCDiT"]
