"""The layout of a table: which field of a line plays which role."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

Format = Literal["auto", "lastfm-360k", "hetrec", "lastfm-1k", "movielens", "columns"]
Decimal = Literal[".", ","]  # the mark of fractions; the other one may separate thousands
ItemKey = Literal["mbid", "name", "mbid-else-name"]
Role = Literal[
    "user", "item", "name", "plays", "rating", "time", "gender", "age", "country", "signup"
]


@dataclass(frozen=True, slots=True)
class Nouns:
    """The names of the users and of the items of a source, in the singular."""

    user: str = "user"
    item: str = "item"

    @property
    def users(self) -> str:
        """The plural of `user`."""
        return f"{self.user}s"

    @property
    def items(self) -> str:
        """The plural of `item`."""
        return f"{self.item}s"


_OF_MUSIC = Nouns("listener", "artist")
_NOUNS: dict[str, Nouns] = {
    "lastfm-360k": _OF_MUSIC,
    "lastfm-1k": _OF_MUSIC,
    "hetrec": _OF_MUSIC,
    "movielens": Nouns("user", "movie"),
}


def nouns_of(format: str) -> Nouns:
    """The nouns of a format; user and item by default."""
    return _NOUNS.get(format, Nouns())


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is cut into fields, and which field plays which role.

    Attributes:
        format: Name of its format.
        fields: Position (from 0) of each role that the table has. `plays` must be whole,
            `rating` may be any number; a table with neither counts 1 a row.
        width: Number of fields in every line.
        delimiter: What separates fields.
        header: Whether line 1 holds column names.
        quoted: Whether fields may be quoted as in CSV; otherwise a quote is a character.
        by_mbid: Whether `item` is a MusicBrainz id that may be empty; the item key then decides
            what an item is.
        encoding: Of the bytes.
        names: File beside the table that names its items, and its layout.
        titles: The line of the column names, "" without one; such a line among the rows is no row.
        keys: Of JSON lines; none where the lines are fields between delimiters.
        trim: Whether blanks around fields do not count.
        notes: What was assumed about the file, in sentences.
    """

    format: Format
    fields: Mapping[Role, int]
    width: int
    delimiter: str = "\t"
    header: bool = False
    quoted: bool = False
    by_mbid: bool = False
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    names: tuple[str, Self] | None = field(default=None)
    titles: str = ""
    keys: tuple[str, ...] = ()
    trim: bool = False
    notes: tuple[str, ...] = ()

    def read_as(self, encoding: Literal["utf-8", "latin-1"]) -> "Layout":
        """The same in another encoding, which is noted."""
        if encoding == self.encoding:
            return self
        note = "lines that are not UTF-8 are read as Latin-1 (Windows-1252)"
        return replace(self, encoding=encoding, notes=(*self.notes, note))

    def columns_in_words(self) -> str:
        """Which column is taken for what: "1 user, 2 item, 4 plays"."""
        roles = sorted(self.fields, key=lambda role: self.fields[role])
        if self.keys:
            return ", ".join(f"{self.keys[self.fields[role]]} {role}" for role in roles)
        return ", ".join(f"{self.fields[role] + 1} {role}" for role in roles)
