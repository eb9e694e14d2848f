"""The latent codec: counts <-> a small state, by a variational autoencoder of one or more assays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from scdit.codec._presence import Presence, rows_with
from scdit.codec._prior import ConditionPrior, product
from scdit.codec._protocol import (
    Assay,
    Codes,
    Counts,
    Given,
    Phase,
    Present,
    SparseCounts,
    Uniform,
)
from scdit.codec._shared_start import start_together
from scdit.codec._weight_prior import WeightPrior

# towards the posterior's mode: part of a Newton step, and the largest move in standard deviations
_STEP, _MAX_STEP = 0.5, 1.0


class LatentCodec(nn.Module):
    """Variational autoencoder whose latent vector all assays of a cell share.

    The posterior is the product of one Gaussian for each assay, from its counts, and the prior given
    conditions. The *state* (cells, n_latent + assays) is the latent vector and the depth of each assay:
    a diffusion over states generates all jointly. Call :meth:`start` before training.

    Parameters
    ----------
    assays
        Modules that are an :class:`Assay`, by name, with the same number of latent dimensions.
    n_categories
        Number of categories of each known condition, by name, see :class:`scdit.nn.ConditionTerms`.

    Raises
    ------
    ValueError
        If there is no assay, or they have different numbers of latent dimensions.

    Examples
    --------
    >>> counts = torch.poisson(torch.full((500, 100), 0.5))
    >>> codec = scdit.codec.LatentCodec({"rna": scdit.codec.RNA(100, n_latent=10)})
    >>> codec.start({"rna": counts.numpy()})
    >>> state, sd = codec.encode({"rna": counts})  # each (500, 11)
    """

    phases = {
        "codec": Phase(64, 1e-3, ((25, 6_000),), min_steps=1_000, early_stopping=False),
        # with few cells, 50 passes are few steps
        "denoiser": Phase(
            256, 3e-3, ((200, 2_500), (50, 5_000)), min_steps=500, early_stopping=True
        ),
    }
    sampler = "ab3"
    conditions_on_library = False  # the library size is a part of the state
    zero_inflated = False

    def __init__(
        self, assays: Mapping[str, nn.Module], n_categories: Mapping[str, int] | None = None
    ):
        super().__init__()
        n_latent = {assay.n_latent for assay in assays.values()}
        if len(n_latent) != 1:
            raise ValueError(
                "a latent codec needs assays with one number of latent dimensions, got "
                f"{sorted(map(int, n_latent)) or 'no assay'}"  # type: ignore[arg-type]
            )
        self.assays = nn.ModuleDict(assays)
        self.n_latent = int(n_latent.pop())  # type: ignore[arg-type]
        self.prior = ConditionPrior(n_categories or {}, self.n_latent)

    @property
    def n_state(self) -> int:
        """Dimensions of the state."""
        return self.n_latent + len(self.assays)

    def extra_repr(self) -> str:
        """Sizes, and what each assay says of itself."""
        assays = (assay.extra_repr() for assay in self.assays.values())
        return ", ".join([f"{self.n_latent} latent dimensions", *assays])

    def start(self, counts: Mapping[str, SparseCounts], present: Present = None) -> None:
        """Take statistics of training cells, some as fixed buffers, and start the weights from them.

        Parameters
        ----------
        counts
            Counts (cells, features) of each assay; a row is the same cell in all.
        present
            Which cells have counts of an assay, (cells,), by its name; None for all of them.

        Raises
        ------
        ValueError
            If no cell has one of the assays, or all of its counts are zero.
        """
        start_together(dict(self._each()), counts, present, self.n_latent)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameters with their own learning rates; the prior learns at ten times `lr`."""
        assays = [group for _, assay in self._each() for group in assay.parameter_groups(lr)]
        return [
            *assays,
            {"params": list(self.prior.parameters()), "lr": 10 * lr, "weight_decay": 0.0},
        ]

    # -- counts -> state -------------------------------------------------------------------------

    def encode(
        self, counts: Counts, codes: Codes = None, present: Present = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the state given counts (cells, features) and conditions.

        The networks say what the counts alone tell of the latent vector; the product with the prior
        given `codes`, see :class:`ConditionPrior`, is the posterior. Its mean, which a network finds
        to about one standard deviation, then moves half a Newton step up the true posterior, as in
        iterative amortised inference (Marino et al. 2018).

        In training a random share of each cell's counts may be hidden: a state then has to explain
        more than the counts it was made from. The depth is never hidden.

        An assay that a cell lacks (`present`) has no part in the product; its depth is N(0, 1).
        """
        n_cells = len(next(iter(counts.values())))
        has = Presence(present)
        counts = has.counts(counts)
        prior_mean, prior_sd = mean, sd = self.prior(codes, n_cells)
        seen, depths = {}, {}
        for name, assay in self._each():
            seen[name] = assay.see(counts[name])
            depths[name] = has.only(name, assay.depth(seen[name]), 0.0)
            evidence = assay.evidence(assay.components(seen[name]), depths[name])
            new_mean, new_sd = product(mean, sd, *evidence)
            mean, sd = has.only(name, new_mean, mean), has.only(name, new_sd, sd)
        slope = self._likelihood_slope(mean, depths, seen, codes, present)
        with torch.no_grad():  # a constant to the optimiser
            pull = slope - (mean - prior_mean) / prior_sd**2
            step = sd * (_STEP * sd * pull).clamp(-_MAX_STEP, _MAX_STEP)
        own = [has.only(name, assay.depth(counts[name]), 0.0) for name, assay in self._each()]
        depth = torch.cat(own, dim=1)
        state = torch.cat([mean + step, depth], dim=1)
        known = [has.only(name, torch.zeros_like(d), 1.0) for name, d in depths.items()]
        return state, torch.cat([sd, *known], dim=1)

    def _likelihood_slope(
        self, latent: Tensor, depths: Counts, seen: Counts, codes: Codes, present: Present
    ) -> Tensor:
        """Gradient of the log likelihood in the latent vector, (cells, n_latent)."""
        # whatever mode the caller is in; what was made in inference mode has to be copied
        with torch.inference_mode(False), torch.enable_grad():
            latent = latent.detach().clone().requires_grad_()
            depth = torch.cat([depths[name].clone() for name in self.assays], dim=1)
            known = None if codes is None else {name: c.clone() for name, c in codes.items()}
            decoded = self.decode(torch.cat([latent, depth], dim=1), known)
            given = {name: c.clone() for name, c in seen.items()}
            has = None if present is None else {name: c.clone() for name, c in present.items()}
            loss = self.reconstruction_loss(given, decoded, has).sum()
            return -torch.autograd.grad(loss, latent)[0]

    def translate(self, state: Tensor, codes: Codes, others: Codes) -> Tensor:
        """States (cells, n_state) that cells would have under other conditions.

        A latent vector keeps its place in the prior: so many standard deviations from the mean of its
        own conditions, and as many from that of the others. Depths stay.
        """
        mean, sd = self.prior(codes, len(state))
        other_mean, other_sd = self.prior(others, len(state))
        latent, depth = state[:, : self.n_latent], state[:, self.n_latent :]
        # a difference: where nothing changes, nothing is rounded
        moved = latent + (other_mean - mean) + (other_sd / sd - 1) * (latent - mean)
        return torch.cat([moved, depth], dim=1)

    def normalisation(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and scale of the diffusion's space, given moments of the state (n_state,)."""
        return mean, variance.sqrt()

    # -- state -> counts -------------------------------------------------------------------------

    def decode(self, state: Tensor, codes: Codes = None) -> dict[str, Any]:
        """Distribution of the counts (cells, features) given states (cells, n_state) and conditions."""
        own = self.own_states(state)
        return {name: assay.decode(own[name], codes) for name, assay in self._each()}

    def with_library_size(self, state: Tensor, library_size: Mapping[str, Tensor]) -> Tensor:
        """States (cells, n_state) with library sizes (cells,) of some assays in place of their own.

        A cell whose library size is NaN keeps its own.
        """
        latent, *depths = state.split([self.n_latent, *[1] * len(self.assays)], dim=1)
        for i, (name, assay) in enumerate(self._each()):
            if name in library_size:
                given = assay.depth_of_size(library_size[name])
                depths[i] = torch.where(given.isnan(), depths[i], given)
        return torch.cat([latent, *depths], dim=1)

    def draw(
        self,
        state: Tensor,
        uniform: Uniform,
        codes: Codes = None,
        effects: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Counts (cells, features) for states, conditions and effects, see :meth:`RNA.draw`, by assay."""
        own, changed = self.own_states(state), effects or {}
        sizes = [assay.n_features for _, assay in self._each()]
        # in one piece: assays that asked for numbers each would get the same ones
        numbers = uniform(sum(sizes)).split(sizes, dim=1)
        return {
            name: assay.draw(
                own[name], Given(part), codes, *([changed[name]] if name in changed else [])
            )
            for (name, assay), part in zip(self._each(), numbers, strict=True)
        }

    def layers(self, state: Tensor) -> dict[str, Tensor]:
        """Layers beside the counts: none."""
        return {}

    # -- what is minimised -----------------------------------------------------------------------

    def reconstruction_loss(
        self, counts: Counts, decoded: Mapping[str, Any], present: Present = None
    ) -> Tensor:
        """Negative log likelihood of the counts of all assays that a cell has, (cells,), in nats."""
        has = Presence(present)
        counts = has.counts(counts)
        losses = [
            has.only(name, assay.loss(counts[name], decoded[name]), 0.0)
            for name, assay in self._each()
        ]
        return torch.stack(losses).sum(0)

    def kl(self, mean: Tensor, sd: Tensor, codes: Codes = None) -> Tensor:
        """KL divergence of the latent posterior from the prior, (cells,), depths left out."""
        prior_mean, prior_sd = self.prior(codes, len(mean))
        shift = (mean[:, : self.n_latent] - prior_mean) / prior_sd
        ratio = sd[:, : self.n_latent] / prior_sd
        return (0.5 * (shift**2 + ratio**2 - 1) - ratio.log()).sum(1)

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the assays' weights."""
        for _, assay in self._each():
            yield from assay.priors()

    # -- after the codec's training --------------------------------------------------------------

    def clear_calibration(self) -> None:
        """Take the calibrations of all assays back."""
        for _, assay in self._each():
            assay.clear_calibration()

    def calibrate(
        self,
        states: Tensor,
        counts: Mapping[str, sp.csr_matrix],
        codes: Codes = None,
        present: Present = None,
    ) -> None:
        """Fit what each assay draws at states of training cells to their counts.

        Parameters
        ----------
        states
            States (cells, n_state) whose decoded mixture should have the marginals of the data.
        counts
            Counts of the training cells, (cells, features) by assay, in the order of the states.
        codes
            Conditions of the training cells, (cells,) by name; None where none is known.
        present
            Which cells have counts of an assay, (cells,), by its name; each is fitted to these.
        """
        for (name, assay), own in zip(self._each(), self.own_states(states).values(), strict=True):
            rows = rows_with(present, name, len(states))
            if len(rows) == len(states):
                assay.calibrate(own, counts[name], codes)
            elif len(rows):
                at = torch.as_tensor(rows)
                known = None if codes is None else {k: code[at] for k, code in codes.items()}
                assay.calibrate(own[at], counts[name][rows], known)

    def _each(self) -> Iterator[tuple[str, Assay]]:
        for name, assay in self.assays.items():
            yield name, cast(Assay, assay)

    def own_states(self, state: Tensor) -> dict[str, Tensor]:
        """Latent vector and own depth of each assay, (cells, n_latent + 1)."""
        latent, *depths = state.split([self.n_latent, *[1] * len(self.assays)], dim=1)
        own = (torch.cat([latent, depth], dim=1) for depth in depths)
        return dict(zip(self.assays, own, strict=True))
