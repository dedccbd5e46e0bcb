"""How the fields of a log are written, decided for whole columns, and what is odd about them."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import Strings
from recsys.dtypes import Float64Array, Int8Array
from recsys.errors import InputError
from recsys.sources import ids, times
from recsys.sources.fields import Rows
from recsys.sources.layout import Decimal, Layout, Role
from recsys.sources.numbers import is_text
from recsys.sources.quoting import split_line
from recsys.sources.rejects import Reason
from recsys.sources.times import Seconds, Unit

SAMPLE = 10_000  # rows that decide

_KEPT = 1000  # fields that cannot be used, kept as examples
_ENOUGH = 20  # rows of which none has half of all plays by chance
_DAY = 86_400
_LIKE = (
    (1900, 2100, "years"),
    (30_000, 60_000, "the days of a spreadsheet"),
    (190_001, 210_013, "years and months (YYYYMM)"),
)
_DOTS = re.compile(r"\s*-?[1-9]\d{0,2}(\.\d{3})+\s*")
_COMMA = re.compile(r"\s*-?\d{1,3}([. '’\u00a0\u2007\u2009\u202f]?\d{3})*,\d+\s*")
_POINT = re.compile(r"\s*-?\d*\.\d+\s*")


@dataclass(frozen=True, slots=True)
class Forms:
    """How the fields of each role are written.

    Attributes:
        decimal: The mark of fractions in plays.
        unit: Of times.
        float_ids: Roles whose ids are whole numbers written as floats.
    """

    decimal: Decimal = "."
    unit: Unit = "s"
    float_ids: frozenset[Role] = frozenset()

    @classmethod
    def of(cls, rows: Sequence[Rows], layout: Layout, decimal: Decimal | None) -> "Forms":
        """The forms that most of the first rows have.

        Raises:
            InputError: plays may be thousands or fractions, and `decimal` does not say; or ids
                have lost their last digits.
        """
        if decimal is None and rows and "plays" in layout.fields:
            _refuse_two_readings(_sample(rows, "plays"))
        decimal = decimal or "."
        unit = times.unit_of(_sample(rows, "time")) if "time" in layout.fields and rows else "s"
        if layout.format != "columns" or not rows:
            return cls(decimal, unit)
        roles: tuple[Role, ...] = ("user", "item")
        written = frozenset(role for role in roles if ids.are_floats(_sample(rows, role)))
        for role in written:
            ids.refuse_short(_sample(rows, role), role)
        return cls(decimal, unit, written)

    def digits(self, rows: Rows) -> Rows:
        """The rows with the ids that are floats as digits."""
        if not self.float_ids:
            return rows
        written = {role: ids.without_fractions(rows.columns[role]) for role in self.float_ids}
        return replace(rows, columns={**rows.columns, **written})

    def notes(self) -> list[str]:
        """What is not as usual."""
        notes = [] if self.unit == "s" else [f"times are read as {times.WORDS[self.unit]}"]
        if self.float_ids:
            roles = " and ".join(sorted(self.float_ids))
            notes.append(f"ids of {roles} are whole numbers written as 12.0; they are read as 12")
        return notes


def _refuse_two_readings(plays: Strings) -> None:
    """Refuse plays that have a dot before three digits wherever they have one.

    Raises:
        InputError: they have, in one row of a hundred at least.
    """
    if not is_text(plays):
        return
    dotted = plays.filter(pc.match_substring(plays, "."))
    if 100 * len(dotted) >= len(plays) and len(dotted):
        texts = dotted.unique().to_pylist()
        if all(_DOTS.fullmatch(text) for text in texts):
            raise InputError(
                f"plays like {texts[0]!r} may be thousands with a dot or fractions; "
                "pass --decimal , or --decimal ."
            )


def _sample(rows: Sequence[Rows], role: Role) -> Strings:
    columns, n = [], 0
    for part in rows:
        columns.append(part.columns[role][: SAMPLE - n])
        n += len(columns[-1])
        if n >= SAMPLE:
            break
    return pa.concat_arrays(columns)


@dataclass(slots=True)
class Failures:
    """Fields of plays and times that cannot be used, as examples."""

    examples: dict[Role, list[str]] = field(default_factory=dict)

    def add(self, role: Role, column: Strings, codes: Int8Array, reason: Reason) -> None:
        """Keep some of the fields of `column` whose code is `reason`."""
        kept = self.examples.setdefault(role, [])
        if len(kept) < _KEPT and codes.any() and is_text(column):
            bad = np.flatnonzero(codes == reason)[: _KEPT - len(kept)]
            kept += column.take(pa.array(bad)).to_pylist()

    def advice(self, counts: Mapping[str, int], n_rows: int, forms: Forms) -> tuple[str, bool]:
        """What the rejected fields look like and what to do, and whether it is fatal."""
        plays, bad_times = counts.get("plays not a whole number", 0), counts.get("bad time", 0)
        most = 2 * plays > n_rows
        texts = self.examples.get("plays", [])
        if plays and texts:
            if forms.decimal == "." and _all(texts, _COMMA):
                return f"plays like {texts[0]!r} have a decimal comma; pass --decimal ,", most
            if forms.decimal == "." and _all(texts, _DOTS):
                what = f"plays like {texts[0]!r} look like thousands with a dot; pass --decimal ,"
                return what, most
            if forms.decimal == "," and _all(texts, _POINT):
                return f"plays like {texts[0]!r} have a decimal point; pass --decimal .", most
            if most and _all(texts, _POINT):
                return f"plays like {texts[0]!r} have fractions; plays are whole numbers", False
            if most:
                return f"most plays are like {texts[0]!r}; name another column", False
        texts = [text for text in self.examples.get("time", []) if text]
        if 2 * bad_times > n_rows:
            if not texts:
                return "most rows have no time; leave time out of --columns to use them", False
            what = f"times like {texts[0]!r} are not understood; times are {times.FORMS}"
            if re.match(r"\s*\d{1,2}[/.-]\d{1,2}[/.-]\d{4}", texts[0]):
                what = (
                    f"times like {texts[0]!r} may begin with the day or with the month; "
                    "write them as 2019-02-01"
                )
            return what, True
        if 2 * counts.get("not UTF-8", 0) > n_rows:
            return "the file is in another encoding; convert it, as with iconv -t UTF-8", False
        if n_rows > 2 * counts.get("wrong number of fields", 0) > n_rows / 2:
            return (
                "many rows have another number of fields than the first lines; a delimiter within "
                "fields needs quotes around them",
                False,
            )
        return "", False


def _all(texts: Sequence[str], form: re.Pattern[str]) -> bool:
    return 10 * sum(bool(form.fullmatch(text)) for text in texts) >= 9 * len(texts)


def odd_times(seconds: Seconds, unit: Unit, now: float | None = None) -> list[str]:
    """A note where most times lie before 1995 or after tomorrow."""
    middle = int(np.median(seconds)) if len(seconds) else 0
    words_of = (f", which look like {what}" for low, high, what in _LIKE if low <= middle < high)
    like = next(words_of, "")
    early = int((seconds < times.SINCE).sum())
    late = int((seconds > (time.time() if now is None else now) + _DAY).sum())
    for count, words in ((early, "before 1995"), (late, "after tomorrow")):
        if 2 * count > len(seconds):
            return [
                f"most times lie {words} ({count:,} of {len(seconds):,}), read as "
                f"{times.WORDS[unit]}{like}; check the column"
            ]
    return []


def odd_plays(plays: Float64Array) -> list[str]:
    """Notes where most plays look like times, or one row has half of all plays."""
    unit = times.unit_of_times(plays)
    if unit is not None:
        return [f"plays look like {times.WORDS[unit]}; check which column they are"]
    if len(plays) >= _ENOUGH and 2 * plays.max() >= plays.sum():
        return [f"one row has half of all plays or more, {plays.max():,.0f}; is it their sum?"]
    return []


def odd_header(layout: Layout, users: Strings, items: Strings) -> list[str]:
    """A note where a user and an item are called like their columns, in whatever spelling."""
    if not layout.titles:
        return []
    titles = split_line(layout.titles, layout.delimiter, layout.quoted)
    at = [layout.fields[role] for role in ("user", "item")]
    called = [titles[place].strip(' "').lower() for place in at if place < len(titles)]
    found = [
        pc.index(pc.utf8_lower(pc.utf8_trim(ids, ' "')), title).as_py() >= 0
        for ids, title in zip((users, items), called, strict=False)
    ]
    if len(found) == 2 and all(found):
        return [f"user {called[0]!r} and item {called[1]!r} read like line 1: a header among rows?"]
    return []
