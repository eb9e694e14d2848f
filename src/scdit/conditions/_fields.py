"""How conditions are registered: what scvi's fields leave out, kept in the registry of the model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi import REGISTRY_KEYS, settings
from scvi.data.fields import BaseAnnDataField, CategoricalObsField, NumericalObsField

from scdit._checks import shortened
from scdit.conditions._condition import Category, Condition, Number
from scdit.nn import DROPPED

DIGEST = "digest"  # in the registry: what tells that data have changed since they were registered
_FEW = 3  # cells of a category below which it is not learnt


class CategoryField(CategoricalObsField):
    """A categorical column that knows its order, and whose cells may have no category.

    Codes are written to ``obs`` as scvi does; a cell without a category has the code that the
    denoiser knows as a dropped condition.

    Parameters
    ----------
    registry_key, attr_key
        Name in the registry, and the user's column; None for a column of one category.
    unlabeled_category
        The category that, like a missing value, means that there is none; None if all cells must
        have one.
    """

    ORDERED_KEY = "ordered"

    def __init__(
        self, registry_key: str, attr_key: str | None, unlabeled_category: str | None = None
    ):
        super().__init__(registry_key, attr_key)
        self.key = attr_key
        self.unlabeled_category = unlabeled_category

    def register_field(self, adata: AnnData) -> dict:
        """Learn the categories of `adata` and write its codes."""
        if self.is_default:
            return super().register_field(adata)
        column = self._column(adata)
        categories = column.cat.categories.to_numpy(copy=True)
        return self._write(adata, column, categories, bool(column.cat.ordered))

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **kwargs) -> dict:
        """Write the codes of other data, in the categories of a model.

        Raises
        ------
        ValueError
            If the data have categories that the model does not know.
        """
        if self.is_default:
            return super().transfer_field(state_registry, adata_target, **kwargs)
        categories = np.asarray(state_registry[self.CATEGORICAL_MAPPING_KEY])
        column = self._column(adata_target)
        own = column.cat.categories
        known = Category(self.registry_key, str(self.key), categories).find(own)
        unknown = own[(known == DROPPED) & own.isin(column.dropna())]
        if len(unknown):
            raise ValueError(
                f"adata.obs[{self.key!r}] has {unknown[0]!r}, which the model does not "
                f"know; known: {shortened(categories)}"
            )
        # numbers as text, or text as numbers, are the model's own categories
        names = np.array([*categories, None], dtype=object)[known[column.cat.codes]]
        names[column.isna().to_numpy()] = None
        column = pd.Series(pd.Categorical(names, categories=categories), column.index)
        return self._write(adata_target, column, categories, state_registry[self.ORDERED_KEY])

    def _column(self, adata: AnnData) -> pd.Series:
        column = adata.obs[self.key].astype("category")
        if self.unlabeled_category in column.cat.categories:
            column = column.cat.remove_categories([self.unlabeled_category])
        return column

    def _write(
        self, adata: AnnData, column: pd.Series, categories: np.ndarray, ordered: bool
    ) -> dict:
        codes = pd.Categorical(column, categories=categories).codes.astype(np.int64)
        adata.obs[self.attr_key] = codes  # missing values have pandas' code for them, DROPPED
        sizes = np.bincount(codes[codes != DROPPED], minlength=len(categories))
        few = categories[(sizes > 0) & (sizes < _FEW)]
        if len(few):
            warnings.warn(
                f"these {self.key} have fewer than {_FEW} cells: {shortened(few, 10)}",
                UserWarning,
                stacklevel=settings.warnings_stacklevel,
            )
        return {
            self.CATEGORICAL_MAPPING_KEY: categories,
            self.ORIGINAL_ATTR_KEY: self.key,
            self.ORDERED_KEY: ordered,
            DIGEST: self.digest(adata),
        }

    def digest(self, adata: AnnData) -> str:
        """Stands for the user's column: changes if it does."""
        column = adata.obs[self.key].astype(object).to_numpy()
        return _digest(pd.util.hash_array(column.astype(str).astype(object)))


class NumberField(NumericalObsField):
    """A column of numbers, written to ``obs`` with mean 0 and variance 1.

    Parameters
    ----------
    registry_key, key
        Name in the registry, and the user's column.
    """

    def __init__(self, registry_key: str, key: str):
        super().__init__(registry_key, f"_scvi_{registry_key}")
        self.key = key

    def register_field(self, adata: AnnData) -> dict:
        """Learn the moments and the range of `adata`'s column and write it standardised."""
        values = adata.obs[self.key].to_numpy(dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        # rounding alone gives a constant a spread
        mean, sd = (low, 1.0) if low == high else (float(values.mean()), float(values.std()))
        return self._write(adata, {"mean": mean, "sd": sd, "low": low, "high": high})

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **kwargs) -> dict:
        """Write other data's column in the units of a model."""
        return self._write(adata_target, state_registry)

    def _write(self, adata: AnnData, state: dict) -> dict:
        values = adata.obs[self.key].to_numpy(dtype=np.float64)
        adata.obs[self.attr_key] = (values - state["mean"]) / state["sd"]
        return {**state, DIGEST: self.digest(adata)}

    def digest(self, adata: AnnData) -> str:
        """Stands for the user's column: changes if it does."""
        return _digest(adata.obs[self.key].to_numpy(dtype=np.float64))


def condition_fields(
    labels_key: str | None,
    unlabeled_category: str | None,
    batch_key: str | None,
    categorical_keys: Sequence[str],
    continuous_keys: Sequence[str],
) -> list[BaseAnnDataField]:
    """Fields of the columns that become conditions, see :meth:`SCDiT.setup_anndata`."""
    numbers = enumerate(continuous_keys, len(categorical_keys))
    return [
        CategoryField(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled_category),
        CategoryField(REGISTRY_KEYS.BATCH_KEY, batch_key),
        *(CategoryField(_covariate(i), key) for i, key in enumerate(categorical_keys)),
        *(NumberField(_covariate(i), key) for i, key in numbers),
    ]


def registered_conditions(registry: Mapping) -> list[Condition]:
    """Conditions in the order labels, batch, covariates; only those the user named."""
    setup = registry["setup_args"]
    covariates = [
        *(setup["categorical_covariate_keys"] or []),
        *(setup["continuous_covariate_keys"] or []),
    ]
    keys = {
        REGISTRY_KEYS.LABELS_KEY: setup["labels_key"],
        REGISTRY_KEYS.BATCH_KEY: setup["batch_key"],
        **{_covariate(i): key for i, key in enumerate(covariates)},
    }
    unlabeled = {REGISTRY_KEYS.LABELS_KEY: setup["unlabeled_category"]}
    conditions: list[Condition] = []
    for name, key in keys.items():
        if key is None:
            continue
        state = registry["field_registries"][name]["state_registry"]
        if CategoryField.ORDERED_KEY in state:
            categories = np.asarray(state[CategoryField.CATEGORICAL_MAPPING_KEY])
            ordered = state[CategoryField.ORDERED_KEY]
            conditions.append(Category(name, key, categories, ordered, unlabeled.get(name)))
        else:
            moments = {k: float(state[k]) for k in ("mean", "sd", "low", "high")}
            conditions.append(Number(name, key, **moments))
    return conditions


def _digest(values: np.ndarray) -> str:
    return blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()


def _covariate(i: int) -> str:
    """Name of a covariate in scvi's registry, where a user's column name may not be allowed."""
    return f"covariate_{i}"
