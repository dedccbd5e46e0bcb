"""`recsys register`, `promote`, `rollback` and `models`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from flows.cli.session import HERE, Json, Model, Place, RunOption, again, named, progress, show
from tasks.orchestration.interfaces import MODEL
from tasks.workspace.layout import Workspace

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tasks.tracking.registry import Version


def listed(workspace: Workspace, name: str = MODEL) -> list[dict[str, Any]]:
    """Every version as JSON values, newest first."""
    from tasks.tracking import registry

    registry.check_name(name)
    return [
        {**asdict(each), "registered": each.registered.isoformat()}
        for each in registry.versions(workspace, name)
    ]


def table(workspace: Workspace, name: str = MODEL) -> "RenderableType":
    """Every version, a line each, newest first."""
    from rich.text import Text

    from flows.cli.format import FittedTable, TableColumn, moment_text
    from tasks.tracking import registry

    registry.check_name(name)
    versions = registry.versions(workspace, name)
    if not versions:
        return Text(f"{name} has no versions: `recsys register` makes one")
    return FittedTable(
        [
            TableColumn("version", [str(each.number) for each in versions]),
            TableColumn("alias", [", ".join(each.aliases) for each in versions], text=True),
            TableColumn("model", [each.model for each in versions], rank=1, text=True),
            TableColumn("metric", [each.metric for each in versions], rank=3, text=True),
            TableColumn("value", [f"{each.value:.4f}" for each in versions], rank=2),
            TableColumn("study", [each.study for each in versions], rank=4, text=True),
            TableColumn("data", [each.data for each in versions], rank=6, text=True),
            TableColumn(
                "registered (UTC)", [moment_text(e.registered) for e in versions], 5, text=True
            ),
        ]
    )


def line(version: "Version") -> str:
    """A version in words."""
    aliases = "".join(f", {alias}" for alias in version.aliases)
    return (
        f"{version.name} version {version.number}{aliases}: {version.model} of study "
        f"{version.study}, {version.metric} {version.value:.4f} on test (run {version.run})"
    )


def how_to_serve(workspace: Workspace, version: "Version") -> str:
    """The command that answers over HTTP."""
    from tasks.tracking.registry import CHAMPION

    which = [] if CHAMPION in version.aliases else [str(version.number)]
    return again(workspace, "serve", *which, *named(version.name))


def register(*, run: RunOption = None, model_name: Model = MODEL, place: Place = HERE) -> None:
    """Put a final model into MLflow's registry, fitted on all its data.

    What is registered is served by `recsys serve`, and anywhere by MLflow. Without --run it is the
    final model that was best on validation, whatever is the champion. Idempotent: the same model,
    of the same run, data and code, is the same version.

    Example:
        recsys register --run my-study
    """
    workspace = place.open(writes=True)
    from flows import registering  # MLflow, which reads the environment

    with progress(place):
        registered = registering.register(workspace, run, model_name)
    print(f"asked {registered.selected.text}")
    print(line(registered.version))
    if not registered.new:
        print("it was registered before: same run, data and code")
    if not registered.version.aliases:
        words = ("promote", str(registered.version.number), *named(model_name))
        print(f"{again(workspace, *words)} lets it serve")
    print(f"over HTTP: {how_to_serve(workspace, registered.version)}")


def promote(
    which: Annotated[str | None, Parameter(name="STUDY|RUN|VERSION")] = None,
    /,
    *,
    model_name: Model = MODEL,
    place: Place = HERE,
) -> None:
    """Make a model the champion, which serves, and the champion the previous one.

    `recsys recommend` uses the champion.

    Example:
        recsys promote 2
        recsys promote my-study

    Args:
        which: A version, or what `register` takes, which is registered if it is not.
    """
    workspace = place.open(writes=True)
    from flows import registering  # MLflow, which reads the environment

    with progress(place):
        version = registering.promote(workspace, which, model_name)
    print(line(version))
    print(f"over HTTP: {how_to_serve(workspace, version)}")


def rollback(*, model_name: Model = MODEL, place: Place = HERE) -> None:
    """Make the previous champion serve again; once more takes it back.

    Example:
        recsys rollback
    """
    workspace = place.open(writes=True)
    from flows import registering  # MLflow, which reads the environment

    print(line(registering.rollback(workspace, model_name)))


def models(*, model_name: Model = MODEL, as_json: Json = False, place: Place = HERE) -> None:
    """List every version of the registered model, and which one serves.

    Example:
        recsys models
    """
    workspace = place.open()
    show(
        listed(workspace, model_name) if as_json else None,
        as_json,
        lambda: table(workspace, model_name),
    )
