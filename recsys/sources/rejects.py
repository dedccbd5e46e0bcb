"""Rejected rows: line, reason and text."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import Strings
from recsys.dtypes import Int8Array
from recsys.errors import InputError, NoRows


class Reason(IntEnum):
    """Why a row is rejected; of several reasons the lowest number counts."""

    FINE = 0
    NOT_UTF8 = 1
    WRONG_WIDTH = 2
    NO_USER = 3
    NO_ITEM = 4
    PLAYS_NOT_WHOLE = 5
    PLAYS_NOT_POSITIVE = 6
    RATING_NOT_NUMBER = 7
    RATING_NOT_POSITIVE = 8
    BAD_TIME = 9
    REPEATED_USER = 10
    NOT_JSON = 11
    HEADER = 12
    NUL_BYTE = 13


_TEXTS = pa.array(
    [
        "",
        "not UTF-8",
        "wrong number of fields",
        "no user",
        "no item",
        "plays not a whole number",
        "plays zero or negative",
        "rating not a number",
        "rating zero or negative",
        "bad time",
        "repeated user",
        "not a JSON object of texts and numbers",
        "header among the rows",
        "a NUL byte",
    ]
)


def worst(*codes: Int8Array) -> Int8Array:
    """The lowest reason of each row, FINE where there is none; all of shape (n,)."""
    lowest = np.zeros_like(codes[0])
    for column in codes:
        lowest = np.where((lowest == 0) | ((column > 0) & (column < lowest)), column, lowest)
    return lowest


@dataclass(frozen=True, slots=True, eq=False)
class Rejects:
    """Rejected rows in the order of the file.

    Attributes:
        lines: Line in the file, from 1 (row of a Parquet file, from 1), int64, shape (n,).
        reasons: Reasons, pyarrow strings, shape (n,).
        texts: The line without its end, pyarrow strings, shape (n,); bytes that are not UTF-8
            are shown as U+FFFD.
    """

    lines: npt.NDArray[np.int64]
    reasons: Strings
    texts: Strings

    @classmethod
    def of(cls, lines: npt.NDArray[np.int64], codes: Int8Array, texts: Strings) -> Self:
        """The rows whose code is not FINE; all of shape (n,)."""
        bad = np.flatnonzero(codes)
        reasons = _TEXTS.take(pa.array(codes[bad]))
        return cls(lines[bad], reasons, texts.take(pa.array(bad)))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows of `parts`, ordered by line."""
        some = [part for part in parts if len(part)]
        if len(some) == 1:
            return some[0]
        nothing = pa.array([], pa.string())
        lines = np.concatenate([np.empty(0, np.int64), *(part.lines for part in parts)])
        order = np.argsort(lines, kind="stable")
        take = pa.array(order)
        return cls(
            lines[order],
            pa.concat_arrays([nothing, *(part.reasons for part in parts)]).take(take),
            pa.concat_arrays([nothing, *(part.texts for part in parts)]).take(take),
        )

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows by reason, sorted by reason."""
        counted = pc.value_counts(self.reasons).to_pylist()
        return {each["values"]: each["counts"] for each in sorted(counted, key=_reason_of)}

    def table(self) -> pa.Table:
        """Columns line, reason, text."""
        return pa.table({"line": pa.array(self.lines), "reason": self.reasons, "text": self.texts})

    def write(self, path: Path) -> None:
        r"""Write `line \t reason \t text` with a header, UTF-8.

        The text is the rest of the line, tabs included and nothing quoted: `cut -f3-` restores
        the rejected lines. Ends of lines within a row become blanks.
        """
        with path.open("w", encoding="utf-8", newline="\n") as out:
            out.write("line\treason\ttext\n")
            for batch in self.table().to_batches(max_chunksize=65_536):
                rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                out.writelines(f"{line}\t{why}\t{_one_line(text)}\n" for line, why, text in rows)

    def complain(self, path: Path) -> None:
        """Raise an error for the first row, if there is one.

        Raises:
            InputError: there is a rejected row; the message gives its line, reason and text.
        """
        if len(self):
            raise InputError(
                f"{path}:{self.lines[0]}: {self.reasons[0]}: {excerpt(self.texts[0].as_py())}; "
                "correct the line, or leave out --strict to skip and count such lines"
            )


def _one_line(text: str) -> str:
    return text.replace("\n", " ") if "\n" in text else text


def _reason_of(counted: dict[str, object]) -> str:
    return str(counted["values"])


def nothing_usable(
    path: Path, what: str, n_rows: int, rejects: Rejects, advice: str = ""
) -> InputError:
    """The error for a file without a single usable row."""
    if not n_rows:
        return NoRows(f"{path} has a header but no rows; give a file with rows")
    counts = ", ".join(f"{reason}: {n:,}" for reason, n in rejects.counts.items())
    return InputError(
        f"{path}:{rejects.lines[0]}: none of the {n_rows:,} rows read can be used as {what} "
        f"({counts}), the first being {excerpt(rejects.texts[0].as_py())}; "
        + (advice or "give the right file, or set --format or --columns")
    )


def excerpt(text: str, length: int = 100) -> str:
    """`text` quoted for a message, cut to `length` characters."""
    return repr(text if len(text) <= length else f"{text[:length]}...")
