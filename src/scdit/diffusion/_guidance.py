"""Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598), joint and compositional."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor


def guide(
    network: Callable[[Collection[str]], Tensor],
    conditions: Collection[str],
    scale: float | Mapping[str, float] = 1.0,
) -> Tensor:
    """Mix conditional and unconditional predictions.

    Parameters
    ----------
    network
        Called with the names of the conditions that it may see; all others are dropped.
    conditions
        The names of the conditions that are given.
    scale
        One number ``s``: ``none + s (all - none)``; 1 is the conditional model and costs one call,
        0 the unconditional one. A mapping: ``none + sum_k s_k (only k - none)``, the compositional
        form of Liu et al. 2022 (arXiv 2206.01714); conditions it does not name have scale 0.

    Examples
    --------
    >>> dit = scdit.nn.DiT(n_state=16, n_categories={"cell_type": 8})
    >>> x, t, codes = torch.randn(32, 16), torch.rand(32), {"cell_type": torch.randint(8, (32,))}
    >>> scdit.diffusion.guide(lambda keep: dit(x, t, codes, keep), ["cell_type"], scale=2.0)
    """
    if isinstance(scale, Mapping):
        active = {name: float(s) for name, s in scale.items() if s != 0}
        if len(active) == 1 and set(active.values()) == {1.0}:
            return network(list(active))
        none = network([])
        return none + sum(s * (network([name]) - none) for name, s in active.items())
    if scale == 1 or not conditions:
        return network(conditions)
    if scale == 0:
        return network([])
    none = network([])
    return none + scale * (network(conditions) - none)
