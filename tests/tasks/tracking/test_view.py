import base64
import json
import zlib
from pathlib import Path

from tasks.tracking.experiments import experiment_id
from tasks.tracking.runs import start_run
from tasks.tracking.view import TAG, first_page, view_of
from tasks.workspace.layout import Workspace

PLAYS = Path("/music/plays.tsv")


def test_a_view_has_the_columns_under_the_names_of_mlflow() -> None:
    text = view_of(["test/ndcg@10", "validation/ndcg@10"], ["factors"])[TAG]

    state = json.loads(zlib.decompress(base64.b64decode(text.removeprefix("deflate;"))))
    assert state["selectedColumns"] == [
        "attributes.`Description`",
        "metrics.`test/ndcg_at_10`",
        "metrics.`validation/ndcg_at_10`",
        "params.`factors`",
    ]


def test_mlflow_opens_at_the_experiment_of_the_newest_study(tracked: Workspace) -> None:
    tags = {"stage": "study", "study": "s"}
    without = first_page(tracked)
    old = experiment_id(tracked, PLAYS)
    start_run(tracked, old, "s", {}, tags, None)
    unshared = first_page(tracked)

    assert experiment_id(tracked, PLAYS, view_of(["test/ndcg@10"], [])) == old

    page = f"/#/experiments/{old}/runs?workflowType=machine_learning"
    assert (without, unshared) == ("", page)
    assert first_page(tracked) == f"{page}&viewStateShareKey=recsys"
