"""Parts of the cells of a call, which several processes make."""

from __future__ import annotations

from typing import Any

from scdit._checks import check_int, shown


def check_shard(shard: Any) -> tuple[int, int] | None:
    """A pair of rank and number of shards, or None.

    Raises
    ------
    ValueError
        If it is neither, or the rank is out of range.
    """
    if shard is None:
        return None
    if not isinstance(shard, tuple | list) or len(shard) != 2:
        raise ValueError(
            f"shard must be (rank, number of shards), such as (0, 4), got {shown(shard)}"
        )
    of = check_int("shard=(rank, number of shards): the number", shard[1])
    return check_int("shard=(rank, number of shards): the rank", shard[0], 0, of - 1), of


def cells_of_shard(n: int, batch_size: int, shard: tuple[int, int] | None) -> range:
    """Indices of the cells of a shard, which begins where a batch does; of all `n` if it is None.

    Raises
    ------
    ValueError
        If there are more shards than batches.
    """
    if shard is None:
        return range(n)
    rank, of = shard
    batches = -(-n // batch_size)
    if of > batches:
        raise ValueError(
            f"shard: {n} cells in batches of {batch_size} make at most {batches} shards, got {of}"
        )
    first, last = (batches * r // of * batch_size for r in (rank, rank + 1))
    return range(first, min(last, n))
