"""BLAS on one thread: our own threads share the work, and their number changes no sum."""

import functools
import sys
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Within the block every BLAS that is loaded computes on one thread."""
    limit: AbstractContextManager[object] = _controller(len(sys.modules)).limit(
        limits=1, user_api="blas"
    )
    return limit


@functools.lru_cache(maxsize=1)
def _controller(n_modules: int) -> ThreadpoolController:
    """Of the libraries that are loaded: to look for them takes as long as to rank 500 users.

    Another library comes with another module.
    """
    return ThreadpoolController()
