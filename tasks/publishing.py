"""Which model is published, and the Prefect tasks that publish: again where a server was lost."""

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from recsys.publishing import lists, relates
from recsys.serving import Served
from tasks.postgres import DatabaseLost
from tasks.published.shelf import Published, Shelf
from tasks.registering import find_version, identity
from tasks.registry import get_version
from tasks.serving import Chosen, champion, find_model
from tasks.telling import tell
from tasks.workspace import Workspace

SECONDS = (1, 4, 16)  # before each further attempt


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that is to be published.

    Attributes:
        chosen: Whose it is.
        version: Number of the registered version that it is; else the id of its run.
        identity: Hash of run, data, split, code and libraries.
        k: Longest list.
    """

    chosen: Chosen
    version: str
    identity: str
    k: int

    def published(self, listeners: int = 0, artists: int = 0) -> Published:
        """What it is as a publication of this moment."""
        return Published(
            version=self.version,
            run=self.chosen.run,
            model=self.chosen.config.kind,
            study=self.chosen.study,
            identity=self.identity,
            k=self.k,
            listeners=listeners,
            artists=artists,
            at=datetime.now(UTC).replace(microsecond=0),
        )


def choose_subject(workspace: Workspace, run: str | None, version: int | None, k: int) -> Subject:
    """What is to be published.

    Args:
        workspace: Holds the runs and the registry.
        run: As `tasks.serving.choose_served` takes it.
        version: Of the registered model, in place of a run.
        k: Longest list.

    Raises:
        InputError: there is no such run or version, or it did not finish.
    """
    if version is not None:
        run = get_version(workspace, version).run
    judged = find_model(workspace, run or champion(workspace))
    chosen = Chosen.of(judged)
    if version is None:
        known = find_version(workspace, judged)
        version = None if known is None else known.number
    return Subject(chosen, str(version or chosen.run), identity(judged), k)


def _was_lost(task: "Task[..., object]", run: TaskRun, state: State[object]) -> bool:
    """Whether it may go better another time: what the user has to change will not."""
    return isinstance(state.result(raise_on_failure=False), DatabaseLost)


@task(
    task_run_name="look at what is published",
    cache_policy=NO_CACHE,
    retries=len(SECONDS),
    retry_delay_seconds=list(SECONDS),
    retry_condition_fn=_was_lost,
)
def look(shelf: Shelf) -> Published | None:
    """What is published now.

    Raises:
        InputError: it cannot be read.
    """
    return shelf.read()


@task(
    task_run_name="publish the lists",
    cache_policy=NO_CACHE,
    retries=len(SECONDS),
    retry_delay_seconds=list(SECONDS),
    retry_condition_fn=_was_lost,
)
def put(shelf: Shelf, subject: Subject, served: Served, again: bool) -> Published:
    """Publish all lists of a model, or none.

    Args:
        shelf: Where to.
        subject: The model.
        served: The same, fitted.
        again: Replace even what is the same.

    Returns:
        What is published now.

    Raises:
        InputError: it cannot be written.
    """
    n_users, n_items = served.cells.shape
    what = subject.published(n_users, n_items if relates(served) else 0)
    return shelf.replace(what, lists(served, subject.k, tell), again)
