"""Counts that are read from where they are stored: in blocks, in a random order, and to the same model."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdit._lazy import LazyCounts, SelectedRows, cell_totals
from scdit.train import _fitted
from scdit.train._blocks import BlockBatches


@pytest.fixture
def matrix():
    rng = np.random.default_rng(0)
    return sp.csr_matrix(rng.poisson(0.4, (100, 7)).astype(np.float32))


class Reads:
    """A store that remembers which rows were read."""

    def __init__(self, matrix):
        self.matrix, self.rows = matrix, []

    def __call__(self, start, stop):
        self.rows += range(start, stop)
        return self.matrix[start:stop]


def lazy(matrix, buffer_rows=None, edges=None):
    reads = Reads(matrix)
    counts = LazyCounts(matrix.shape, reads, edges)
    if buffer_rows is not None:
        counts.buffer_rows = buffer_rows
    return counts, reads


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.csr_array, np.asarray])
def test_rows_are_those_of_the_matrix(matrix, kind):
    counts, _ = lazy(kind(matrix.toarray()))
    for rows in (np.array([5, 5, 99, 0]), slice(3, 90, 2), [7], np.array([], dtype=int)):
        np.testing.assert_array_equal(counts[rows].toarray(), matrix[rows].toarray())
    np.testing.assert_array_equal(cell_totals(counts), matrix.sum(axis=1).A1)
    chosen = SelectedRows(counts, np.array([9, 2, 50]))
    assert chosen.shape == (3, 7)
    np.testing.assert_array_equal(chosen[np.array([2, 0])].toarray(), matrix[[50, 9]].toarray())


def test_what_is_held_is_not_read_again(matrix):
    counts, reads = lazy(matrix)
    counts.hold(np.array([4, 2, 9]))
    reads.rows.clear()
    np.testing.assert_array_equal(counts[[9, 4]].toarray(), matrix[[9, 4]].toarray())
    counts.hold(np.array([2, 9]))
    assert not reads.rows
    counts.hold(np.array([9, 30, 2]))  # two are at hand
    assert reads.rows == [30]
    np.testing.assert_array_equal(counts[[30, 2]].toarray(), matrix[[30, 2]].toarray())
    counts.release()
    counts[[30]]
    assert reads.rows == [30, 30]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_an_epoch_visits_each_cell_once_and_reads_it_once(matrix, shuffle, batch_size):
    counts, reads = lazy(matrix, 30, range(0, 101, 5))
    cells = np.random.default_rng(1).permutation(100)[:83]
    batches = BlockBatches(counts, cells, batch_size, shuffle)
    seen = []
    for batch in batches:
        reads.rows.clear() if not seen else None
        seen.append(batch)
        before = len(reads.rows)
        counts[cells[batch]]
        assert len(reads.rows) == before  # it was read ahead
    assert len(seen) == len(batches)
    assert {len(b) for b in seen[:-1]} <= {batch_size}
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(83))
    assert len(reads.rows) == len(set(reads.rows))


def test_the_order_is_random_and_cells_of_a_buffer_come_from_many_blocks(matrix):
    counts, _ = lazy(matrix, 40, range(0, 101, 5))
    batches = BlockBatches(counts, np.arange(100), 10, shuffle=True)
    first, second = list(batches), list(batches)
    assert first != second
    assert np.mean([len({i // 5 for i in batch}) for batch in first]) > 4
    ordered = BlockBatches(counts, np.arange(100), 10, shuffle=False)
    assert np.concatenate(list(ordered)).tolist() == list(range(100))


def test_small_blocks_are_read_together(matrix):
    counts, _ = lazy(matrix, edges=range(101))
    assert (np.diff(counts.edges)[:-1] >= 32).all()
    assert counts.edges[[0, -1]].tolist() == [0, 100]


def test_states_in_a_file_have_the_moments_of_those_in_memory(monkeypatch):
    torch.manual_seed(0)
    given = torch.randn(500, 3) * 2 + 5, torch.rand(500, 3)
    train = np.random.default_rng(0).permutation(500)[:400]
    expected = _fitted.moments(*given, train)
    monkeypatch.setattr(_fitted, "_MAX_BYTES", 0)
    monkeypatch.setattr(_fitted, "_CELLS_AT_ONCE", 90)
    mean, sd = _fitted.empty_states(500, 3), _fitted.empty_states(500, 3)
    mean[:], sd[:] = given
    for one, other in zip(expected, _fitted.moments(mean, sd, train), strict=True):
        torch.testing.assert_close(one, other)


def test_states_that_no_disk_holds():
    with pytest.raises(OSError, match="less space left: name another folder .* TMPDIR"):
        _fitted.empty_states(2**50, 40)
