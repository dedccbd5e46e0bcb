"""What a place of published lists can do, whatever it is made of."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication is of.

    Attributes:
        version: Of the registered model; of one that is not registered the id of its run.
        run: Id of the run in MLflow.
        model: Such as "als".
        study: Name of the study.
        identity: Hash of run, data, split, code and libraries.
        k: Longest list.
        listeners: How many have a list.
        artists: How many have a list; 0 where the model does not relate artists.
        at: When it was published, UTC, whole seconds.
    """

    version: str
    run: str
    model: str
    study: str
    identity: str
    k: int
    listeners: int
    artists: int
    at: datetime

    def same_as(self, other: "Published | None") -> bool:
        """Whether the lists of the other are these: the same version, model and length."""
        if other is None:
            return False
        return (self.version, self.identity, self.k) == (other.version, other.identity, other.k)


@dataclass(frozen=True, slots=True)
class PublishedItem:
    """An artist in a list.

    Attributes:
        rank: From 1.
        id: External id.
        name: What a person is shown.
        score: By the model.
    """

    rank: int
    id: str
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class PublishedList:
    """A list and the publication it is of.

    Attributes:
        published: What the list is of.
        subject: Id of the listener or of the artist; None where it is not there.
        name: Of the subject.
        entries: Best first; none where the model has nothing to show.
    """

    published: Published
    subject: str | None
    name: str
    entries: tuple[PublishedItem, ...]


class ListStore(Protocol):
    """A place that holds one publication at a time."""

    @property
    def place(self) -> str:
        """Where it is, without a password."""

    def read(self) -> Published | None:
        """What is published there now; None for nothing.

        Raises:
            InputError: it cannot be read.
        """

    def listener(self, user: str) -> PublishedList | None:
        """The list of a listener by id; None where nothing is published.

        Raises:
            InputError: it cannot be read.
        """

    def artist(self, text: str) -> PublishedList | None:
        """The artists like one, by name in any case, or else by id; None for nothing published.

        Raises:
            InputError: it cannot be read.
        """

    def replace(self, what: Published, blocks: Iterable[tuple[str, Any]], again: bool) -> Published:
        """Publish, in place of what was published; all of it or nothing.

        Args:
            what: What is published.
            blocks: As `recsys.serving.lists.lists` gives them; only read when they are needed.
            again: Replace even what is the same.

        Returns:
            What is published now: `what`, or the same that was there before.

        Raises:
            InputError: it cannot be written, or would overwrite what is not ours.
        """
