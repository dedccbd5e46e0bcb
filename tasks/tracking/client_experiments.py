"""Experiments through MLflow's client, see `tasks.tracking.experiments`."""

from collections.abc import Mapping

from tasks.tracking.client import open_client
from tasks.tracking.experiments import Experiment
from tasks.tracking.moving import SOURCE
from tasks.workspace.layout import Workspace


class ByClient:
    """`Experiments` of any server or database."""

    def __init__(self, workspace: Workspace) -> None:
        """Of the workspace's server or database."""
        self._client = open_client(workspace)

    def find(self, name: str) -> Experiment | None:
        """See `Experiments.find`."""
        known = self._client.get_experiment_by_name(name)
        if known is None:
            return None
        is_deleted = known.lifecycle_stage == "deleted"
        return Experiment(str(known.experiment_id), known.tags.get(SOURCE), is_deleted)

    def create(self, name: str, address: str | None, tags: Mapping[str, str]) -> str:
        """See `Experiments.create`."""
        made = self._client.create_experiment(name, artifact_location=address, tags=dict(tags))
        return str(made)

    def restore(self, experiment: str) -> None:
        """See `Experiments.restore`."""
        self._client.restore_experiment(experiment)

    def tag(self, experiment: str, tags: Mapping[str, str]) -> None:
        """See `Experiments.tag`."""
        for name, value in tags.items():
            self._client.set_experiment_tag(experiment, name, value)
