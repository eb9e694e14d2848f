"""What each codec needs around its training: the start, its phases, and the states it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from scdit.module import SCDiTModule
from scdit.nn import ExpressionCodec, LatentCodec
from scdit.train._data import CellDataModule, StateDataModule
from scdit.train._defaults import PhaseDefaults
from scdit.train._expression import initialise_expression, prepare_expression
from scdit.train._initialise import initialise_latent
from scdit.train._latents import prepare_latents


@dataclass(frozen=True)
class CodecTraining:
    """The training of one kind of codec.

    Parameters
    ----------
    phases
        Defaults of each phase of training, in order; the last is the denoiser's.
    initialise
        Sets what the codec takes from the counts (cells, genes) of training cells.
    prepare
        Makes the states that the denoiser is trained on, in batches of a given size.
    """

    phases: Mapping[str, PhaseDefaults]
    initialise: Callable[[Any, Any], None]
    prepare: Callable[[SCDiTModule, CellDataModule, int], StateDataModule]


_TRAINING: dict[type, CodecTraining] = {
    LatentCodec: CodecTraining(
        {
            "codec": PhaseDefaults(64, ((25, 6_000),), min_steps=1_000, early_stopping=False),
            # steps are cheap, and with few cells 100 passes are few of them
            "denoiser": PhaseDefaults(
                128, ((400, 5_000), (100, 10_000)), min_steps=500, early_stopping=True
            ),
        },
        initialise_latent,
        prepare_latents,
    ),
    ExpressionCodec: CodecTraining(
        {"denoiser": PhaseDefaults(64, ((100, 10_000),), min_steps=500, early_stopping=True)},
        initialise_expression,
        prepare_expression,
    ),
}


def codec_training(codec: nn.Module) -> CodecTraining:
    """How this codec is trained."""
    return _TRAINING[type(codec)]
