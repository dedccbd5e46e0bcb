"""The deployments of prefect.yaml, served from one process, without a work pool.

`prefect deploy --all` and this read the same file, so that a deployment is the same either way.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from recsys.errors import InputError

if TYPE_CHECKING:
    from prefect.automations import Automation
    from prefect.deployments.runner import RunnerDeployment

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


def serve(deployments: list[DeploymentSpec]) -> None:
    """Deploy, then run scheduled and requested runs, one at a time, until interrupted.

    Raises:
        InputError: a deployment belongs to a work pool, and Prefect would leave it there.
    """
    import prefect

    ready = [_deployment(entry) for entry in deployments]
    asyncio.run(_refuse_pooled([f"{each.flow_name}/{each.name}" for each in ready]))
    make_automations()
    prefect.serve(*ready, limit=1)


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


def _deployment(entry: DeploymentSpec) -> "RunnerDeployment":
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.deployments.runner import RunnerDeployment

    limit = entry.get("concurrency_limit")
    return RunnerDeployment.from_entrypoint(
        entry["entrypoint"],
        entry["name"],
        description=entry["description"],
        tags=entry["tags"],
        parameters=entry["parameters"],
        enforce_parameter_schema=entry["enforce_parameter_schema"],
        concurrency_limit=None if limit is None else ConcurrencyLimitConfig.model_validate(limit),
        schedules=[
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=each["cron"], timezone=each["timezone"]),
                active=each["active"],
                slug=each["slug"],
            )
            for each in entry.get("schedules", ())
        ],
    )
