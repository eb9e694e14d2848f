"""From the arguments of a call to the recipe of its cells: checked before any cell is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from scdit._checks import check_rng, listed
from scdit._torch import steady_torch
from scdit.codec import LatentCodec
from scdit.conditions import (
    Condition,
    LibrarySize,
    Request,
    RequestedCodes,
    conditions_like,
    name_requests,
    names_of_rows,
    resolve_library_sizes,
    resolve_n,
    size_request,
)
from scdit.diffusion import KeyedNoise
from scdit.model._assays import lengths_of_all
from scdit.model._depths import warn_of_sizes
from scdit.model._effects import Effects, read_effects
from scdit.model._new_donors import draw_donors, read_new_donors
from scdit.model._null import LABELS, Population, categories_of, null_names, read_null
from scdit.model._recipe import Recipe
from scdit.model._sampling import SamplingMixin
from scdit.model._shards import cells_of_shard
from scdit.model._told import CONDITIONS, LIBRARY, ORDER
from scdit.model._truth import with_truth
from scdit.module import RNA

# settings of a call that its cells depend on
_IN_NAMES = (
    "rng",
    "sampler",
    "n_steps",
    "spacing",
    "eta",
    "guidance_scale",
    "null",
    "reference",
    "new_donors",
)
_LOOKED_AT = 512  # cells of a category whose means are compared
_POPULATION = 4096  # states whose moments are those of one population
_BLOCK = 1 << 16  # cells whose library sizes are looked at together


class RecipesMixin(SamplingMixin):
    """Makes recipes."""

    name_hashes_: np.ndarray
    run_token_: str

    def _recipe(
        self,
        n: int | None,
        labels: Request,
        batch: Request,
        covariates: Mapping[str, Request] | None,
        conditions: pd.DataFrame | None,
        like: Any,
        *,
        times: torch.Tensor,
        options: Mapping[str, Any],
        described: Mapping[str, Any],
        library_size: LibrarySize | Mapping[str, LibrarySize],
        rng: Any,
        batch_size: int,
        shard: tuple[int, int] | None,
        effects: Any,
        null: Any,
        reference: Any,
        new_donors: Any,
    ) -> tuple[Recipe, dict[str, Any], dict[str, Any]]:
        """The recipe of a call of :meth:`generate`.

        Parameters
        ----------
        times, options
            Time grid, and settings of the sampler by the names that the module knows.
        described
            Further settings as ``uns`` has them.

        Returns
        -------
        The recipe, its settings as ``uns`` has them, and all that its cells depend on.
        """
        donors, known = read_new_donors(new_donors, self._conditions), self._conditions
        if donors is not None:
            known = [donors[1] if c is donors[0] else c for c in known]
        added = self._effects(effects, known)
        changed = read_null(null, reference, known)
        if null == LABELS:
            self._require_latent("null='labels'")
            if donors is not None:
                raise ValueError(
                    "give new_donors= or null='labels', not both: the latter has none"
                )
        wanted = self._sizes_by_assay(library_size)
        like = None if like is None else self._joined(like)
        # `like` has no new donors
        there = [c for c in self._conditions if donors is None or c is not donors[0]]
        table = conditions_like(there, conditions, like)
        requests = name_requests(self._conditions, labels, batch, covariates, table)
        lengths = lengths_of_all(wanted)
        if like is not None:  # which a model without conditions takes no column of
            lengths["like"] = like.n_obs
        n = resolve_n(n, requests, lengths)
        cells = cells_of_shard(n, batch_size, shard)
        names = None
        if conditions is not None:
            names = names_of_rows(conditions, self.name_hashes_)
        noise, composition = KeyedNoise(check_rng(rng)), self._training_cells
        module, names_of_null = self.module, None
        if donors is not None:
            others = {k: v for k, v in requests.items() if k not in (donors[0].key, null)}
            drawn = draw_donors(*donors, self._conditions, composition, others, noise)
            module, composition = drawn.of_module(module), drawn.of_composition(composition)
        if changed is not None:
            own = requests.pop(changed.key, None)
            names_of_null = null_names(changed, own, composition, noise.generator(ORDER, 1))
            if reference is not None:
                requests[changed.key] = reference
        requested = RequestedCodes(known, composition, requests, noise.generator(ORDER))
        sizes = {assay: size_request(size) for assay, size in wanted.items()}
        self._warn_of_sizes(sizes, n, noise)
        settings = {
            "version": _version(),
            **options,
            "n_steps": len(times) - 1,
            **described,
            "library_size": self._described_sizes(wanted),
            # as text: a seed may be too long for the integers of an h5ad file
            "rng": str(noise.seed),
            "batch_size": batch_size,
            "conditions": [condition.key for condition in self._conditions],
        }
        if null is not None:
            settings["null"] = str(null)
        if reference is not None:
            settings["reference"] = str(reference)
        if donors is not None:
            settings["new_donors"] = {donors[1].key: donors[1].n_categories}
        # the batch size is not a part of it, which changes one count in a hundred thousand
        parts = [f"{k}={v}" for k, v in settings.items() if k in _IN_NAMES]
        if donors is not None:  # whose templates depend on what is asked for
            parts.append(f"templates={drawn.templates.tolist()}")
        if added is not None:
            parts.append(f"effects={added.digest()}")
        recipe = Recipe(
            module=module,
            _conditions=known,
            composition=composition,
            requested=requested,
            sizes=sizes,
            noise=noise,
            times=times,
            options=options,
            cells=cells,
            batch_size=batch_size,
            common=";".join([self.run_token_, *parts]),
            names=names,
            null=names_of_null,
        )
        record = {**settings, "n": n, "shard": shard, "model": self.run_token_}
        if null == LABELS:
            recipe.population = self._population(recipe)
        if added is not None:
            added = with_truth(recipe, added, n, self.var_.index[self._genes()])
            recipe.effects = added
            factors = added.common_factor.tolist()
            settings["common_factor"] = dict(zip(added.names, factors, strict=True))
        return recipe, settings, record | recipe.asked_for()

    def _require_latent(self, what: str) -> None:
        """Raise ValueError if states are expression itself."""
        if not isinstance(self.module.codec, LatentCodec):
            raise ValueError(f"{what} needs codec='latent': this model has the expression codec")

    def _effects(self, request: Any, conditions: Sequence[Condition]) -> Effects | None:
        """Effects that are asked for, checked; errors are those of :meth:`_genes_to_change`, too."""
        if request is None:
            return None
        genes = self._genes_to_change()
        others = {f: m.name for m in self._modalities if m.assay != RNA for f in m.features}
        return read_effects(request, conditions, genes, others)

    def _genes_to_change(self) -> pd.Index:
        """Names of the genes that effects can be on.

        Raises
        ------
        ValueError
            If the codec or the modalities have none.
        """
        self._require_latent("effects=")
        modalities = {m.assay: m for m in self._modalities}
        if modalities and RNA not in modalities:
            have = listed(m.name for m in modalities.values())
            raise ValueError(f"effects are for genes (RNA): this model has {have} only")
        return pd.Index(modalities[RNA].features if modalities else self.get_var_names())

    @steady_torch()
    def _learnt_changes(self, key: str, generator: np.random.Generator) -> np.ndarray:
        """Log2 fold changes (genes,) between two categories of a condition, drawn at random.

        They are those of the mean proportions in cells like some training cells, which are told one
        category and the other.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If `key` is not a registered column of several categories.
        """
        times, options = self._sampling_options()
        condition = categories_of("like", key, self._conditions)
        pair = generator.choice(condition.n_categories, 2, replace=False)
        noise, composition = KeyedNoise(generator), self._training_cells
        cells, means = range(_LOOKED_AT), []
        for code in pair:
            given = {condition.name: np.full(len(cells), code)}
            rows = composition.draw(given, noise.uniform_per_cell(cells, CONDITIONS))
            codes = {k: own[rows] for k, own in composition.codes.items()}
            told = self._codes_of(cells, codes, {})
            with torch.inference_mode():
                state = self.module.sample(told, cells, noise, times, **options)
                rates = self.module.codec.decode(state, told)[RNA].mean().double()
            means.append((rates / rates.sum(1, keepdim=True)).mean(0))
        return torch.log2(means[1] / means[0]).cpu().numpy()

    def _population(self, recipe: Recipe) -> Population:
        """The Gaussian of the states that a model makes without conditions.

        It is the same in all calls, and sampled as in `recipe`.
        """
        noise, parts = KeyedNoise(0), []
        options = {**recipe.options, "guidance_scale": 0.0}
        for start in range(0, _POPULATION, recipe.batch_size):
            cells = range(start, min(start + recipe.batch_size, _POPULATION))
            rows = recipe.composition.draw({}, noise.uniform_per_cell(cells, CONDITIONS))
            known = {k: code[rows] for k, code in recipe.composition.codes.items()}
            codes = self._codes_of(range(len(cells)), known, {})  # which guidance 0 leaves out
            parts.append(self.module.sample(codes, cells, noise, recipe.times, **options).cpu())
        return Population.of(torch.cat(parts))

    def _warn_of_sizes(self, sizes: Mapping[str, Any], n: int, noise: KeyedNoise) -> None:
        """Warn of library sizes that are given, or of a given distribution, far from training cells.

        Raises
        ------
        ValueError
            If a size that is drawn is out of range.
        """
        for i, size in enumerate(sizes.values()):
            known = self._training_cells.of_assay(i).library_size
            if isinstance(size, np.ndarray):
                warn_of_sizes(np.atleast_1d(size), known)
            elif isinstance(size, tuple):
                warned = False
                for start in range(0, n, _BLOCK):
                    cells = range(start, min(start + _BLOCK, n))
                    numbers = noise.uniform_per_cell(cells, LIBRARY)
                    drawn: Any = resolve_library_sizes(size, self._training_cells, {}, numbers)
                    warned = warned or warn_of_sizes(drawn, known)


def _version() -> str:
    from scdit import __version__

    return __version__
