"""SCDiT: from a user's AnnData of counts to a generator of new cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi.model.base import BaseModelClass

from scdit._checks import check_number
from scdit._torch import steady_torch
from scdit.conditions import (
    name_hashes,
    registered_conditions,
)
from scdit.model._annbatch import AnnbatchMixin, CollectionRegistry
from scdit.model._architecture import DEFAULTS, module_arguments, resolve_architecture
from scdit.model._counts import read_counts
from scdit.model._decode import DecodeMixin
from scdit.model._differential import DifferentialMixin
from scdit.model._embed import EmbedMixin
from scdit.model._generate import GenerateMixin
from scdit.model._interpolate import InterpolateMixin
from scdit.model._joint import joint_of
from scdit.model._lazy_counts import table
from scdit.model._likelihood import LikelihoodMixin
from scdit.model._load import LoadMixin
from scdit.model._modalities import VAR, Modality
from scdit.model._names import weights_token
from scdit.model._predict import PredictMixin
from scdit.model._registration import check_unchanged
from scdit.model._save import SaveMixin
from scdit.model._setup import SetupMixin
from scdit.model._train import TrainMixin
from scdit.model._translate import TranslateMixin
from scdit.module import RNA, SCDiTModule, by_assay

_ARCHITECTURE = {name for parts in DEFAULTS.values() for part in parts.values() for name in part}


class SCDiT(
    SetupMixin,
    AnnbatchMixin,
    TrainMixin,
    GenerateMixin,
    InterpolateMixin,
    TranslateMixin,
    PredictMixin,
    EmbedMixin,
    DecodeMixin,
    DifferentialMixin,
    LikelihoodMixin,
    SaveMixin,
    LoadMixin,
    BaseModelClass,
):
    """Diffusion transformer for single-cell counts.

    A *codec* takes counts to the space of the diffusion and back; a Diffusion Transformer (Peebles &
    Xie 2023, arXiv 2212.09748) learns the distribution there, given the conditions. With
    ``codec="latent"`` that space is the latent space of a count autoencoder, in which a cell's
    library size is a dimension too; with ``codec="expression"`` it is log-normalised expression, as in
    scRDiT (Dong et al. 2024, arXiv 2404.06153).

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`, or MuData registered with :meth:`setup_mudata`.
    registry
        Registry of a saved model, when it is loaded without data, or of cells on disk, see
        :meth:`setup_annbatch`.
    codec
        ``"latent"`` (default) or ``"expression"``.
    preset
        Name of a set of arguments: ``"scrdit"`` is the published model (expression codec, zeros at
        -10, patches of 10 genes, 768 x 3 transformer, 1,000-step DDPM, eps-prediction). Arguments
        that you pass override those of the preset.
    n_latent
        Latent codec: dimensions of the latent space; None for as many as the data have
        principal components that are more than noise, 1 to 48. Some more can keep many rare types
        better apart, at some cost to the cells as a whole (see the documentation, "The codec").
    n_hidden
        Latent codec: width of the hidden layers; None for 256 to 1,024, the wider the more cells and
        the fewer genes there are.
    dropout_rate
        Latent codec: dropout in the hidden layers (0).
    dispersion
        Latent codec: of the negative binomial, ``"gene-cell"`` (default; per gene and cell) or
        ``"gene"``.
    gene_likelihood
        Latent codec: ``"nb"`` (negative binomial), ``"zinb"`` (zero-inflated) or None: ``"zinb"``
        where counts are reads, as of full-length protocols, and ``"nb"`` where they are molecules.
    chromatin_likelihood
        Latent codec with chromatin: ``"poisson"``, ``"nb"`` or ``"bernoulli"``; None to choose by the
        data (``"bernoulli"`` where they are binarised).
    zero_value
        Expression codec: the value of a gene without counts (-1), at most 0. The further it is from
        the other values, the more of its capacity a network spends on which genes are off.
    gene_order
        Expression codec: which genes share a patch, ``"correlation"`` (default; those that vary
        together in the training cells), ``"given"`` (neighbours in ``var``) or ``"random"``.
    scaling
        Expression codec: ``"global"`` (default; one scale for all genes, so that variable ones weigh
        more), ``"gene"`` (every gene has unit variance in the diffusion) or ``"none"``.
    zero_inflated
        Expression codec: whether the network informs the closed-form estimate of a zero-inflated
        Gaussian for each gene (default, see :class:`scdit.nn.ZeroInflatedHead`) or predicts values
        itself, as the published one does.
    n_tokens
        Latent codec: number of tokens of the transformer (2), each a view of the whole state.
    patch_size
        Expression codec: genes per token (200, or all if there are fewer). Smaller patches see finer
        structure and cost more, in inverse proportion.
    width
        Dimension of a token of the transformer (128), a multiple of `n_heads`.
    depth
        Number of transformer blocks (3).
    n_heads
        Heads of the attention in each block (4).
    mlp_ratio
        Width of the hidden layer of each block, in units of `width` (2).
    schedule
        Noise schedule: ``"cosine"`` (default), ``"linear"`` or ``"ddpm"``.
    prediction
        What the denoiser predicts: ``"v"`` (default), ``"eps"`` or ``"x0"``.
    condition_dropout
        Probability with which conditions are hidden in training, for guidance.
    ema_decay
        Decay of the moving average of the denoiser's weights.

    Raises
    ------
    ValueError
        If an argument is out of range, or does not belong to the codec.

    Examples
    --------
    >>> adata = scdit.datasets.pbmc68k()
    >>> scdit.SCDiT.setup_anndata(adata, labels_key="bulk_labels")
    >>> model = scdit.SCDiT(adata)
    >>> model.train()
    >>> new = model.generate(n=5000)
    """

    _module_cls = SCDiTModule

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: dict | None = None,
        *,
        codec: Literal["latent", "expression"] | None = None,
        preset: str | None = None,
        n_latent: int | None = None,
        n_hidden: int | None = None,
        dispersion: Literal["gene-cell", "gene"] | None = None,
        chromatin_likelihood: Literal["poisson", "nb", "bernoulli"] | None = None,
        gene_likelihood: Literal["nb", "zinb"] | None = None,
        dropout_rate: float | None = None,
        zero_value: float | None = None,
        gene_order: Literal["correlation", "given", "random"] | None = None,
        scaling: Literal["gene", "global", "none"] | None = None,
        zero_inflated: bool | None = None,
        n_tokens: int | None = None,
        patch_size: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        n_heads: int | None = None,
        mlp_ratio: float | None = None,
        schedule: str | None = None,
        prediction: str | None = None,
        condition_dropout: float = 0.1,
        ema_decay: float = 0.999,
    ):
        given = {name: value for name, value in locals().items() if name in _ARCHITECTURE}
        if adata is None and isinstance(registry, CollectionRegistry):
            adata, registry = registry.adata, None
        adata = joint_of(adata)
        super().__init__(adata, registry)
        features = self._n_features()
        counts = None
        if adata is not None:
            check_unchanged(self.adata_manager)
            counts = by_assay(read_counts(adata, self._layer), features)
        condition_dropout = check_number("condition_dropout", condition_dropout, 0, 1)
        ema_decay = check_number("ema_decay", ema_decay, 0, 1, open_high=True)
        chosen = resolve_architecture(
            codec, preset, given, self.summary_stats.n_cells, features, counts
        )
        # recorded as resolved: a model that is loaded with other data keeps its sizes
        self.init_params_ = self._get_init_params({**locals(), **chosen, "preset": None})
        self._conditions = registered_conditions(self.registry)
        with steady_torch():  # weights in single precision
            self.module = self._module_cls(
                features if self._modalities else features[RNA],
                {c.name: c.n_categories for c in self._conditions},
                **module_arguments(chosen),
                condition_dropout=condition_dropout,
                ema_decay=ema_decay,
            )
        self.composition_: dict[str, object] = {}
        self.var_ = (
            pd.DataFrame(index=pd.Index(self.get_var_names()))
            if adata is None
            else table(adata.var)
        )
        self.vars_ = {} if adata is None else dict(adata.uns.get(VAR, {}))
        self.name_hashes_ = name_hashes(pd.Index([]) if adata is None else adata.obs_names)
        self.run_token_ = weights_token(self.module)

    # -- use -------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        module, names = self.module, [str(c) for c in self._conditions]
        genes = f"{self.summary_stats.n_vars} genes"
        n_parameters = sum(p.numel() for p in self.module.parameters() if p.requires_grad)
        return "\n".join(
            [
                f"SCDiT model, {'trained' if self.is_trained_ else 'not trained'}",
                f"  data:       {self.summary_stats.n_cells} cells x {_sizes(self._modalities) or genes}",
                f"  conditions: {', '.join(names) or 'none'}",
                f"  codec:      {module.codec.extra_repr()}",
                f"  denoiser:   {module.denoiser.extra_repr()}",
                f"  diffusion:  {module.schedule.name} schedule, {module.prediction}-prediction",
                f"  parameters: {n_parameters:,}",
            ]
        )


def _sizes(modalities: Sequence[Modality]) -> str:
    """Modalities with their numbers of features."""
    return " + ".join(f"{len(m.features)} {m.name}" for m in modalities)
