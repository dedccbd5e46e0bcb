"""Names that settings, models and parameters had before: the only place that knows them.

An old name that a user types is an error with the new name. Stored old names (requests of
studies, parameters of runs, registered models) are read as the new ones.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from recsys.errors import InputError

SettingsTable = Mapping[str, Any]  # TOML or JSON

SETTINGS = {
    "data.artist_key": "data.item_key",
    "filter.min_artists": "filter.min_items",
    "filter.min_listeners": "filter.min_users",
}
MODELS = {"popularity-listeners": "popularity-users"}
PARAMETERS = {"epochs": "iterations", "listener_regularization": "user_regularization"}
"""Of models: in `[search]`, in the points of `study.first` and in stored configurations."""


def refuse_old_names(table: SettingsTable, place: Callable[[str, str], str]) -> None:
    """Check that no setting of an experiment has its old name.

    Args:
        table: The settings.
        place: The place of a setting and its value, for the error; `recsys.settings.Origin`.

    Raises:
        InputError: a setting has its old name; the message has the new one.
    """
    for old, new in SETTINGS.items():
        section, _, name = old.partition(".")
        if isinstance(part := table.get(section), Mapping) and name in part:
            raise InputError(f"{place(old, '')} is now called {new}; rename the setting")
    for where, part in _points(table):
        for name in PARAMETERS.keys() & part.keys():
            raise InputError(
                f"{place(f'{where}.{name}', '')} is now called {where}.{PARAMETERS[name]}; "
                "rename the setting"
            )
    judge = table.get("judge")
    baseline = judge.get("baseline") if isinstance(judge, Mapping) else None
    for where, model in (("model", table.get("model")), ("judge.baseline", baseline)):
        if model in MODELS:
            raise InputError(f"{place(where, '')}: {model} is now called {MODELS[model]}")


def _points(table: SettingsTable) -> Iterator[tuple[str, SettingsTable]]:
    """The parts of an experiment that name parameters of a model, and where they are."""
    study = table.get("study")
    first = study.get("first", ()) if isinstance(study, Mapping) else ()
    for where, parts in (("search", [table.get("search")]), ("study.first", first)):
        yield from ((where, part) for part in parts if isinstance(part, Mapping))


def current_config(stored: SettingsTable) -> dict[str, Any]:
    """A stored experiment configuration under the present names."""
    table: dict[str, Any] = {
        name: dict(part) if isinstance(part, Mapping) else part for name, part in stored.items()
    }
    for old, new in SETTINGS.items():
        section, _, name = old.partition(".")
        if name in table.get(section, {}):
            table[section][new.partition(".")[2]] = table[section].pop(name)
    if "model" in table:
        table["model"] = MODELS.get(table["model"], table["model"])
    if "search" in table:
        table["search"] = current_params(table["search"])
    if "first" in table.get("study", {}):
        table["study"]["first"] = [current_params(point) for point in table["study"]["first"]]
    if "baseline" in table.get("judge", {}):
        baseline = table["judge"]["baseline"]
        table["judge"]["baseline"] = MODELS.get(baseline, baseline)
    return table


def current_params(stored: SettingsTable) -> dict[str, Any]:
    """Stored parameters of a model, or of the members of an ensemble, under the present names."""
    params = {PARAMETERS.get(name, name): value for name, value in stored.items()}
    if "kind" in params:
        params["kind"] = MODELS.get(params["kind"], params["kind"])
    if params.get("kind") == "mult-vae" and "epochs" in stored:
        params.setdefault("annealing", params["iterations"])  # it rose over the whole training
    if "members" in params:
        params["members"] = [current_params(member) for member in params["members"]]
    return params
