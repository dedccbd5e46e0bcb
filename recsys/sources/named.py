"""Any CSV, TSV or Parquet file whose columns the user names or numbers."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from recsys.errors import InputError, NoRows
from recsys.sources.layout import Layout, Role
from recsys.sources.quoting import quotes_fields, split_line, whole_rows

Columns = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles that the columns of a kind of table have.

    Attributes:
        all: In the order in which they are listed.
        needed: Without these there is no table.
        example: Of the option.
    """

    all: tuple[Role, ...]
    needed: tuple[Role, ...]
    example: str


LOG = Roles(
    ("user", "item", "plays", "time", "name"),
    ("user", "item"),
    "user=uid,item=track,plays=n,time=ts or {option} user=0,item=1",
)
PROFILES = Roles(
    ("user", "gender", "age", "country", "signup"),
    ("user",),
    "user=uid,gender=sex,country=land or {option} user=0,age=2",
)
_SEPARATORS = ("\t", ",", ";", "|", "\x01", "::", " ")  # \x01 is that of Hive
_ENOUGH = 20  # rows that show whether values come again
_ENDINGS = "s|id|ids|idx|index|no|nr|num|number|key|name|code|hash|uuid|guid|mbid"
_TITLES: dict[Role, str] = {  # how programs call a column; only letters count
    "user": "(id)?(user|listener|customer|member|account|visitor|reviewer|profile|person|client"
    f"|subscriber|viewer|reader|player|session)({_ENDINGS}|login|mail|email)?|uid|msno|id",
    "item": "(id)?(item|artist|track|song|movie|film|product|article|album|book|video|game|content"
    f"|business|anime|show|podcast|episode)({_ENDINGS}|title|uri|url)?|iid|isbn|mbid|asin|sku",
    "plays": "plays|play|playcount|playcounts|count|counts|cnt|n|listens|listencount|weight|total"
    "|scrobbles|quantity|rating",
    "time": "time|timestamp|ts|date|datetime|at|playedat|createdat|listenedat|uts|utctime",
    "name": "name|title|artistname|itemname|trackname",
    "gender": "gender|sex",
    "age": "age",
    "country": "country|land|nation",
    "signup": "signup|registered|registration|signupdate|registrationdate|joined",
}


def parse_columns(text: str, roles: Roles = LOG, option: str = "--columns") -> dict[str, str | int]:
    """Which column plays which role, from `role=column,...`; columns by name or position from 0.

    Raises:
        InputError: not of that form, an unknown or repeated role, one is missing, or names are
            mixed with positions.
    """
    columns: dict[str, str | int] = {}
    for part in text.split(","):
        role, equals, column = (each.strip() for each in part.partition("="))
        if not equals or not column:
            raise InputError(
                f"{option} has {part!r}, which is not role=column; write {_example(roles, option)}"
            )
        if role in columns:
            raise InputError(f"{option} gives {role} twice; give each role once")
        columns[role] = int(column) if re.fullmatch("[0-9]+", column) else column
    check_columns(columns, roles, option)
    return columns


def check_columns(columns: Columns, roles: Roles = LOG, option: str = "--columns") -> None:
    """Check a choice of columns.

    Raises:
        InputError: see `parse_columns`.
    """
    for role in columns:
        if role not in roles.all:
            raise InputError(
                f"{option} has the unknown role {role!r}; the roles are {', '.join(roles.all)}"
            )
    for role in roles.needed:
        if role not in columns:
            raise InputError(f"{option} names no {role} column; write {_example(roles, option)}")
    if len({type(column) for column in columns.values()}) > 1:
        raise InputError(f"{option} mixes names and positions; give one or the other")
    if columns["user"] == columns.get("item"):
        raise InputError(f"{option} takes user and item from the same column; name two")


def _example(roles: Roles, option: str) -> str:
    return f"{option} {roles.example.format(option=option)}"


def guessed(names: Sequence[str], roles: Roles = LOG) -> str:
    """What the option could be for columns of these names; "" where they do not say."""
    found: dict[Role, str] = {}
    for role in roles.all:
        fits = [name for name in names if is_title(role, name) and name not in found.values()]
        exact = [name for name in fits if name.strip().lower() == role]
        if fits:
            found[role] = (exact or fits)[0].strip()
    if not set(roles.needed) <= found.keys():
        return ""
    return ",".join(f"{role}={name}" for role, name in found.items())


def is_title(role: Role, cell: str) -> bool:
    """Whether a text reads like the name of a column with this role, and not like a value."""
    word = re.sub(r"[^a-z0-9]", "", cell.partition(":")[0].lower())  # user_id:token
    return re.fullmatch(_TITLES[role], word) is not None


def layout(
    path: Path,
    head: Sequence[str],
    columns: Columns,
    roles: Roles = LOG,
    option: str = "--columns",
) -> Layout:
    """The layout of a text table; names mean it has a header, positions that it may have one.

    Raises:
        InputError: no delimiter in line 1, or a column that is not there.
    """
    check_columns(columns, roles, option)
    if re.fullmatch("sep=.", head[0]):
        raise InputError(f"{path}:1: {head[0]!r} is a hint for Excel, not a row; remove this line")
    delimiter = delimiter_of(path, head, option)
    rows = whole_rows(head[:1000])
    quoted = delimiter in {",", ";"} or quotes_fields(rows, delimiter)
    named = isinstance(columns["user"], str)
    cells = [split_line(line, delimiter, quoted) for line in (rows if quoted else head[:1000])]
    width = Counter(map(len, cells)).most_common(1)[0][0]
    if named and not (_has_row_names(head[0], cells) or _ends_with_nothing(cells)):
        width = len(cells[0])
    titles = [name.strip() for name in cells[0]] if named else None
    notes: list[str] = []
    if titles is not None and len(titles) == width - 1:
        if _has_row_names(head[0], cells):  # R writes no title for them
            titles = ["", *titles]
            notes.append("rows have one field more than line 1 names: the first holds row names")
        else:
            titles = [*titles, ""]  # a delimiter ends each row
    fields = positions(path, titles, width, columns, option)
    header = named or _is_header(cells, fields, width)
    if header and not named:
        _refuse_exchanged(path, cells[0], fields, option)
        notes.append(f"line 1 is a header: {head[0][:80]!r}")
    elif not header and _stands_apart(cells, fields, width):
        notes.append(
            f"line 1, {head[0][:80]!r}, is read as a row, though nothing in it comes again; "
            "remove it if it is a header"
        )
    return Layout(
        "columns",
        fields,
        width,
        delimiter,
        header=header,
        quoted=quoted,
        titles=head[0] if header else "",
        trim=True,
        notes=tuple(notes),
    )


def _refuse_exchanged(
    path: Path, titles: Sequence[str], fields: Mapping[Role, int], option: str
) -> None:
    """Refuse positions of user and item that line 1 names the other way round.

    Raises:
        InputError: it does.
    """
    if "item" not in fields:
        return
    user, item = titles[fields["user"]], titles[fields["item"]]
    if is_title("item", user) and is_title("user", item) and not is_title("user", user):
        raise InputError(
            f"{path}:1: {option} takes {user!r} for the user and {item!r} for the item; exchange "
            "the positions, or name the columns"
        )


def _longer(cells: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The rows with one field more than line 1; none where they are few."""
    rows = [row for row in cells[1:] if len(row) == len(cells[0]) + 1]
    return rows if 2 * len(rows) > len(cells) - 1 else []


def _has_row_names(first: str, cells: Sequence[Sequence[str]]) -> bool:
    """Whether each row begins with a name of its own that line 1 has no title for, as R writes.

    Without quotes only numbers from 1 on are such names.
    """
    names = [row[0] for row in _longer(cells)]
    if names == list(map(str, range(1, len(names) + 1))):
        return len(names) > 1
    ends = _ends_with_nothing(cells)
    return first.startswith('"') and 0 < len(names) == len(set(names)) and not ends


def _ends_with_nothing(cells: Sequence[Sequence[str]]) -> bool:
    """Whether a delimiter ends each row, but not line 1."""
    return bool(_longer(cells)) and not any(row[-1].strip() for row in _longer(cells))


def _stands_apart(cells: Sequence[Sequence[str]], fields: Mapping[Role, int], width: int) -> bool:
    """Whether user and item of line 1 are words that no other row has, where others come again."""
    first, rows = cells[0], [row for row in cells[1:] if len(row) == width]
    if len(first) != width or len(rows) < _ENOUGH:
        return False
    keys: tuple[Role, ...] = ("user", "item")
    roles = [role for role in keys if role in fields]  # profiles have no item
    counts = {role: Counter(row[fields[role]] for row in rows) for role in roles}
    words = {role: first[fields[role]] for role in roles}
    if any(words[role] in counts[role] for role in roles):
        return False
    if any(re.search("[0-9]|^$", word) for word in words.values()):
        return False
    again = [any(counts[role][row[fields[role]]] > 1 for role in roles) for row in rows]
    return 10 * sum(again) >= 9 * len(rows)


def _is_header(cells: Sequence[Sequence[str]], fields: Mapping[Role, int], width: int) -> bool:
    """Whether line 1 reads like names: two or all are known ones, or only it has no numbers."""
    first, rows = cells[0], [row for row in cells[1:] if len(row) == width]
    if len(first) != width:
        return False
    found = {role for role, at in fields.items() if any(is_title(r, first[at]) for r in fields)}
    if len(found) >= 2 or found == set(fields):
        return True
    numeric = {at for at in range(width) if all(_is_number(row[at]) for row in rows)}
    if rows and numeric.issuperset(fields.values()):
        return not any(_is_number(first[at]) for at in fields.values())
    titled = any(first[at][:1].isalpha() and not _is_missing(first[at]) for at in numeric)
    return len(rows) > 2 and titled and not any(map(_is_number, first))


def _is_missing(cell: str) -> bool:
    return cell.strip().casefold() in {"na", "n/a", "nan", "null", "none", "inf"}


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"\s*[-+]?[0-9]+([.,][0-9]+)*\s*", cell) is not None


def positions(
    path: Path,
    names: Sequence[str] | None,
    width: int,
    columns: Columns,
    option: str = "--columns",
) -> dict[Role, int]:
    """Position of each role in a table of `width` columns called `names`.

    Raises:
        InputError: a column that is not there, or a name of two columns.
    """
    return {
        role: _position(path, names, width, columns[role], option)
        for role in get_args(Role)
        if role in columns
    }


def _position(
    path: Path, names: Sequence[str] | None, width: int, column: str | int, option: str
) -> int:
    if isinstance(column, int):
        if column >= width:
            raise InputError(
                f"{path}:1: no column at position {column}, rows have {width} fields; give "
                f"positions from 0 to {width - 1} in {option}"
            )
        return column
    column = _spelled(column, names or ())
    if names is None or column not in names:
        known = ", ".join(name for name in names or () if name)
        raise InputError(
            f"{path}:1: no column {column!r}; name one of {known[:200]} in {option}"
            f"{_without_header(names)}"
        )
    if list(names).count(column) > 1:
        raise InputError(f"{path}:1: two columns are called {column!r}; rename one in the file")
    return list(names).index(column)


def _spelled(column: str, names: Sequence[str]) -> str:
    """The name as the table has it: in another case where one column alone is called so."""
    alike = [name for name in names if name.casefold() == column.casefold()]
    return alike[0] if column not in names and len(alike) == 1 else column


def _without_header(names: Sequence[str] | None) -> str:
    numeric = any(_is_number(name) for name in names or ())
    return "; line 1 looks like a row, so give positions from 0" if numeric else ""


def delimiter_of(path: Path, head: Sequence[str], option: str = "--columns") -> str:
    """What separates the fields of a text table.

    Raises:
        InputError: no known delimiter is in line 1.
    """
    if not any(line.strip() for line in head):
        raise NoRows(f"{path} has nothing but empty lines; give a file with rows")
    if not head[0].strip():
        raise InputError(f"{path}:1: line 1 is empty; remove the empty lines above the table")
    bare = re.sub(r'"[^"]*"', "", head[0])
    if "\t" in head[0]:
        return "\t"
    if "," in bare or ";" in bare:
        return ";" if bare.count(";") > bare.count(",") else ","
    rows = whole_rows(head[:1000])
    for delimiter in _SEPARATORS[3:]:
        if delimiter in bare and len(head) > 1:
            quoted = quotes_fields(rows, delimiter)
            lines = (rows if quoted else head[:1000])[1:]
            widths = Counter(len(split_line(line, delimiter, quoted)) for line in lines)
            width, n = widths.most_common(1)[0]
            if width > 1 and 10 * n >= 9 * widths.total():
                return delimiter
    raise InputError(
        f"{path}:1: neither tab, comma nor semicolon in {head[0][:80]!r}; {option} needs a table "
        "separated by one of these"
    )
