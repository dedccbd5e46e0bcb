"""A fitted model. It answers with frames of ids and names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.library.log import Frame, Log, read
from recsys.models import build, config_class, make_config
from recsys.models.config import ModelConfig
from recsys.models.recommender import NO_ITEM, RelatingUsers, Scoring
from recsys.serving.answers import (
    Answer,
    RankedItem,
    Served,
    explain,
    fold_in_history,
    from_profile,
    history_of,
    similar,
)
from recsys.serving.audience import profile_of
from recsys.serving.package import check_portable, find_package, pack, unpack
from recsys.settings import Origin, faults
from recsys.splitting.split import Fold, Split

Side = Literal["validation", "test"]
COLUMNS = ["user", "rank", "item", "name", "score"]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A model and what it was fitted on.

    Attributes:
        served: The model, its parameters and its training cells.
        seed: Of everything random in the model.
    """

    served: Served
    seed: int = 0

    @property
    def config(self) -> ModelConfig:
        """The model with its parameters."""
        return self.served.config

    def recommend(
        self,
        users: str | Iterable[str] | None = None,
        k: int = 10,
        *,
        history: Any = None,
        country: str | None = None,
        age: float | None = None,
        gender: str | None = None,
    ) -> pd.DataFrame:
        """The k best items, without those of the history.

        Args:
            users: Ids of users of the training; of all of them without.
            k: How many; lists end at the catalogue.
            history: Instead of users, what a new user played: items, or plays by item.
            country: Of a new user, in the spelling of the profiles, with or without a history.
            age: Likewise, in years.
            gender: Likewise.

        Returns:
            A row for each entry, best first: user, rank (from 1), item, name, score. For a new user
            `attrs["by"]` says what chose them: "plays", "profile", "alike" or "popularity".

        Raises:
            InputError: a user or an item is unknown; the message offers the nearest.
        """
        check_length(k)
        profile = self._profile(country, age, gender)
        if history is not None or profile is not None:
            if users is not None:
                raise InputError(
                    "recommend() has users and a history or a profile; give one of them"
                )
            return _answered(self._answer(history, profile, k))
        cells, model = self.served.cells, self.served.model
        names = cells.users.ids.to_pylist() if users is None else _listed(users)
        numbers = np.array([self.served.user(name) for name in names], dtype=np.int32)
        length = self.served.longest(k)
        if isinstance(model, Scoring):  # as the served model answers
            recs = model.fold_in(cells, numbers, length, self.served.profiles)
        else:
            recs = model.recommend(numbers, length)
        rows, ranks = np.nonzero(recs.items != NO_ITEM)
        items = recs.items[rows, ranks]
        return pd.DataFrame(
            {
                "user": [names[row] for row in rows.tolist()],
                "rank": ranks + 1,
                "item": cells.items.ids.take(items).to_pylist(),
                "name": cells.items.names.take(items).to_pylist(),
                "score": recs.scores[rows, ranks],
            },
            columns=COLUMNS,
        )

    def similar(self, item: str, k: int = 10) -> pd.DataFrame:
        """The k items most similar to one, which is given by its name or id.

        Raises:
            InputError: no such item, or the model does not relate items.
        """
        check_length(k)
        found = similar(self.served, self.served.names.number(item), k)
        return _frame("", found).drop(columns="user").rename(columns={"score": "similarity"})

    def neighbours(self, user: str, k: int = 10) -> pd.DataFrame:
        """The k users nearest to one, with what is known about them.

        Returns:
            A row for each, the nearest first: user, distance, items in common, and gender, age and
            country where profiles are known.

        Raises:
            InputError: no such user, or the model does not relate users.
        """
        check_length(k)
        served, model = self.served, self.served.model
        if not isinstance(model, RelatingUsers):
            raise InputError(
                f"the model {self.config.kind} has no distances of users; fit user-knn for them"
            )
        number = served.user(user)
        near, distances = model.nearest(number, k)
        cells = served.cells
        own = np.isin(cells.cols, cells.cols[cells.rows == number])
        table = {
            "user": cells.users.ids.take(near).to_pylist(),
            "distance": distances,
            "common": np.bincount(cells.rows[own], minlength=len(cells.users))[near],
        }
        if served.profiles is not None:
            table["gender"] = served.profiles.gender.take(near).to_pylist()
            table["age"] = served.profiles.age[near]
            table["country"] = served.profiles.country.take(near).to_pylist()
        return pd.DataFrame(table)

    def explain(self, user: str | None, item: str, *, history: Any = None) -> pd.DataFrame:
        """What each item of a history adds to the score of an item, the largest first.

        Args:
            user: Id of a user of the training, or None with a history.
            item: Name or id.
            history: As in `recommend`.

        Raises:
            InputError: user or item is unknown, or the scores of the model are not such sums.
        """
        cells, row = self.served.cells, 0
        if history is not None:
            cells = history_of(self.served, self._plays(history))
        elif user is not None:
            row = self.served.user(user)
        else:
            raise InputError("explain() has neither a user nor a history; give one of them")
        found = explain(self.served, cells, row, self.served.names.number(item))
        shares = [(each.id, each.name, each.plays, each.share) for each in found.shares]
        return pd.DataFrame(shares, columns=["item", "name", "plays", "share"])

    def save(self, folder: str | Path) -> None:
        """Write the model and what its answers need into a new folder, for `recsys.load`.

        Raises:
            InputError: the folder is there and not empty, or the model needs PyTorch.
        """
        check_portable(self.config)
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            raise InputError(f"{place} is not empty; save into a new folder")
        pack(self.served, self.seed, place)

    def _plays(self, history: Any) -> dict[int, float]:
        plays = history if isinstance(history, Mapping) else dict.fromkeys(_listed(history), 1.0)
        return {self.served.names.number(item): float(n) for item, n in plays.items()}

    def _profile(
        self, country: str | None, age: float | None, gender: str | None
    ) -> Profiles | None:
        if country is None and age is None and gender is None:
            return None
        if self.served.profiles is None:
            raise InputError(
                "no profiles are known, so none can be compared; read the log with profiles=FILE"
            )
        return profile_of(self.served.profiles, country, age, gender)

    def _answer(self, history: Any, profile: Profiles | None, k: int) -> Answer:
        if history is None:
            return from_profile(self.served, profile, k)
        return fold_in_history(self.served, self._plays(history), k, profile=profile)

    def __repr__(self) -> str:
        point = ", ".join(f"{name}={value}" for name, value in self.config.point().items())
        n_users, n_items = self.served.cells.shape
        return f"{self.config.kind}({point}) fitted on {n_users:,} users and {n_items:,} items"

    def _repr_html_(self) -> str:
        n_users, n_items = self.served.cells.shape
        head = f"{escape(self.config.kind)} fitted on {n_users:,} users and {n_items:,} items"
        point = pd.DataFrame([self.config.point()], index=["value"])
        return f"<p>{head}</p>{point.to_html(border=0)}"


def fit(
    model: str | ModelConfig,
    data: Split | Fold | Log | Interactions | Frame,
    *,
    seed: int = 0,
    side: Side = "test",
    **parameters: Any,
) -> Fitted:
    """A fitted model.

    Args:
        model: Its name, such as "als", or its parameters.
        data: A split: the training side of its test fold, or of its validation fold to tune on;
            or a log, cells or a frame: all of it, to be used and not to be judged.
        seed: Of everything random in the model.
        side: Of a split.
        **parameters: Of the model; those not given have their defaults.

    Raises:
        InputError: no such model or parameter, or a library is missing.
    """
    config = configured(model, parameters)
    cells, profiles = _training(data, side)
    fitted = build(config, seed, profiles).fit(cells)
    return Fitted(Served(config, fitted, cells, profiles), seed)


def load(folder: str | Path) -> Fitted:
    """The model that `Fitted.save` or a registration wrote into a folder; nothing is trained.

    A registered version is what `mlflow.artifacts.download_artifacts("models:/recsys/1")` gives.

    Args:
        folder: With the model, or with a folder below it that has one.

    Raises:
        InputError: a file is missing or damaged, or there are several models.
    """
    return Fitted(unpack(find_package(Path(folder))))


def check_length(k: int, what: str = "k") -> None:
    """Refuse a number below 1.

    Raises:
        InputError: it is.
    """
    if k < 1:
        raise InputError(f"{what} = {k} is below 1; give a whole number from 1")


def configured(model: str | ModelConfig, parameters: Mapping[str, Any]) -> ModelConfig:
    """A model with its parameters.

    Raises:
        InputError: no such model or parameter.
    """
    if not isinstance(model, str):
        return model.model_copy(update=dict(parameters)) if parameters else model
    kind = config_class(model)
    try:
        return make_config(model, parameters)
    except ValidationError as error:
        raise InputError(faults(error, kind, Origin(f"parameters of {model}"))) from error


def _training(
    data: Split | Fold | Log | Interactions | Frame, side: Side
) -> tuple[Interactions, Profiles | None]:
    if isinstance(data, Split):
        data = data.test if side == "test" else data.validation
    if isinstance(data, Fold):
        return data.train, data.profiles
    if not isinstance(data, Log | Interactions):
        data = read(data)
    if isinstance(data, Log):
        cells = data.cells
        known = None if data.profiles is None else data.profiles.aligned(cells.users)
        return cells, known
    return data, None


def _listed(given: str | Iterable[Any]) -> list[str]:
    return [given] if isinstance(given, str) else [str(each) for each in given]


def _answered(answer: Answer) -> pd.DataFrame:
    frame = _frame("", answer.items)
    frame.attrs.update({"by": answer.by, "audience": answer.audience})
    return frame


def _frame(user: str, items: Iterable[RankedItem]) -> pd.DataFrame:
    rows = [(user, rank, each.id, each.name, each.score) for rank, each in enumerate(items, 1)]
    return pd.DataFrame(rows, columns=COLUMNS)
