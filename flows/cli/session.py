"""What every command shares: its workspace, a Prefect server, the terminal, how to resume."""

import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from flows import environment
from flows.cli.outside import check_open_files, write_line
from recsys.bounds import name_fault, shown
from recsys.errors import InputError
from tasks.interrupts import INTERRUPTS
from tasks.orchestration.interfaces import MODEL
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import locked
from tasks.workspace.readable import check_readable, check_writable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from tasks.orchestration.server import Server

STARTED = time.perf_counter()
WORKSPACE = Path("mlruns")
TYPED: list[str] = []
"""The words after `recsys`, set by `main`."""
OPENED: list[Path] = []
"""The workspace that the command opened."""
OUTPUT = Group("Output", sort_key=8)


def at_least(low: float) -> Callable[[object, Any], None]:
    """A check of an option's number."""

    def check(_: object, value: float | None) -> None:
        if value is not None and not low <= value < math.inf:
            raise ValueError(f"use at least {low:g}")

    return check


def between(low: int, high: int) -> Callable[[object, Any], None]:
    """A check of an option's number."""

    def check(_: object, value: float | None) -> None:
        if value is None or low <= value <= high:
            return
        raise ValueError(f"use at most {high:,}" if value > high else f"use at least {low}")

    return check


def short(_: object, name: str | None) -> None:
    """The check of an option that gives a name."""
    if name is not None and (fault := name_fault(name)):
        raise ValueError(f"{shown(name)} has {fault}")


def share(_: object, value: float) -> None:
    """The check of an option that is a share."""
    if not 0 <= value <= 1:
        raise ValueError("use a share, 0 to 1")


Count = Annotated[int, Parameter(metavar="N", validator=at_least(1))]
Json = Annotated[
    bool,
    Parameter(
        name="--json",
        group=OUTPUT,
        help="Print JSON on standard output, and nothing else there.",
    ),
]
Model = Annotated[
    str,
    Parameter(
        name="--name",
        metavar="NAME",
        validator=short,
        help="Name of the registered model. `recsys recommend` uses that of the default.",
    ),
]
PublishedOption = Annotated[str | None, Parameter(metavar="PLACE")]
PUBLISHED = (
    "PATH.parquet, a folder, sqlite:///FILE or postgresql://...; also from RECSYS_PUBLISHED, where "
    "a password is safer. Without it: WORKSPACE/published.db, SQLite."
)
STORAGE = (
    "postgresql://... that holds the studies; also from RECSYS_STORAGE, where its password is "
    "safer. Without it: a journal in the workspace."
)
RunOption = Annotated[
    str | None,
    Parameter(
        name="--run",
        metavar="STUDY|RUN",
        help="A study's name, or the MLflow run of a final model, a trial or a study. Without it: "
        "the champion, or else the best comparable final model.",
    ),
]


@Parameter(name="*", group=Group("Workspace", sort_key=9))
@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a command reads and writes."""

    workspace: Annotated[Path, Parameter(metavar="DIR")] = WORKSPACE
    """The folder of all state."""
    storage: Annotated[str | None, Parameter(metavar="URL", help=STORAGE)] = None
    quiet: Annotated[bool, Parameter(group=OUTPUT)] = False
    """Show no progress."""

    def open(self, *, writes: bool = False) -> Workspace:
        """The workspace, made where it is missing; libraries are kept inside it.

        Args:
            writes: Whether the command has to write there: else it may only be readable.

        Raises:
            InputError: the folder cannot be made, or may not be used so.
        """
        OPENED[:] = [self.workspace.absolute()]
        check_readable(self.workspace)
        if writes:
            check_writable(self.workspace)
        if self.storage:
            environment.use_storage(self.storage)
        workspace = environment.place(self.workspace)
        environment.prepare(workspace)
        return workspace


HERE = Place()


def opened_root() -> Path | None:
    """The folder of the workspace that the command opened; None before that."""
    return OPENED[0] if OPENED else None


def has_prefect_server() -> bool:
    """Whether the user named a Prefect server to use.

    Raises:
        InputError: it does not answer, or not to us.
    """
    if not environment.has_prefect_server():
        return False
    from tasks.orchestration.reachable import check_answers, check_login

    api = environment.prefect_api()
    check_answers(api, "/health", "PREFECT_API_URL", "Prefect server")
    check_login(api, "/admin/version", environment.client_secret(), environment.CLIENT_SECRET)
    return True


def say(text: str) -> None:
    """Print a line on standard error, as the program."""
    write_line(sys.stderr, f"recsys: {text}")


@contextmanager
def prefect(workspace: Workspace) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """The user's Prefect server, or one of our own that starts while imports continue.

    Gives the block in which flows can run; it begins when the server answers.
    """
    check_open_files()
    if has_prefect_server():
        yield nullcontext
        return
    from tasks.orchestration.secret import new_secret
    from tasks.orchestration.server import serving

    secret = new_secret()
    # Of two processes that make the same fresh database at once, one would die.
    with ExitStack() as fresh:
        fresh.enter_context(locked(workspace.lock("prefect")))
        log = workspace.prefect_home / "server.log"
        with serving(environment.with_secret(secret), log, say) as server:
            environment.use_prefect_server(server.api, secret)

            @contextmanager
            def ready() -> Iterator[None]:
                from tasks.progress import report_progress

                report_progress("starting Prefect", 0, None)
                server.wait()
                fresh.close()  # the next process may start its own now
                with _without_heartbeat(), _not_lost(server, log):
                    yield

            yield ready


@contextmanager
def _not_lost(server: "Server", log: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not server.is_lost:
            raise
        raise InputError(
            f"Prefect's server ended again and again (its log: {log}); repeat the command"
        ) from error


@contextmanager
def _without_heartbeat() -> Iterator[None]:
    """In our own server nothing waits for it, and its thread would delay the end of the flow."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@contextmanager
def progress(place: Place) -> Iterator[None]:
    """Progress on standard error, unless the command is to be quiet."""
    from flows.cli.progress import showing_progress

    with showing_progress(sys.stderr, place.quiet):
        yield


@contextmanager
def advice_on_failure(advice: Callable[[], str]) -> Iterator[None]:
    """On a failure or an interrupt, print how to resume; not where the input is at fault."""
    try:
        yield
        INTERRUPTS.check()
    except BaseException as error:
        if isinstance(error, InputError) and not INTERRUPTS.came:
            raise
        ended = INTERRUPTS.came or isinstance(error, KeyboardInterrupt)
        why = "interrupted" if ended else _why(error)
        write_line(sys.stderr, f"\nrecsys: {why}; {advice()}")
        raise


def _why(error: BaseException) -> str:
    from flows.cli.failing import sentence

    return type(error).__name__ if sentence(error) is None else "stopped"


def again(workspace: Workspace, *words: str) -> str:
    """A command on the same workspace, as it is to be typed."""
    usual = workspace.root == WORKSPACE.resolve()
    return shlex.join(["recsys", *words, *([] if usual else ["--workspace", str(workspace.root)])])


def named(model: str) -> list[str]:
    """The option that names a registered model; none for the default one."""
    return [] if model == MODEL else ["--name", model]


def console() -> "Console":
    """Standard output for tables."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 140
    return Console(width=width, highlight=False, markup=False)


def show(value: Any, as_json: bool, table: Callable[[], "RenderableType"]) -> None:
    """Print JSON values, or else the table."""
    if as_json:
        print(json.dumps(value, sort_keys=True))
    else:
        console().print(table())


def score_text(score: float) -> str:
    """A count as a whole number, any other score to four places."""
    return f"{score:,.0f}" if score == int(score) else f"{score:.4f}"
