"""The latent codec of one or several assays, from sizes and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from scdit.codec._latent import LatentCodec
from scdit.codec.chromatin import Chromatin
from scdit.codec.protein import Protein
from scdit.codec.rna import RNA

# by assay: what makes it, and its own settings, by the names that these have there
ASSAYS: dict[str, tuple[Callable[..., nn.Module], dict[str, str]]] = {
    "rna": (RNA, {"dispersion": "dispersion", "gene_likelihood": "gene_likelihood"}),
    "protein": (Protein, {}),
    "atac": (Chromatin, {"chromatin_likelihood": "likelihood"}),
}
_SHARED = {"n_latent", "n_hidden", "dropout_rate"}


def latent_codec(
    n_features: int | Mapping[str, int],
    n_categories: Mapping[str, int] | None = None,
    *,
    n_latent: int = 32,
    **settings: Any,
) -> LatentCodec:
    """The latent codec of RNA alone, or of several assays.

    Parameters
    ----------
    n_features
        Number of genes; or number of features of each assay, any of ``"rna"``, ``"protein"`` and
        ``"atac"``, in the order that their depths have in the state.
    n_categories
        Number of categories of each condition that may be known of a cell, by name.
    n_latent
        Dimensions of the latent space; no more than features of all assays together are made.
    settings
        ``n_hidden`` and ``dropout_rate`` of all assays, and settings of single ones: ``dispersion`` and
        ``gene_likelihood`` of RNA, ``chromatin_likelihood`` of chromatin. See :class:`RNA`,
        :class:`Protein` and :class:`Chromatin`.

    Raises
    ------
    ValueError
        If there is no assay, an assay is unknown, or a setting has a value that is not allowed.
    TypeError
        If a setting is unknown or belongs to an assay that is not there.

    Examples
    --------
    >>> codec = scdit.codec.latent_codec({"rna": 2_000, "protein": 40}, n_latent=20)
    >>> codec.n_state  # 20 latent dimensions and 2 depths
    """
    sizes = n_features if isinstance(n_features, Mapping) else {"rna": n_features}
    unknown = sorted(set(sizes) - set(ASSAYS))
    if unknown or not sizes:
        names = ", ".join(map(repr, unknown)) or "none"
        raise ValueError(f"n_features: unknown assay {names}. Known: {', '.join(ASSAYS)}")
    own = {name: ASSAYS[name][1] for name in sizes}
    foreign = sorted(set(settings) - _SHARED - {key for names in own.values() for key in names})
    if foreign:
        raise TypeError(f"unknown settings for {', '.join(sizes)}: {', '.join(foreign)}")
    n_latent = min(n_latent, sum(sizes.values()))
    assays = {}
    for name, size in sizes.items():
        given = {
            own[name].get(k, k): v for k, v in settings.items() if k in _SHARED | set(own[name])
        }
        assays[name] = ASSAYS[name][0](size, n_categories, n_latent=n_latent, **given)
    return LatentCodec(assays, n_categories)
