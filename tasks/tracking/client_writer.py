"""Writing runs through MLflow's client, see `tasks.tracking.writing`."""

from collections.abc import Sequence

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from tasks.tracking.client import MAX_BATCH, open_client
from tasks.tracking.recorded import DataSet
from tasks.tracking.writing import CONTEXT, NewRun, Point, Texts, described
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks


class ClientWriter:
    """A `Writer` on any server or database."""

    def __init__(self, workspace: Workspace) -> None:
        """Of two processes that enter a data set at once one would fail: they lock each other."""
        self._client = open_client(workspace)
        self._locks = workspace_locks(workspace)

    def create(self, new: NewRun) -> tuple[str, str]:
        """See `Writer.create`."""
        made = self._client.create_run(new.experiment, tags=dict(new.tags), run_name=new.name)
        run_id = str(made.info.run_id)
        try:
            self.describe(run_id, new.params, new.data)
        except BaseException:
            self.end(run_id, "KILLED", {})
            raise
        return run_id, str(made.info.artifact_uri)

    def describe(self, run_id: str, params: Texts, data: DataSet | None) -> None:
        """See `Writer.describe`."""
        self.log(run_id, [], params, {})
        if data is not None:
            with self._locks.exclusive("mlflow-inputs"):
                self._client.log_inputs(run_id, [_input(data)])

    def log(
        self,
        run_id: str,
        points: Sequence[Point],
        params: Texts,
        tags: Texts,
        durable: bool = True,
    ) -> None:
        """See `Writer.log`."""
        metrics = [Metric(each.name, each.value, each.at, each.step) for each in points]
        entered = [Param(name, value) for name, value in params.items()]
        labels = [RunTag(name, value) for name, value in tags.items()]
        for start in range(0, max(len(metrics), 1), MAX_BATCH):
            batch = metrics[start : start + MAX_BATCH]
            self._client.log_batch(run_id, metrics=batch, params=entered, tags=labels)
            entered, labels = [], []

    def end(self, run_id: str, status: str, tags: Texts) -> None:
        """See `Writer.end`."""
        for name, value in tags.items():
            self._client.set_tag(run_id, name, value)
        self._client.set_terminated(run_id, status=status)

    def reopen(self, run_id: str, without: str) -> None:
        """See `Writer.reopen`."""
        self._client.update_run(run_id, status="RUNNING")
        if without in self._client.get_run(run_id).data.tags:
            self._client.delete_tag(run_id, without)


def _input(data: DataSet) -> DatasetInput:
    source, profile = described(data)
    entered = Dataset(data.name, data.digest, "local", source, profile=profile)
    return DatasetInput(entered, [InputTag(*CONTEXT)])
