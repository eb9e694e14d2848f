"""One modality of cells from their others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from scdit._checks import check_bool, check_choice, check_class, check_int, check_rng
from scdit._progress import progress
from scdit._torch import steady_torch
from scdit.diffusion import KeyedNoise
from scdit.model._adjusted import Adjusted, Adjustment
from scdit.model._batches import Cells, Encoded, codes_on_device, unknown_codes
from scdit.model._cells import CellsMixin
from scdit.model._depths import as_integers
from scdit.model._sampling import SamplingMixin
from scdit.nn import DROPPED

_SIMULATED = 5_000  # cells that a regression is fitted to
_CONDITIONS, _STATE, _DRAWN = 40, 41, 42  # purposes of random numbers
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
        """Predict counts of one modality of cells from the others, such as proteins from RNA.

        The state of a cell (its latent vector, and the depth of the modality) is drawn given what was
        measured, and counts given the state. A regression on 5,000 simulated cells, whose states are
        known, corrects the encoder, which was trained on cells with all modalities (Beaumont et al. 2002;
        *Several modalities*, user guide).

        Parameters
        ----------
        data
            Cells with at least one other modality: a MuData, or an AnnData with the features of one
            modality or with genes and proteins as they were registered. Counts of the modality itself
            are not looked at. Registered columns of `obs` are used where there are some; other
            conditions count as unknown.
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
        assay = self._modalities[target].assay
        *draws, expected = self._predicted(cells, assay, noise, n_samples, silent)
        obs = pd.DataFrame(index=cells.obs_names)
        return AnnData(
            draws[0],
            obs=obs,
            var=self.vars_[modality].copy(),
            layers={"expected": expected} | {f"sample_{i}": x for i, x in enumerate(draws) if i},
            uns={"scdit": {"modality": modality, "rng": str(noise.seed)}},
        )

    @torch.inference_mode()
    def _predicted(
        self, cells: Cells, assay: str, noise: KeyedNoise, n_samples: int, silent: bool
    ) -> list[sp.csr_matrix | np.ndarray]:
        """Counts (cells, features) of each draw, then their expected value."""
        drawn: list[list] = [[] for _ in range(n_samples)]
        expected, codec = [], self.module.codec
        simulated = self._simulated(noise, cells)
        adjustments: dict[tuple[bool, ...], Adjustment] = {}
        bar = progress(len(cells), "Predicting", "cell", silent)
        for part in self._encoded(cells):
            adjusted = list(self._adjusted(part, simulated, adjustments))
            total: Tensor | float = 0.0
            for i in range(max(n_samples, _MEANS)):
                numbers = noise.uniform(part.rows.start, part.rows.stop, 1, _STATE, i)[:, 0]
                state = torch.empty_like(part.mean)
                for rows, guess in adjusted:
                    state[rows] = guess.draw(numbers[rows])
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

    def _simulated(self, noise: KeyedNoise, like: Cells) -> tuple[Cells, Tensor]:
        """New cells, composed as the training cells are, and their states (cells, n_state)."""
        times, options = self._sampling_options()
        composition = self._training_cells
        rows = composition.draw({}, noise.uniform_per_cell(_SIMULATED, _CONDITIONS))
        codes = {c.name: c.standardise(composition.codes[c.name][rows]) for c in self._conditions}
        states, counts = [], []
        for start in range(0, _SIMULATED, like.batch_size):
            cells = range(start, min(start + like.batch_size, _SIMULATED))
            told = codes_on_device(codes, cells, self.module.device)
            states.append(self.module.sample(told, cells, noise, times, **options))
            drawn = self.module.draw_counts(states[-1], cells, noise, told)
            counts.append(sp.csr_matrix(as_integers(drawn)))
        made = replace(like, counts=sp.vstack(counts, format="csr"), codes=codes, present=None)
        return made, torch.cat(states)

    def _adjusted(
        self,
        part: Encoded,
        simulated: tuple[Cells, Tensor],
        adjustments: dict[tuple[bool, ...], Adjustment],
    ) -> Iterator[tuple[np.ndarray, Adjusted]]:
        """Rows of cells of which the same is known, and what their states may be.

        `adjustments` has those that were fitted before, by what is known.
        """
        has = [x.cpu().numpy() for x in part.present.values()]  # type: ignore[union-attr]
        told = [_is_known(x.cpu().numpy()) for x in (part.codes or {}).values()]
        for pattern in np.unique(known := np.stack([*has, *told], axis=1), axis=0):
            rows = np.flatnonzero((known == pattern).all(axis=1))
            key = tuple(pattern.tolist())
            if key not in adjustments:
                adjustments[key] = self._adjustment(simulated, *np.split(pattern, [len(has)]))
            yield rows, adjustments[key].of(part.mean[rows])

    def _adjustment(
        self, simulated: tuple[Cells, Tensor], has: np.ndarray, told: np.ndarray
    ) -> Adjustment:
        """What is learnt from simulated cells.

        Parameters
        ----------
        simulated
            The cells, and their states.
        has, told
            Which modalities and which conditions are known, bool.
        """
        cells, states = simulated
        codes = {
            c.name: cells.codes[c.name] if known else unknown_codes(c, len(cells))  # type: ignore[index]
            for c, known in zip(self._conditions, told, strict=True)
        }
        hidden = replace(cells, codes=codes, present=np.tile(has, (len(cells), 1)))
        means = torch.cat([part.mean for part in self._encoded(hidden)])
        known = torch.from_numpy(has).to(states.device)
        known = torch.cat([known.new_zeros(self.module.codec.n_latent), known])
        return Adjustment(means, states, known)

    def _drawn(
        self, state: Tensor, part: Encoded, assay: str, noise: KeyedNoise, sample: int
    ) -> Tensor:
        """Counts (cells, features) of one assay at given states."""

        def uniform(n_features: int) -> Tensor:
            numbers = noise.uniform(part.rows.start, part.rows.stop, n_features, _DRAWN, sample)
            return torch.from_numpy(numbers).to(state)

        codec = self.module.codec
        return codec.assays[assay].draw(codec.own_states(state)[assay], uniform, part.codes)


def _is_known(codes: np.ndarray) -> np.ndarray:
    """Whether a condition of a cell is known, (cells,)."""
    return codes != DROPPED if codes.dtype.kind == "i" else ~np.isnan(codes)


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
