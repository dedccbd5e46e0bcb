"""Studies that a command continues: their stored request, and how far they are."""

from contextlib import AbstractContextManager
from pathlib import Path

from flows.cli.session import advice_on_failure, again
from recsys.config import ExperimentConfig, checked
from recsys.settings import Origin
from tasks.workspace.layout import Workspace


def stored(
    workspace: Workspace, name: str, trials: int | None
) -> tuple[Path, Path | None, ExperimentConfig]:
    """The plays, profiles and configuration of a study.

    Raises:
        InputError: there is no such study, or the number of trials cannot be used.
    """
    from tasks.tuning import stored_request  # Optuna

    request = stored_request(workspace, name)
    table = dict(request["config"])
    if trials is not None:
        table["study"] = {**table["study"], "trials": trials}
    profiles = request["profiles"]
    origin = Origin(f"config of study {name}", options={"study.trials": f"--trials {trials}"})
    config = checked(table, origin)
    return Path(request["plays"]), None if profiles is None else Path(profiles), config


def resumable(workspace: Workspace, study: str) -> AbstractContextManager[None]:
    """On a failure, print how far the study is and how to resume it."""

    def advice() -> str:
        from flows.studies import standing

        same = ", with the same storage," if workspace.storage else ""
        command = again(workspace, "study", "resume", study)
        try:
            far = standing(workspace, study)
        except Exception:  # noqa: BLE001 - what stopped the command stops this, too: a full disk
            far = f"study {study} keeps its finished trials"
        return f"{far}\nrecsys: {command}{same} resumes it"

    return advice_on_failure(advice)
