"""What MLflow has recorded, as plain values: runs, and versions of registered models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.entities.model_registry import ModelVersion

PARENT_RUN = "mlflow.parentRunId"  # the tag of a child, as MLflow names it
RUN_NAME = "mlflow.runName"  # a tag; as it changes, the run has the new name


def metric_name(name: str) -> str:
    """MLflow allows no `@` in names: ndcg@10 is ndcg_at_10 there."""
    return name.replace("@", "_at_")


@dataclass(frozen=True, slots=True)
class DataSet:
    """The data of a run, as MLflow shows it.

    Attributes:
        name: Of the data set.
        digest: Fingerprint of the data.
        source: The file it came from.
        profile: Numbers about it.
    """

    name: str
    digest: str
    source: str
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as MLflow has recorded it.

    Attributes:
        id: Of the run.
        name: Of the run.
        experiment: Id of the experiment it is in.
        status: RUNNING, FINISHED, FAILED or KILLED.
        params: By name.
        tags: By name.
        metrics: Last value by MLflow's name; `metric` takes ours.
        deleted: Whether it was deleted, which can be undone.
        address: URI of its files.
    """

    id: str
    name: str
    experiment: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    deleted: bool = False
    address: str = ""

    @classmethod
    def of(cls, run: "MlflowRun") -> Self:
        """From a run of MLflow."""
        info, data = run.info, run.data
        return cls(
            info.run_id,
            info.run_name,
            info.experiment_id,
            info.status,
            data.params,
            data.tags,
            data.metrics,
            info.lifecycle_stage == "deleted",
            info.artifact_uri,
        )

    @property
    def parent(self) -> str | None:
        """Id of the run that it is a child of, which is that of its study."""
        return self.tags.get(PARENT_RUN)

    def metric(self, name: str) -> float | None:
        """The last value of a metric, such as `test/ndcg@10`; None without one."""
        return self.metrics.get(metric_name(name))


@dataclass(frozen=True, slots=True)
class RecordedVersion:
    """A version of a registered model as MLflow has recorded it.

    Attributes:
        name: Of the registered model.
        number: From 1.
        created: Milliseconds since 1970, UTC.
        tags: By name.
    """

    name: str
    number: int
    created: int
    tags: Mapping[str, str]

    @classmethod
    def of(cls, version: "ModelVersion") -> Self:
        """From a version of MLflow."""
        return cls(version.name, int(version.version), version.creation_timestamp, version.tags)
