"""Publish the lists of all users and items, for readers without the model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from flows import environment
from flows.alerting import ALERTS
from recsys.bounds import LIST
from recsys.errors import InputError
from tasks.orchestration.interfaces import MODEL
from tasks.serving.publish import choose_subject, load, look, put
from tasks.serving.published import open_store
from tasks.serving.published.store import Published, described, moment

K = 20  # items in a list by default


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The publication in a store after `publish`.

    Attributes:
        published: The publication.
        place: The store, without a password.
        new: Whether this call wrote it.
    """

    published: Published
    place: str
    new: bool

    def as_json(self) -> dict[str, Any]:
        """One object."""
        fields = asdict(self.published)
        fields["published"] = fields.pop("at").isoformat()
        return {**fields, "place": self.place, "new": self.new}

    def lines(self) -> list[str]:
        """In words."""
        what, place = self.published, self.place
        if not self.new:
            when = moment(what)
            return [f"{place}: {described(what)}, top {what.k}, published {when}; unchanged"]
        similar = f", and similar items of {what.items:,} items" if what.items else ""
        skipped = f"no similar items: {what.model} does not say which are similar"
        return [
            f"{described(what)}: top {what.k} of {what.users:,} users{similar}",
            *[skipped] * (not what.items),
            f"published {moment(what)}: {place}",
        ]


@flow(name="publish", flow_run_name="publish {name}", on_failure=ALERTS, on_crashed=ALERTS)
def publish(
    workspace: Path,
    run: str | None = None,
    version: int | None = None,
    k: int | None = None,
    again: bool = False,
    name: str = MODEL,
) -> PublishResult:
    """Publish the lists of a model, unless they are published already; idempotent.

    The address of the store comes from the environment: it may hold a password, and Prefect stores
    parameters.

    Args:
        workspace: The folder that holds studies, runs and models.
        run: A study or the id of a run: its model is published. By default the model that serves.
        version: Of the registered model, in place of a run.
        k: Longest list; as long as what is published if None, or else 20.
        again: Replace even the same publication.
        name: Of the registered model.

    Raises:
        InputError: there is no such model, or the place cannot be written to.
    """
    if k is not None and not 1 <= k <= LIST:
        raise InputError(f"--k {k}: use 1 to {LIST:,}")
    place = environment.place(workspace)
    store = open_store(environment.published(place))
    known = look(store)
    length = k or (K if known is None else known.k)
    subject = choose_subject(place, run, version, length, name)
    if known is not None and subject.published().same_as(known) and not again:
        return PublishResult(known, store.place, new=False)
    published = put(store, subject, load(place, subject), again)
    # Another version may have become the champion meanwhile, and have been published before us.
    later = choose_subject(place, run, version, length, name)
    if not later.published().same_as(published):
        published = put(store, later, load(place, later), again)
    return PublishResult(published, store.place, new=True)
