from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recsys.config import ExperimentConfig
from recsys.data.config import FilterConfig
from recsys.data.store import load_events, load_profiles
from recsys.errors import InputError
from recsys.sources.config import DataConfig
from recsys.splitting.store import load_fold
from tasks.data.stages import PROFILE_REJECTS, REJECTS, DataFiles, ingest, narrow, split
from tasks.workspace.cache import StageEntry
from tasks.workspace.layout import Workspace

# Tasks are plain functions below Prefect's decorator, and `fn` needs no server.
ALL = FilterConfig(min_items=0, min_users=0)


def user(n: int) -> str:
    return f"{n:040x}"


def log_of(path: Path, n_users: int = 12, n_artists: int = 8, more: Sequence[str] = ()) -> Path:
    """A log in the 360K format: every listener plays all artists but one."""
    rows = [
        f"{user(u)}\t\tartist {a}\t{1 + (u * a) % 9}"
        for u in range(n_users)
        for a in range(n_artists)
        if a != u % n_artists
    ]
    path.write_text("\n".join([*rows, *more]) + "\n", encoding="utf-8")
    return path


def profiles_of(path: Path, n_users: int = 12) -> Path:
    rows = [
        f"{user(u)}\t{'mf'[u % 2]}\t{20 + u}\t{('Norway', 'Chile')[u < 6]}\tFeb 1, 2007"
        for u in range(n_users)
    ]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return log_of(tmp_path / "plays.tsv")


def ingested(workspace: Workspace, plays: Path, profiles: Path | None = None) -> StageEntry:
    return ingest.fn(workspace, DataFiles(plays, profiles), DataConfig())


def narrowed(
    workspace: Workspace, plays: Path, config: FilterConfig = ALL, seed: int = 0
) -> StageEntry:
    return narrow.fn(workspace, ingested(workspace, plays), config, seed)


def cut(workspace: Workspace, plays: Path, **changed: Any) -> StageEntry:
    config = ExperimentConfig.model_validate({"filter": ALL.model_dump(), **changed})
    return split.fn(workspace, narrowed(workspace, plays, config.filter, config.seed), config)


def test_a_log_is_read_once_and_kept_with_its_numbers(workspace: Workspace, log: Path) -> None:
    first, second = ingested(workspace, log), ingested(workspace, log)

    assert (first.reused, second.reused) == (False, True)
    assert first.facts == second.facts
    facts = first.facts
    assert (facts["rows"], facts["rejected"], facts["users"], facts["items"]) == (84, 0, 12, 8)
    assert facts["profiles"] is None
    assert len(load_events(second.folder)) == 84


def test_a_log_that_changed_is_read_again(workspace: Workspace, log: Path) -> None:
    before = ingested(workspace, log)
    log_of(log, more=[f"{user(0)}\t\tartist new\t3"])

    after = ingested(workspace, log)

    assert not after.reused
    assert (before.facts["rows"], after.facts["rows"]) == (84, 85)


def test_another_way_to_read_is_another_entry(workspace: Workspace, log: Path) -> None:
    ingested(workspace, log)

    by_name = ingest.fn(workspace, DataFiles(log), DataConfig(item_key="name"))

    assert not by_name.reused


def test_rejected_rows_are_kept_and_counted_by_reason(workspace: Workspace, log: Path) -> None:
    log_of(log, more=["only one field", f"{user(1)}\t\tartist 1\tmany"])

    facts = ingested(workspace, log)

    assert facts.facts["rejected"] == sum(facts.facts["reasons"].values()) == 2
    rejects = (facts.folder / REJECTS).read_text(encoding="utf-8")
    assert "only one field" in rejects
    assert "85" in rejects.split()


def test_strict_makes_the_first_bad_row_fatal_and_leaves_no_entry(
    workspace: Workspace, log: Path
) -> None:
    log_of(log, more=["only one field"])

    with pytest.raises(InputError, match=r"plays\.tsv.*85"):
        ingest.fn(workspace, DataFiles(log), DataConfig(strict=True))
    assert list((workspace.cache / "ingest").iterdir()) == []


def test_profiles_are_read_beside_the_log(workspace: Workspace, log: Path, tmp_path: Path) -> None:
    profiles = profiles_of(tmp_path / "profiles.tsv", n_users=10)

    entry = ingested(workspace, log, profiles)

    known = entry.facts["profiles"]
    assert (known["rows"], known["rejected"]) == (10, 0)
    assert set(known["listeners_without"].values()) == {2}
    assert len(load_profiles(entry.folder).users) == 10
    assert (entry.folder / PROFILE_REJECTS).is_file()


def test_users_who_are_only_in_a_test_file_keep_their_profiles_and_are_counted(
    workspace: Workspace, log: Path, tmp_path: Path
) -> None:
    profiles = profiles_of(tmp_path / "profiles.tsv", n_users=14)
    test = tmp_path / "test.tsv"
    of_log = f"{user(0)}\t\tartist 1\t1"
    new_users = [f"{user(u)}\t\tartist {a}\t2" for u in (12, 13, 14) for a in (1, 99)]
    test.write_text("\n".join([of_log, f"{user(0)}\t\tartist 0\t1", *new_users]), encoding="utf-8")
    given = {"kind": "given", "test": str(test)}
    config = ExperimentConfig.model_validate({"filter": ALL.model_dump(), "split": given})
    filtered = narrow.fn(workspace, ingested(workspace, log, profiles), config.filter, 0)

    entry = split.fn(workspace, filtered, config)

    for side in ("validation", "test"):
        fold = load_fold(entry.folder / side)
        assert fold.profiles is not None
        at = fold.train.users.find([user(u) for u in (0, 12, 13, 14)])
        ages = fold.profiles.age[at].tolist()
        assert ages[:3] == [20, 32, 33], side
        assert fold.profiles.country.take(pa.array(at)).to_pylist()[1:] == ["Norway"] * 2 + [None]
    assert entry.facts["sides"] == {
        "users": 4,
        "users_only_in_log": 11,
        "users_only_in_test": 3,
        "with_profile": 2,
        "without_profile": 1,
        "missing": {"gender": 1, "age": 1, "country": 1, "signup": 1},
        "items": 3,
        "items_only_in_test": 1,
        "pairs": 7,
        "pairs_dropped": 1,
        "pairs_of_unknown_items": 3,
    }


def test_changed_profiles_are_read_again(workspace: Workspace, log: Path, tmp_path: Path) -> None:
    profiles = profiles_of(tmp_path / "profiles.tsv", n_users=10)
    ingested(workspace, log, profiles)
    profiles_of(profiles, n_users=11)

    entry = ingested(workspace, log, profiles)

    assert not entry.reused
    assert entry.facts["profiles"]["rows"] == 11


def test_names_that_come_from_a_file_beside_the_log_belong_to_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    plays = tmp_path / "user_artists.dat"
    plays.write_text("userID\tartistID\tweight\n1\t7\t3\n2\t7\t4\n", encoding="utf-8")
    names = tmp_path / "artists.dat"
    header = "id\tname\turl\tpictureURL\n"
    names.write_text(header + "7\tOne\tu\tp\n", encoding="utf-8")
    before = ingested(workspace, plays)
    names.write_text(header + "7\tOther\tu\tp\n", encoding="utf-8")

    after = ingested(workspace, plays)

    assert not after.reused
    assert [load_events(e.folder).items.name(0) for e in (before, after)] == ["One", "Other"]


def test_a_missing_log_is_an_error_with_a_remedy(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plays\.tsv"):
        ingested(workspace, tmp_path / "plays.tsv")


def test_filters_record_what_each_step_left(workspace: Workspace, log: Path) -> None:
    log_of(log, more=[f"{user(99)}\t\tartist rare\t3"])

    entry = narrowed(workspace, log, FilterConfig(min_items=5, min_users=5))

    steps = entry.facts["steps"]
    assert [(step["users"], step["items"]) for step in steps] == [(13, 9), (12, 8), (12, 8)]
    matrix = entry.facts["matrix"]
    assert (matrix["users"], matrix["items"], matrix["nonzeros"]) == (12, 8, 84)
    assert len(load_events(entry.folder)) == 84


def test_the_seed_matters_to_the_filter_only_where_users_are_drawn(
    workspace: Workspace, log: Path
) -> None:
    narrowed(workspace, log, seed=0)
    drawn = FilterConfig(min_items=0, min_users=0, fraction=0.5)
    narrowed(workspace, log, drawn, seed=0)

    assert narrowed(workspace, log, seed=1).reused
    assert not narrowed(workspace, log, drawn, seed=1).reused


def test_another_filter_is_made_from_the_same_reading(workspace: Workspace, log: Path) -> None:
    narrowed(workspace, log)
    other = narrowed(workspace, log, FilterConfig(min_items=0, min_users=0, top_users=5))

    assert not other.reused
    assert other.facts["steps"][-1]["users"] == 5
    assert ingested(workspace, log).reused


def test_a_cohort_is_taken_by_profile(workspace: Workspace, log: Path, tmp_path: Path) -> None:
    profiles = profiles_of(tmp_path / "profiles.tsv")
    cohort = FilterConfig(min_items=0, min_users=0, countries=("Chile",), age_min=22)

    entry = narrow.fn(workspace, ingested(workspace, log, profiles), cohort, 0)

    assert load_events(entry.folder).users.ids.to_pylist() == [user(n) for n in (2, 3, 4, 5)]


def test_a_cohort_without_profiles_is_an_error_with_a_remedy(
    workspace: Workspace, log: Path
) -> None:
    with pytest.raises(InputError, match="pass --profiles"):
        narrowed(workspace, log, FilterConfig(genders=("f",)))


def test_nothing_left_is_an_error_and_leaves_no_entry(workspace: Workspace, log: Path) -> None:
    with pytest.raises(InputError, match="nothing is left after the filter"):
        narrowed(workspace, log, FilterConfig(min_items=100))
    assert list((workspace.cache / "filter").iterdir()) == []


def test_the_fingerprint_of_the_data_changes_with_a_single_play(
    workspace: Workspace, log: Path
) -> None:
    before = narrowed(workspace, log).facts["fingerprint"]
    text = log.read_text(encoding="utf-8")
    log.write_text(text.replace("artist 3\t4", "artist 3\t5", 1), encoding="utf-8")

    assert narrowed(workspace, log).facts["fingerprint"] != before


def test_the_order_of_the_rows_changes_neither_fingerprint(workspace: Workspace, log: Path) -> None:
    before = narrowed(workspace, log), cut(workspace, log)
    rows = log.read_text(encoding="utf-8").splitlines(keepends=True)
    log.write_text("".join(reversed(rows)), encoding="utf-8")

    after = narrowed(workspace, log), cut(workspace, log)

    assert not any(entry.reused for entry in after)
    for one, other in zip(before, after, strict=True):
        assert one.facts["fingerprint"] == other.facts["fingerprint"]


def test_a_split_is_made_once_and_holds_both_folds(workspace: Workspace, log: Path) -> None:
    first, second = cut(workspace, log), cut(workspace, log)

    assert (first.reused, second.reused) == (False, True)
    validation, test = (load_fold(second.folder / name) for name in ("validation", "test"))
    assert first.facts["validation"]["judged_users"] == len(validation.judged) == 12
    assert first.facts["test"]["held_out"] == len(test.held_out) == 12
    assert len(test.train) == len(validation.train) + len(validation.held_out)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"split": {"kind": "random", "fraction": 0.4}}])
def test_another_split_is_another_entry(
    workspace: Workspace, log: Path, changed: dict[str, Any]
) -> None:
    before = cut(workspace, log)

    after = cut(workspace, log, **changed)

    assert not after.reused
    assert after.facts["fingerprint"] != before.facts["fingerprint"]


def test_what_is_searched_and_judged_does_not_touch_the_split(
    workspace: Workspace, log: Path
) -> None:
    cut(workspace, log)

    assert cut(workspace, log, search={"factors": [4]}, study={"trials": 3}, name="other").reused


def test_a_given_test_that_changed_is_cut_again(
    workspace: Workspace, log: Path, tmp_path: Path
) -> None:
    given = tmp_path / "test.tsv"
    how = {"split": {"kind": "given", "test": str(given)}}
    hidden = [f"{user(u)}\t\tartist {u % 8}\t2" for u in range(12)]
    given.write_text("\n".join(hidden) + "\n", encoding="utf-8")
    before = cut(workspace, log, **how)
    assert cut(workspace, log, **how).reused
    given.write_text("\n".join(hidden[:6]) + "\n", encoding="utf-8")

    after = cut(workspace, log, **how)

    assert (before.facts["test"]["judged_users"], after.facts["test"]["judged_users"]) == (12, 6)


def test_data_that_cannot_be_cut_so_is_an_error_with_a_remedy(
    workspace: Workspace, log: Path
) -> None:
    with pytest.raises(InputError, match=r"split 'time' of 12 users .*needs times.*choose another"):
        cut(workspace, log, split={"kind": "time"})


def test_rows_below_the_least_value_are_left_out_and_counted(
    workspace: Workspace, log: Path
) -> None:
    files, whole = DataFiles(log), load_events(ingested(workspace, log).folder)
    entry = ingest.fn(workspace, files, DataConfig(min_value=4))
    events = load_events(entry.folder)

    assert len(events) == int((whole.plays >= 4).sum()) < len(whole)
    assert events.plays.min() == 4
    left_out = len(whole) - len(events)
    assert (
        f"{left_out} of {len(whole)} rows are below data.min_value = 4: left out"
        in (entry.facts["notes"])
    )
    with pytest.raises(InputError, match=r"no row has a value of data\.min_value = 99 or more"):
        ingest.fn(workspace, files, DataConfig(min_value=99))
