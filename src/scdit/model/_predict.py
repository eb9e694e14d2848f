"""One modality of cells from their others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from scdit._checks import check_bool, check_choice, check_class, check_int, check_rng
from scdit._progress import progress
from scdit._torch import steady_torch
from scdit.diffusion import KeyedNoise
from scdit.model._batches import Cells, Encoded
from scdit.model._cells import CellsMixin
from scdit.model._depths import as_integers
from scdit.model._sampling import SamplingMixin

_POOL, _NEAR = 5_000, 20  # generated states, and those near a cell that its depth is drawn from
_POOLED, _DEPTH, _DRAWN = 40, 41, 42  # purposes of random numbers
_MEANS = 50  # draws of the state that an expected value is a mean of
_MOST = 1_000


class PredictMixin(CellsMixin, SamplingMixin):
    """Adds :meth:`predict_modality` to the model."""

    @steady_torch()
    def predict_modality(
        self,
        data: MuData | AnnData,
        modality: str,
        *,
        n_samples: int = 1,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
        batch_size: int | None = None,
        silent: bool = False,
    ) -> AnnData:
        """Counts of one modality of cells in which others were measured.

        The latent vector of a cell is drawn from its posterior given its other modalities and the
        conditions that are known. The depth of the modality is drawn from generated states that are
        near in latent vector and in the other depths. Counts are drawn given both.

        Parameters
        ----------
        data
            Cells with at least one other modality: a MuData, or an AnnData with the features of one
            modality or with genes and proteins as they were registered. Counts of the modality itself
            are not looked at.
        modality
            Its name, such as ``"prot"``; ``"protein"`` where proteins were registered in ``obsm``.
        n_samples
            Draws of each cell.
        rng
            Seed or generator.
        batch_size
            Cells computed at once; None for ``scvi.settings.batch_size``.
        silent
            No progress bar.

        Returns
        -------
        AnnData of the same cells, by name, with the features of the modality. ``X`` is a draw of counts
        (CSR, int32), ``layers["expected"]`` the expected counts (array, float32), mean of 50 draws of the
        state; further draws are ``layers["sample_1"]``, ``layers["sample_2"]``, ...

        Raises
        ------
        RuntimeError
            If the model is not trained.
        TypeError
            If `data` is of the wrong class.
        ValueError
            If the model has one modality, `modality` is unknown, or cells have no other modality or lack
            features.

        Examples
        --------
        >>> proteins = model.predict_modality(rna, "prot", rng=0)
        """
        if len(self._modalities) < 2:
            raise ValueError(
                "predict_modality needs a model of several modalities: SCDiT.setup_mudata(mdata, ...)"
            )
        check_class("data", data, MuData, AnnData)
        names = [m.name for m in self._modalities]
        target = names.index(check_choice("modality", modality, names))
        n_samples = check_int("n_samples", n_samples, high=_MOST)
        check_bool("silent", silent)
        noise = KeyedNoise(check_rng(rng))
        cells = self._cells("predict_modality", data, None, batch_size)
        cells = _without(cells, target, len(names), modality)
        pool = _Pool(self._pool(noise))
        assay = self._modalities[target].assay
        *draws, expected = self._predicted(cells, assay, pool, noise, n_samples, silent)
        obs = pd.DataFrame(index=cells.obs_names)
        return AnnData(
            draws[0],
            obs=obs,
            var=self.vars_[modality].copy(),
            layers={"expected": expected} | {f"sample_{i}": x for i, x in enumerate(draws) if i},
            uns={"scdit": {"modality": modality, "rng": str(noise.seed)}},
        )

    def _pool(self, noise: KeyedNoise) -> Tensor:
        """States (pool, n_state) of new cells, composed as the training cells are."""
        times, options = self._sampling_options()
        composition = self._training_cells
        numbers = noise.uniform_per_cell(_POOL, _POOLED)
        rows = composition.draw({}, numbers)
        codes = {name: code[rows] for name, code in composition.codes.items()}
        told = self._codes_of(range(_POOL), codes, {})
        return self.module.sample(told, range(_POOL), noise, times, **options)

    @torch.inference_mode()
    def _predicted(
        self,
        cells: Cells,
        assay: str,
        pool: _Pool,
        noise: KeyedNoise,
        n_samples: int,
        silent: bool,
    ) -> list[sp.csr_matrix | np.ndarray]:
        """Counts (cells, features) of each draw, then their expected value."""
        drawn: list[list] = [[] for _ in range(n_samples)]
        expected, codec = [], self.module.codec
        bar = progress(len(cells), "Predicting", "cell", silent)
        for part in self._encoded(cells):
            total: Tensor | float = 0.0
            for i in range(max(n_samples, _MEANS)):
                state = self._with_depth(part, pool, noise, i)
                if i < _MEANS:
                    own = codec.own_states(state)[assay]
                    total = total + codec.assays[assay].decode(own, part.codes).mean()
                if i < n_samples:
                    counts = self._drawn(state, part, assay, noise, i)
                    drawn[i].append(sp.csr_matrix(as_integers(counts)))
            expected.append((total / _MEANS).cpu().numpy())  # type: ignore[union-attr]
            bar.update(len(part.rows))
        bar.close()
        return [*(sp.vstack(x, format="csr") for x in drawn), np.concatenate(expected)]

    def _with_depth(self, part: Encoded, pool: _Pool, noise: KeyedNoise, sample: int) -> Tensor:
        """A draw of the states of some cells, with depths of near states of the pool where they have none."""
        state, n_latent = part.draw(noise, sample), self.module.codec.n_latent
        lacking = torch.stack([~has for has in part.present.values()], dim=1)  # type: ignore[union-attr]
        keys = noise.uniform(part.rows.start, part.rows.stop, 1, _DEPTH, sample)[:, 0]
        for pattern in torch.unique(lacking, dim=0):
            rows = (lacking == pattern).all(1)
            known = torch.cat([pattern.new_ones(n_latent), ~pattern])
            near = pool.near(state[rows], known, keys[rows.cpu().numpy()])
            state[rows] = torch.where(known, state[rows], near)
        return state

    def _drawn(
        self, state: Tensor, part: Encoded, assay: str, noise: KeyedNoise, sample: int
    ) -> Tensor:
        """Counts (cells, features) of one assay at given states."""

        def uniform(n_features: int) -> Tensor:
            numbers = noise.uniform(part.rows.start, part.rows.stop, n_features, _DRAWN, sample)
            return torch.from_numpy(numbers).to(state)

        codec = self.module.codec
        return codec.assays[assay].draw(codec.own_states(state)[assay], uniform, part.codes)


class _Pool:
    """Generated states, of which those near a cell say what depths it may have.

    Parameters
    ----------
    states
        States (pool, n_state).
    """

    def __init__(self, states: Tensor):
        self.states, self.scale = states, states.std(0).clamp_min(1e-6)
        self._indexes: dict[
            tuple[bool, ...], NearestNeighbors
        ] = {}  # by dimensions that are known

    def near(self, state: Tensor, known: Tensor, numbers: np.ndarray) -> Tensor:
        """One of the states that are nearest to each of some others in the dimensions that are known.

        Parameters
        ----------
        state
            The others, (cells, n_state).
        known
            The dimensions, bool (n_state,).
        numbers
            Uniform in [0, 1), (cells,): what one is drawn with.
        """
        key = tuple(known.tolist())
        if key not in self._indexes:
            points = (self.states / self.scale)[:, known].cpu().numpy()
            self._indexes[key] = NearestNeighbors(n_neighbors=_NEAR).fit(points)
        near = self._indexes[key].kneighbors((state / self.scale)[:, known].cpu().numpy())[1]
        chosen = near[np.arange(len(near)), (numbers * _NEAR).astype(int)]
        return self.states[torch.from_numpy(chosen).to(self.states.device)]


def _without(cells: Cells, target: int, n: int, modality: str) -> Cells:
    """Cells as if they lacked one modality.

    Raises
    ------
    ValueError
        If some then have none.
    """
    present = (
        np.ones((len(cells), n), dtype=bool) if cells.present is None else cells.present.copy()
    )
    present[:, target] = False
    nothing = ~present.any(axis=1)
    if nothing.any():
        raise ValueError(
            f"{int(nothing.sum())} cells have no modality but {modality!r}, the first of them "
            f"{cells.obs_names[nothing][0]!r}: there is nothing to predict it from"
        )
    return cells.showing(present)
