from pathlib import Path

import pytest

from recsys.config import changed, checked, load_config
from recsys.errors import InputError
from recsys.models import read_config
from recsys.models.fm import FmConfig
from recsys.models.mult_vae import MultVaeConfig
from recsys.renames import MODELS, PARAMETERS, SETTINGS, current_config, current_params


@pytest.mark.parametrize("old", SETTINGS)
def test_an_old_setting_is_refused_with_its_new_name(tmp_path: Path, old: str) -> None:
    section, _, name = old.partition(".")
    path = tmp_path / "own.toml"
    path.write_text(f"[{section}]\n{name} = 5\n", encoding="utf-8")
    empty = tmp_path / "empty.toml"
    empty.touch()
    match = f"{old} is now called {SETTINGS[old]}"

    with pytest.raises(InputError, match=match):
        load_config(path)
    with pytest.raises(InputError, match=match):
        load_config(empty, {old: 5})
    with pytest.raises(InputError, match=match):
        changed(load_config(empty), {old: 5})


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
    ("text", "error"),
    [
        ("[search]\nepochs = 3", r"search\.epochs is now called search\.iterations"),
        ("[study]\nfirst = [{epochs = 3}]", r"study\.first\.epochs is now called"),
        ("model = 'popularity-listeners'", "line 1: model: popularity-listeners is now called"),
        ("judge.baseline = 'popularity-listeners'", r"judge\.baseline: .* popularity-users"),
    ],
)
def test_an_old_name_in_a_file_is_refused_with_the_new_one(
    tmp_path: Path, text: str, error: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"{text}\n", encoding="utf-8")

    with pytest.raises(InputError, match=error):
        load_config(path)
