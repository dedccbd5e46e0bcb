"""A page of text, tables and pictures as one HTML file that loads nothing from elsewhere."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from jinja2 import Template

Json = Mapping[str, Any]  # a part of a plotly figure, or data for our script
OURS = {"hovertemplate", "texttemplate"}  # markup that plotly reads; all other text is foreign
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, or words in another style.

    Attributes:
        text: Plain.
        style: "lead" stands out, "note" steps back, "code" is to be typed.
    """

    text: str
    style: Literal["lead", "note", "code", ""] = ""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first column names its rows.

    Attributes:
        head: A name for each column.
        rows: A text for each cell.
        title: What it holds.
        texts: Positions of the columns that hold text and not numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str
    texts: Sequence[int] = (0,)
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture, as plotly draws it.

    Attributes:
        title: Above it.
        words: What it shows, for who does not see it.
        traces: Of plotly, JSON values; "@ink", "@faint" and "@paper" are colours of the page.
        layout: Likewise.
        height: In pixels.
    """

    title: str
    words: str
    traces: Sequence[Json]
    layout: Json
    height: int = 320
    kind: ClassVar[str] = "figure"

    @property
    def script(self) -> str:
        """Traces and layout for a script tag."""
        layout = {**self.layout, "height": self.height}
        return embedded({"traces": escaped(self.traces), "layout": escaped(layout)})


@dataclass(frozen=True, slots=True)
class Panels:
    """Figures beside each other, as far as there is room."""

    figures: Sequence[Figure]
    kind: ClassVar[str] = "panels"


@dataclass(frozen=True, slots=True)
class Cards:
    """Users one by one, and a box that looks up any that the page holds.

    Attributes:
        shown: Those that are always there.
        data: What the script looks users up in: see `recsys.report.people`.
        user: What a user is called.
    """

    shown: Sequence[Json]
    data: Json
    user: str
    kind: ClassVar[str] = "cards"

    @property
    def script(self) -> str:
        """The data for a script tag; too much to be searched for numbers that are none."""
        return _safe(_dumped(self.data))


Block = Text | Table | Figure | Panels | Cards


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Attributes:
        id: Its place in the address.
        title: Its heading.
        blocks: What it holds.
    """

    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        title: Its heading.
        about: A line below it.
        sections: In their order.
    """

    title: str
    about: str
    sections: Sequence[Section]


def section(id_: str, title: str, *blocks: Block | None) -> Section | None:
    """A section of the blocks that there are; None for none."""
    kept = tuple(block for block in blocks if block is not None)
    return Section(id_, title, kept) if kept else None


def render(page: Page) -> str:
    """The page as HTML."""
    return _template().render(
        page=page,
        style=_file("page.css"),
        script=_file("page.js"),
        plotly=_plotly() if any(map(_is_drawn, page.sections)) else "",
    )


def embedded(value: object) -> str:
    """JSON that cannot end the script tag it stands in; numbers that are none are null."""
    return _safe(_dumped(_finite(value)))


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _safe(text: str) -> str:
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def escaped(value: Any) -> Any:
    """JSON values whose texts plotly shows as they are, though it reads markup in texts."""
    if isinstance(value, str):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, Mapping):
        return {k: v if k in OURS else escaped(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(each) for each in value]
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _is_drawn(section: Section) -> bool:
    return any(isinstance(block, Figure | Panels) for block in section.blocks)


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_file("page.html.j2"))


@cache
def _file(name: str) -> str:
    return (files("recsys.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    """Plotly's JavaScript from its Python package, which is slow to import and is not."""
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("plotly is not installed, and a report holds its JavaScript")
    (folder, *_) = found.submodule_search_locations
    path = Path(folder) / "package_data" / "plotly.min.js"
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script")
