import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ids import IdMap, strings

texts = st.lists(st.text(max_size=4), min_size=1, max_size=30)


@given(texts)
def test_encoding_and_looking_up_restore_the_values(values: list[str]) -> None:
    ids, numbers = IdMap.encode(strings(values))

    assert numbers.dtype == np.int32
    assert [ids.id(number) for number in numbers] == values
    assert ids.numbers(values).tolist() == numbers.tolist()


@given(texts)
def test_ids_are_distinct_and_sorted_by_code_point(values: list[str]) -> None:
    ids, _ = IdMap.encode(strings(values))

    assert ids.ids.to_pylist() == sorted(set(values))
    assert IdMap.of(values).ids.to_pylist() == sorted(set(values))


@given(texts, st.randoms(use_true_random=False))
def test_the_numbering_does_not_depend_on_the_order_of_the_values(values, random) -> None:
    shuffled = random.sample(values, len(values))

    ids, _ = IdMap.encode(strings(values))
    again, _ = IdMap.encode(strings(shuffled))

    assert ids.ids.equals(again.ids)


@given(texts, st.integers(0, 30))
def test_chunks_and_dictionaries_encode_like_the_plain_array(values: list[str], at: int) -> None:
    plain = strings(values)
    ids, numbers = IdMap.encode(plain)
    forms = [
        pa.chunked_array([plain[:at], plain[at:]]),
        plain.dictionary_encode(),
        pa.chunked_array([plain[:at].dictionary_encode(), plain[at:].dictionary_encode()]),
    ]

    for form in forms:
        found, coded = IdMap.encode(form)
        assert found.ids.equals(ids.ids)
        assert coded.tolist() == numbers.tolist()


def test_an_unused_dictionary_value_is_no_id() -> None:
    coded = pa.DictionaryArray.from_arrays(pa.array([2, 0, 2]), pa.array(["c", "b", "a"]))

    ids, numbers = IdMap.encode(coded)

    assert ids.ids.to_pylist() == ["a", "c"]
    assert numbers.tolist() == [0, 1, 0]


def test_nothing_encodes_to_an_empty_map() -> None:
    ids, numbers = IdMap.encode(strings([]))

    assert len(ids) == 0
    assert numbers.tolist() == []
    assert ids.find(["a"]).tolist() == [-1]


def test_an_unknown_id_is_an_error_that_shows_it() -> None:
    ids = IdMap.of(["b", "a"])

    with pytest.raises(KeyError, match="unknown id 'Sigur Rós'"):
        ids.numbers(["a", "Sigur Rós"])


def test_find_gives_minus_one_for_an_unknown_id() -> None:
    assert IdMap.of(["b", "a"]).find(["c", "b", "a"]).tolist() == [-1, 1, 0]


def test_dropping_ids_closes_the_gap_and_keeps_the_names() -> None:
    ids = IdMap.of(["a", "b", "c"]).named(strings(["A", "B", "C"]))

    kept = ids.where(np.array([True, False, True]))

    assert kept.ids.to_pylist() == ["a", "c"]
    assert kept.name(1) == "C"
    assert kept.numbers(["c"]).tolist() == [1]


def test_an_id_without_a_name_is_its_own_name() -> None:
    assert IdMap.of(["b", "a"]).name(0) == "a"


@pytest.mark.parametrize(
    ("ids", "names", "fault"),
    [
        (["b", "a"], ["B", "A"], "sorted and unique"),
        (["a", "a"], ["A", "A"], "sorted and unique"),
        (["a", None], ["A", "B"], "null"),
        (["a", "b"], ["A", None], "null"),
        (["a", "b"], ["A"], "2 ids but 1 names"),
    ],
)
def test_unsorted_or_repeated_ids_are_refused(ids, names, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        IdMap(pa.array(ids, pa.string()), pa.array(names, pa.string()))
