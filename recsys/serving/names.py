"""From the text a user types to an item or a user: by name, by id, or the nearest spellings."""

import math
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cached_property
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.bounds import TEXT, shown
from recsys.data.ids import IdMap, Strings
from recsys.errors import InputError

LIKELY = 100  # names that difflib compares
LEAST = 0.6  # ratio of difflib from which a name is offered
OFFERED = 3
LONGEST = 6  # parts between commas that a name in a list may have


class Lookup:
    """Finds names and ids of one kind; case and Unicode normal form do not matter in names."""

    def __init__(self, ids: IdMap, weights: npt.NDArray[np.int64], what: str) -> None:
        """An index is built on first use.

        Args:
            ids: The ids and names.
            weights: Of several with one name the one with the highest weight is found, of equals
                the first; int64, shape (n,).
            what: The kind, for messages: "item".
        """
        self._ids = ids
        self._weights = weights
        self._what = what

    @cached_property
    def _folded(self) -> list[str]:
        return [folded(name) for name in self._ids.names.to_pylist()]

    @cached_property
    def _by_name(self) -> dict[str, int]:
        by_name: dict[str, int] = {}
        falling = -np.arange(len(self._ids))
        for number in np.lexsort((falling, self._weights)).tolist():  # the last one stays
            by_name[self._folded[number]] = number
        return by_name

    def find(self, text: str) -> int | None:
        """The number of a name, or else of an id; None if there is neither."""
        number = self._by_name.get(folded(text))
        if number is not None:
            return number
        forms = [text, text.strip(), *(normalize(form, text.strip()) for form in ("NFC", "NFD"))]
        return next((int(each) for each in self._ids.find(forms) if each >= 0), None)

    def number(self, text: str) -> int:
        """The number of a name, or else of an id.

        Raises:
            InputError: it is not there; the message offers the nearest spellings.
        """
        number = self.find(text)
        if number is None:
            raise self.unknown(text)
        return number

    def unknown(self, text: str) -> InputError:
        """The error for an unknown text, with the nearest spellings."""
        if len(text) > TEXT:
            advice = f"it has {len(text):,} characters, and a name at most {TEXT:,}"
            return InputError(f"{self._what} {shown(text)} is not known; {advice}")
        near = ", ".join(repr(name) for name in self.nearest(text))
        advice = f"nearest are {near}" if near else "no spelling is near"
        return InputError(f"{self._what} {text!r} is not known; {advice}")

    def nearest(self, text: str) -> list[str]:
        """At most OFFERED names with the nearest spelling, nearest first.

        difflib compares only the names that share most letters and pairs of letters with the
        text, relative to their length: it needs seconds for 100,000 names.
        """
        wanted = folded(text)
        likely = _likely(wanted, self._folded_column)
        compared = SequenceMatcher(b=wanted, autojunk=False)
        ranked = []
        for number in likely:
            compared.set_seq1(self._folded[number])
            ranked.append((-compared.ratio(), -int(self._weights[number]), number))
        alike = [number for worth, _, number in sorted(ranked) if -worth >= LEAST]
        return list(dict.fromkeys(self._ids.name(number) for number in alike))[:OFFERED]

    @cached_property
    def _folded_column(self) -> Strings:
        return pa.array(self._folded, type=pa.string())


def folded(text: str) -> str:
    """The text in one case and one normal form, without blanks around.

    Compatible forms are one, too: a full-width letter, a ligature.
    """
    return normalize("NFKC", normalize("NFKC", text).casefold()).strip()


def _likely(wanted: str, names: Strings) -> list[int]:
    """The LIKELY names with the most letters and pairs in common: twice these over all of both."""
    pieces = {*wanted, *(wanted[at : at + 2] for at in range(len(wanted) - 1))}
    common = np.zeros(len(names))
    for piece in pieces:
        common += pc.match_substring(names, piece).to_numpy(zero_copy_only=False)
    lengths = pc.utf8_length(names).to_numpy(zero_copy_only=False)
    alike = 2 * common / (len(pieces) + np.maximum(2 * lengths - 1, 1))
    order = np.argsort(-alike, kind="stable")[:LIKELY]
    return [int(number) for number in order if alike[number] > 0]


def listed(text: str, items: Lookup) -> dict[int, float]:
    """The plays of each item in a list such as "radiohead, muse:3, Earth, Wind & Fire".

    Commas separate entries, unless they are part of a name; a number after a colon counts plays,
    unless it is part of a name. Without a number it is 1 play. An item named twice has the sum.

    Raises:
        InputError: an item is not known, or its plays are not above 0.
    """
    parts = text.split(",")
    plays: dict[int, float] = {}
    start = 0
    while start < len(parts):
        if parts[start].strip():
            stop, number, amount = _longest(parts, start, items)
            plays[number] = plays.get(number, 0.0) + amount
        else:
            stop = start + 1
        start = stop
    return plays


def _longest(parts: Sequence[str], start: int, items: Lookup) -> tuple[int, int, float]:
    for stop in range(min(len(parts), start + LONGEST), start, -1):
        entry = _entry(",".join(parts[start:stop]).strip(), items)
        if entry is not None:
            return stop, *entry
    raise items.unknown(parts[start].strip())


def _entry(text: str, items: Lookup) -> tuple[int, float] | None:
    number = items.find(text)
    if number is not None:
        return number, 1.0
    name, colon, count = text.rpartition(":")
    number = items.find(name.strip()) if colon else None
    if number is None or "," in count:
        return None
    try:
        plays = float(count)
    except ValueError:
        plays = math.nan
    if not (math.isfinite(plays) and plays > 0):
        raise InputError(f"item {text!r}: plays after a colon must be a number above 0")
    return number, plays
