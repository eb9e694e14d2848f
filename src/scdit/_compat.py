"""Parts of scvi-tools that it does not offer publicly. Nothing else in the package imports such parts."""

from __future__ import annotations

import torch
from scvi.model._utils import parse_device_args


def device_of(accelerator: str, device: int | str) -> torch.device:
    """The device that scvi-tools understands by its arguments `accelerator` and `device`."""
    return parse_device_args(
        accelerator=accelerator, devices=device, return_device="torch", validate_single_device=True
    )[-1]
