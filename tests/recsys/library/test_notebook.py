"""The library as a notebook uses it: frames in, frames out, and no figure that means nothing."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recsys
from recsys.errors import InputError
from recsys.library.log import Log
from recsys.models import MODELS
from recsys.sources.sample import make_sample, write_sample


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("library")
    write_sample(make_sample(80, 60, 0), folder / "plays.tsv", folder / "profiles.tsv")
    return folder / "plays.tsv", folder / "profiles.tsv"


@pytest.fixture(scope="module")
def log(files: tuple[Path, Path]) -> Log:
    return recsys.read(files[0], profiles=files[1])


@pytest.fixture(scope="module")
def split(log: Log) -> recsys.Split:
    return log.split(seed=1)


@pytest.fixture(scope="module")
def als(split: recsys.Split) -> recsys.Fitted:
    return recsys.fit("als", split, factors=4, iterations=3)


def test_a_frame_is_read_as_the_file_it_came_from(log: Log) -> None:
    frame = log.to_pandas()

    again = recsys.read(frame)

    assert again.to_pandas().equals(frame)
    assert recsys.read(pa.Table.from_pandas(frame)).to_pandas().equals(frame)


def test_columns_of_a_frame_are_named_where_they_are_not_known(log: Log) -> None:
    frame = log.to_pandas().rename(columns={"user": "uid", "item": "track"}).assign(other=1)

    again = recsys.read(frame, {"user": "uid", "item": "track", "plays": "plays"})

    assert again.events.rows.tolist() == log.events.rows.tolist()
    with pytest.raises(
        InputError, match=r"the columns uid, track, .*; name those of user and item"
    ):
        recsys.read(frame)
    with pytest.raises(InputError, match="the frame: no column 'listener'"):
        recsys.read(frame, {"user": "listener", "item": "track"})
    with pytest.raises(InputError, match=r"a builtins.list cannot be read"):
        recsys.read([1, 2])


def test_numbers_and_missing_values_of_a_frame_follow_the_rules_of_files() -> None:
    frame = pd.DataFrame(
        {"user": [1, 1, 2, None], "item": ["a", None, "b", "c"], "plays": [3, 1, 0, 2]}
    )

    log = recsys.read(frame)

    assert log.to_pandas()[["user", "item", "plays"]].to_numpy().tolist() == [["1", "a", 3.0]]
    assert len(log.rejects) == 3


def test_a_filter_says_what_it_left_and_a_wrong_one_is_refused(log: Log) -> None:
    kept = log.filter(min_items=5, min_users=3).filter(top_users=20)

    assert len(kept.events.users) == 20
    assert kept.steps[0].name == "as read"
    assert kept.steps[-1].users == 20
    assert len(log.steps) == 0
    for wrong in ({"min_itms": 3}, {"min_items": -1}):
        with pytest.raises(InputError, match="filter"):
            log.filter(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="split"):
        log.split("randm")


def test_lists_are_those_of_the_served_model(als: recsys.Fitted, split: recsys.Split) -> None:
    users = split.test.train.users
    every = als.recommend(k=5)

    assert list(every.columns) == ["user", "rank", "item", "name", "score"]
    assert every["user"].nunique() == len(users)
    one = every[every["user"] == users.id(3)].reset_index(drop=True)
    answer = recsys.serving.answers.known_user(als.served, 3, 5)
    assert one["item"].tolist() == [each.id for each in answer.items]
    pd.testing.assert_frame_equal(one, als.recommend(users.id(3), k=5))
    assert np.allclose(one["score"], [each.score for each in answer.items])


def test_a_new_user_is_answered_by_a_history_and_why(als: recsys.Fitted) -> None:
    first, second = als.served.cells.items.id(0), als.served.cells.items.id(1)

    listed = als.recommend(history=[first, second], k=3)
    weighed = als.recommend(history={first: 30.0, second: 1.0}, k=3)
    shares = als.explain(None, str(listed["item"][0]), history=[first, second])

    assert len(listed) == len(weighed) == 3
    assert not {first, second} & {*listed["item"]}
    assert set(shares["item"]) == {first, second}
    assert shares["share"].sum() == pytest.approx(listed["score"][0], rel=1e-3)
    with pytest.raises(InputError, match="give one of them"):
        als.recommend("u", history=[first])


def test_what_is_unknown_is_refused_with_what_is_near(als: recsys.Fitted) -> None:
    user = als.served.cells.users.id(0)

    with pytest.raises(InputError, match=user):
        als.recommend(user[:-1])
    with pytest.raises(InputError, match="no model is called"):
        recsys.fit("alz", als.served.cells)
    with pytest.raises(InputError, match=r"parameters of als: factors = 0"):
        recsys.fit("als", als.served.cells, factors=0)
    with pytest.raises(InputError, match=r"factrs"):
        recsys.fit("als", als.served.cells, factrs=3)


def test_a_model_that_may_know_what_is_held_out_is_not_judged(
    log: Log, split: recsys.Split
) -> None:
    everything = recsys.fit("item-knn", log)
    tuned = recsys.fit("item-knn", split, side="validation")

    for model in (everything, tuned):
        with pytest.raises(InputError, match="not fitted on the training side of this test fold"):
            recsys.evaluate(model, split)
    assert recsys.evaluate(tuned, split, side="validation")["ndcg@10"].mean > 0


def test_figures_are_those_of_the_parts(als: recsys.Fitted, split: recsys.Split) -> None:
    found = recsys.evaluate(als, split, ks=(5, 10))

    report = recsys.judge(als.served.model, split.test, (5, 10))
    assert found.table["mean"].to_dict() == report.summary()
    assert found["ndcg@10"] == recsys.interval(report, 0)["ndcg@10"]
    assert found["ndcg@10"].text in repr(found)


def test_models_are_compared_on_the_same_users(als: recsys.Fitted, split: recsys.Split) -> None:
    table = recsys.compare({"mine": als, "knn": "item-knn", "popular": "popularity-users"}, split)

    assert set(table.index) == {"mine", "knn", "popular"}
    assert table["ndcg@10"].is_monotonic_decreasing
    assert table["difference"].iloc[0] == 0
    assert bool(table["tied"].iloc[0])
    gap = table["ndcg@10"].iloc[2] - table["ndcg@10"].iloc[0]
    assert table["difference"].iloc[2] == pytest.approx(gap)
    with pytest.raises(InputError, match="two models or more"):
        recsys.compare(["als"], split)
    with pytest.raises(InputError, match="two models are called ease"):
        recsys.compare(["ease", "ease"], split)
    with pytest.raises(InputError, match="no cut-off"):
        recsys.compare(["ease", "als"], split, metric="ndcg")


def test_a_saved_model_answers_with_the_same_bits(als: recsys.Fitted, tmp_path: Path) -> None:
    als.save(tmp_path / "model")

    pd.testing.assert_frame_equal(recsys.load(tmp_path / "model").recommend(), als.recommend())
    with pytest.raises(InputError, match="is not empty"):
        als.save(tmp_path / "model")
    with pytest.raises(InputError, match="is missing"):
        recsys.load(tmp_path / "none")


def test_a_model_is_loaded_from_a_folder_above_it_unless_there_are_several(
    als: recsys.Fitted, tmp_path: Path
) -> None:
    als.save(tmp_path / "version" / "artifacts" / "served")
    found = recsys.load(tmp_path / "version").recommend()
    als.save(tmp_path / "version" / "other")

    pd.testing.assert_frame_equal(found, als.recommend())
    with pytest.raises(InputError, match=r"has 2 models, such as .*served; give the folder of one"):
        recsys.load(tmp_path / "version")


def test_a_log_shows_itself(log: Log) -> None:
    assert repr(log).startswith("Log: 80 users, 60 items, ")
    html = log._repr_html_()
    assert "<th>rejected rows</th>" in html
    assert log.events.users.id(0) in html


def test_everything_shows_itself_and_names_of_the_data_are_no_html(
    als: recsys.Fitted, split: recsys.Split
) -> None:
    frame = pd.DataFrame({"user": ["<u>", "v"], "item": ["<b>x", "y"], "plays": [3, 1]})

    found = recsys.read(frame)

    assert "&lt;u&gt;" in found._repr_html_()
    assert "<b>" not in found._repr_html_()
    for shown in (als, split, recsys.evaluate(als, split)):
        assert "<table" in shown._repr_html_()
        assert " at 0x" not in repr(shown) + shown._repr_html_()
    assert repr(split).startswith("Split: 20% of the items")
    assert repr(split.test.train.users) == "IdMap: 80 ids"
    assert repr(found.events) == "Events: 2 users, 2 items, 2 events"
    assert repr(found.cells) == "Interactions: 2 users, 2 items, 2 pairs"
    assert repr(split.test.profiles) == "Profiles: 80 users, 80 described"


def test_cells_come_from_frames_and_go_back(log: Log, split: recsys.Split) -> None:
    frame = pd.DataFrame(
        {"user": ["u", "u", "v"], "item": ["a", "a", "b"], "plays": [1, 2, 4], "time": [5, 9, 7]}
    )

    cells = recsys.to_pandas(recsys.read(frame).cells)

    seconds = [str(cells[name].tolist()[0]) for name in ("first", "last")]
    assert cells["plays"].tolist() == [3.0, 4.0]
    assert seconds == ["1970-01-01 00:00:05+00:00", "1970-01-01 00:00:09+00:00"]
    held_out = recsys.to_pandas(split.test.held_out)
    assert len(held_out) == len(split.test.held_out)
    everything = log.to_pandas()
    fitted = recsys.fit("item-knn", everything)
    pd.testing.assert_frame_equal(fitted.recommend(k=3), recsys.fit("item-knn", log).recommend(k=3))


def test_users_and_items_are_counted(log: Log) -> None:
    frame = log.to_pandas()

    users, items = log.users().set_index("user"), log.items().set_index("item")

    assert users["plays"].to_dict() == frame.groupby("user")["plays"].sum().to_dict()
    assert users["items"].to_dict() == frame.groupby("user")["item"].nunique().to_dict()
    assert items["users"].to_dict() == frame.groupby("item")["user"].nunique().to_dict()
    assert items["users"].is_monotonic_decreasing
    assert users["country"].notna().sum() > 70
    kept = log.filter(min_items=5).filtered
    assert kept["filter"].tolist() == ["as read", "users >= 5 items", "items >= 0 users"]


def test_a_sample_is_what_the_command_writes(log: Log) -> None:
    assert recsys.sample(80, 60, seed=0).to_pandas().equals(log.to_pandas())


def test_a_new_user_is_answered_by_a_profile(als: recsys.Fitted) -> None:
    answer = recsys.serving.answers

    profile = recsys.serving.audience.profile_of(als.served.profiles, "germany", 22, None)

    found = als.recommend(country="germany", age=22, k=4)
    assert found["item"].tolist() == [
        each.id for each in answer.from_profile(als.served, profile, 4).items
    ]
    assert found.attrs["by"] in {"alike", "popularity"}
    with_history = als.recommend(history=[als.served.cells.items.id(0)], country="Germany")
    assert with_history.attrs["by"] == "plays"
    with pytest.raises(InputError, match="no profiles are known"):
        recsys.fit("item-knn", als.served.cells).recommend(age=22)


def test_the_nearest_users_are_those_of_the_smallest_distance(log: Log, als: recsys.Fitted) -> None:
    model = recsys.fit("user-knn", log, metric="euclidean", weighting="linear")
    shares = log.cells.matrix().toarray()
    shares /= shares.sum(axis=1, keepdims=True)
    apart = np.sqrt(((shares - shares[7]) ** 2).sum(axis=1))
    expected = [number for number in np.argsort(apart, kind="stable") if number != 7][:5]

    near = model.neighbours(log.events.users.id(7), 5)

    assert near["user"].tolist() == [log.events.users.id(number) for number in expected]
    assert np.allclose(near["distance"], apart[expected], atol=1e-5)
    both = (shares[expected] > 0) & (shares[7] > 0)
    assert near["common"].tolist() == both.sum(axis=1).tolist()
    with pytest.raises(InputError, match="fit user-knn"):
        als.neighbours(log.events.users.id(7))


def test_one_user_is_shown_with_history_and_hits(als: recsys.Fitted, split: recsys.Split) -> None:
    found = recsys.show_user(als, split, seed=3, k=5)

    user = found.attrs["user"]
    listed = als.recommend(user, k=5)["name"].tolist()
    assert found["recommended"].dropna().tolist() == listed
    held_out = {str(text).rpartition(" (")[0] for text in found["held_out"].dropna()}
    assert all(name in held_out for name in found["recommended"][found["hit"] == True])  # noqa: E712
    pd.testing.assert_frame_equal(found, recsys.show_user(als, split, user, k=5))
    with pytest.raises(InputError, match="not fitted on the training side"):
        recsys.show_user(als, split, side="validation")


def test_a_search_measures_on_validation_and_keeps_the_best(split: recsys.Split) -> None:
    space = {
        "factors": [2, 4],
        "regularization": {"low": 0.1, "high": 10.0, "log": True},
        "iterations": {"low": 1, "high": 3},
    }

    found = recsys.tune("als", split, space, trials=4, seed=5)

    assert found.trials["factors"].isin([2, 4]).all()
    assert found.trials["iterations"].between(1, 3).all()
    assert found.trials["regularization"].between(0.1, 10).all()
    assert found.points[0] == {"factors": 4, "regularization": 10.0, "iterations": 3}  # the default
    best = found.table.iloc[0]
    model = recsys.fit(found.best, split, seed=5, side="validation")
    again = recsys.evaluate(model, split, side="validation")["ndcg@10"].mean
    assert again == pytest.approx(best["ndcg@10"]) == pytest.approx(found.trials["ndcg@10"].max())
    assert found.points == recsys.tune("als", split, space, trials=4, seed=5).points
    assert "4 trials by ndcg@10 on validation" in found._repr_html_()
    with pytest.raises(InputError, match="factrs"):
        recsys.tune("als", split, {"factrs": [2]})


def test_numbers_below_one_and_an_empty_space_are_refused(
    als: recsys.Fitted, split: recsys.Split, log: Log
) -> None:
    user = als.served.cells.users.id(0)
    near = recsys.fit("user-knn", log)

    for refused in (
        lambda: als.recommend(user, k=0),
        lambda: als.recommend(country="Germany", k=-1),
        lambda: als.similar(als.served.cells.items.id(0), k=0),
        lambda: near.neighbours(user, k=0),
        lambda: recsys.show_user(als, split, k=0),
        lambda: recsys.tune("als", split, {"factors": [2]}, trials=0),
    ):
        with pytest.raises(InputError, match="below 1"):
            refused()
    with pytest.raises(InputError, match="the space is empty"):
        recsys.tune("als", split, {})
    with pytest.raises(InputError, match="made of other models"):
        recsys.tune("ensemble", split, {"factors": [2]})


def test_convergence_draws_the_metric_with_its_best_beside_the_loss() -> None:
    steps = pd.Index([1, 2, 3], name="iteration")
    curve = pd.DataFrame(
        {"loss": [3.0, 2.0, float("nan")], "ndcg@10": [0.1, 0.3, 0.2], "seconds": 1.0}, index=steps
    )

    left, right = recsys.convergence(curve).axes

    assert left.get_title() == "best 0.3000 at 2"
    assert (left.get_ylabel(), right.get_ylabel()) == ("ndcg@10", "training loss")
    assert right.lines[0].get_xydata().tolist() == [[1.0, 3.0], [2.0, 2.0]]


def test_a_table_that_is_no_curve_has_no_picture() -> None:
    with pytest.raises(InputError, match=r"pass what recsys\.curve answers"):
        recsys.convergence(pd.DataFrame({"seconds": [1.0]}))


def test_a_curve_has_loss_and_metric_of_every_iteration(split: recsys.Split) -> None:
    found = recsys.curve("als", split, factors=4, iterations=3)

    assert found.index.tolist() == [1, 2, 3]
    assert found["loss"].is_monotonic_decreasing
    last = recsys.fit("als", split, factors=4, iterations=3, side="validation")
    judged = recsys.evaluate(last, split, side="validation")
    assert found["ndcg@10"].iloc[-1] == pytest.approx(judged["ndcg@10"].mean)
    with pytest.raises(InputError, match="learns in one pass"):
        recsys.curve("ease", split)


def test_a_picture_shows_itself(log: Log) -> None:
    figure = recsys.plots.items_per_user(log.events)

    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_profiles_of_the_log_reach_the_models_that_use_them(log: Log, split: recsys.Split) -> None:
    assert "fm" in MODELS
    fitted = recsys.fit("fm", split, factors=3, iterations=2)

    assert split.test.profiles is not None
    assert fitted.served.profiles is split.test.profiles


def test_a_frame_of_polars_needs_polars(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)  # as if it were not installed

    with pytest.raises(InputError, match="polars, which is not installed"):
        log.to_polars()
