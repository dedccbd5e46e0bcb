"""What serves, what is published and what is left, where a retraining was killed. In words.

    champion lost   there is none, or not the one that the moves of the alias so far say
    unreadable      a published list that is missing, or not all are of one publication
    incomplete      a version whose files cannot be loaded
    different       what the same command ends with: verdict, numbers, models, lists, how many
    left over       what is RUNNING still, workers that are gone, temporary files

MLflow's database is read with sqlite3, without our own code in between; what is published as
`recsys lookup` reads it.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

from same_study import faults, orphans, runs

from flows.cli import lookup
from recsys.errors import InputError
from recsys.serving.package import unpack
from tasks.serving.published import open_store
from tasks.serving.published.store import PublishedItem
from tasks.workspace.layout import Workspace

Kind = Literal["champion lost", "unreadable", "incomplete", "different", "left over"]
KINDS: tuple[Kind, ...] = ("champion lost", "unreadable", "incomplete", "different", "left over")
Fault = tuple[Kind, str]
Lists = Mapping[tuple[str, str], tuple[PublishedItem, ...]]  # by "listener" or "artist", and id
MOVES = ({"champion": 1}, {"champion": 1, "previous": 1}, {"champion": 2, "previous": 1})
SAME = ("table", "study", "version", "champion")  # of what `retrain --json` says
_COUNTED = {
    "logged models by status": "select status, count(*) from logged_models group by status",
    "data sets of runs that ended well": "select count(*) from inputs join runs on destination_id "
    "= run_uuid where status = 'FINISHED'",
}
_SERVED = ("artifacts", "served")  # within a version
_LIBRARIES = ("home", "prefect")


@dataclass(frozen=True)
class Whole:
    """A retraining that nothing interrupted, and what was published before it.

    Attributes:
        place: The workspace as it left it.
        said: What it said.
        publications: The lists by version: those before it, and those after it.
        published: The version that is published after it.
    """

    place: Workspace
    said: Mapping[str, Any]
    publications: Mapping[str, Lists]
    published: str


def struck(place: Workspace, whole: Whole, moves: int, at_once: bool) -> Iterator[Fault]:
    """What is wrong as soon as a process was killed.

    Args:
        place: Where it was.
        whole: The same, uninterrupted.
        moves: How often an alias had been moved.
        at_once: Whether the process ended there. Ctrl-C lets a transaction come to its end first
            (`tasks.interrupts`), and the alias may be moved in it and in the next ones.
    """
    expected = MOVES[min(moves, len(MOVES) - 1) :]
    if at_once:
        expected = expected[:1]
    if (serving := aliases(place)) not in expected:
        yield "champion lost", f"{serving} and not {' or '.join(map(str, expected))}"
    yield from _unreadable(place, whole.publications)
    yield from _incomplete(place)


def ended(
    place: Workspace, whole: Whole, said: Mapping[str, Any], was_done: bool
) -> Iterator[Fault]:
    """What is wrong when the same command has come to its end.

    Args:
        place: Where it was.
        whole: The same, uninterrupted.
        said: What it said.
        was_done: Whether the retraining was FINISHED before it.
    """
    verdict = "unchanged" if was_done else whole.said["verdict"]
    if said["verdict"] != verdict:
        yield "different", f"verdict {said['verdict']}, not {verdict}"
    for name in SAME:
        if said[name] != whole.said[name]:
            yield "different", f"{name}: {str(said[name])[:200]}, not {str(whole.said[name])[:200]}"
    if (serving := aliases(place)) != MOVES[-1]:
        yield "champion lost", f"{serving} and not {MOVES[-1]} at the end"
    yield from _unreadable(place, {whole.published: whole.publications[whole.published]})
    yield from _incomplete(place)
    yield from _models(place, whole)
    for kind, text in faults(place, whole.place, whole.said["study"]):
        yield ("left over" if kind == "orphaned" else "different"), f"{kind}: {text}"
    yield from _temporary(place)


def running(place: Workspace) -> Iterator[Fault]:
    """What Ctrl-C has left open."""
    for _, text in orphans(place):
        if text.endswith("RUNNING"):
            yield "left over", text


def is_done(place: Workspace) -> bool:
    """Whether the second retraining has come to its end."""
    found = [run for run in runs(place) if run.tags.get("stage") == "retrain"]
    return sum(run.status == "FINISHED" for run in found) == 2


def aliases(place: Workspace) -> dict[str, int]:
    """The number of the version that each alias points at."""
    query = "select alias, version from registered_model_aliases order by alias"
    return dict(_asked(place, query))


def lists(place: Workspace) -> tuple[str, Lists]:
    """The version that is published, and every list."""
    with closing(sqlite3.connect(place.published)) as database:
        users = database.execute("select distinct user_id from recsys_recommendations").fetchall()
        artists = database.execute("select item_id from recsys_items").fetchall()
    subjects = [("listener", user) for (user,) in users]
    subjects += [("artist", artist) for (artist,) in artists]
    return _read(place, subjects)


def _read(place: Workspace, subjects: Sequence[tuple[str, str]]) -> tuple[str, Lists]:
    """As `recsys lookup`; an artist by its id.

    Raises:
        InputError: a list is not there.
        ValueError: they are not all of one publication.
    """
    address = f"sqlite:///{place.published}"
    ask = {"listener": lookup.user_list, "artist": lookup.similar_list}
    found = {(kind, each): ask[kind](address, each).published for kind, each in subjects}
    (what,) = {each.published for each in found.values()}
    return what.version, {subject: each.entries for subject, each in found.items()}


def _unreadable(place: Workspace, known: Mapping[str, Lists]) -> Iterator[Fault]:
    """What is published is one of the known publications, every list of it."""
    try:
        what = open_store(f"sqlite:///{place.published}").read()
        if what is None or what.version not in known:
            yield "unreadable", f"{what} is published, and not one of {', '.join(known)}"
            return
        expected = known[what.version]
        version, found = _read(place, list(expected))
    except (InputError, ValueError) as error:
        yield "unreadable", str(error)
        return
    odd = [subject for subject, entries in found.items() if entries != expected[subject]]
    if odd or version != what.version:
        yield "unreadable", f"{len(odd)} lists of version {version} are others, such as {odd[:1]}"


def _incomplete(place: Workspace) -> Iterator[Fault]:
    """Every version can be loaded."""
    for number, folder in _versions(place).items():
        try:
            unpack(folder)
        except (OSError, ValueError, KeyError) as error:
            yield "incomplete", f"version {number}: {type(error).__name__}: {error}"


def _versions(place: Workspace) -> dict[int, Path]:
    """Where the arrays of each version are."""
    query = "select version, storage_location from model_versions order by version"
    # Not where the address leads, but where it would in a workspace that was copied.
    return {
        number: place.artifacts.joinpath(*Path(unquote(urlparse(uri).path)).parts[-4:], *_SERVED)
        for number, uri in _asked(place, query)
    }


def _models(place: Workspace, whole: Whole) -> Iterator[Fault]:
    """As many versions and logged models, with the same bits, and the same data sets."""
    for what, query in _COUNTED.items():
        here, there = _asked(place, query), _asked(whole.place, query)
        if here != there:
            yield "different", f"{what} {here}, not {there}"
    mine, theirs = _versions(place), _versions(whole.place)
    if mine.keys() != theirs.keys():
        yield "different", f"versions {sorted(mine)}, not {sorted(theirs)}"
    for number in mine.keys() & theirs.keys():
        if _bits(mine[number]) != _bits(theirs[number]):
            yield "different", f"version {number} has other files"


def _bits(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _temporary(place: Workspace) -> Iterator[Fault]:
    """Files on their way somewhere; those that locks are held on stay.

    What is left of a stage in the cache is for `recsys clean`, as the stages are.
    """
    for path in sorted(place.root.rglob(".*")):
        inner = path.relative_to(place.root)
        of_stage = inner.parts[0] == place.cache.name and len(inner.parts) > 2
        if path.suffix != ".lock" and inner.parts[0] not in _LIBRARIES and not of_stage:
            yield "left over", f"{inner} is left"


def _asked(place: Workspace, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(place.tracking_database)) as store:
        return store.execute(query).fetchall()


def last_said(log: Path) -> Mapping[str, Any]:
    """The last JSON object that a command has printed on a separate line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found: Mapping[str, Any] = json.loads([line for line in lines if line.startswith("{")][-1])
    return found
