"""Parts of scvi-tools that it does not offer publicly. Nothing else in the package imports such parts."""

from __future__ import annotations

import torch
from scvi.model._utils import parse_device_args


def device_of(accelerator: str, device: int | str) -> torch.device:
    """The device that scvi-tools understands by its arguments `accelerator` and `device`.

    Raises
    ------
    ValueError
        If this machine has no such device.
    """
    try:
        found = parse_device_args(
            accelerator=accelerator,
            devices=device,
            return_device="torch",
            validate_single_device=True,
        )[-1]
        torch.empty(1, device=found)
    except Exception as error:  # of many classes
        raise ValueError(
            f"accelerator={accelerator!r}, device={device!r} is no device of this machine ({error}): use "
            "accelerator 'auto', 'cpu' or 'gpu', and device 'auto' or the number of one GPU"
        ) from error
    return found
