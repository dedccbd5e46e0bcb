"""What `recsys user` shows: a user's history and profile, the list of a model, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flows.answering import source_json
from recsys.errors import InputError
from recsys.models.recommender import Explaining
from recsys.serving import answers
from recsys.serving.answers import Answer, Contribution, RankedItem, Served
from tasks.serving.load import ServedRun, find_served_run, load_served
from tasks.workspace.layout import Workspace

REASONS = 2  # items of the history that explain a recommendation


@dataclass(frozen=True, slots=True)
class UserView:
    """A user as a model knows it.

    Attributes:
        served_run: The run of the model that answers.
        user: External id.
        profile: The known fields, by name; None where the data has no profiles.
        history: The items played most, most first; their score is the number of plays.
        n_items: Of the whole history.
        plays: Likewise.
        answer: The list of the model.
        why: For each of its items, what of the history adds most; None where the model cannot be
            explained.
    """

    served_run: ServedRun
    user: str
    profile: Mapping[str, str] | None
    history: Sequence[RankedItem]
    n_items: int
    plays: float
    answer: Answer
    why: Sequence[Sequence[Contribution]] | None

    def as_json(self) -> dict[str, Any]:
        """One object."""
        why = self.why or [()] * len(self.answer.items)
        return {
            **source_json(self.served_run),
            "user": self.user,
            "profile": None if self.profile is None else dict(self.profile),
            "n_items": self.n_items,
            "plays": self.plays,
            "history": [
                {"item": each.id, "name": each.name, "plays": each.score} for each in self.history
            ],
            "by": self.answer.by,
            "items": [
                {"rank": rank, **asdict(item), "because": [asdict(each) for each in reasons]}
                for rank, (item, reasons) in enumerate(
                    zip(self.answer.items, why, strict=True), start=1
                )
            ],
        }


def view_user(workspace: Workspace, run: str | None, user: str, k: int) -> UserView:
    """A user's history and profile, the list of a model, and why.

    Args:
        workspace: Holds the runs.
        run: Id of the run of the model, or name of its study; None for the best, see
            `tasks.serving.load.find_served_run`.
        user: Id of a user of the data.
        k: Length of the list, and of the history that is shown.

    Raises:
        InputError: k is below 1, or the run or the user is unknown.
    """
    if k < 1:
        raise InputError(f"--k {k}: ask for at least 1")
    served_run = find_served_run(workspace, run)
    served = load_served(workspace, served_run)
    number = served.user(user)
    mine = served.cells.rows == number
    cols, plays = served.cells.cols[mine], served.cells.plays[mine]
    most = np.argsort(-plays, kind="stable")[:k]
    items = served.cells.items
    answer = answers.known_user(served, number, k)
    return UserView(
        served_run,
        served.cells.users.id(number),
        _profile(served, number),
        [RankedItem(items.id(cols[i]), items.name(cols[i]), float(plays[i])) for i in most],
        len(cols),
        float(plays.sum()),
        answer,
        _why(served, number, answer),
    )


def _profile(served: Served, user: int) -> dict[str, str] | None:
    known = served.profiles
    if known is None:
        return None
    age = float(known.age[user])
    fields = {
        "country": known.country[user].as_py(),
        "gender": known.gender[user].as_py(),
        "age": None if np.isnan(age) else f"{age:g}",
    }
    return {name: value for name, value in fields.items() if value is not None}


def _why(served: Served, user: int, answer: Answer) -> list[Sequence[Contribution]] | None:
    if not isinstance(served.model, Explaining) or answer.by != "plays":
        return None
    numbers = served.cells.items.find([each.id for each in answer.items])
    return [
        answers.explain(served, served.cells, user, int(number)).shares[:REASONS]
        for number in numbers
    ]
