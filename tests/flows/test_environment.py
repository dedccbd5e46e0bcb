import os
from pathlib import Path

import pytest

from flows import environment
from tasks.workspace.layout import Workspace


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nothing is set that concerns us."""
    known = dict(os.environ)
    for name in known:
        if name.startswith(("PREFECT_", "MLFLOW_", "XDG_", "MPL", "DO_NOT")):
            monkeypatch.delenv(name)
    # What prepare() sets goes away again: a variable set here is removed at the end.
    place = Workspace(Path("/w"))
    for name in {**environment._settings(place), **environment._ours(place)}:
        monkeypatch.setenv(name, "")
        os.environ.pop(name)


@pytest.mark.usefixtures("bare")
def test_every_library_is_kept_inside_the_workspace(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "w")
    environment.prepare(workspace)

    for name in ("PREFECT_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        assert Path(os.environ[name]).is_relative_to(workspace.root)


@pytest.mark.usefixtures("bare")
def test_telemetry_of_all_libraries_is_off(tmp_path: Path) -> None:
    environment.prepare(Workspace.at(tmp_path))

    assert os.environ["DO_NOT_TRACK"] == "1"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


@pytest.mark.usefixtures("bare")
def test_a_cache_of_the_users_own_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/of/mine/.cache")

    environment.prepare(Workspace.at(tmp_path))

    assert Path(os.environ["XDG_CACHE_HOME"]).is_relative_to(tmp_path)


@pytest.mark.usefixtures("bare")
def test_settings_of_the_user_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", "/home/of/mine")
    monkeypatch.setenv("PREFECT_API_URL", "http://team.example/api")

    environment.prepare(Workspace.at(tmp_path))

    assert os.environ["PREFECT_HOME"] == "/home/of/mine"
    assert environment.has_prefect_server()


@pytest.mark.usefixtures("bare")
def test_without_a_server_of_the_user_ours_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "")
    environment.prepare(Workspace.at(tmp_path))
    assert not environment.has_prefect_server()

    environment.use_prefect_server("http://127.0.0.1:1/api")

    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:1/api"
