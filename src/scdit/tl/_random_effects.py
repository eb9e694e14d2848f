"""Random effects on genes, for cells with a known truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scdit._checks import check_class, check_int, check_number, check_rng, shown

if TYPE_CHECKING:
    from scdit.model import SCDiT


def random_effects(
    model: SCDiT,
    *,
    n_genes: int = 100,
    log2fc: float | tuple[str, float] | None = None,
    like: str | None = None,
    rng: int | np.random.Generator | np.random.SeedSequence | None = None,
) -> pd.Series:
    """Log2 fold changes of genes drawn at random, for ``model.generate(effects=...)``.

    Parameters
    ----------
    model
        A trained model with ``codec="latent"``.
    n_genes
        Number of genes, drawn from all genes of the model.
    log2fc
        ``("normal", sd)`` for normal fold changes with mean 0, or one number, above 0 to 10, whose sign
        is drawn for each gene. None for ``("normal", 1.0)``.
    like
        In place of `log2fc`: a registered column of categories. Fold changes are those that the model
        has learnt for the `n_genes` genes which differ most between two of its categories, drawn at
        random, given to other genes at random.
    rng
        Seed or generator.

    Returns
    -------
    Series of log2 fold changes, indexed by gene, in the order of the model's genes; none beyond 10.

    Raises
    ------
    RuntimeError
        If `like` is given and the model is not trained.
    TypeError
        If `model` is no SCDiT.
    ValueError
        If an argument is out of range, `like` is not a registered column of several categories, both
        `log2fc` and `like` are given, or the model has the expression codec or no genes.

    Examples
    --------
    >>> effects = scdit.tl.random_effects(model, n_genes=200, log2fc=("normal", 1), rng=0)
    >>> new = model.generate(5000, null="condition", effects={("condition", "stim"): effects})
    """
    from scdit.model import SCDiT
    from scdit.model._effects import MOST

    check_class("model", model, SCDiT)
    genes = model._genes_to_change()
    n_genes = check_int("n_genes", n_genes, high=len(genes))
    generator = np.random.default_rng(check_rng(rng))
    if like is not None:
        if log2fc is not None:
            raise ValueError("give log2fc= or like=, not both")
        learnt = model._learnt_changes(like, generator)
        largest = learnt[np.abs(learnt).argsort()[-n_genes:]]
        sizes = generator.permutation(largest)
    else:
        sizes = _drawn(("normal", 1.0) if log2fc is None else log2fc, MOST, n_genes, generator)
    chosen = np.sort(generator.choice(len(genes), n_genes, replace=False))
    return pd.Series(sizes.clip(-MOST, MOST), index=genes[chosen], name="log2fc")


def _drawn(
    log2fc: float | tuple[str, float], most: float, n: int, generator: np.random.Generator
) -> np.ndarray:
    """Fold changes (n,) of a given size or distribution, which are at most so large."""
    if isinstance(log2fc, tuple | list):
        if len(log2fc) != 2 or log2fc[0] != "normal":
            raise ValueError(f"log2fc must be ('normal', sd) or a number, got {shown(log2fc)}")
        sd = check_number("log2fc=('normal', sd): the sd", log2fc[1], 0, most, open_low=True)
        return generator.normal(0, sd, n)
    size = check_number("log2fc", log2fc, 0, most, open_low=True)
    return size * generator.choice([-1.0, 1.0], n)
