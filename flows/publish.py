"""Publish the lists of all listeners and artists, for others to read without the model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from flows import environment
from flows.alerting import ALERTS
from flows.cli.lookup import described, moment
from recsys.errors import InputError
from tasks.orchestration.interfaces import MODEL
from tasks.serving.publish import choose_subject, load, look, put
from tasks.serving.published import open_store
from tasks.serving.published.store import Published

K = 20  # artists in a list, unless asked otherwise


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What became of a model that was to be published.

    Attributes:
        published: What is published now.
        place: Where, without a password.
        new: Whether it was not published before.
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
            return [f"{place}: {described(what)}, top {what.k}, is there since {when}; unchanged"]
        alike = f", and what is like each of {what.artists:,} artists" if what.artists else ""
        skipped = f"no similar artists: {what.model} does not say which are alike"
        return [
            f"{described(what)}: top {what.k} of {what.listeners:,} listeners{alike}",
            *[skipped] * (not what.artists),
            f"published {moment(what)}: {place}",
        ]


@flow(name="publish", flow_run_name="publish", on_failure=ALERTS, on_crashed=ALERTS)
def publish(
    workspace: Path,
    run: str | None = None,
    version: int | None = None,
    k: int | None = None,
    again: bool = False,
    name: str = MODEL,
) -> PublishResult:
    """Replace what is published by the lists of a model, unless they are its already.

    The place comes from the environment, for it may hold a password, and Prefect stores parameters.

    Args:
        workspace: Holds the runs and the registry.
        run: As `tasks.serving.load.find_served_run` takes it.
        version: Of the registered model, in place of a run.
        k: Longest list; as long as what is published if None, or else 20.
        again: Replace even what is the same.
        name: Of the registered model.

    Raises:
        InputError: there is no such model, or the place cannot be written to.
    """
    if k is not None and k < 1:
        raise InputError(f"--k {k}: ask for at least 1")
    place = environment.place(workspace)
    shelf = open_store(environment.published(place))
    known = look(shelf)
    length = k or (K if known is None else known.k)
    subject = choose_subject(place, run, version, length, name)
    if known is not None and subject.published().same_as(known) and not again:
        return PublishResult(known, shelf.place, new=False)
    published = put(shelf, subject, load(place, subject), again)
    # Another may have become the champion meanwhile, and been published before us.
    later = choose_subject(place, run, version, length, name)
    if not later.published().same_as(published):
        published = put(shelf, later, load(place, later), again)
    return PublishResult(published, shelf.place, new=True)
