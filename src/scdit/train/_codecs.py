"""What each codec needs around its training: the start, its phases, and the states it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from scdit.module import SCDiTModule
from scdit.nn import ExpressionCodec, LatentCodec
from scdit.train._data import CellDataModule, StateDataModule
from scdit.train._expression import initialise_expression, prepare_expression
from scdit.train._initialise import initialise_latent
from scdit.train._latents import prepare_latents


@dataclass(frozen=True)
class CodecTraining:
    """The training of one kind of codec.

    Parameters
    ----------
    batch_size
        Cells per step by default, for each phase of training; the denoiser's is the last.
    initialise
        Sets what the codec takes from the counts (cells, genes) of training cells.
    prepare
        Makes the states that the denoiser is trained on, in batches of a given size.
    """

    batch_size: Mapping[str, int]
    initialise: Callable[[Any, Any], None]
    prepare: Callable[[SCDiTModule, CellDataModule, int], StateDataModule]

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the phases, in order."""
        return tuple(self.batch_size)


_TRAINING: dict[type, CodecTraining] = {
    LatentCodec: CodecTraining({"codec": 64, "denoiser": 128}, initialise_latent, prepare_latents),
    ExpressionCodec: CodecTraining({"denoiser": 64}, initialise_expression, prepare_expression),
}


def codec_training(codec: nn.Module) -> CodecTraining:
    """How this codec is trained."""
    return _TRAINING[type(codec)]
