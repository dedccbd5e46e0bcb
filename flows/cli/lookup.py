"""What is published, read back. Nothing heavy is imported: an answer takes milliseconds."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from recsys.errors import InputError
from tasks.serving.published import open_store
from tasks.serving.published.store import ListStore, Published, PublishedList

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Looked:
    """The answer to `recsys lookup`.

    Attributes:
        found: The list; its subject is there.
        of: "user" or "artist".
    """

    found: PublishedList
    of: str

    def as_json(self) -> dict[str, Any]:
        """One object."""
        what = self.found.published
        return {
            self.of: self.found.subject,
            "name": self.found.name,
            "version": what.version,
            "run": what.run,
            "study": what.study,
            "model": what.model,
            "published": what.at.isoformat(),
            "artists": [asdict(each) for each in self.found.entries],
        }

    def shown(self) -> "RenderableType":
        """A table, and what it is of."""
        from rich.console import Group
        from rich.table import Column, Table
        from rich.text import Text

        alike = self.of == "artist"
        value = Column("similarity" if alike else "score", justify="right")
        title = Text(f"Like {self.found.name}") if alike else None
        table = Table(Column("", justify="right"), "artist", value, title=title)
        for each in self.found.entries:
            score = f"{each.score:,.0f}" if each.score == int(each.score) else f"{each.score:.4f}"
            table.add_row(str(each.rank), Text(each.name), score)
        nothing = ["the model has nothing to show here"] * (not self.found.entries)
        what = self.found.published
        return Group(table, *map(Text, (*nothing, f"{described(what)}, published {moment(what)}")))


def listener(address: str, user: str) -> Looked:
    """The published list of a listener, by id.

    Raises:
        InputError: nothing is published, or not for this listener.
    """
    store = open_store(address)
    found = _found(store, lambda: store.user(user))
    if found.subject is None:
        what = found.published
        raise InputError(
            f"user {user!r} is not among the {what.users:,} users of what is published at "
            f"{store.place}: {described(what)}, {moment(what)}; check the id, or `recsys publish` "
            "a newer one"
        )
    return Looked(found, "user")


def artist(address: str, text: str) -> Looked:
    """The published artists that are like one, by name in any case or else by id.

    Raises:
        InputError: nothing is published, or not for this artist, or for none.
    """
    store = open_store(address)
    found = _found(store, lambda: store.item(text))
    if found.subject is None:
        what = found.published
        advice = (
            "check the spelling, or `recsys publish` a newer one"
            if what.items
            else f"the model {what.model} does not say which are alike; `recsys publish` another"
        )
        raise InputError(
            f"artist {text!r} is not among the {what.items:,} artists of what is published at "
            f"{store.place}: {described(what)}, {moment(what)}; {advice}"
        )
    return Looked(found, "artist")


def described(what: Published) -> str:
    """A version, or a run, in words."""
    which = "run" if what.version == what.run else "version"
    return f"{which} {what.version} ({what.model} of study {what.study})"


def moment(what: Published) -> str:
    """When it was published, in words."""
    return f"{what.at:%Y-%m-%d %H:%M:%S} UTC"


def _found(store: ListStore, find: Callable[[], PublishedList | None]) -> PublishedList:
    found = find()
    if found is None:
        raise InputError(f"nothing is published at {store.place}; `recsys publish` does it")
    return found
