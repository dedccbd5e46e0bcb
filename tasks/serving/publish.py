"""Which model is published, and the Prefect tasks that publish it, with retries."""

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.serving.answers import Served
from recsys.serving.lists import lists, relates
from tasks.orchestration.interfaces import MODEL
from tasks.orchestration.retrying import WHEN_LOST
from tasks.progress import report_progress
from tasks.serving.load import ServedRun, load_served
from tasks.serving.published.store import ListStore, OldStoreError, Published
from tasks.serving.selection import select_run
from tasks.tracking.recorded import Recorded
from tasks.tracking.registering import identity
from tasks.tracking.registry import Version, champion, get_version, load_version, versions
from tasks.workspace.layout import Workspace


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """The model to publish.

    Attributes:
        model: A version of the registered model, or the run of a model that is not registered.
        run: Id of its run.
        kind: Such as "als".
        study: Name of the study.
        identity: Hash of run, data, split, code and libraries.
        k: Longest list.
    """

    model: Version | ServedRun
    run: str
    kind: str
    study: str
    identity: str
    k: int

    @classmethod
    def of_version(cls, version: Version, k: int) -> "PublishedModel":
        """A registered version; neither its code nor its plays need to be here."""
        return cls(version, version.run, version.model, version.study, version.identity, k)

    @classmethod
    def of_run(cls, run: Recorded, k: int) -> "PublishedModel":
        """The model of a run, which will be fitted again.

        Raises:
            InputError: see `tasks.serving.load.ServedRun.of`.
        """
        served = ServedRun.of(run)
        return cls(served, run.id, served.config.kind, served.study, identity(run), k)

    def published(self, users: int = 0, items: int = 0) -> Published:
        """Its publication, dated now."""
        number = str(self.model.number) if isinstance(self.model, Version) else self.run
        return Published(
            version=number,
            run=self.run,
            model=self.kind,
            study=self.study,
            identity=self.identity,
            k=self.k,
            users=users,
            items=items,
            at=datetime.now(UTC).replace(microsecond=0),
        )


def choose_subject(
    workspace: Workspace, run: str | None, version: int | None, k: int, name: str = MODEL
) -> PublishedModel:
    """The model to publish.

    Args:
        workspace: Holds the runs and the registry.
        run: As `tasks.serving.load.find_served_run` takes it; its version, where it is registered.
        version: Of the registered model, in place of a run.
        k: Longest list.
        name: Of the registered model.

    Raises:
        InputError: there is no such run or version, or it did not finish.
    """
    if version is not None:
        return PublishedModel.of_version(get_version(workspace, version, name), k)
    serving = champion(workspace, name) if run is None else None
    if serving is not None:
        return PublishedModel.of_version(serving, k)
    judged = select_run(workspace, run, champion_first=False).run
    every = versions(workspace, name)
    known = next((each for each in every if each.run == judged.id), None)
    return (
        PublishedModel.of_run(judged, k) if known is None else PublishedModel.of_version(known, k)
    )


def load(workspace: Workspace, subject: PublishedModel) -> Served:
    """The fitted model to publish: a version from the registry, exactly as it serves.

    Raises:
        InputError: the plays of a model that is not registered cannot be read or have changed.
    """
    if isinstance(subject.model, ServedRun):
        return load_served(workspace, subject.model)
    return load_version(workspace, subject.model)


@task(
    task_run_name="read the publication",
    cache_policy=NO_CACHE,
    **WHEN_LOST,
)
def look(store: ListStore) -> Published | None:
    """The publication in a store; None where it is empty, or an earlier version of recsys wrote it.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return store.read()
    except OldStoreError:
        return None


@task(
    task_run_name="publish the lists",
    cache_policy=NO_CACHE,
    **WHEN_LOST,
)
def put(store: ListStore, subject: PublishedModel, served: Served, again: bool) -> Published:
    """Publish all lists of a model; atomic.

    Args:
        store: Gets them.
        subject: The model.
        served: The same, fitted.
        again: Replace even the same publication.

    Returns:
        The publication in the store now.

    Raises:
        InputError: it cannot be written.
    """
    n_users, n_items = served.cells.shape
    what = subject.published(n_users, n_items if relates(served) else 0)
    return store.replace(what, lists(served, subject.k, report_progress), again)
