"""The commands that ask a model, against a real study."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.answering import UserQuery, explain, recommend, similar
from flows.cli import main
from flows.result import Result
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.models import build
from recsys.models.als import Als, AlsConfig
from recsys.models.bpr import BprConfig
from recsys.models.config import ModelConfig
from recsys.models.ease import EaseConfig
from recsys.models.ensemble import EnsembleConfig
from recsys.models.fm import FmConfig
from recsys.models.item_knn import ItemKnnConfig
from recsys.models.popularity import PopularityConfig
from recsys.models.recommender import NO_ITEM
from recsys.models.rp3beta import Rp3betaConfig
from recsys.models.slim import SlimConfig
from recsys.models.user_knn import UserKnnConfig
from recsys.seeds import seed_for
from tasks.data.stages import DataFiles, Everything, everything
from tasks.serving import load
from tasks.serving.load import find_served_run, load_served
from tasks.serving.selection import select_run
from tasks.tracking.client import open_client
from tasks.tracking.runs import Run
from tasks.workspace.layout import Workspace
from tests.flows.conftest import Lab, quick

pytestmark = pytest.mark.flow

Ask = Callable[..., dict[str, Any]]
SOMEBODY = UserQuery()
SMALL = AlsConfig(factors=8, iterations=3)
EVERY: list[ModelConfig] = [
    *(SMALL, ItemKnnConfig(), Rp3betaConfig(), EaseConfig(), SlimConfig(neighbours=20)),
    *(UserKnnConfig(), BprConfig(iterations=3), FmConfig(iterations=1)),
    PopularityConfig(kind="popularity-users", within="country"),
    EnsembleConfig(members=(SMALL, FmConfig(iterations=1))),
]
SERVED = {config.kind: config for config in EVERY}
SERVED["als-alpha"] = SMALL.model_copy(update={"alpha": 3.0})  # of a kind, seed and shape


@pytest.fixture(scope="module")
def asked(lab: Lab) -> Result:
    """The study whose winner is asked; its listeners have profiles."""
    return lab.run("asked", profiles=lab.profiles)


@pytest.fixture(scope="module")
def data(lab: Lab, asked: Result) -> Everything:
    """All the data of the study."""
    return everything(lab.workspace, DataFiles(lab.plays, lab.profiles), asked.config)


@pytest.fixture
def command(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    """The command in this process, in the workspace of the lab."""
    known, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield lambda *words: main.main([*map(str, words), "--workspace", str(lab.workspace.root)])
    signal.signal(signal.SIGTERM, handler)
    os.environ.clear()
    os.environ.update(known)


@pytest.fixture
def ask(command: Callable[..., int], capsys: pytest.CaptureFixture[str], asked: Result) -> Ask:
    """What a command prints with --json, of the winner of the study."""

    def object_of(*words: object) -> dict[str, Any]:
        assert command(*words, "--json", "--run", asked.runs["final"]) == 0
        out = capsys.readouterr().out
        assert out.count("\n") == 1
        return dict(json.loads(out))

    return object_of


def heard_by(cells: Interactions, user: int) -> dict[str, float]:
    mine = np.flatnonzero(cells.rows == user)
    return {cells.items.name(cells.cols[i]): float(cells.plays[i]) for i in mine}


def test_what_serves_is_fitted_on_all_the_data_with_the_parameters_of_the_run(
    ask: Ask, asked: Result, data: Everything
) -> None:
    config = AlsConfig.model_validate(asked.best.params)
    model = Als(config, seed_for(asked.config.seed, "train", "als")).fit(data.cells)
    user = np.array([3], dtype=np.int32)
    expected = model.fold_in(data.cells, user, 7)

    found = ask("recommend", "--user", data.cells.users.id(3), "--k", "7")

    assert len(data.cells) == asked.facts["filter"]["matrix"]["nonzeros"]
    assert found["model"] == "als"
    assert found["study"] == "asked"
    assert found["run"] == asked.runs["final"]
    names = [data.cells.items.name(item) for item in expected.items[0] if item != NO_ITEM]
    assert [each["name"] for each in found["items"]] == names
    scores = [each["score"] for each in found["items"]]
    np.testing.assert_allclose(scores, expected.scores[0], rtol=1e-4)
    assert [each["rank"] for each in found["items"]] == list(range(1, 8))


def test_what_was_heard_is_left_out_unless_it_is_asked_for(ask: Ask, data: Everything) -> None:
    user, everything_there = data.cells.users.id(5), str(len(data.cells.items))
    heard = heard_by(data.cells, 5)
    words = ("recommend", "--user", user, "--k", everything_there)

    new, all_ = ask(*words)["items"], ask(*words, "--include-heard")["items"]

    assert not {each["name"] for each in new} & heard.keys()
    assert {each["name"] for each in all_ if each["heard"]} == heard.keys()
    assert len(all_) == len(data.cells.items)


def test_a_history_typed_in_is_folded_in(ask: Ask, data: Everything) -> None:
    heard = heard_by(data.cells, 8)
    typed = ",".join(f"{name.upper()}:{plays:g}" for name, plays in heard.items())

    found = ask("recommend", "--items", typed)

    assert found["by"] == "plays"
    assert found["items"] == ask("recommend", "--user", data.cells.users.id(8))["items"]


def test_who_has_a_profile_only_is_shown_what_those_like_them_play(
    ask: Ask, data: Everything
) -> None:
    assert data.profiles is not None
    countries = data.profiles.country.drop_null().to_pylist()
    country = max(set(countries), key=countries.count)

    found = ask("recommend", "--country", country.lower(), "--k", "3")

    assert found["by"] == "alike"
    assert found["audience"] == f"{countries.count(country)} users: country {country}"
    assert len(found["items"]) == 3
    assert ask("recommend")["by"] == "popularity"


def test_tables_hold_the_names_and_say_what_they_are_chosen_by(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    lab: Lab,
    asked: Result,
    data: Everything,
) -> None:
    run = asked.runs["final"]
    user, artist = data.cells.users.id(3), data.cells.items.name(4)
    best = recommend(lab.workspace, run, UserQuery(user), 2, False).answer.items[0]

    told = []
    for words in (
        ("recommend", "--user", user, "--k", "2", "--include-heard"),
        ("similar", artist, "--k", "2"),
        ("explain", "--user", user, "--item", best.name),
        ("recommend",),
    ):
        assert command(*words, "--run", run) == 0
        told.append(capsys.readouterr().out)

    assert "by the history" in told[0]
    assert "heard" in told[0]
    assert f"Like {artist}" in told[1]
    assert f"Why {best.name}" in told[2]
    assert f"the sum over {len(heard_by(data.cells, 3))} artists of the history" in told[2]
    assert "by what most listeners play (all " in told[3]
    for each in told:
        assert f"asked als of study asked, run {run}, ndcg@10 " in each


def test_similar_artists_are_those_of_the_factors(ask: Ask, data: Everything) -> None:
    name = data.cells.items.name(4)

    found = ask("similar", name.swapcase(), "--k", "5")

    assert found["to"] == name
    assert len(found["items"]) == 5
    assert name not in {each["name"] for each in found["items"]}
    scores = [each["score"] for each in found["items"]]
    assert scores == sorted(scores, reverse=True)


def test_an_explanation_adds_up_to_the_score_that_was_shown(ask: Ask, data: Everything) -> None:
    user = data.cells.users.id(3)
    best = ask("recommend", "--user", user, "--k", "1")["items"][0]

    found = ask("explain", "--user", user, "--item", best["name"])

    assert {each["name"]: each["plays"] for each in found["shares"]} == heard_by(data.cells, 3)
    assert sum(each["share"] for each in found["shares"]) == pytest.approx(found["score"])
    assert found["score"] == pytest.approx(best["score"], rel=1e-4)
    assert found["heard"] is False


def test_a_typed_history_is_explained(ask: Ask, data: Everything) -> None:
    one, other = (data.cells.items.name(item) for item in (4, 9))

    found = ask("explain", "--items", f"{one}:3", "--item", other)

    assert [each["name"] for each in found["shares"]] == [one]


@pytest.fixture(scope="module")
def rivals(lab: Lab) -> tuple[Lab, dict[str, Result]]:
    """A separate workspace: a better study, a worse one, and the latest, on another split."""
    alone = replace(lab, workspace=Workspace.at(lab.workspace.root.with_name("rivals")))
    poor = {"search": {"factors": 1, "iterations": 1, "alpha": 100.0}, "study": {"trials": 1}}
    better = alone.run("better", study={"trials": 2})
    return alone, {"better": better, "worse": alone.run("worse", **poor)}


def test_the_winner_that_was_best_on_validation_answers_by_default(
    rivals: tuple[Lab, dict[str, Result]],
) -> None:
    place, studies = rivals[0].workspace, rivals[1]
    values = {name: of.chosen.ranked[0].estimate.mean for name, of in studies.items()}
    assert values["worse"] < values["better"]

    selected = select_run(place)

    assert selected.run.id == studies["better"].runs["final"]
    assert selected.value == pytest.approx(values["better"])
    assert selected.text == (
        f"als of study better, run {selected.run.id}, ndcg@10 {values['better']:.4f} on "
        "validation: the best of 2 studies on this data and split"
    )


def test_studies_that_cannot_be_compared_are_named_and_the_latest_answers(
    rivals: tuple[Lab, dict[str, Result]],
) -> None:
    lab = rivals[0]
    other = lab.run("other", seed=1, study={"trials": 1})  # another seed: another split

    selected = select_run(lab.workspace)

    assert selected.run.id == other.runs["final"]
    assert set(selected.others) == {"better", "worse"}
    assert selected.text.endswith("data, split or metric differ: worse, better")


def test_a_study_is_named_instead_of_its_run(rivals: tuple[Lab, dict[str, Result]]) -> None:
    place, studies = rivals[0].workspace, rivals[1]

    assert select_run(place, "worse").run.id == studies["worse"].runs["final"]
    with pytest.raises(InputError, match=r"'bettr' is not in MLflow.*did you mean study 'better'"):
        select_run(place, "bettr")


def test_the_run_of_a_study_means_its_winner_and_that_of_a_trial_its_point(
    lab: Lab, asked: Result
) -> None:
    winner = find_served_run(lab.workspace, asked.runs["study"])
    trial = find_served_run(lab.workspace, asked.trials[0].run)

    assert winner == find_served_run(lab.workspace, asked.runs["final"])
    assert trial.config == AlsConfig.model_validate(asked.trials[0].params)
    assert load_served(lab.workspace, trial).config == trial.config


def test_a_baseline_serves_what_it_counts(lab: Lab, asked: Result, data: Everything) -> None:
    run = lab.runs(asked.runs["study"])["final popularity-users"].info.run_id
    user, heard = data.cells.users.id(0), heard_by(data.cells, 0)

    found = recommend(lab.workspace, run, UserQuery(user), 4, False).answer.items

    counts = dict(zip(data.cells.items.names.to_pylist(), data.cells.per_item(), strict=True))
    rest = sorted((n for name, n in counts.items() if name not in heard), reverse=True)
    assert [each.score for each in found] == rest[:4]
    with pytest.raises(InputError, match="has no similarities of items"):
        similar(lab.workspace, run, found[0].name, 3)
    with pytest.raises(InputError, match="cannot be explained"):
        explain(lab.workspace, run, UserQuery(user), found[0].name)


@pytest.mark.parametrize("kind", SERVED)
def test_what_was_fitted_once_is_not_fitted_again(
    kind: str, lab: Lab, asked: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SERVED[kind]
    fits: list[ModelConfig] = []
    fit = load.fit

    def counted(config: ModelConfig, *given: Any, **named: Any) -> Any:
        fits.append(config)
        return fit(config, *given, **named)

    monkeypatch.setattr(load, "fit", counted)
    chosen = replace(find_served_run(lab.workspace, asked.runs["final"]), config=config)
    first, again = (load_served(lab.workspace, chosen) for _ in range(2))

    assert fits == [config]
    seed = seed_for(asked.config.seed, "train", config.kind)
    fitted = build(config, seed, profiles=first.profiles).fit(first.cells)
    users = np.arange(20, dtype=np.int32)
    expected = fitted.fold_in(first.cells, users, 5)
    for served in (first, again):
        found = served.model.fold_in(served.cells, users, 5)
        assert found.items.tolist() == expected.items.tolist()
        assert found.scores.tobytes() == expected.scores.tobytes()
    files = [path for path in (lab.workspace.cache / "served").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".npy", ".npz", ".json"}


def test_plays_that_changed_are_refused_and_plays_that_are_gone_are_not_needed(
    lab: Lab, tmp_path: Path
) -> None:
    plays = tmp_path / "plays.tsv"
    text = lab.plays.read_text(encoding="utf-8")
    rows = text.splitlines(keepends=True)
    # Rows that no other test takes: what was made of their data would be in the cache.
    plays.write_text("".join(row for n, row in enumerate(rows) if n % 7), encoding="utf-8")
    result = lab.run("moving", plays=plays, study={"trials": 1})
    chosen = find_served_run(lab.workspace, result.runs["final"])
    kept = plays.read_bytes()

    plays.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"plays\.tsv: its data is .* now, and was"):
        load_served(lab.workspace, chosen)
    plays.unlink()
    with pytest.raises(InputError, match=r"plays\.tsv does not exist"):
        load_served(lab.workspace, chosen)
    plays.write_bytes(kept)
    load_served(lab.workspace, chosen)
    plays.unlink()

    assert len(load_served(lab.workspace, chosen).cells) > 0


def test_a_test_file_that_was_published_is_learned_from_too(
    lab: Lab, data: Everything, tmp_path: Path
) -> None:
    cells = data.cells
    columns = zip(cells.rows, cells.cols, cells.plays, strict=True)
    rows = [f"{cells.users.id(user)}\t\ta{item}\t{n:g}\n" for user, item, n in columns]
    for name, part in (("train", rows[::2]), ("test", rows[1::2])):
        (tmp_path / f"{name}.tsv").write_text("".join(part), encoding="utf-8")
    config = quick(
        data={"item_key": "name"},
        split={"kind": "given", "test": str(tmp_path / "test.tsv")},
        filter={"min_items": 0, "min_users": 0},
    )

    found = everything(lab.workspace, DataFiles(tmp_path / "train.tsv"), config)

    assert found.made_from.keys() == {"data", "split"}
    assert len(found.cells) == len(cells)
    assert found.cells.plays.sum() == cells.plays.sum()


def test_without_profiles_a_profile_says_nothing_and_that_is_said(lab: Lab, first: Result) -> None:
    found = recommend(lab.workspace, first.runs["final"], UserQuery(country="Narnia"), 2, False)

    assert found.answer.by == "popularity"
    assert "the data has no profiles" in found.note


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("recommend", "--user", "nobody"), "user 'nobody' is not known"),
        (("recommend", "--items", "radioheadd"), "item 'radioheadd' is not known"),
        (("similar", "radioheadd"), "item 'radioheadd' is not known"),
        (("recommend", "--country", "Narnia"), "country 'Narnia' is not known"),
        (("recommend", "--user", "x", "--age", "3"), "--user names a user whose history"),
        (("explain", "--item", "x"), "no history to explain by"),
    ],
)
def test_what_is_not_there_is_refused_in_a_line(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    asked: Result,
    words: tuple[str, ...],
    message: str,
) -> None:
    assert command(*words, "--run", asked.runs["final"]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(f"recsys: {message}")


def test_runs_that_cannot_serve_are_refused(lab: Lab, first: Result) -> None:
    client = open_client(lab.workspace)
    experiment = client.get_run(first.runs["final"]).info.experiment_id
    made = Run(client.create_run(experiment, run_name="odd").info.run_id, lab.workspace)
    with pytest.raises(InputError, match="is RUNNING, model unknown; pass one"):
        find_served_run(lab.workspace, made.id)
    client.set_tag(made.id, "model", "als")
    made.end("FINISHED")
    with pytest.raises(InputError, match="cannot be fitted again, another version made it"):
        find_served_run(lab.workspace, made.id)
    client.delete_run(made.id)
    with pytest.raises(InputError, match="was deleted in MLflow"):
        find_served_run(lab.workspace, made.id)
    for unknown in ("0" * 32, "no id at all", "'"):
        with pytest.raises(InputError, match="is not in MLflow"):
            find_served_run(lab.workspace, unknown)


def test_where_nothing_was_finished_there_is_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no experiment was finished; `recsys experiment`"):
        recommend(Workspace.at(tmp_path / "mlruns"), None, SOMEBODY, 3, False)


def test_a_study_that_is_gone_cannot_be_fitted_again(lab: Lab, asked: Result) -> None:
    chosen = find_served_run(lab.workspace, asked.runs["final"])
    gone = replace(chosen, study="gone", made_from={"data": "0" * 16, "split": "0" * 16})

    with pytest.raises(InputError, match="study 'gone' is not there"):
        load_served(lab.workspace, gone)


LIGHT = """
import sys
from flows.cli.main import main
item, user, *place = sys.argv[1:]
for words in (
    ["similar", item],
    ["recommend", "--user", user],
    ["recommend", "--items", item],
    ["explain", "--user", user, "--item", item],
    ["models"],
):
    assert main([*words, *place]) == 0
heavy = {"prefect", "mlflow", "optuna", "sqlalchemy", "matplotlib"}
sys.exit(", ".join(heavy & sys.modules.keys()) or 0)
"""


def test_an_answer_loads_nothing_that_it_does_not_need(
    lab: Lab, asked: Result, data: Everything
) -> None:
    load_served(lab.workspace, find_served_run(lab.workspace))  # from now on in the cache
    words = [data.cells.items.name(0), data.cells.users.id(0)]
    command = [sys.executable, "-c", LIGHT, *words, "--workspace", str(lab.workspace.root)]

    process = subprocess.run(command, capture_output=True, text=True, check=False)

    assert process.returncode == 0, process.stderr
