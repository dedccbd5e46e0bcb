"""What a fitted model answers: recommended items, similar items, explanations."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.serving import answers
from recsys.serving.answers import Answer, Explanation, RankedItem, Served
from recsys.serving.audience import profile_of
from recsys.serving.names import listed
from tasks.serving.load import ServedRun, find_served_run, load_served
from tasks.workspace.layout import Workspace

NO_PROFILES = "the data has no profiles: country, age and gender are not used"


@dataclass(frozen=True, slots=True)
class UserQuery:
    """For whom an answer is; everything may be missing.

    Attributes:
        user: Id of a user of the data.
        items: A history, as `recsys.serving.names.listed` reads it.
        country: As the data spells it, in upper or lower case.
        age: Years.
        gender: Likewise.
    """

    user: str | None = None
    items: str | None = None
    country: str | None = None
    age: float | None = None
    gender: str | None = None

    def __post_init__(self) -> None:
        if self.user is not None and (self.items is not None or self.described):
            raise InputError(
                "--user names a user whose history and profile are known; leave out --items, "
                "--country, --age and --gender"
            )

    @property
    def described(self) -> bool:
        """Whether anything of a profile is given."""
        return any(each is not None for each in (self.country, self.age, self.gender))


@dataclass(frozen=True, slots=True)
class Recommended:
    """The answer to `recsys recommend`.

    Attributes:
        served_run: Whose model answered.
        answer: The items.
        note: What of the query could not be used; else "".
    """

    served_run: ServedRun
    answer: Answer
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            **source_json(self.served_run),
            "by": self.answer.by,
            "audience": self.answer.audience,
            "note": self.note,
            "items": _numbered(self.answer.items),
        }


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """The answer to `recsys similar`.

    Attributes:
        served_run: Whose model answered.
        to: Name of the item that was meant.
        items: Those most similar to it.
    """

    served_run: ServedRun
    to: str
    items: Sequence[RankedItem]

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {**source_json(self.served_run), "to": self.to, "items": _numbered(self.items)}


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer to `recsys explain`.

    Attributes:
        served_run: Whose model answered.
        why: The shares.
    """

    served_run: ServedRun
    why: Explanation

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {**source_json(self.served_run), **asdict(self.why)}


def recommend(
    workspace: Workspace, run: str | None, query: UserQuery, k: int, include_heard: bool
) -> Recommended:
    """The k best items for a user.

    Args:
        workspace: Holds the runs.
        run: Whose model; see `tasks.serving.load.find_served_run`.
        query: For whom.
        k: How many.
        include_heard: Also rank the items of the history.

    Raises:
        InputError: the run, user or item is unknown, or the model cannot do it.
    """
    served_run, served = _served(workspace, run, k)
    if query.user is not None:
        answer = answers.known_user(served, served.user(query.user), k, include_heard)
        return Recommended(served_run, answer)
    profile = _profile(served, query)
    plays = listed(query.items or "", served.names)
    if plays:
        answer = answers.fold_in_history(served, plays, k, include_heard, profile)
    else:
        answer = answers.from_profile(served, profile, k)
    unused = query.described and served.profiles is None
    return Recommended(served_run, answer, NO_PROFILES * unused)


def similar(workspace: Workspace, run: str | None, item: str, k: int) -> SimilarItems:
    """The k items most similar to one.

    Raises:
        InputError: the item is not known, or the model does not relate items.
    """
    served_run, served = _served(workspace, run, k)
    number = served.names.number(item)
    return SimilarItems(
        served_run, served.cells.items.name(number), answers.similar(served, number, k)
    )


def explain(workspace: Workspace, run: str | None, query: UserQuery, item: str) -> Explained:
    """How much each item of a history adds to the score of an item.

    Raises:
        InputError: the run, user or item is unknown, or the model cannot be explained.
    """
    served_run, served = _served(workspace, run)
    history, user = _history(served, query)
    why = answers.explain(served, history, user, served.names.number(item))
    return Explained(served_run, why)


def _served(workspace: Workspace, run: str | None, k: int = 1) -> tuple[ServedRun, Served]:
    if k < 1:
        raise InputError(f"--k {k}: ask for at least 1")
    served_run = find_served_run(workspace, run)
    return served_run, load_served(workspace, served_run)


def _history(served: Served, query: UserQuery) -> tuple[Interactions, int]:
    if query.user is not None:
        return served.cells, served.user(query.user)
    plays = listed(query.items or "", served.names)
    if not plays:
        raise InputError("no history to explain by: pass --user or --items")
    return answers.history_of(served, plays), 0


def _profile(served: Served, query: UserQuery) -> Profiles | None:
    """The given profile, if there is one and the data has profiles to compare it with."""
    if not query.described or served.profiles is None:
        return None
    return profile_of(served.profiles, query.country, query.age, query.gender)


def source_json(served_run: ServedRun) -> dict[str, Any]:
    """Which run answered, and why this one."""
    source = {"run": served_run.run, "study": served_run.study, "model": served_run.config.kind}
    selection = served_run.selection
    if selection is None:
        return source
    value = {"metric": selection.metric, "value": selection.value, "on": selection.side}
    others = list(selection.others)
    return {**source, **value, "selected": selection.reason, "not_compared": others}


def _numbered(items: Sequence[RankedItem]) -> list[dict[str, Any]]:
    return [{"rank": place, **asdict(each)} for place, each in enumerate(items, start=1)]
