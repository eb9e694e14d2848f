"""Weights of earlier versions under their present names."""

from __future__ import annotations

import re
from typing import Any

# of 0.1.0 before codecs were made of assays: all of the latent codec but its prior belonged to RNA
_RENAMED = (
    (r"^codec\.marginal_map\.", "codec.quantile_map."),
    (
        r"^codec\.(cap$|(encoder|decoder_hidden|decoder_linear|decoder_nonlinear|dispersion|extra_zeros"
        r"|effects|regions|shape|quantile_map|library_scores)\.)",
        r"codec.assays.rna.\1",
    ),
)


def rename_weights(module: object, state_dict: dict[str, Any], *_: object) -> None:
    """Give the weights of an earlier version their present names, in place."""
    for name in list(state_dict):
        new = name
        for pattern, replacement in _RENAMED:
            new = re.sub(pattern, replacement, new)
        if new != name:
            state_dict[new] = state_dict.pop(name)
