"""What a store of published lists can do, in a file or in a database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from recsys.errors import InputError


@dataclass(frozen=True, slots=True)
class Published:
    """A publication: which model its lists are of, and how many there are.

    Attributes:
        version: Of the registered model; of one that is not registered the id of its run.
        run: Id of the run in MLflow.
        model: Such as "als".
        study: Name of the study.
        identity: Hash of run, data, split, code and libraries.
        k: Longest list.
        users: How many have a list.
        items: How many have a list; 0 where the model does not relate items.
        at: When it was published, UTC, whole seconds.
    """

    version: str
    run: str
    model: str
    study: str
    identity: str
    k: int
    users: int
    items: int
    at: datetime

    def same_as(self, other: "Published | None") -> bool:
        """Whether the lists of the other are these: the same version, model and length."""
        if other is None:
            return False
        return (self.version, self.identity, self.k) == (other.version, other.identity, other.k)


@dataclass(frozen=True, slots=True)
class PublishedItem:
    """An item in a list.

    Attributes:
        rank: From 1.
        id: External id.
        name: Name for people.
        score: By the model.
    """

    rank: int
    id: str
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class PublishedList:
    """A list and the publication it is part of.

    Attributes:
        published: The publication.
        subject: Id of the user or of the item whose list it is; None where it is not published.
        name: Of the subject.
        entries: Best first; none where the model has nothing to show.
    """

    published: Published
    subject: str | None
    name: str
    entries: tuple[PublishedItem, ...]


class OldStoreError(InputError):
    """The lists were published under the names of an earlier version: listener and artist."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place}: an earlier version of recsys published these lists, under other names of "
            "columns; run `recsys publish` again, which replaces them"
        )


class ListStore(Protocol):
    """A place that holds one publication at a time."""

    @property
    def place(self) -> str:
        """Where it is, without a password."""

    def read(self) -> Published | None:
        """The publication in the store; None where it is empty.

        Raises:
            OldStoreError: an earlier version of recsys wrote it.
            InputError: it cannot be read.
        """

    def user(self, user: str) -> PublishedList | None:
        """The list of a user by id; None where the store is empty.

        Raises:
            OldStoreError: an earlier version of recsys wrote it.
            InputError: it cannot be read.
        """

    def item(self, text: str) -> PublishedList | None:
        """The items like one, by name in any case, or else by id; None where the store is empty.

        Raises:
            OldStoreError: an earlier version of recsys wrote it.
            InputError: it cannot be read.
        """

    def replace(self, what: Published, blocks: Iterable[tuple[str, Any]], again: bool) -> Published:
        """Replace the publication in the store; atomic. Lists of an earlier version are replaced.

        Args:
            what: The new publication.
            blocks: As `recsys.serving.lists.lists` gives them; only read when they are needed.
            again: Replace even the same publication.

        Returns:
            The publication in the store now: `what`, or the same one that was there before.

        Raises:
            InputError: it cannot be written, or would overwrite a file that is not ours.
        """


def described(what: Published) -> str:
    """A version, or a run, in words."""
    which = "run" if what.version == what.run else "version"
    return f"{which} {what.version} ({what.model} of study {what.study})"


def moment(what: Published) -> str:
    """When it was published, in words."""
    return f"{what.at:%Y-%m-%d %H:%M:%S} UTC"
