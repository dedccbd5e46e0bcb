"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# A deadline measures the machine; derandomized, the same commit gives the same verdict.
settings.register_profile("recsys", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("recsys")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_260_101)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that use it skip without it."""
    folder = os.environ.get("RECSYS_DATA")
    if not folder:
        pytest.skip("RECSYS_DATA is unset: it names a folder with the real data sets")
    return Path(folder).resolve()
