"""`recsys bench` on made-up data: its data, a comparison, and our rows beside published ones."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.bench import BenchRequest, BenchResult, bench
from flows.cli import bench_tables
from flows.cli.bench import NAMES, models_of
from flows.cli.main import main
from recsys.errors import InputError
from recsys.protocols import PROTOCOLS
from recsys.protocols.protocol import Protocol
from tasks.tracking.client import open_client
from tests.flows.conftest import Lab
from tests.recsys.protocols import made_up

pytestmark = pytest.mark.flow

MODELS = ("popularity-users", "rp3beta")


def run(lab: Lab, protocol: Protocol, folder: Path, **more: Any) -> BenchResult:
    given = {"models": MODELS, "trials": 2, "resamples": 50, **more}
    return bench(BenchRequest(protocol, folder, **given), lab.workspace.root)


def text_of(result: BenchResult) -> str:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    console = Console(file=out, width=200)
    for part in (bench_tables.counts_table, bench_tables.rows_table):
        console.print(part(result))
    return out.getvalue() + "\n".join(bench_tables.notes(result))


@pytest.fixture(scope="module")
def gowalla(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gowalla")
    train, test = made_up.adjacency(120, 60)
    made_up.write_adjacency(folder / "train.txt", train)
    made_up.write_adjacency(folder / "test.txt", test)
    return folder


@pytest.mark.slow
def test_a_published_cut_gives_rows_with_intervals_between_the_published_ones(
    lab: Lab, gowalla: Path
) -> None:
    protocol = PROTOCOLS["gowalla"]

    result = run(lab, protocol, gowalla, name="bench-cut")

    ours = {row.model: row for row in result.rows if row.is_ours}
    assert set(MODELS) <= set(ours)
    assert [row.model for row in result.rows if not row.is_ours] == [
        row.model for row in protocol.published
    ]
    for row in ours.values():
        assert all(value.low is not None and value.low <= value.mean for value in row.values)
    compared = result.compared.comparison.estimates
    for model, row in ours.items():
        for metric, value in zip(protocol.metrics, row.values, strict=True):
            assert value.mean == pytest.approx(compared[model][metric].mean)
    counts = {count.name: count for count in result.counts}
    assert counts["users"].ours == 120
    assert counts["test pairs left out, in train too"].ours == 0
    assert counts["validation users judged"].ours > 0
    assert "the test side looks like a random cut of its sizes" in result.alike.sentence
    [warning] = result.warnings
    assert warning.startswith("users, items, interactions, train interactions, test interactions ")
    table = open_client(lab.workspace).download_artifacts(
        result.compared.run, "bench/bench.json", str(gowalla)
    )
    assert json.loads(Path(table).read_text())["rows"][0]["model"] == result.rows[0].model
    shown = text_of(result)
    for words in ("120     29,858  differs", "Choi et al. 2023 (SIGIR)", f"warning: {warning}"):
        assert words in shown


@pytest.mark.slow
def test_held_out_users_are_folded_in_and_judged_by_capped_recall(lab: Lab, tmp_path: Path) -> None:
    ratings = made_up.liked(400, 120)
    made_up.write_ml_20m(tmp_path, ratings)
    protocol = PROTOCOLS["ml-20m"].with_held_out(40)
    with pytest.raises(InputError, match=r"ml-20m holds 10,000 \+ 10,000 users out, and after"):
        run(lab, PROTOCOLS["ml-20m"], tmp_path, name="bench-too-small")

    result = run(lab, protocol, tmp_path, name="bench-users", models=(*MODELS, "ease"))

    counts = {count.name: count.ours for count in result.counts}
    n_users = counts["users"]
    assert counts["training users"] == n_users - 80
    assert 0 < counts["test users judged"] <= 40
    assert 0 < counts["validation users judged"] <= 40
    assert counts["test pairs of items without a training user"] == 0
    assert "validation and test look exchangeable: popularity ndcg@100" in result.alike.sentence
    ours = {row.model: row for row in result.rows if row.is_ours}
    compared = result.compared.comparison.estimates
    for model, row in ours.items():
        assert row.values[2].mean == pytest.approx(compared[model]["ndcg@100"].mean)
        assert row.values[0].mean >= compared[model]["recall@20"].mean - 1e-12
        assert 0 < row.values[0].mean <= 1
    table = result.as_json()
    assert table["protocol"]["metrics"] == ["capped_recall@20", "capped_recall@50", "ndcg@100"]
    assert {row["model"]: row["source"] for row in table["rows"]}["Mult-VAE"].startswith("Liang")
    again = run(lab, protocol, tmp_path, name="bench-users", models=(*MODELS, "ease"))
    assert [row.values for row in again.rows] == [row.values for row in result.rows]


@pytest.mark.slow
def test_likes_are_cut_by_time_and_have_no_published_rows(lab: Lab, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    likes = [
        (user, item, int(begin + rng.integers(80_000)))
        for user in range(40)
        for n, begin in ((20, 1_000_000), (5, 25_826_000), (5, 25_914_000))
        for item in rng.choice(80, n, replace=False).tolist()
    ]
    made_up.write_likes(tmp_path, likes)

    result = run(lab, PROTOCOLS["yambda-50m"], tmp_path, name="bench-time")

    assert all(row.is_ours for row in result.rows)
    assert "note: no published row" in text_of(result)
    assert "validation and test" in result.alike.sentence


@pytest.fixture
def same_environment() -> Iterator[None]:
    """A command names its Prefect server in the environment, which later tests would inherit."""
    known = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(known)


@pytest.mark.slow
def test_the_command_prints_one_object(
    lab: Lab, gowalla: Path, same_environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "gowalla", "--data", gowalla, "--models", "rp3beta", "--trials", "2"]
    place = ["--name", "bench-command", "--workspace", lab.workspace.root, "--json", "--quiet"]

    code = main([*map(str, [*words, *place])])

    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert told["runs"]["name"] == "bench-command"
    assert {row["model"] for row in told["rows"] if row["ours"]} >= set(MODELS)
    assert len(told["warnings"]) == 1
    assert told["exchangeable"]["sentence"].startswith("the test side")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ml-20m", "holds 10,000 + 10,000 users out, and after the filter there are 34; ml-20m re"),
        ("msd", "holds 50,000 + 50,000 users out, and after the filter there are 257; msd reads"),
        ("lastfm-360k", "37 users have enough for that; lastfm-360k reads usersha1-artmbid-artn"),
        ("yambda-50m", "split 'time' of 2 users and 1 items: nothing is held out; yambda-50m re"),
        ("gowalla", "'x' is no number of a user or an item; gowalla reads train.txt and test.txt"),
    ],
)
def test_data_that_is_not_the_published_data_is_refused_with_the_files_as_advice(
    name: str, said: str, tmp_path: Path
) -> None:
    made_up.write_ml_20m(tmp_path, made_up.liked())
    made_up.write_msd(tmp_path, made_up.triplets())
    made_up.write_lastfm(tmp_path)
    made_up.write_likes(tmp_path, [(1, 2, 3), (2, 2, 5)])
    for file in ("train.txt", "test.txt"):
        (tmp_path / file).write_text("1 2\n3 x\n", encoding="utf-8")

    request = BenchRequest(PROTOCOLS[name], tmp_path, MODELS, 1)
    with pytest.raises(InputError) as told:
        bench(request, tmp_path / "runs")

    assert said in str(told.value)
    assert PROTOCOLS[name].home in str(told.value)


REFUSED = [
    (("gowala",), "no such protocol (did you mean gowalla?); there are ml-20m, msd, gowalla"),
    (("gowalla", "--data", "{place}"), "train.txt is missing; gowalla reads train.txt and test"),
    (("msd", "--data", "{place}/none"), "is no folder; msd reads train_triplets.txt, published at"),
    (("gowalla", "--models", "eas"), "--models eas: no such model (did you mean ease?)"),
    (("gowalla", "--trials", "0"), "--trials"),
    (("gowalla", "--seed", "-1"), "--seed"),
    ((), "NAME is missing"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(w) or "-" for w, _ in REFUSED])
def test_what_cannot_be_run_is_refused_in_one_line(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [word.format(place=tmp_path) for word in words]
    typed += [] if "--data" in typed else ["--data", str(tmp_path)]

    code = main(["bench", *typed, "--workspace", str(tmp_path / "runs")])

    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
    assert not (tmp_path / "runs").exists(), "nothing is made"


@pytest.mark.parametrize(
    ("typed", "models"),
    [
        (None, ("als", "ease")),
        ("slim", ("slim", "popularity-users")),
        ("slim,slim", ("slim", "popularity-users")),
        ("popularity-users", ("popularity-users", "popularity-plays")),
        ("ease,als,ease", ("ease", "als")),
    ],
)
def test_each_model_runs_once_and_a_single_one_is_joined_by_popularity(
    typed: str | None, models: tuple[str, ...]
) -> None:
    assert models_of(typed, ("als", "ease")) == models


def test_the_help_names_every_protocol() -> None:
    assert ", ".join([*PROTOCOLS][:-1]) + f" or {[*PROTOCOLS][-1]}." == NAMES
