"""The configuration of each model: its own space, the budget and the judging of the experiment."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.config import ExperimentConfig, checked
from recsys.errors import InputError
from recsys.models.params import SEARCHED, EnsembleConfig, Searched

SPACES = Path(__file__).parent / "configs" / "models"
POPULARITY = ("popularity-plays", "popularity-listeners")
WITHOUT_EXTRAS = (
    *POPULARITY,
    *("item-knn", "user-knn", "rp3beta", "slim", "ease", "bpr", "fm", "als"),
)


def check_model(model: str) -> None:
    """Raise InputError where there is no such model."""
    if model not in SEARCHED:
        raise InputError(f"no model is called {model!r}; there are {', '.join(SEARCHED)}")


def model_config(
    base: ExperimentConfig,
    model: str,
    seed: int,
    has_profiles: bool,
    top_items: int | None = None,
) -> ExperimentConfig:
    """The experiment of one model on one split.

    Args:
        base: Data, filter, split, number of trials and judging; also the search, of its own model.
        model: Name of the model.
        seed: Root seed, of the split too.
        has_profiles: Whether popularity may be that within the listener's country or age band.
        top_items: Artists that EASE learns and shows; all by default.

    Raises:
        InputError: there is no such model.
    """
    check_model(model)
    table = base.model_dump(mode="json", exclude_none=True) | {"model": model, "seed": seed}
    if model != base.model:
        table |= {"name": model, **_own(model, table["study"], has_profiles)}
    if model == "ease" and top_items is not None:
        table["search"] = {**table["search"], "top_items": top_items}
    return checked(table, f"of {model}")


def _own(model: str, study: dict[str, Any], has_profiles: bool) -> dict[str, Any]:
    if model in POPULARITY:
        within = ["all", "country", "age"] if has_profiles else ["all"]
        own: dict[str, Any] = {"search": {"within": within}, "study": {"sampler": "grid"}}
    else:
        own = tomllib.loads((SPACES / f"{model}.toml").read_text(encoding="utf-8"))
    plain = {"first": [], "default_first": True}
    return {"search": own["search"], "study": {**study, **plain, **own.get("study", {})}}


def pinned(config: ExperimentConfig, winner: Searched) -> ExperimentConfig:
    """The experiment whose only point is a winner of another one."""
    point = winner.model_dump(exclude={"kind"}, exclude_none=True)
    table = config.model_dump(mode="json", exclude_none=True)
    study = {"trials": 1, "sampler": "grid", "default_first": False, "first": []}
    table |= {"search": {n: [value] for n, value in point.items()}}
    table["study"] |= study
    return checked(table, f"of {config.model}, tuned before")


def ensemble_of(winners: Sequence[Searched]) -> EnsembleConfig:
    """The models that won, merged."""
    return EnsembleConfig(members=tuple(winners))
