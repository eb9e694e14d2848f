"""Example data that comes without a download."""

from scdit.datasets._pbmc68k import pbmc68k

__all__ = ["pbmc68k"]
