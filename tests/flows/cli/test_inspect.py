import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows.cli.inspect import inspection_lines, page_of
from flows.inspecting import Inspection, inspect
from recsys.errors import InputError
from tasks.workspace.layout import Workspace

LOG = (
    'u1\t\tThe "Quoted\t10',
    "u1\t\tOther\t30",
    "u2\t\tOther\t2",
    "u2\t\tOther\t3",  # a second row of the pair
    "u2\t\tThird\tmany",  # no number
)
PROFILES = ("u1\tf\t22\tNorway\tFeb 1, 2007", "u2\t\t999\t\tFeb 1, 2007")


def written(path: Path, lines: tuple[str, ...]) -> Path:
    def whole(line: str) -> str:
        user, tab, rest = line.partition("\t")
        return f"{int(user[1:]):040x}{tab}{rest}\n"

    path.write_text("".join(map(whole, lines)), encoding="utf-8")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "mlruns")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    tmp_path = tmp_path_factory.mktemp("inspected")
    workspace = Workspace.at(tmp_path / "mlruns")
    plays = written(tmp_path / "plays.tsv", LOG)
    profiles = written(tmp_path / "profiles.tsv", PROFILES)
    return inspect(workspace, plays, profiles, {})


def line(found: Inspection, start: str) -> str:
    (one,) = [line for line in inspection_lines(found) if line.startswith(start)]
    return " ".join(one.removeprefix(start).split())


def test_an_inspection_counts_rows_users_artists_and_cells(found: Inspection) -> None:
    assert line(found, "rows read") == "5"
    assert line(found, "rows used") == "4"
    assert line(found, "listeners  ") == "2"
    assert line(found, "artists  ") == "2"
    assert line(found, "cells").startswith("3 (density 75.0000%")


def test_an_inspection_shows_the_spread_of_plays_artists_and_listeners(found: Inspection) -> None:
    assert line(found, "plays in all") == "45"
    assert line(found, "plays per row") == "mean 11.2, min 2, quartiles 2.75 6.5 15, max 30"
    assert line(found, "artists per listener") == "mean 1.5, min 1, quartiles 1.25 1.5 1.75, max 2"
    assert line(found, "listeners per artist") == "mean 1.5, min 1, quartiles 1.25 1.5 1.75, max 2"


def test_an_inspection_shows_first_rows_most_played_items_and_users_by_profile(
    found: Inspection,
) -> None:
    lines = inspection_lines(found)

    first = lines.index("\nfirst rows by id (listener, artist, plays)")
    assert lines[first + 1].split()[1:] == ["Other", "30"]
    most = lines.index("\nplayed most (artist, plays, listeners)")
    assert [text.split() for text in lines[most + 1 : most + 3]] == [
        ["Other", "35", "2"],
        ["The", '"Quoted', "10", "1"],
    ]
    assert found.profile_counts["country"] == {"Norway": 1, "unknown": 1}


def test_an_inspection_says_whose_favourite_an_item_is(
    workspace: Workspace, tmp_path: Path
) -> None:
    plays = written(tmp_path / "plays.tsv", LOG)

    found = inspect(workspace, plays, None, {}, favourite="other")

    lines = inspection_lines(found)
    assert "\n2 listeners play nothing more than Other" in lines
    assert lines[-2:] == [f"  {1:040x}", f"  {2:040x}"]
    with pytest.raises(InputError, match="'missing entirely' is not known"):
        inspect(workspace, plays, None, {}, favourite="missing entirely")


def test_an_inspection_counts_spellings_that_were_merged_and_shows_the_biggest(
    found: Inspection, workspace: Workspace, tmp_path: Path
) -> None:
    assert line(found, "spellings merged") == "none"
    rows = ("u1\tm1\tSigur Ros\t1200", "u2\tm1\tSigur Rós\t9", "u2\tm2\tMúm\t9")
    merging = inspect(workspace, written(tmp_path / "plays.tsv", rows), None, {})

    assert line(merging, "spellings merged") == "1, of 1 artists"
    lines = inspection_lines(merging)
    head = lines.index("\nspellings of one artist (plays), most under another first")
    assert lines[head + 1] == "  Sigur Ros (1,200), Sigur Rós (9)"
    assert merging.as_json()["merged"]["biggest"][0]["n_spellings"] == 2
    assert "Sigur Ros (1,200), Sigur Rós (9)" in page_of(merging)


def test_the_page_of_an_inspection_has_its_numbers(found: Inspection) -> None:
    html = page_of(found)

    for text in ("rows rejected", "Played most", "The &#34;Quoted", "Listeners by country"):
        assert text in html


def test_rejected_rows_are_counted_and_written(found: Inspection) -> None:
    assert sum(found.rejected.values()) == 1
    assert found.rejects is not None
    assert "many" in found.rejects.read_text(encoding="utf-8")
    assert line(found, "rejected rows are in") == str(found.rejects)


def test_empty_fields_of_the_rows_used_are_counted(found: Inspection) -> None:
    table = json.loads(json.dumps(found.as_json()))

    assert "missing values        mbid 4, name 0" in inspection_lines(found)
    assert table["missing_values"] == {"mbid": 4, "name": 0}


def test_counts_of_empty_fields_have_thousands_separators(found: Inspection) -> None:
    many = replace(found, missing_values={"mbid": 1234, "name": 3})

    assert line(many, "missing values") == "mbid 1,234, name 3"


def test_missing_values_of_profiles_are_counted(found: Inspection) -> None:
    text = "\n".join(inspection_lines(found))

    assert found.missing is not None
    assert "profiles, no age" in text
    assert "profiles, no gender" in text
    assert "profiles, no country" in text
    assert "listeners without" in text


def test_three_plots_lie_in_the_workspace(found: Inspection) -> None:
    names = [path.name for path in found.plots]

    assert names == ["plays.png", "items-per-user.png", "users-per-item.png"]
    for path in found.plots:
        assert path.is_relative_to(found.file.parent / "mlruns")
        assert path.read_bytes().startswith(b"\x89PNG")
        assert str(path) in "\n".join(inspection_lines(found))


def test_a_clean_log_has_no_file_of_rejects(workspace: Workspace, tmp_path: Path) -> None:
    plays = written(tmp_path / "plays.tsv", LOG[:2])

    found = inspect(workspace, plays, None, {})

    assert found.rejects is None
    assert line(found, "rows rejected") == "none"
    assert not any(text.startswith("rejected rows") for text in inspection_lines(found))


def test_an_inspection_is_one_object_of_plain_values(found: Inspection) -> None:
    table = json.loads(json.dumps(found.as_json()))

    assert (table["rows_read"], table["users"], table["cells"]) == (5, 2, 3)
    assert len(table["plots"]) == 3


def test_columns_are_named_as_for_an_experiment(workspace: Workspace, tmp_path: Path) -> None:
    plays = tmp_path / "plays.csv"
    plays.write_text("uid,track,n\na,x,3\na,y,1\nb,x,5\n", encoding="utf-8")
    columns = {"user": "uid", "item": "track", "plays": "n"}

    found = inspect(workspace, plays, None, {"columns": columns})

    assert (found.described.users, found.described.total_plays) == (2, 9)


def test_a_log_without_names_and_mbids_has_no_line_of_missing_values(
    workspace: Workspace, tmp_path: Path
) -> None:
    plays = tmp_path / "plays.csv"
    plays.write_text("a,x\na,y\nb,x\n", encoding="utf-8")

    found = inspect(workspace, plays, None, {"columns": {"user": 0, "item": 1}})

    assert found.as_json()["missing_values"] == {}
    assert not any(text.startswith("missing values") for text in inspection_lines(found))


def test_a_missing_file_is_an_error_with_a_remedy(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tsv"):
        inspect(workspace, tmp_path / "nowhere.tsv", None, {})
