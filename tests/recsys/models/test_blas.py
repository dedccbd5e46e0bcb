"""BLAS on one thread."""

import sys
from types import ModuleType

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from recsys.models import blas
from recsys.models.blas import one_blas_thread


def threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_within_the_block_blas_has_one_thread() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(2, "blas"):
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == {2}


def test_libraries_are_looked_for_again_when_something_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with one_blas_thread():
        known = blas._controller(len(sys.modules))
    monkeypatch.setitem(sys.modules, "new_library", ModuleType("new_library"))

    assert blas._controller(len(sys.modules)) is not known
