"""`recsys lookup`. Nothing heavy is imported: an answer takes milliseconds."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from flows import environment
from flows.cli.session import HERE, PUBLISHED, Json, Place, PublishedOption, score_text, show
from recsys.errors import InputError
from tasks.serving.published import open_store
from tasks.serving.published.store import ListStore, PublishedList, described, moment

if TYPE_CHECKING:
    from rich.console import RenderableType


def lookup(
    user: str | None = None,
    /,
    *,
    item: str | None = None,
    source: Annotated[PublishedOption, Parameter(name="--from", help=PUBLISHED)] = None,
    as_json: Json = False,
    place: Place = HERE,
) -> None:
    """Show what `recsys publish` wrote for a user, or for an item.

    Example:
        recsys lookup 42
        recsys lookup --item muse --from lists.parquet

    Args:
        user: Id of a user.
        item: Name or id: what is similar to it.
    """
    workspace = place.open()
    if (user is None) == (item is None):
        raise InputError("lookup: give either the id of a user or --item")
    address = source or environment.published(workspace)
    answer = similar_list(address, item) if item is not None else user_list(address, user or "")
    show(answer.as_json(), as_json, answer.shown)


@dataclass(frozen=True, slots=True)
class LookupAnswer:
    """The answer to `recsys lookup`.

    Attributes:
        published: The list; its subject is there.
        of: "user" or "item".
    """

    published: PublishedList
    of: str

    def as_json(self) -> dict[str, Any]:
        """One object."""
        what = self.published.published
        return {
            self.of: self.published.subject,
            "name": self.published.name,
            "version": what.version,
            "run": what.run,
            "study": what.study,
            "model": what.model,
            "published": what.at.isoformat(),
            "items": [asdict(each) for each in self.published.entries],
        }

    def shown(self) -> "RenderableType":
        """A table, and what it is of."""
        from rich.console import Group
        from rich.table import Column, Table
        from rich.text import Text

        similar = self.of == "item"
        value = Column("similarity" if similar else "score", justify="right")
        title = Text(f"Like {self.published.name}") if similar else None
        table = Table(Column("", justify="right"), "item", value, title=title)
        for each in self.published.entries:
            table.add_row(str(each.rank), Text(each.name), score_text(each.score))
        nothing = ["the model has nothing to show here"] * (not self.published.entries)
        what = self.published.published
        return Group(table, *map(Text, (*nothing, f"{described(what)}, published {moment(what)}")))


def user_list(address: str, user: str) -> LookupAnswer:
    """The published list of a user, by id.

    Raises:
        InputError: nothing is published, or not for this user.
    """
    store = open_store(address)
    published = _published(store, lambda: store.user(user))
    if published.subject is None:
        what = published.published
        raise InputError(
            f"user {user!r} is not among the {what.users:,} users of what is published at "
            f"{store.place}: {described(what)}, {moment(what)}; check the id, or `recsys publish` "
            "a newer one"
        )
    return LookupAnswer(published, "user")


def similar_list(address: str, item: str) -> LookupAnswer:
    """The published items that are similar to one, by name in any case or else by id.

    Raises:
        InputError: nothing is published, or not for this item, or for no item.
    """
    store = open_store(address)
    published = _published(store, lambda: store.item(item))
    if published.subject is None:
        what = published.published
        advice = (
            "check the spelling, or `recsys publish` a newer one"
            if what.items
            else f"the model {what.model} does not relate items; `recsys publish` another"
        )
        raise InputError(
            f"item {item!r} is not among the {what.items:,} items of what is published at "
            f"{store.place}: {described(what)}, {moment(what)}; {advice}"
        )
    return LookupAnswer(published, "item")


def _published(store: ListStore, find: Callable[[], PublishedList | None]) -> PublishedList:
    published = find()
    if published is None:
        raise InputError(f"nothing is published at {store.place}; `recsys publish` does it")
    return published
