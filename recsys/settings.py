"""What every configuration class shares, how settings are written, and what is wrong with one."""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.fields import FieldInfo

from recsys.bounds import CUTOFF, shortened
from recsys.described import describe_fields


def _listed(value: Any) -> Any:
    """A single value where a list is meant: --set filter.countries=Germany."""
    return value if isinstance(value, list | tuple) else [value]


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


Cutoff = Annotated[int, Field(gt=0, le=CUTOFF)]


Cutoffs = Annotated[tuple[Cutoff, ...], BeforeValidator(_listed), Field(min_length=1)]


class Config(BaseModel):
    """A table of settings: frozen, and a name it does not have is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=describe_fields
    )


Use = Literal["points", "stop"]  # see recsys.identity


def setting(default: Any, *, identity: bool | Use) -> Any:  # a default has any type, as its field
    """A field that does not count into the identity of every result, as others do.

    Args:
        default: Its value where none is given.
        identity: False: no result depends on it. A use: only what `recsys.identity` names so does.
    """
    return Field(default, json_schema_extra={"identity": identity})


def use_of(field: FieldInfo) -> bool | Use:
    """What the identity of a result depends on a field for; True: always."""
    extra = field.json_schema_extra
    marked = extra.get("identity", True) if isinstance(extra, dict) else True
    return cast("bool | Use", marked)


Overrides = dict[str, Any]


def parse_value(text: str) -> Any:  # a TOML value has any type
    """What `text` says: a TOML value, a list of them by commas, or the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if "," in text and not text.startswith(("{", "[")):
            return [parse_value(part.strip()) for part in text.split(",") if part.strip()]
        return text


def hint(word: str, words: Collection[str]) -> str:
    """The question whether the most similar of `words` was meant; "" where none is similar."""
    close = get_close_matches(word, list(words), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


class SettingError(ValueError):
    """A setting that a rule between settings refuses; pydantic reports it as `value_error`.

    Attributes:
        name: Dotted name.
        value: What it is.
        reason: What is allowed.
    """

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"{name} = {value!r}: {reason}")
        self.name, self.value, self.reason = name, value, reason


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the settings of a configuration come from.

    Attributes:
        source: A file, or words for what is not a file.
        lines: Line of each setting in the file, by dotted name.
        options: How the command line spells a setting, by dotted name: "--trials 0".
    """

    source: str
    lines: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, name: str, value: str) -> str:
        """A setting with its value and its place, for an error message."""
        if not name:
            return self.source
        for above in _above(name):
            if above in self.options:
                return self.options[above]
        for below, option in self.options.items():
            if below.startswith(f"{name}."):
                return option
        line = next((f", line {self.lines[n]}" for n in _above(name) if n in self.lines), "")
        return f"{self.source}{line}: {name}" + (f" = {value}" if value else "")


def _above(name: str) -> Iterator[str]:
    """The dotted name and the tables that hold it, innermost first."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(len(parts), 0, -1))


def setting_lines(text: str) -> dict[str, int]:
    """Line number of every table and setting of a TOML text, by dotted name."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := re.match(r"\s*\[\[?\s*([\w.-]+)\s*\]", line):
            table = heading[1] + "."
            lines.setdefault(heading[1], number)
        elif setting := re.match(r"\s*([\w.-]+)\s*=", line):
            lines.setdefault(table + setting[1], number)
    return lines


def setting_names(model: type[BaseModel], above: str = "") -> list[str]:
    """Dotted names of all settings of a configuration class."""
    names: list[str] = []
    for name, info in model.model_fields.items():
        free = get_origin(info.annotation) is dict  # its names are not fixed
        inner = [] if free else [each for each in _types(info.annotation) if _is_table(each)]
        names += [each for table in inner for each in setting_names(table, f"{above}{name}.")]
        names += [] if inner else [above + name]
    return list(dict.fromkeys(names))


def faults(error: ValidationError, model: type[BaseModel], origin: Origin) -> str:
    """Every wrong setting with its place, its value and what is allowed, in one line."""
    best: dict[str, list[tuple[int, str, str]]] = {}
    for name, depth, place, reason in _faults(error, model, origin):
        best.setdefault(name, []).append((depth, place, reason))
    return "; ".join(map(_deepest, best.values()))


def _deepest(of: list[tuple[int, str, str]]) -> str:
    """What is wrong with one setting: of a union, the members that fit it best."""
    most = max(depth for depth, _, _ in of)
    reasons = dict.fromkeys(reason for depth, _, reason in of if depth == most)
    place = next(place for depth, place, _ in of if depth == most)
    return f"{place}: {', or '.join(reasons)}"


def allowed(error: ValidationError) -> str:
    """What the first wrong field of `error` takes."""
    return _allowed(error.errors(include_url=False)[0])


def _faults(
    error: ValidationError, model: type[BaseModel], origin: Origin
) -> Iterator[tuple[str, int, str, str]]:
    """Name, depth, place and reason of every fault; a type that fits counts as deeper."""
    for fault in error.errors(include_url=False):
        name, known = _dotted(fault["loc"], model)
        cause = fault.get("ctx", {}).get("error")
        exact = cause is not None or fault["type"] in ("finite_number", "too_short")
        depth = 2 * len(fault["loc"]) + exact
        if isinstance(cause, SettingError):
            yield cause.name, depth, origin(cause.name, _shown(cause.value)), cause.reason
            continue
        place = origin(name, _shown(fault["input"]))
        meant = "" if known else f"no such setting{_meant(name, setting_names(model))}"
        yield name, depth, place, meant or _allowed(fault)


def _dotted(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, bool]:
    """A place in the configuration as a dotted name, and whether there is such a setting."""
    names: list[str] = []
    tables: list[type[BaseModel]] = [model]
    for part in loc:
        fields = [each.model_fields[part] for each in tables if part in each.model_fields]
        if fields:
            names.append(str(part))
            tables = [each for f in fields for each in _types(f.annotation) if _is_table(each)]
        elif names[:1] == ["search"]:  # its names depend on the model, and are checked there
            names += [str(part)] * (len(names) == 1)
            tables = []
        elif tables and not any(part == _kind(each) for each in tables):
            return ".".join([*names, str(part)]), False
        elif tables:
            tables = [each for each in tables if part == _kind(each)]
    return ".".join(names), True


def _meant(name: str, names: Collection[str]) -> str:
    """The setting that was probably meant: the same word in another table, or a similar one."""
    above, _, word = name.rpartition(".")
    elsewhere = [each for each in names if each.rpartition(".")[2] == word]
    if elsewhere:
        return f" (did you mean {elsewhere[0]}?)"
    beside = [each.rpartition(".")[2] for each in names if each.rpartition(".")[0] == above]
    close = get_close_matches(word, beside, n=1)
    if close:
        return f" (did you mean {above}{'.' * bool(above)}{close[0]}?)"
    everywhere = {each.rpartition(".")[2]: each for each in reversed(list(names))}
    tables = {each.partition(".")[0] for each in names}
    close = get_close_matches(name, [*names, *tables], n=1)
    far = close or [everywhere[w] for w in get_close_matches(word, list(everywhere), n=1)]
    return f" (did you mean {far[0]}?)" if far else ""


def _allowed(fault: Mapping[str, Any]) -> str:
    """What a setting takes, in place of pydantic's own words."""
    kind, context = fault["type"], fault.get("ctx", {})
    match kind:
        case "value_error":
            return str(context["error"])
        case "literal_error" | "enum" | "union_tag_invalid":
            names = re.findall(r"'([^']*)'", context.get("expected", context.get("expected_tags")))
            tag = fault["input"].get("kind") if kind == "union_tag_invalid" else fault["input"]
            return f"use one of {', '.join(names)}{hint(str(tag), names)}"
        case "extra_forbidden":
            return f"{fault['loc'][-1]} is not known here"
        case "union_tag_not_found":
            return 'name its kind, such as kind = "time"'
        case "too_short":
            return f"give at least {context['min_length']}"
    for bound, words in _BOUNDS.items():
        if kind == bound:
            return f"use a number {words} {next(iter(context.values())):g}"
    return next((f"use {of}" for start, of in _KINDS.items() if kind.startswith(start)), "no value")


_BOUNDS = {
    "greater_than": "above",
    "greater_than_equal": "of at least",
    "less_than": "below",
    "less_than_equal": "of at most",
}
_KINDS = {
    "int_from_float": "a whole number",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "timezone": "a moment with its offset, such as 2009-01-01T00:00:00Z",
    "datetime": "a moment with its offset, such as 2009-01-01T00:00:00Z",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
    "mapping": "a table",
    "missing": "a value: it has no default",
}


def _shown(value: object) -> str:
    """A value as TOML writes it, shortened; "" for a whole table."""
    if isinstance(value, dict | BaseModel):
        return ""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return shortened(text)


def _kind(model: type[BaseModel]) -> object:
    """The value of the field `kind`, by which one class of several is chosen."""
    info = model.model_fields.get("kind")
    return None if info is None else next(iter(get_args(info.annotation)), None)


def _is_table(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _types(annotation: object) -> list[Any]:
    """The types that an annotation is put together from."""
    inner = get_args(annotation)
    return [each for part in inner for each in _types(part)] if inner else [annotation]
