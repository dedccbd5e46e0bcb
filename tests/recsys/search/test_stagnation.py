from hypothesis import given
from hypothesis import strategies as st

from recsys.search.stagnation import stops_at

VALUES = st.lists(st.one_of(st.none(), st.integers(0, 9).map(float)), max_size=30)


def test_a_search_ends_once_so_many_trials_in_a_row_brought_no_new_best() -> None:
    values = dict(enumerate([0.1, 0.3, 0.2, None, 0.3, 0.4]))

    assert stops_at(values, 3) == 5
    assert stops_at(values, 4) is None
    assert stops_at({**values, 6: 0.4, 7: 0.1, 8: None, 9: 0.2}, 4) == 10


def test_trials_before_the_first_value_do_not_count() -> None:
    assert stops_at({0: None, 1: None, 2: None, 3: 0.1}, 2) is None


def test_a_trial_that_still_runs_ends_no_search() -> None:
    assert stops_at({0: 0.5, 1: 0.1, 3: 0.1, 4: 0.1}, 2) is None


@given(values=VALUES, patience=st.integers(1, 6))
def test_what_comes_after_its_end_moves_it_not(values: list[float | None], patience: int) -> None:
    end = stops_at(dict(enumerate(values)), patience)

    slow = []
    for n in range(patience, len(values)):
        before = [value for value in values[: n + 1 - patience] if value is not None]
        after = [value for value in values[n + 1 - patience : n + 1] if value is not None]
        if before and all(value <= max(before) for value in after):
            slow.append(n + 1)
    assert end == (slow[0] if slow else None)
    if end is not None:
        assert stops_at(dict(enumerate(values[:end])), patience) == end
