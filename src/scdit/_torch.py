"""Settings of torch that other libraries change, held around the work of a public call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def steady_torch() -> Iterator[None]:
    """Calculate in single precision and with the user's number of threads; leave both as they were.

    After a parallel function of numba, as in ``scanpy.pp.normalize_total``, torch uses all cores whatever
    it was told, and is several times slower where other work shares them. ``OMP_NUM_THREADS`` says what
    the user wants. Also used as a decorator.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    try:
        if wanted.isdecimal() and int(wanted) > 0:
            torch.set_num_threads(int(wanted))
        torch.set_default_dtype(torch.float32)
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
