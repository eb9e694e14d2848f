"""What is logged in a training, kept for ``model.history`` whichever loggers the user has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pandas as pd
from lightning.pytorch.loggers import Logger


class HistoryLogger(Logger):
    """Keeps all logged values in memory. It stands beside the loggers of the user."""

    def __init__(self) -> None:
        super().__init__()
        # by name: values by epoch, or by step where they are logged more often
        self._values: dict[str, dict[int, float]] = defaultdict(dict)
        self._index: dict[str, str] = {}

    @property
    def name(self) -> None:
        """None: it has no folder."""
        return None

    @property
    def version(self) -> None:
        """None: it has no folder."""
        return None

    def log_hyperparams(self, *args, **kwargs) -> None:
        """Nothing is kept of them."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep values of an epoch or a step. The dictionary stays as it is, for other loggers."""
        index = "epoch" if "epoch" in metrics else "step"
        at = int(metrics.get("epoch", step or 0))
        for name, value in metrics.items():
            if name not in ("epoch", "step"):
                self._index[name] = index
                self._values[name][at] = float(value)

    def restore(self, history: Mapping[str, pd.DataFrame]) -> None:
        """Go on after what another logger has kept."""
        for name, table in history.items():
            self._index[name] = str(table.index.name)
            self._values[name] = dict(zip(table.index.tolist(), table[name].tolist(), strict=True))

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """One column for each name, by epoch or step."""
        return {
            name: pd.DataFrame({name: pd.Series(values, dtype=float)}).rename_axis(
                self._index[name]
            )
            for name, values in self._values.items()
        }
