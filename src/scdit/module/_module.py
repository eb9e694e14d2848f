"""The module that scvi trains: a codec between counts and states, and a diffusion of the states."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor

from scdit.codec import CODECS
from scdit.diffusion import KeyedNoise
from scdit.module._compatibility import rename_weights
from scdit.module._diffusion import COUNTS, DiffusionMixin
from scdit.nn import CONTINUOUS, ConditionEmbedding, ConditionTerms, drop_conditions

RNA = "rna"  # name of the assay of genes
PRESENT = "present"  # in the batches of the data loader: whether cells have each assay

# probability with which the codec is not told a cell's conditions in training: cells whose
# conditions are not known have states too, and labels do not cut a continuum into islands
_UNKNOWN = 0.5


class SCDiTModule(DiffusionMixin, BaseModuleClass):
    """Counts <-> state (codec) and noise -> state (denoiser).

    The *state* of a cell is what the codec makes of its counts, (cells, n_state); the diffusion
    runs on the *standardised* state, whose training cells have mean 0 and variance 1.

    Parameters
    ----------
    n_features
        Number of genes; or of features by assay, whose columns stand side by side in the batches of
        the data loader.
    n_categories
        Number of categories of each condition, by its name in these batches.
    codec, codec_kwargs
        Key of ``CODECS``, and what is passed to it.
    denoiser_kwargs
        Passed to :class:`scdit.nn.DiT`.
    schedule, prediction
        Keys of ``SCHEDULES`` and ``PREDICTIONS``.
    condition_dropout
        Probability with which a cell's conditions are dropped in training.
    ema_decay
        Decay per step of the moving average of the denoiser's weights.

    Raises
    ------
    ValueError
        If `schedule` or `prediction` is unknown, they do not go together, or a probability is out of
        range.
    """

    def __init__(
        self,
        n_features: int | Mapping[str, int],
        n_categories: Mapping[str, int],
        *,
        codec: str = "latent",
        codec_kwargs: Mapping[str, Any],
        denoiser_kwargs: Mapping[str, Any],
        schedule: str = "cosine",
        prediction: str = "v",
        condition_dropout: float = 0.1,
        ema_decay: float = 0.999,
    ):
        super().__init__()
        self.n_categories = dict(n_categories)
        self.codec: Any = CODECS[codec](n_features, n_categories, **codec_kwargs)
        self.n_features: dict[str, int] = (
            {RNA: n_features} if isinstance(n_features, int) else dict(n_features)
        )
        self._add_diffusion(
            n_categories, schedule, prediction, condition_dropout, ema_decay, denoiser_kwargs
        )
        self.register_load_state_dict_pre_hook(rename_weights)

    def with_categories(self, name: str, weights: Tensor) -> SCDiTModule:
        """A copy in which other categories of a condition stand in the place of its own.

        Parameters
        ----------
        name
            Name of the condition.
        weights
            Of the old categories in each new one, (new, old). All vectors of a category, in the codec
            and in the denoiser, are such sums.
        """
        own = copy.deepcopy(self)
        for part in own.modules():
            if isinstance(part, ConditionTerms | ConditionEmbedding) and name in part.n_categories:
                part.combine(name, weights)
        own.n_categories[name] = len(weights)
        return own

    # -- counts <-> state: what scvi's trainer sees of the codec ---------------------------------

    def _get_inference_input(self, tensors: Mapping[str, Tensor], **_) -> dict[str, Any]:
        # the loader makes floats of everything
        codes = {
            name: tensors[name].ravel().to(torch.float32 if n == CONTINUOUS else torch.int64)
            for name, n in self.n_categories.items()
        }
        if self.training:
            codes = drop_conditions(codes, _UNKNOWN, singly=False)
        return {
            "counts": self.by_assay(tensors[REGISTRY_KEYS.X_KEY]),
            "codes": codes,
            "present": self.present_by_assay(tensors.get(PRESENT)),
        }

    @auto_move_data
    def inference(
        self,
        counts: Mapping[str, Tensor],
        codes: Mapping[str, Tensor] | None = None,
        present: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Any]:
        """Posterior of the state given counts (cells, features) by assay and, where known, conditions.

        Parameters
        ----------
        counts, codes
            See :meth:`scdit.codec.LatentCodec.encode`.
        present
            Whether each cell has an assay, bool (cells,), by its name; None where all have all.

        Returns
        -------
        ``mean`` and ``sd`` (cells, n_state), and the ``codes`` that they were told.
        """
        mean, sd = self.codec.encode(counts, codes, present)
        return {"mean": mean, "sd": sd, "codes": codes}

    def _get_generative_input(
        self, tensors: Mapping[str, Tensor], inference_outputs: Mapping[str, Any], **_
    ) -> dict[str, Any]:
        mean, sd = inference_outputs["mean"], inference_outputs["sd"]
        return {"state": mean + sd * torch.randn_like(sd), "codes": inference_outputs["codes"]}

    @auto_move_data
    def generative(
        self, state: Tensor, codes: Mapping[str, Tensor] | None = None
    ) -> dict[str, Any]:
        """Distribution of the counts of each assay given states (cells, n_state) and conditions."""
        return self.codec.decode(state, codes)

    def loss(
        self,
        tensors: Mapping[str, Tensor],
        inference_outputs: Mapping[str, Any],
        generative_outputs: Mapping[str, Any],
    ) -> LossOutput:
        """Negative evidence lower bound of the codec, in nats per cell."""
        counts, present = self.by_assay(tensors[REGISTRY_KEYS.X_KEY]), tensors.get(PRESENT)
        reconstruction = self.codec.reconstruction_loss(
            counts, generative_outputs, self.present_by_assay(present)
        )
        kl = self.codec.kl(**inference_outputs)
        return LossOutput(
            loss=(reconstruction + kl).mean(), reconstruction_loss=reconstruction, kl_local=kl
        )

    @torch.inference_mode()
    def draw_counts(
        self,
        state: Tensor,
        cells: range,
        noise: KeyedNoise,
        codes: Mapping[str, Tensor] | None = None,
        effects: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Counts (cells, features), float32, of all assays, drawn for given states and conditions.

        Keys and codes are those of :meth:`sample`, effects those of
        :meth:`scdit.codec.LatentCodec.draw`, the only codec that takes them.
        """

        def uniform(n_features: int) -> Tensor:
            return self._to_device(noise.uniform(cells.start, cells.stop, n_features, COUNTS))

        more = {} if effects is None else {"effects": effects}
        drawn = self.codec.draw(state, uniform, codes, **more)
        return torch.cat([drawn[name] for name in self.n_features], dim=1)

    # -- one matrix <-> assays -------------------------------------------------------------------

    def by_assay(self, matrix: Any) -> dict[str, Any]:
        """Columns of each assay, see :func:`by_assay`."""
        return by_assay(matrix, self.n_features)

    def present_by_assay(self, present: Tensor | None) -> dict[str, Tensor] | None:
        """Columns of `present`, bool (cells, assays), by assay; None where all cells have all."""
        if present is None:
            return None
        return dict(zip(self.n_features, present.bool().unbind(1), strict=True))


def by_assay(matrix: Any, n_features: Mapping[str, int]) -> dict[str, Any]:
    """Columns of each assay of a matrix (cells, features of all assays): a tensor, an array or CSR."""
    if len(n_features) == 1:
        return dict.fromkeys(n_features, matrix)
    ends = np.cumsum([0, *n_features.values()])
    return {
        name: matrix[:, start:stop]
        for name, start, stop in zip(n_features, ends[:-1], ends[1:], strict=True)
    }
