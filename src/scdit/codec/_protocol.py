"""What training and generation need of a codec, and what the latent codec needs of an assay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from scdit.codec._alignment import Alignment
from scdit.codec._weight_prior import WeightPrior

Counts: TypeAlias = Mapping[str, Tensor]
"""Counts (cells, features) of each assay, by its name."""
Codes: TypeAlias = Mapping[str, Tensor] | None
"""Codes (cells,) of each condition, see :meth:`scdit.nn.ConditionTerms.total`; None if none is known."""
Present: TypeAlias = Mapping[str, Tensor] | None
"""Which cells have counts of an assay, bool (cells,), by its name; None, or no entry, for all of them."""
Uniform: TypeAlias = Callable[[int], Tensor]
"""Gives numbers in [0, 1), (cells, n), for a number n of features."""
SparseCounts: TypeAlias = sp.spmatrix | np.ndarray


@dataclass(frozen=True)
class Given:
    """Uniform numbers (cells, n) that were drawn already, as ``Uniform`` gives them."""

    numbers: Tensor

    def __call__(self, n: int) -> Tensor:
        """The numbers, of `n` features."""
        return self.numbers


@dataclass(frozen=True)
class Phase:
    """Batch size, learning rate, length and end of a phase of training, unless the user says otherwise.

    Parameters
    ----------
    batch_size
        Cells per step.
    lr
        Peak learning rate.
    passes
        Passes over the training cells, and the number of steps at which they end; where there are
        several such pairs, the one that is longest for the cells at hand.
    min_steps
        Steps however few cells there are.
    early_stopping
        Whether the validation loss may end it.

    Examples
    --------
    >>> phase = scdit.codec.Phase(256, 3e-3, ((200, 2_500),), min_steps=500, early_stopping=True)
    >>> phase.epochs(n_train=10_000, batch_size=256)  # 62
    """

    batch_size: int
    lr: float
    passes: tuple[tuple[int, int], ...]
    min_steps: int
    early_stopping: bool

    def epochs(self, n_train: int, batch_size: int) -> int:
        """Passes over `n_train` cells in batches of any size, at least one."""
        steps = max(min(passes * n_train / batch_size, most) for passes, most in self.passes)
        return max(1, round(max(steps, self.min_steps) / math.ceil(n_train / batch_size)))


class Codec(Protocol):
    """A pair of maps between counts and states (cells, n_state), such as :class:`ExpressionCodec`.

    Cells may lack assays: ``present`` says which have which.
    """

    phases: Mapping[str, Phase]  # of its training, in order; the last is the denoiser's
    sampler: str  # that suits its states, by its name in ``SAMPLERS``
    n_state: int
    conditions_on_library: (
        bool  # the library size is told to the denoiser, and no part of the state
    )
    zero_inflated: bool  # the denoiser predicts the parameters of zero-inflated values

    def start(self, counts: Mapping[str, SparseCounts], present: Present = None) -> None:
        """Before training: take statistics of training cells."""

    def encode(
        self, counts: Counts, codes: Codes = None, present: Present = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the states of cells."""

    def draw(self, state: Tensor, uniform: Uniform, codes: Codes = None) -> dict[str, Tensor]:
        """Counts for states."""

    def layers(self, state: Tensor) -> dict[str, Tensor]:
        """What else generated cells have beside counts."""

    def with_library_size(self, state: Tensor, library_size: Mapping[str, Tensor]) -> Tensor:
        """States with library sizes (cells,) of some assays in place of their own, NaN to keep it."""

    def normalisation(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and scale of the diffusion's space, given moments of the states."""


class TrainedCodec(Codec, Protocol):
    """A codec with weights, such as :class:`LatentCodec`.

    It has a phase ``"codec"``, and is calibrated after it.
    """

    def decode(self, state: Tensor, codes: Codes = None) -> dict[str, Any]:
        """Distribution of the counts given states."""

    def reconstruction_loss(
        self, counts: Counts, decoded: Mapping[str, Any], present: Present = None
    ) -> Tensor:
        """Negative log likelihood (cells,)."""

    def kl(self, mean: Tensor, sd: Tensor, codes: Codes = None) -> Tensor:
        """KL divergence of the posterior from the prior, (cells,)."""

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameters with their own learning rates."""

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the weights."""

    def clear_calibration(self) -> None:
        """Take the calibrations of an earlier training back."""

    def calibrate(
        self,
        states: Tensor,
        counts: Mapping[str, sp.csr_matrix],
        codes: Codes,
        present: Present = None,
    ) -> None:
        """Between the phases: fit what is drawn at states of training cells to their counts."""


class Assay(Protocol):
    """What a codec knows of the counts of one modality: :class:`RNA`, for example, is an assay.

    Its counts tell of the latent vector by a Gaussian (evidence), and have a likelihood given the
    latent vector and a depth. The assay's state (cells, n_latent + 1) is the two, side by side.
    """

    n_latent: int
    n_features: int

    def start(self, counts: SparseCounts) -> None:
        """Take statistics of training cells (cells, features), of which a sample will do."""

    def component_deviations(self) -> Tensor:
        """Standard deviations of the components in units of log counts, (n,), in descending order."""

    def align(self, alignment: Alignment) -> None:
        """Start again from latent dimensions that all assays share."""

    def capped(self, counts: Tensor) -> Tensor:
        """Counts (cells, features) without those of freak cells."""

    def see(self, counts: Tensor) -> Tensor:
        """Capped counts as evidence is made of them: in training, a share of them may be hidden."""

    def depth(self, counts: Tensor) -> Tensor:
        """Depth (cells, 1), about standard normal."""

    def components(self, counts: Tensor) -> Tensor:
        """A fixed linear map of log counts, (cells, n): what can be computed once for each cell."""

    def evidence(self, components: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (cells, n_latent) of what counts tell of the latent vector."""

    def decode(self, state: Tensor, codes: Codes) -> Any:
        """Distribution of the counts given states of the assay."""

    def loss(self, counts: Tensor, decoded: Any) -> Tensor:
        """Negative log likelihood (cells,)."""

    def draw(self, state: Tensor, uniform: Uniform, codes: Codes, *effects: Tensor) -> Tensor:
        """Counts (cells, features) given states of the assay.

        An assay may take `effects`: logarithms of what rates are multiplied by, (cells, features).
        """

    def depth_of_size(self, library_size: Tensor) -> Tensor:
        """Depth (cells, 1) of library sizes (cells,)."""

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameters with their own learning rates."""

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the weights."""

    def clear_calibration(self) -> None:
        """Take the calibrations back."""

    def calibrate(self, state: Tensor, counts: sp.csr_matrix, codes: Codes) -> None:
        """Fit what is drawn at states of training cells to their counts."""
