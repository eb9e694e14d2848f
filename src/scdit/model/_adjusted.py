"""States of cells that lack modalities, by what the model's own cells tell of such states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

_NEAR = 20  # simulated cells of which one lends its residual


class Adjustment:
    """Corrects what the encoder says of cells that lack a modality.

    The encoder was trained on whole cells. If a modality is missing, its posterior is biased, too narrow in
    some dimensions, and knows nothing of the missing depth. The same modality is hidden in simulated cells,
    whose true states are known, and these are regressed on the posterior means. A draw for a cell is the
    prediction plus the residual of one of the simulated cells with nearly the same prediction: the
    regression adjustment of Beaumont et al. 2002 (Genetics 162, 2025).

    Parameters
    ----------
    means
        Posterior means of simulated cells whose counts were hidden, (simulated, n_state).
    states
        Their states, (simulated, n_state).
    known
        Dimensions that stay as they are, bool (n_state,): depths of modalities that were measured.
    """

    def __init__(self, means: Tensor, states: Tensor, known: Tensor):
        self._unknown = ~known
        x, y = means.cpu().numpy(), states[:, self._unknown].cpu().numpy()
        self._regression = make_pipeline(StandardScaler(), Ridge()).fit(x, y)
        fitted = self._regression.predict(x)
        self._residuals, self._scale = y - fitted, fitted.std(0).clip(1e-6)
        self._index = NearestNeighbors(n_neighbors=_NEAR).fit(fitted / self._scale)

    def of(self, means: Tensor) -> Adjusted:
        """Distributions of the states of cells with these posterior means, (cells, n_state)."""
        fitted = self._regression.predict(means.cpu().numpy())
        near = self._index.kneighbors(fitted / self._scale)[1]
        return Adjusted(means, self._unknown, fitted, self._residuals, near)


@dataclass(frozen=True)
class Adjusted:
    """Distributions of the states of some cells.

    Parameters
    ----------
    means
        What the encoder says, (cells, n_state).
    unknown
        Dimensions that are drawn, bool (n_state,).
    fitted
        What the regression predicts for these, (cells, drawn).
    residuals
        Of the simulated cells, (simulated, drawn).
    near
        Which of these have nearly the same prediction, (cells, near).
    """

    means: Tensor
    unknown: Tensor
    fitted: np.ndarray
    residuals: np.ndarray
    near: np.ndarray

    def draw(self, numbers: np.ndarray) -> Tensor:
        """One state of each cell, (cells, n_state), by numbers (cells,) that are uniform in [0, 1)."""
        chosen = self.near[np.arange(len(numbers)), (numbers * self.near.shape[1]).astype(int)]
        states = self.means.clone()
        states[:, self.unknown] = torch.from_numpy(self.fitted + self.residuals[chosen]).to(states)
        return states
