"""How values, moments and tables look in a terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from recsys.evaluation.objectives import lower_is_better
from recsys.search.space import Value

ESSENTIAL = 0  # rank of a column that stays, however narrow the terminal


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table.

    Attributes:
        head: Its name.
        cells: A text for each row.
        rank: Of the columns that there is no room for, the highest go first; `ESSENTIAL` stays.
        text: Whether it holds text, which is aligned left, and not numbers.
    """

    head: str
    cells: Sequence[str]
    rank: int = ESSENTIAL
    text: bool = False

    @property
    def width(self) -> int:
        """Characters of the longest line."""
        return max(map(cell_len, (self.head, *self.cells)))


@dataclass(frozen=True, slots=True)
class FittedTable:
    """A table that leaves out columns where the terminal is narrow, and never cuts a cell.

    Attributes:
        columns: In their order.
        title: Above it; "" for none.
        plain: Whether it has no lines, nor names what it leaves out, which takes less room.
    """

    columns: Sequence[TableColumn]
    title: str = ""
    plain: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, and the names of the columns that are left out, unless it is plain."""
        kept = self.fitting(options.max_width)
        if self.plain:
            table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left")
        else:
            table = Table()
        if self.title:
            table.title = Text(self.title)
        for column in kept:
            table.add_column(
                Text(column.head), justify="left" if column.text else "right", overflow="fold"
            )
        for cells in zip(*(column.cells for column in kept), strict=True):
            table.add_row(*map(Text, cells))
        yield table
        left_out = [column.head for column in self.columns if column not in kept]
        if left_out and not self.plain:
            yield Text(f"left out at this width: {', '.join(left_out)}", style="dim")

    def fitting(self, width: int) -> list[TableColumn]:
        """The columns that fit, in their order."""
        kept: list[TableColumn] = []
        for column in sorted(self.columns, key=lambda column: column.rank):
            if column.rank == ESSENTIAL or self._width([*kept, column]) <= width:
                kept.append(column)
        return [column for column in self.columns if column in kept]

    def _width(self, columns: Sequence[TableColumn]) -> int:
        beside = 2 if self.plain else 3  # characters between two columns
        edges = -2 if self.plain else 1
        return sum(column.width + beside for column in columns) + edges


def varying(columns: Sequence[TableColumn]) -> tuple[list[TableColumn], list[TableColumn]]:
    """The columns whose cells differ, and the others, of which one cell says all."""
    differ = [column for column in columns if len(set(column.cells)) > 1]
    return differ, [column for column in columns if column not in differ]


def metric_text(metric: str) -> str:
    """The name of a metric; one of which less is better says so."""
    return f"{metric} (lower is better)" if lower_is_better(metric) else metric


def value_text(value: Value | None) -> str:
    """A parameter as a person reads it."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def change_text(improvement: float | None) -> str:
    """How much a value changes, in percent; "" where that cannot be said."""
    return "" if improvement is None else f"{improvement:+.1%}"


def moment_text(moment: datetime | None) -> str:
    """A moment to the minute; "" for none."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def seconds_text(seconds: dict[str, float]) -> str:
    """Where the time went."""
    return "seconds: " + ", ".join(f"{part} {value:.1f}" for part, value in seconds.items())


def rows_of(
    columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]
) -> list[TableColumn]:
    """Columns from rows: the first stays, of the others the last go first.

    Args:
        columns: The head of each, and whether it holds text.
        rows: Their cells.
    """
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    return [
        TableColumn(head, cells[at], rank=at, text=text) for at, (head, text) in enumerate(columns)
    ]
