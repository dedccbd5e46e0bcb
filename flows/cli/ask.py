"""What people ask of a fitted model: what to play next, what is alike, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.serving import answers
from recsys.serving.answers import Answer, Explanation, RankedItem, Served
from recsys.serving.audience import profile_of
from recsys.serving.names import listed
from tasks.serving.load import ServedRun, find_served_run, load_served
from tasks.workspace.layout import Workspace

SHARES = 10  # artists of a history that the terminal shows

BY = {
    "plays": "the plays",
    "profile": "the profile, no plays are known",
    "alike": "what those of a like profile play, no plays are known",
    "popularity": "what most listeners play",
}
NO_PROFILES = "the data has no profiles, so that country, age and gender say nothing"


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom an answer is for; everything may be missing.

    Attributes:
        user: Id of a listener of the data.
        artists: A history, as `recsys.serving.names.listed` reads it.
        country: As the data spells it, but for upper and lower case.
        age: Years.
        gender: Likewise.
    """

    user: str | None = None
    artists: str | None = None
    country: str | None = None
    age: float | None = None
    gender: str | None = None

    def __post_init__(self) -> None:
        if self.user is not None and (self.artists is not None or self.described):
            raise InputError(
                "--user names a listener whose plays and profile are known; leave out --artists, "
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
        chosen: Whose model answered.
        answer: The artists.
        note: What of the question could not be used; else "".
    """

    chosen: ServedRun
    answer: Answer
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            **_source(self.chosen),
            "by": self.answer.by,
            "audience": self.answer.audience,
            "note": self.note,
            "items": _numbered(self.answer.items),
        }

    def shown(self) -> RenderableType:
        """A table, and what it is chosen by."""
        by = BY[self.answer.by] + (f" ({self.answer.audience})" * bool(self.answer.audience))
        counted = self.answer.by in ("alike", "popularity")
        table = _ranking(self.answer.items, "users" if counted else "score")
        notes = [f"by {by}", *[self.note] * bool(self.note), _line(self.chosen)]
        return Group(table, *map(Text, notes))


@dataclass(frozen=True, slots=True)
class Alike:
    """The answer to `recsys similar`.

    Attributes:
        chosen: Whose model answered.
        to: The artist that was meant.
        items: Those like it.
    """

    chosen: ServedRun
    to: str
    items: Sequence[RankedItem]

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {**_source(self.chosen), "to": self.to, "items": _numbered(self.items)}

    def shown(self) -> RenderableType:
        """A table."""
        table = _ranking(self.items, "similarity", f"Like {self.to}")
        return Group(table, Text(_line(self.chosen)))


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer to `recsys explain`.

    Attributes:
        chosen: Whose model answered.
        why: The shares.
    """

    chosen: ServedRun
    why: Explanation

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {**_source(self.chosen), **asdict(self.why)}

    def shown(self) -> RenderableType:
        """A table of the largest shares, and what all of them add up to."""
        why = self.why
        table = Table("heard", *map(_right, ("plays", "adds", "share")), title=f"Why {why.name}")
        for each in why.shares[:SHARES]:
            part = f"{each.share / why.score:.1%}" if why.score > 0 else ""
            table.add_row(Text(each.name), f"{each.plays:,.6g}", f"{each.share:+.4f}", part)
        rest = why.shares[SHARES:]
        if rest:
            left = sum(each.share for each in rest)
            table.add_row(f"{len(rest)} more", "", f"{left:+.4f}", "")
        already = "; the listener plays it already" * why.heard
        score = f"score {why.score:.4f}, the sum over {len(why.shares)} artists of the history"
        return Group(table, Text(f"{score}{already}"), Text(_line(self.chosen)))


def recommend(
    workspace: Workspace, run: str | None, listener: Listener, k: int, include_heard: bool
) -> Recommended:
    """The k best artists for somebody.

    Args:
        workspace: Holds the runs.
        run: Whose model; see `tasks.serving.load.find_served_run`.
        listener: Whom for.
        k: How many.
        include_heard: Rank what was heard among the rest.

    Raises:
        InputError: something that was named is not there, or the model cannot do it.
    """
    chosen, served = _served(workspace, run, k)
    if listener.user is not None:
        answer = answers.known_user(served, served.user(listener.user), k, include_heard)
        return Recommended(chosen, answer)
    profile = _profile(served, listener)
    plays = listed(listener.artists or "", served.names)
    if plays:
        answer = answers.fold_in_history(served, plays, k, include_heard, profile)
    else:
        answer = answers.from_profile(served, profile, k)
    unused = listener.described and served.profiles is None
    return Recommended(chosen, answer, NO_PROFILES * unused)


def similar(workspace: Workspace, run: str | None, artist: str, k: int) -> Alike:
    """The k artists most like one.

    Raises:
        InputError: the artist is not known, or the model does not relate artists.
    """
    chosen, served = _served(workspace, run, k)
    item = served.names.number(artist)
    return Alike(chosen, served.cells.items.name(item), answers.similar(served, item, k))


def explain(workspace: Workspace, run: str | None, listener: Listener, artist: str) -> Explained:
    """What of a history makes the score of an artist.

    Raises:
        InputError: something that was named is not there, or the model cannot be explained.
    """
    chosen, served = _served(workspace, run)
    history, user = _history(served, listener)
    why = answers.explain(served, history, user, served.names.number(artist))
    return Explained(chosen, why)


def _served(workspace: Workspace, run: str | None, k: int = 1) -> tuple[ServedRun, Served]:
    if k < 1:
        raise InputError(f"--k {k}: ask for at least 1")
    chosen = find_served_run(workspace, run)
    return chosen, load_served(workspace, chosen)


def _history(served: Served, listener: Listener) -> tuple[Interactions, int]:
    if listener.user is not None:
        return served.cells, served.user(listener.user)
    plays = listed(listener.artists or "", served.names)
    if not plays:
        raise InputError("no history to explain by: pass --user, or --artists")
    return answers.history_of(served, plays), 0


def _profile(served: Served, listener: Listener) -> Profiles | None:
    """What is given, if anything is, and the data has profiles that it may be like."""
    if not listener.described or served.profiles is None:
        return None
    return profile_of(served.profiles, listener.country, listener.age, listener.gender)


def _source(chosen: ServedRun) -> dict[str, Any]:
    source = {"run": chosen.run, "study": chosen.study, "model": chosen.config.kind}
    selection = chosen.selection
    if selection is None:
        return source
    value = {"metric": selection.metric, "value": selection.value, "on": selection.side}
    others = list(selection.others)
    return {**source, **value, "selected": selection.reason, "not_compared": others}


def _numbered(artists: Sequence[RankedItem]) -> list[dict[str, Any]]:
    return [{"rank": place, **asdict(each)} for place, each in enumerate(artists, start=1)]


def _ranking(artists: Sequence[RankedItem], score: str, title: str | None = None) -> Table:
    heard = any(each.heard for each in artists)
    table = Table(_right(""), "item", _right(score), *["heard"] * heard, title=title)
    for row in _rows(artists, heard):
        table.add_row(*row)
    return table


def _rows(artists: Sequence[RankedItem], heard: bool) -> Iterator[list[str | Text]]:
    for place, each in enumerate(artists, start=1):
        score = f"{each.score:,.0f}" if each.score == int(each.score) else f"{each.score:.4f}"
        yield [str(place), Text(each.name), score, *["*" * each.heard] * heard]


def _line(chosen: ServedRun) -> str:
    """Which model answered, and why this one."""
    return "" if chosen.selection is None else f"asked {chosen.selection.text}"


def _right(name: str) -> Column:
    return Column(name, justify="right")
