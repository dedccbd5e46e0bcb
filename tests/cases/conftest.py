"""Fixtures that tests of cases share."""

from pathlib import Path

import pytest

from tests.cases.prepared import fill
from tests.conftest import MakeOnce


@pytest.fixture(scope="session")
def prepared(make_once: MakeOnce) -> Path:
    """A folder with plays and a workspace: two studies, two versions, published lists, a sample."""
    return make_once("prepared", fill)
