"""Questions to MLflow through its client, whatever holds its records."""

from collections.abc import Collection, Iterator, Mapping

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

from tasks.tracking.client import NOT_THERE, every_page, reading_client
from tasks.tracking.recorded import Recorded, RecordedVersion
from tasks.workspace.layout import Workspace

_PAGE, _IDS_A_QUERY = 100, 200


class ClientReader:
    """A `tasks.tracking.reading.Reader` of a database or a server."""

    def __init__(self, workspace: Workspace) -> None:
        """Open the client; a database in a workspace that may only be read is copied."""
        self._client = reading_client(workspace)

    def run(self, run_id: str) -> Recorded | None:
        """See `Reader.run`."""
        try:
            return Recorded.of(self._client.get_run(run_id))
        except MlflowException as error:
            if error.error_code not in NOT_THERE:
                raise
            return None

    def runs(
        self,
        tags: Mapping[str, str],
        *,
        ids: Collection[str] | None = None,
        experiment: str | None = None,
        status: str | None = None,
    ) -> Iterator[Recorded]:
        """See `Reader.runs`."""
        parts = [f"tags.`{name}` = '{value}'" for name, value in tags.items() if _plain(value)]
        parts += [] if status is None else [f"attributes.status = '{status}'"]
        experiments = [experiment] if experiment is not None else self._experiments()
        for query in [parts] if ids is None else [[*parts, some] for some in _listed(ids)]:
            for run in self._search(experiments, " and ".join(query)):
                if all(run.tags.get(name) == value for name, value in tags.items()):
                    yield run

    def _experiments(self) -> list[str]:
        search = self._client.search_experiments
        return [each.experiment_id for each in every_page(lambda token: search(page_token=token))]

    def _search(self, experiments: list[str], query: str) -> Iterator[Recorded]:
        """Page by page."""

        def fetch(token: str | None) -> PagedList[Run]:
            return self._client.search_runs(
                experiments,
                query,
                order_by=["attributes.start_time DESC"],
                max_results=_PAGE,
                page_token=token,
            )

        return map(Recorded.of, every_page(fetch))

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """See `Reader.history`."""
        points = self._client.get_metric_history(run_id, metric)
        ordered = sorted(points, key=lambda each: (each.timestamp, each.step, each.value))
        return [(each.step, each.value) for each in ordered]

    def experiment_tags(self, experiment: str) -> dict[str, str]:
        """See `Reader.experiment_tags`."""
        return dict(self._client.get_experiment(experiment).tags)

    def aliases(self, name: str) -> dict[str, int] | None:
        """See `Reader.aliases`."""
        try:
            registered = self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code not in NOT_THERE:
                raise
            return None
        return {alias: int(number) for alias, number in registered.aliases.items()}

    def versions(self, name: str) -> list[RecordedVersion]:
        """See `Reader.versions`."""

        def fetch(token: str | None) -> PagedList[ModelVersion]:
            query = f"name = '{name}'"
            return self._client.search_model_versions(query, max_results=_PAGE, page_token=token)

        return [RecordedVersion.of(each) for each in every_page(fetch)]


def _plain(value: str) -> bool:
    """Whether it may stand in a query of MLflow, which has no way to write a quote."""
    return "'" not in value and "`" not in value


def _listed(ids: Collection[str]) -> list[str]:
    """Conditions that together list all ids, as many in each as a query takes."""
    ordered = sorted(ids)
    return [
        f"attributes.run_id IN ({', '.join(map(repr, ordered[start : start + _IDS_A_QUERY]))})"
        for start in range(0, len(ordered), _IDS_A_QUERY)
    ]
