"""The data of an experiment: what was read, filtered and cut."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Group, RenderableType
from rich.text import Text

from flows.cli.format import FittedTable, rows_of
from flows.result import Result
from recsys.sources.layout import Nouns

if TYPE_CHECKING:
    from recsys.evaluation.exchange import Exchange


class ReadData(Protocol):
    """What is known of the data of an experiment, or of a search over models."""

    @property
    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        """The facts of each data stage."""

    @property
    def nouns(self) -> Nouns:
        """What its source calls users and items."""

    @property
    def rejects(self) -> str | None:
        """Where rejected rows are."""

    @property
    def profile_rejects(self) -> str | None:
        """Where rejected rows of profiles are."""

    @property
    def exchange(self) -> "Exchange | None":
        """A published test side beside a random cut."""


def data_line(result: ReadData) -> str:
    """What the model was learned from, and what could not be read."""
    ingested, matrix = result.facts["ingest"], result.facts["filter"]["matrix"]
    nouns = result.nouns
    line = (
        f"{matrix['users']:,} {nouns.users}, {matrix['items']:,} {nouns.items}, "
        f"{matrix['nonzeros']:,} pairs of {ingested['rows']:,} rows"
    )
    rejected = f"; {ingested['rejected']:,} rows rejected: {result.rejects}"
    profiles = ingested["profiles"]
    if profiles and profiles["rejected"]:
        line += f"; {profiles['rejected']:,} rows of profiles rejected: {result.profile_rejects}"
    notes = [*(f"note: {note}" for note in ingested.get("notes", ())), *_test_side(result)]
    return "\n".join([line + rejected * bool(ingested["rejected"]), *notes])


def _test_side(result: ReadData) -> Iterator[str]:
    """What a published test side and the log know of each other, and whether it looks random."""
    sides, nouns = result.facts["split"].get("sides"), result.nouns
    if sides is None:
        return
    profiles = ""
    if sides["users_only_in_test"] and sides["with_profile"] is not None:
        profiles = f" ({sides['with_profile']:,} with a profile, {sides['without_profile']:,} not)"
    line = (
        f"test file: {sides['users_only_in_test']:,} of {sides['users']:,} {nouns.users}{profiles} "
        f"and {sides['items_only_in_test']:,} of {sides['items']:,} {nouns.items} are not in the "
        f"log, {sides['users_only_in_log']:,} {nouns.users} only there"
    )
    if n_dropped := result.facts["split"].get("validation_dropped"):
        yield f"validation file: {n_dropped:,} pairs dropped, which the log has, too"
    dropped = f"; {sides['pairs_dropped']:,} pairs dropped, which the log has, too"
    yield line + dropped * bool(sides["pairs_dropped"])
    if result.exchange is not None:
        yield result.exchange.sentence


def data_table(result: Result) -> RenderableType:
    """What was read, what each filter left, how it was cut."""
    nouns = result.nouns
    steps = result.facts["filter"]["steps"]
    heads = [("step", True), *((n, False) for n in (nouns.users, nouns.items, "rows", "cells"))]
    numbers = ("users", "items", "rows", "cells")
    rows = ([step["name"], *(f"{step[name]:,}" for name in numbers)] for step in steps)
    return Group(FittedTable(rows_of(heads, rows), "Data"), *map(Text, _data_notes(result)))


def _data_notes(result: Result) -> Iterator[str]:
    ingested, matrix = result.facts["ingest"], result.facts["filter"]["matrix"]
    columns = f" (columns {ingested['columns']})" if ingested.get("columns") else ""
    yield f"read {ingested['rows']:,} rows as {ingested['format']}{columns}"
    yield from _rejected(ingested, "", result.rejects)
    if ingested["profiles"]:
        missing = ingested["profiles"]["listeners_without"]
        yield f"{result.nouns.users} of the log without {_numbers(missing)}"
        yield from _rejected(ingested["profiles"], " rows of profiles", result.profile_rejects)
        yield from _made_missing(ingested["profiles"]["made_missing"])
    yield (
        f"matrix {matrix['users']:,} x {matrix['items']:,}, {matrix['nonzeros']:,} cells, "
        f"density {matrix['density']:.4%}, sparsity {matrix['sparsity']:.4%}, "
        f"{matrix['memory'] / 1e6:.1f} MB"
    )
    validation_file = result.facts["split"].get("validation_file")
    if validation_file is not None:
        yield f"read {validation_file['rows']:,} rows of the validation file"
        yield from _rejected(validation_file, " of them", result.validation_rejects)
    test_file = result.facts["split"]["test_file"]
    if test_file is not None:
        yield f"read {test_file['rows']:,} rows of the test file"
        yield from _rejected(test_file, " of them", result.test_rejects)
        yield from _test_side(result)
        missing = (result.facts["split"].get("sides") or {}).get("missing")
        if missing is not None:
            yield f"{result.nouns.users} of the test file without {_numbers(missing)}"
    yield f"split: {result.facts['split']['method']}"
    for name in ("validation", "test"):
        yield _fold_line(name, result)
    cached = [name for name, reused in result.reused.items() if reused]
    if cached:
        yield f"from the cache, unchanged: {', '.join(cached)}"


def _numbers(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {n:,}" for name, n in counts.items())


def _rejected(facts: Mapping[str, Any], of: str, where: str | None) -> Iterator[str]:
    if facts["rejected"]:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in facts["reasons"].items())
        yield f"rejected {facts['rejected']:,}{of}: {reasons}; see {where}"


def _made_missing(fields: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Values of profiles that could not be used; an empty one says nothing more."""
    found = [
        f"{n:,} {field} {reason}"
        for field, reasons in fields.items()
        for reason, n in reasons.items()
        if reason != "empty"
    ]
    return [f"profile values made missing: {', '.join(found)}"] if found else []


def _fold_line(name: str, result: Result) -> str:
    fold, nouns = result.facts["split"][name], result.nouns
    train = fold["train"]
    return (
        f"{name}: {fold['judged_users']:,} {nouns.users} judged on {fold['held_out']:,} held-out "
        f"cells ({fold['unreachable']:,} of {nouns.items} that are not in training); trained on "
        f"{train['nonzeros']:,} cells, without any: {train['idle_users']:,} {nouns.users}, "
        f"{train['idle_items']:,} {nouns.items}"
    )
