"""Settings of torch that other libraries change, held around the work of a public call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def steady_torch() -> Iterator[None]:
    """Calculate in single precision and with the user's number of threads, and leave these as they were.

    A parallel function of numba, as in ``scanpy.pp.normalize_total``, sets the threads of OpenMP in the
    thread that calls it. torch then uses all cores whatever it was told, and is several times slower
    where other work shares them. A new thread still has the number that the user set.

    Also used as a decorator.
    """
    threads = min(torch.get_num_threads(), _threads_of_a_new_thread())
    dtype = torch.get_default_dtype()
    try:
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def _threads_of_a_new_thread() -> int:
    """The number that torch gives a new Python thread: the setting of OpenMP is one per thread."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]
