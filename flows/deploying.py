"""The deployments of prefect.yaml, run from one process: by itself, or as a worker of their pool.

`prefect deploy --all` and this read the same file, so that a deployment is the same either way.
Prefect imports flows with the current folder before all that is installed; here they are imported
before it looks, so that a tasks.py of that folder is never taken for ours.
"""

import asyncio
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from recsys.errors import InputError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect import Flow
    from prefect.automations import Automation

AUTOMATIONS = Path(__file__).parent / "automations.yaml"

DeploymentSpec = Mapping[str, Any]  # a deployment as it stands in YAML


def deployment_specs(file: Path) -> list[DeploymentSpec]:
    """Every deployment of `file`.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{file}: {error.strerror}; serve from the folder that prefect.yaml lies in"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"{file}: {error}; correct the YAML") from error
    return list(table["deployments"])


def job_environment(deployments: list[DeploymentSpec]) -> dict[str, str]:
    """Variables that a worker would set for their runs; set them before Prefect is imported."""
    return {
        name: value
        for entry in deployments
        for name, value in entry["work_pool"]["job_variables"]["env"].items()
    }


def serve(deployments: list[DeploymentSpec], say: Callable[[str], object]) -> None:
    """Deploy, then run scheduled and requested runs, one at a time, until interrupted.

    Args:
        deployments: What to deploy.
        say: Gets a line when it is done.

    Raises:
        InputError: a deployment belongs to a work pool, and Prefect would leave it there.
    """
    from prefect.exceptions import TerminationSignal
    from prefect.runner import Runner

    flows = [_flow(entry) for entry in deployments]
    names = [f"{flow.name}/{entry['name']}" for flow, entry in zip(flows, deployments, strict=True)]
    asyncio.run(_refuse_pooled(names))
    make_automations()
    runner = Runner(limit=1, pause_on_shutdown=False)  # a signal would cut its pausing short
    added: list[UUID] = []

    async def run() -> None:
        for flow, entry in zip(flows, deployments, strict=True):
            added.append(await runner.aadd_flow(flow, **_options(entry)))
        say(f"serving {', '.join(names)} (Ctrl-C ends it)")
        await runner.start()

    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited")  # its own
    try:
        with suppress(KeyboardInterrupt, TerminationSignal):
            asyncio.run(run())
    finally:
        asyncio.run(_pause(added, say))


async def _pause(deployments: "list[UUID]", say: Callable[[str], object]) -> None:
    import httpx
    from prefect.client.orchestration import get_client

    try:
        async with get_client() as client:
            for each in deployments:
                await client.pause_deployment(each)
    except httpx.HTTPError:
        say("the server does not answer: the schedules are not paused")


def work(file: Path, deployments: list[DeploymentSpec]) -> None:
    """Create the pool and deploy, then be a worker of the pool, until interrupted."""
    for entry in deployments:
        _flow(entry)
    for pool in dict.fromkeys(entry["work_pool"]["name"] for entry in deployments):
        if not asyncio.run(_has_pool(pool)):
            _prefect("work-pool", "create", "--type", "process", pool)
    make_automations()
    _prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(file))
    _prefect("worker", "start", "--pool", pool, "--type", "process", "--limit", "1")


async def _has_pool(name: str) -> bool:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        try:
            await client.read_work_pool(name)
        except ObjectNotFound:
            return False
    return True


def _prefect(*words: str) -> None:
    """Run a command of Prefect in this process, where the flows are imported already."""
    from prefect.cli import app

    typed = sys.argv
    sys.argv = ["prefect", *words]
    try:
        app()
    except SystemExit as ended:
        if ended.code:
            raise InputError(f"`prefect {' '.join(words)}` failed, see above") from ended
    finally:
        sys.argv = typed


async def _refuse_pooled(names: list[str]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        for name in names:
            try:
                pool = (await client.read_deployment_by_name(name)).work_pool_name
            except ObjectNotFound:
                continue
            if pool is not None:
                raise InputError(
                    f"{name} belongs to work pool {pool}; start a worker for it, or first take it "
                    f"out: prefect deployment delete {name}"
                )


def make_automations() -> None:
    """Create the automations of recsys on the server, where they are missing; idempotent."""
    from prefect.automations import Automation

    for table in yaml.safe_load(AUTOMATIONS.read_text(encoding="utf-8"))["automations"]:
        asyncio.run(_make(Automation.model_validate(table)))


async def _make(automation: "Automation") -> None:
    try:
        await type(automation).aread(name=automation.name)
    except ValueError:
        await automation.acreate()


def _flow(entry: DeploymentSpec) -> "Flow[..., Any]":
    """The flow of a deployment, imported as `import` does.

    Raises:
        InputError: there is no such flow.
    """
    module, _, name = entry["entrypoint"].rpartition(".")
    try:
        flow: Flow[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"entrypoint {entry['entrypoint']} of deployment {entry['name']}: {error}; write the "
            "module and the flow, such as flows.retrain.retrain"
        ) from error
    return flow


def _options(entry: DeploymentSpec) -> dict[str, Any]:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.types.entrypoint import EntrypointType

    limit = entry.get("concurrency_limit")
    taken = ("name", "description", "tags", "parameters", "enforce_parameter_schema")
    return {
        **{name: entry[name] for name in taken},
        "concurrency_limit": limit and ConcurrencyLimitConfig.model_validate(limit),
        "entrypoint_type": EntrypointType.MODULE_PATH,
        "schedules": [
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=each["cron"], timezone=each["timezone"]),
                active=each["active"],
                slug=each["slug"],
            )
            for each in entry.get("schedules", ())
        ],
    }
