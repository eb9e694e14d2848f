"""Files of generated cells, written piece by piece: zarr, h5ad and h5mu. They know no model."""

from scdit.store._open import open_store
from scdit.store._target import Target
from scdit.store._writer import Pieces, StoreWriter

__all__ = ["Pieces", "StoreWriter", "Target", "open_store"]
