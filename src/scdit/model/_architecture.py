"""The sizes and settings of a model: defaults of each codec, presets, and what the user overrides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import scipy.sparse as sp

from scdit._checks import check_bool, check_choice, check_int, check_number
from scdit.codec import (
    default_chromatin_likelihood,
    default_gene_likelihood,
    default_n_hidden,
    default_n_latent,
)
from scdit.diffusion import PREDICTIONS, SCHEDULES

# settings of the latent codec that only one assay has
_OF_ASSAY = {"dispersion": "rna", "gene_likelihood": "rna", "chromatin_likelihood": "atac"}
_MLP = {"depth": 3, "mlp_ratio": 2.0}
# by codec: what goes to the codec, to the denoiser, and to the module itself; see docs/design/
DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "latent": {
        "codec_kwargs": {
            "n_latent": None,
            "n_hidden": None,
            "dispersion": "gene-cell",
            "gene_likelihood": None,
            "chromatin_likelihood": None,
            "dropout_rate": 0.0,
        },
        "denoiser_kwargs": {"n_tokens": 2, "width": 128, "n_heads": 4, **_MLP},
        "module": {"schedule": "cosine", "prediction": "v"},
    },
    "expression": {
        "codec_kwargs": {
            "zero_value": -1.0,
            "gene_order": "correlation",
            "scaling": "global",
            "zero_inflated": True,
        },
        "denoiser_kwargs": {"patch_size": 200, "width": 128, "n_heads": 4, **_MLP},
        "module": {"schedule": "cosine", "prediction": "v"},
    },
}
# what arguments may be; there are at most as many latent dimensions as genes
_CHOICES: dict[str, Collection[str]] = {
    "dispersion": ("gene-cell", "gene"),
    "gene_likelihood": ("nb", "zinb"),
    "chromatin_likelihood": ("poisson", "nb", "bernoulli"),
    "gene_order": ("correlation", "given", "random"),
    "scaling": ("gene", "global", "none"),
    "schedule": SCHEDULES,
    "prediction": PREDICTIONS,
}
_MOST = {
    "n_latent": 0,
    "n_hidden": 2**16,
    "n_tokens": 2**12,
    "width": 2**14,
    "depth": 2**10,
    "n_heads": 2**10,
}
_RANGES: dict[str, dict[str, Any]] = {
    "dropout_rate": {"low": 0, "high": 1, "open_high": True},
    "zero_value": {"high": 0},
    "mlp_ratio": {"low": 0, "high": 64, "open_low": True},
}
PRESETS: dict[str, dict[str, Any]] = {
    "scrdit": {
        "codec": "expression",
        "zero_value": -10.0,
        "gene_order": "given",
        "scaling": "none",
        "zero_inflated": False,
        "patch_size": 10,
        "width": 768,
        "depth": 3,
        "n_heads": 8,
        "mlp_ratio": 4.0,
        "schedule": "ddpm",
        "prediction": "eps",
    },
}
"""Name -> arguments of SCDiT. ``scrdit``: the model of Dong et al. 2024, as published."""


def resolve_architecture(
    codec: str | None,
    preset: str | None,
    given: Mapping[str, Any],
    n_cells: int,
    n_features: Mapping[str, int],
    counts: Mapping[str, sp.spmatrix] | None = None,
) -> dict[str, Any]:
    """Every argument of the model that was left at None, filled in.

    Parameters
    ----------
    codec, preset
        Names of a codec and of a preset; None for the latent codec and for none.
    given
        The other arguments by name, None where the user said nothing.
    n_cells, n_features
        Number of cells, and of features by assay, which some defaults follow.
    counts
        Counts (cells, features) by assay, which others follow; None where they are not at hand.

    Returns
    -------
    The arguments by name, with ``codec``; those of other codecs are left out.

    Raises
    ------
    ValueError
        If a name is unknown, or an argument does not belong to the codec.
    """
    if preset is not None:
        check_choice("preset", preset, PRESETS)
    said = {} if preset is None else dict(PRESETS[preset])
    said |= {name: value for name, value in given.items() if value is not None}
    of_preset = said.pop("codec", "latent")
    codec = check_choice("codec", of_preset if codec is None else codec, DEFAULTS)
    defaults = {name: v for part in DEFAULTS[codec].values() for name, v in part.items()}
    foreign = sorted(set(said) - set(defaults))
    if foreign:
        raise ValueError(f"codec={codec!r} does not take {', '.join(foreign)}")
    for name, value in said.items():
        said[name] = _check(name, value, sum(n_features.values()))
    first = next(iter(n_features))  # genes, where there are any
    if codec == "latent":
        for name, assay in _OF_ASSAY.items():
            if assay not in n_features:
                if name in said:
                    raise ValueError(f"{name} is for {assay!r}, which these data do not have")
                del defaults[name]
        own = None if counts is None else counts[first]
        said.setdefault("n_hidden", default_n_hidden(n_cells, n_features[first]))
        if "rna" in n_features and "gene_likelihood" not in said:
            said["gene_likelihood"] = default_gene_likelihood(own)
        if "atac" in n_features and "chromatin_likelihood" not in said:
            said["chromatin_likelihood"] = default_chromatin_likelihood(
                None if counts is None else counts["atac"]
            )
        if "n_latent" not in said:
            reads = said.get("gene_likelihood") == "zinb"
            side_by_side = own
            if counts is not None and len(counts) > 1:
                side_by_side = sp.hstack(list(counts.values()), format="csr")
            said["n_latent"] = default_n_latent(n_cells, side_by_side, reads=reads)
    if codec == "expression":
        if list(n_features) != ["rna"]:
            raise ValueError(
                "codec='expression' is for genes alone: leave codec out for modalities"
            )
        defaults["patch_size"] = min(defaults["patch_size"], n_features["rna"])
    return {"codec": codec, **defaults, **said}


def _check(name: str, value: Any, n_genes: int) -> Any:
    """An argument that is in its range."""
    if name in _CHOICES:
        return check_choice(name, value, _CHOICES[name])
    if name in _MOST:
        most = n_genes if name == "n_latent" else _MOST[name]
        return check_int(name, value, high=most)
    if name == "patch_size":  # whose range the tokens know
        return check_int(name, value, low=-(2**31))
    if name == "zero_inflated":
        return check_bool(name, value)
    return check_number(name, value, **_RANGES[name])


def module_arguments(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved arguments, sorted into those of the codec, the denoiser and the module."""
    parts = {
        part: {name: chosen[name] for name in names if name in chosen}
        for part, names in DEFAULTS[chosen["codec"]].items()
    }
    return {"codec": chosen["codec"], **parts.pop("module"), **parts}
