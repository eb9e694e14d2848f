"""Registering data: one AnnData, or several modalities of the same cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager
from scvi.utils import setup_anndata_dsp

from scdit._checks import check_class, check_names
from scdit.conditions import check_conditions, check_not_taken, condition_fields
from scdit.model._counts import check_adata, check_counts
from scdit.model._joint import joint_from_anndata, joint_from_mudata, remember
from scdit.model._registration import CountsField


class SetupMixin:
    """Adds :meth:`setup_anndata` and :meth:`setup_mudata` to the model."""

    _get_setup_method_args: Callable[..., dict[str, Any]]
    register_manager: Callable[[AnnDataManager], None]

    @classmethod
    @setup_anndata_dsp.dedent
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        labels_key: str | None = None,
        batch_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
        unlabeled_category: str | None = None,
        protein_expression_obsm_key: str | None = None,
        protein_names_uns_key: str | None = None,
        **kwargs,
    ) -> None:
        """%(summary)s

        Every column that is named becomes a condition by which cells can be generated.

        Parameters
        ----------
        %(param_adata)s
        layer
            Layer of raw counts; None for ``adata.X``.
        labels_key
            Column of ``adata.obs`` with cell types.
        batch_key
            Column of ``adata.obs`` with batches.
        categorical_covariate_keys
            Further categorical columns, such as treatments.
        continuous_covariate_keys
            Columns of numbers, such as ages or doses. Transform them first if they span orders of
            magnitude: what is learnt is smooth in them.
        unlabeled_category
            Name for having no label, such as ``"Unknown"``: cells of this label, or with a missing
            one, are trained on as cells whose label is not known. None if every cell has a label.
        protein_expression_obsm_key
            Counts of surface proteins of the same cells in ``adata.obsm``, an array or a DataFrame.
            Generated cells have proteins in ``obsm``, under the same name.
        protein_names_uns_key
            Names of the proteins in ``adata.uns``; None for the columns of the DataFrame, or
            numbers.

        Raises
        ------
        KeyError
            If a layer or column does not exist.
        TypeError
            If `adata` is no AnnData, its matrix is of a kind that is not supported, or `obs` is not in
            memory. Counts may stay on disk.
        ValueError
            If the counts are not raw counts, a cell has none, a column has missing values, no
            numbers or as many labels as cells, or gene names occur twice.

        Examples
        --------
        >>> scdit.SCDiT.setup_anndata(
        ...     adata,
        ...     layer="counts",
        ...     labels_key="cell_type",
        ...     batch_key="donor",
        ...     categorical_covariate_keys=["condition"],
        ... )
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        check_adata(adata)
        if protein_expression_obsm_key is None:
            if protein_names_uns_key is not None:
                raise ValueError("protein_names_uns_key needs protein_expression_obsm_key")
            cls._register(adata, layer, setup_method_args, kwargs)
            remember(adata, None)
            return
        joint = joint_from_anndata(adata, setup_method_args["setup_args"])
        cls._register(joint, None, setup_method_args, kwargs)
        remember(adata, joint)

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        rna_layer: str | None = None,
        protein_layer: str | None = None,
        atac_layer: str | None = None,
        labels_key: str | None = None,
        batch_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
        unlabeled_category: str | None = None,
        modalities: Mapping[str, str] | None = None,
        presence_keys: Mapping[str, str] | None = None,
        **kwargs,
    ) -> None:
        """Register the modalities of a MuData, of which cells may lack some.

        Every column that is named becomes a condition by which cells can be generated. The counts are
        copied: what happens to `mdata` afterwards has no effect.

        Parameters
        ----------
        mdata
            The cells. If a cell is not in a modality, its counts there are treated as unknown.
        rna_layer
            Layer of raw counts of genes; None for ``X``.
        protein_layer
            Layer of raw counts of surface proteins; None for ``X``.
        atac_layer
            Layer of raw counts of fragments in peaks; None for ``X``.
        labels_key, batch_key, categorical_covariate_keys, continuous_covariate_keys, unlabeled_category
            As in :meth:`setup_anndata`. Columns are looked for in ``mdata.obs``, then in the modalities.
        modalities
            Names of modalities by argument: ``{"rna_layer": "rna", "protein_layer": "prot"}``. Only those
            that are named are trained on; a single one is enough. A column's own modality may be named,
            ``{"labels_key": "rna"}``.
        presence_keys
            Boolean columns that say which cells have a modality, by its name: ``{"prot": "has_prot"}``. For
            data that have rows of zeros for cells that were not measured.

        Raises
        ------
        KeyError
            If a modality, layer or column does not exist.
        TypeError
            If `mdata` is no MuData, or a matrix is of a kind that is not supported.
        ValueError
            If `mdata` is a view or its modalities share features and not cells, no modality is named,
            counts are not raw counts, a cell has none, or a column cannot be a condition.

        Examples
        --------
        >>> scdit.SCDiT.setup_mudata(
        ...     mdata,
        ...     labels_key="cell_type",
        ...     modalities={"rna_layer": "rna", "protein_layer": "prot"},
        ... )
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        joint = joint_from_mudata(mdata, setup_method_args["setup_args"])
        cls._register(joint, None, setup_method_args, kwargs)
        remember(mdata, joint)

    @classmethod
    def _register(
        cls,
        adata: AnnData,
        layer: str | None,
        arguments: dict[str, Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Check counts and columns, and register them."""
        given = arguments["setup_args"]
        covariates = check_names(
            "categorical_covariate_keys", given["categorical_covariate_keys"] or []
        )
        numbers = check_names(
            "continuous_covariate_keys", given["continuous_covariate_keys"] or []
        )
        labels_key, batch_key = given["labels_key"], given["batch_key"]
        unlabeled_category = given["unlabeled_category"]
        if unlabeled_category is not None:
            check_class("unlabeled_category", unlabeled_category, str)
            if labels_key is None:
                raise ValueError("unlabeled_category needs labels_key, the column it is a name in")
        for name, key in {"labels_key": labels_key, "batch_key": batch_key}.items():
            check_class(name, key, str, type(None))
        if adata.is_view:
            raise ValueError("adata is a view: pass a copy, adata = adata.copy()")
        check_counts(adata, layer)
        check_not_taken(adata)
        check_conditions(
            adata,
            [key for key in (labels_key, batch_key, *covariates) if key is not None],
            numbers,
            unlabeled=None if labels_key is None else {labels_key: unlabeled_category},
        )
        fields = [
            CountsField(layer),
            *condition_fields(labels_key, unlabeled_category, batch_key, covariates, numbers),
        ]
        manager = AnnDataManager(fields=fields, setup_method_args=arguments)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)
