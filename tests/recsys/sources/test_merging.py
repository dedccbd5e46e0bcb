from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.sources import read
from recsys.sources.layout import ItemKey
from recsys.sources.merging import Merged, MergedItem
from tests.recsys.sources.test_lastfm import file_of, in_one_folder

Row = tuple[str, str, str, int]

ROWS: list[Row] = [
    ("u1", "m1", "Sigur Ros", 5),
    ("u2", "m1", "Sigur Rós", 9),
    ("u3", "m1", "sigur ros", 1),
    ("u1", "m2", "Björk", 100),
    ("u2", "m2", "Bjork", 7),
    ("u1", "m3", "Múm", 3),
    ("u2", "m3", "Múm", 4),
    ("u3", "m4", "", 4),
    ("u3", "", "Múm", 2),
]


def merged_of(folder: Path, rows: list[Row], key: ItemKey = "mbid-else-name") -> Merged:
    found = read(file_of(folder, rows), format="lastfm-360k", item_key=key).merged
    assert found is not None
    return found


def test_spellings_of_one_id_are_counted_and_those_with_most_plays_elsewhere_come_first(
    tmp_path: Path,
) -> None:
    assert merged_of(tmp_path, ROWS) == Merged(
        items=2,
        spellings=3,
        biggest=(
            MergedItem("Björk", 2, (("Björk", 100.0), ("Bjork", 7.0))),
            MergedItem(
                "Sigur Rós", 3, (("Sigur Rós", 9.0), ("Sigur Ros", 5.0), ("sigur ros", 1.0))
            ),
        ),
    )


def test_where_names_tell_items_apart_their_ids_are_what_is_merged(tmp_path: Path) -> None:
    rows = [*ROWS, ("u4", "m5", "Múm", 8)]

    found = merged_of(tmp_path, rows, "name")

    assert (found.items, found.spellings) == (1, 1)
    assert found.biggest == (MergedItem("Múm", 2, (("m5", 8.0), ("m3", 7.0))),)


def test_a_log_that_merges_nothing_says_so_and_one_without_names_says_nothing(
    tmp_path: Path,
) -> None:
    table = tmp_path / "log.tsv"
    table.write_text("user\titem\nu1\ti1\nu2\ti2\n", encoding="utf-8")

    assert merged_of(tmp_path, ROWS[5:7]) == Merged(0, 0, ())
    assert read(table, columns={"user": "user", "item": "item"}).merged is None


@in_one_folder
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["u1", "u2"]),
            st.sampled_from(["m1", "m2", "m3"]),
            st.sampled_from(["", "a", "b", "c", "d", "e", "f", "g"]),
            st.integers(1, 9),
        ),
        min_size=1,
    )
)
def test_counts_are_those_of_a_slow_loop(tmp_path: Path, rows: list[Row]) -> None:
    spelled: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for _, item, name, plays in rows:
        if name:
            spelled[item][name] += plays
    several = [names for names in spelled.values() if len(names) > 1]

    found = merged_of(tmp_path, rows)

    assert found.items == len(several)
    assert found.spellings == sum(len(names) - 1 for names in several)
    merged = sorted(
        (item for item in spelled if len(spelled[item]) > 1),
        key=lambda item: (-_other(spelled[item]), item),
    )
    assert [each.n_spellings for each in found.biggest] == [len(spelled[m]) for m in merged]
    for each in found.biggest:
        assert each.spellings[0][0] == each.name
        assert len(each.spellings) == min(each.n_spellings, 5)


def _other(names: dict[str, int]) -> int:
    return sum(names.values()) - max(names.values())


@pytest.mark.parametrize("n", [5, 8])
def test_five_items_and_five_spellings_of_each_are_shown(tmp_path: Path, n: int) -> None:
    rows = [
        ("u1", f"m{i}", f"name {j}", 10 * i + j) for i in range(1, n + 1) for j in range(1, n + 1)
    ]

    found = merged_of(tmp_path, rows)

    assert (found.items, found.spellings) == (n, n * (n - 1))
    assert len(found.biggest) == 5
    assert {len(each.spellings) for each in found.biggest} == {5}
    assert {each.n_spellings for each in found.biggest} == {n}
