import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from recsys.data.drift import Limits, LogProfile, check, shift, shrunk


def facts(
    rows: int = 1000,
    rejected: int = 10,
    users: int = 100,
    items: int = 50,
    plays: list[float] | None = None,
) -> LogProfile:
    return LogProfile.of(rows, rejected, users, items, np.array(plays or [1.0, 2, 4, 8]))


def test_a_log_has_no_drift_from_itself() -> None:
    assert check(facts(), facts()) == []


powers = st.lists(st.sampled_from([2.0**each for each in range(8)]), min_size=1, max_size=40)


@given(powers, powers)
def test_the_shift_is_the_distance_of_kolmogorov_and_smirnov(
    one: list[float], other: list[float]
) -> None:
    found = shift(facts(plays=one), facts(plays=other))

    assert found == pytest.approx(float(ks_2samp(one, other).statistic))
    assert found == shift(facts(plays=other), facts(plays=one))


plays = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=40)


@given(plays, plays)
def test_the_shift_never_overstates_the_distance(one: list[float], other: list[float]) -> None:
    found = shift(facts(plays=one), facts(plays=other))

    assert 0 <= found <= float(ks_2samp(one, other).statistic) + 1e-12


@pytest.mark.parametrize(
    ("new", "what", "value", "words"),
    [
        (facts(rows=400, rejected=4), ["rows"], 0.4, "fewer rows: 400 after 1,000, 0.40 times"),
        (facts(rows=4000, rejected=40), ["rows"], 4.0, "more rows: 4,000 after 1,000"),
        (facts(users=40), ["users"], 0.4, "fewer users: 40 after 100"),
        (facts(items=160), ["items"], 3.2, "more items: 160 after 50"),
        (facts(rejected=500), ["rejects"], 0.49, "more rows cannot be used: 50.0% (500 of 1,000)"),
        (facts(plays=[10.0, 20, 40, 80]), ["plays"], 1.0, "another distribution: Kolmog"),
    ],
)
def test_each_difference_beyond_its_limit_is_a_finding(
    new: LogProfile, what: list[str], value: float, words: str
) -> None:
    found = check(new, facts())

    assert [each.what for each in found] == what
    assert found[0].value == pytest.approx(value)
    assert words in found[0].words


def test_fewer_or_equal_rejects_are_no_finding() -> None:
    assert check(facts(rejected=0), facts(rejected=500)) == []
    assert check(facts(rejected=120), facts(rejected=100)) == []


def test_a_growing_log_has_findings_for_losses_only() -> None:
    assert shrunk(facts(rows=9000, users=900, plays=[64.0]), facts(), Limits()) == []
    assert [each.what for each in shrunk(facts(400, users=900), facts(), Limits())] == ["rows"]


def test_profiles_of_parts_add_up() -> None:
    one, other = facts(10, 1, plays=[1.0, 2]), facts(20, 2, plays=[2.0, 8])

    assert LogProfile.together([one, other], 7, 3) == facts(30, 3, 7, 3, [1.0, 2, 2, 8])


def test_limits_can_be_changed() -> None:
    odd = facts(rows=200, rejected=100, users=20, plays=[100.0])

    assert len(check(odd, facts())) == 4
    assert check(odd, facts(), Limits(0.1, 5, 0.5, 1)) == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [({"shrink": 1.5}, "limit shrink is 1.5: use 0 to 1"), ({"grow": 0.5}, "limit grow is 0.5")],
)
def test_limits_out_of_range_are_refused(limits: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limits(**limits)


def test_a_log_profile_survives_json() -> None:
    one = facts(plays=[0.3, 1, 7, 7, 1e9])

    assert LogProfile.from_json(json.loads(json.dumps(one.as_json()))) == one
