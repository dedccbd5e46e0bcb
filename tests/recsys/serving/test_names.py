from difflib import SequenceMatcher

import numpy as np
import pytest

from recsys.data.ids import IdMap, strings
from recsys.errors import InputError
from recsys.serving import names
from recsys.serving.names import LIKELY, Lookup, listed

NAMES = {
    "a1": "Radiohead",
    "a2": "Muse",
    "a3": "Earth, Wind & Fire",
    "a4": "muse",
    "a5": "Fire",
    "a6": "311",
    "a7": "Sunn O))): Live",
    "311": "The Beatles",
}
N_USERS = {"a1": 9, "a2": 3, "a3": 4, "a4": 8, "a5": 2, "a6": 1, "a7": 1, "311": 9}


@pytest.fixture
def lookup() -> Lookup:
    ids = IdMap.of(NAMES)
    weights = np.array([N_USERS[each] for each in ids.ids.to_pylist()], dtype=np.int64)
    named = ids.named(strings(NAMES[each] for each in ids.ids.to_pylist()))
    return Lookup(named, weights, "item")


def number(item: str) -> int:
    return sorted(NAMES).index(item)


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("Radiohead", "a1"),
        ("rADIOHEAD", "a1"),
        ("a1", "a1"),
        ("Muse", "a4"),  # more listen to that one
        ("a2", "a2"),
        ("311", "a6"),  # a name comes before an id
    ],
)
def test_names_come_before_ids_and_most_users_before_fewer(
    lookup: Lookup, text: str, item: str
) -> None:
    assert lookup.find(text) == lookup.number(text) == number(item)


def test_of_equal_names_with_equal_users_the_first_is_found() -> None:
    ids = IdMap.of(["x", "y"]).named(strings(["One", "one"]))

    assert Lookup(ids, np.array([2, 2]), "item").find("ONE") == 0


def test_an_unknown_name_offers_the_nearest_spellings(lookup: Lookup) -> None:
    with pytest.raises(InputError, match=r"item 'radiohaed' is not known; nearest are 'Radioh"):
        lookup.number("radiohaed")
    with pytest.raises(InputError, match="'qqqqq' is not known; no spelling is near"):
        lookup.number("qqqqq")


@pytest.mark.parametrize(
    ("text", "plays"),
    [
        ("radiohead", {"a1": 1}),
        ("radiohead,muse:3", {"a1": 1, "a4": 3}),
        (" radiohead : 2.5 ,, a2 ", {"a1": 2.5, "a2": 1}),
        ("Earth, Wind & Fire:7, Fire", {"a3": 7, "a5": 1}),
        ("sunn o))): live", {"a7": 1}),
        ("sunn o))): live:4", {"a7": 4}),
        ("muse,muse:2", {"a4": 3}),
        ("", {}),
    ],
)
def test_a_list_of_items_with_plays_is_read(
    lookup: Lookup, text: str, plays: dict[str, float]
) -> None:
    assert listed(text, lookup) == {number(item): n for item, n in plays.items()}


@pytest.mark.parametrize("text", ["muse:0", "muse:-1", "muse:many", "muse:inf", "muse:nan"])
def test_plays_that_are_no_number_above_0_are_refused(lookup: Lookup, text: str) -> None:
    with pytest.raises(InputError, match="must be a number above 0"):
        listed(text, lookup)


def test_a_list_with_an_unknown_item_names_that_item(lookup: Lookup) -> None:
    with pytest.raises(InputError, match="item 'musee' is not known; nearest are 'm"):
        listed("radiohead, musee, fire", lookup)


def test_only_a_few_of_many_names_are_compared_and_the_nearest_is_among_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz  "))
    made = ["".join(row) for row in rng.choice(letters, (20_000, 14))]
    ids = IdMap.of([*made, "red hot chili peppers"])
    lookup = Lookup(ids, np.ones(len(ids), dtype=np.int64), "item")
    compared: list[str] = []

    class Counted(SequenceMatcher[str]):
        def set_seq1(self, a: str) -> None:  # type: ignore[override]
            compared.append(a)
            super().set_seq1(a)

    monkeypatch.setattr(names, "SequenceMatcher", Counted)

    assert lookup.nearest("red hot chilli pepers")[0] == "red hot chili peppers"
    assert len(compared) <= LIKELY + 1  # difflib sets an empty one when it is made


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("Björk", "Bjo\u0308rk"),
        ("Bjo\u0308rk", "BJÖRK"),
        ("Sigur Rós", "sigur ro\u0301s "),
        ("Ёлка", "Е\u0308ЛКА"),
        ("가수", "\u1100\u1161\u1109\u116e"),
        ("がんばれ", "か\u3099んは\u3099れ"),
        ("Ａ１", "a1"),
        ("die Ärzte", "DIE A\u0308RZTE"),
        ("Straße", "STRASSE"),
        ("ﬁsh", "fish"),
        ("Å", "\u212b"),
    ],
)
def test_a_name_is_found_in_any_normal_form_and_case(stored: str, typed: str) -> None:
    ids = IdMap.of(["1", "2"]).named(strings([stored, "other"]))
    lookup = Lookup(ids, np.array([1, 9]), "item")

    assert lookup.number(typed) == 0
    assert listed(f"{typed}:3, other", lookup) == {0: 3.0, 1: 1.0}


@pytest.mark.parametrize("typed", ["Bjo\u0308rk", " Björk", "Björk"])
def test_an_id_is_found_in_any_normal_form(typed: str) -> None:
    ids = IdMap.of(["Björk", "x"])

    assert Lookup(ids.named(strings(["a", "b"])), np.array([1, 1]), "user").find(typed) == 0
