from pathlib import Path

import pytest

from recsys.config import changed, checked, load_config
from recsys.models import read_config
from recsys.models.fm import FmConfig
from recsys.models.mult_vae import MultVaeConfig
from recsys.renames import (
    MODELS,
    PARAMETERS,
    SETTINGS,
    RenamedWarning,
    current_config,
    current_params,
)


@pytest.mark.parametrize("old", SETTINGS)
def test_an_old_setting_works_and_a_warning_says_its_new_name(tmp_path: Path, old: str) -> None:
    section, _, name = old.partition(".")
    new = SETTINGS[old].partition(".")[2]
    value = "mbid" if name == "artist_key" else 7
    path, empty = tmp_path / "own.toml", tmp_path / "empty.toml"
    path.write_text(f"[{section}]\n{name} = {value!r}\n", encoding="utf-8")
    empty.touch()

    with pytest.warns(RenamedWarning, match=f"{old} is now called {SETTINGS[old]}"):
        configs = [load_config(path)]
    with pytest.warns(RenamedWarning, match=SETTINGS[old]):
        configs.append(load_config(empty, {old: value}))
    with pytest.warns(RenamedWarning, match=SETTINGS[old]):
        configs.append(changed(load_config(empty), {old: value}))

    assert [getattr(getattr(config, section), new) for config in configs] == [value] * 3


def test_a_new_name_on_the_command_line_wins_over_an_old_one_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[filter]\nmin_artists = 7\n", encoding="utf-8")

    with pytest.warns(RenamedWarning):
        config = load_config(path, {"filter.min_items": 3})

    assert config.filter.min_items == 3


def test_a_stored_config_with_old_names_is_read_under_the_new_ones() -> None:
    stored = {
        "data": {"artist_key": "mbid"},
        "filter": {"min_artists": 3, "min_listeners": 4, "mode": "core"},
    }

    config = checked(current_config(stored), "stored")

    assert (config.data.item_key, config.filter.mode) == ("mbid", "core")
    assert (config.filter.min_items, config.filter.min_users) == (3, 4)
    assert "min_artists" in stored["filter"], "what was stored is not changed"
    assert current_config(config.model_dump(mode="json")) == config.model_dump(mode="json")


def test_stored_parameters_get_their_new_names_in_ensembles_too() -> None:
    old = {"kind": "als", "factors": 8} | dict.fromkeys(PARAMETERS, 1)
    new = {"kind": "als", "factors": 8} | dict.fromkeys(PARAMETERS.values(), 1)

    assert current_params({"kind": "ensemble", "members": [old]})["members"] == [new]
    for name, now in MODELS.items():
        assert current_params({"kind": name})["kind"] == now


def test_a_stored_model_of_an_earlier_version_is_read() -> None:
    config = read_config({"kind": "fm", "epochs": 7, "listener_regularization": 2.0})
    network = read_config({"kind": "mult-vae", "epochs": 30})

    assert config == FmConfig(iterations=7, user_regularization=2.0)
    assert network == MultVaeConfig(iterations=30, annealing=30)
    assert read_config({"kind": "popularity-listeners"}).kind == "popularity-users"


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("model = 'fm'\n[search]\nepochs = 3", "search.iterations"),
        ("model = 'fm'\n[study]\nfirst = [{epochs = 3}]", "study.first.iterations"),
        ("model = 'popularity-listeners'", "popularity-users"),
        ("judge.baseline = 'popularity-listeners'", "popularity-users"),
    ],
)
def test_an_old_name_of_a_model_or_parameter_works_with_a_warning(
    tmp_path: Path, text: str, new: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"{text}\n", encoding="utf-8")

    with pytest.warns(RenamedWarning, match=f"is now called {new}"):
        config = load_config(path)

    written = str(config.model_dump(mode="json"))
    assert "epochs" not in written
    assert "listeners" not in written
