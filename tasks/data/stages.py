"""Bytes to a split, stage by stage, each stored in our cache."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys import sources
from recsys.config import ExperimentConfig
from recsys.data.config import FilterConfig
from recsys.data.describe import MatrixStats
from recsys.data.filtering import apply_filters
from recsys.data.interactions import Events, Interactions
from recsys.data.profiles import Profiles
from recsys.data.store import load_events, load_profiles, save_events, save_profiles
from recsys.errors import InputError
from recsys.identity import counted
from recsys.sources.config import DataConfig
from recsys.splitting.config import GivenSplit, SplitConfig
from recsys.splitting.cutting import cut
from recsys.splitting.sides import Sides
from recsys.splitting.split import Fold
from recsys.splitting.store import load_fold, save_fold
from tasks.progress import report_progress, report_result
from tasks.workspace.cache import StageEntry, file_hash, stage
from tasks.workspace.code import READING, SPLITTING
from tasks.workspace.layout import Workspace

REJECTS = "rejects.tsv"
PROFILES = "profiles.parquet"
PROFILE_REJECTS = "profile-rejects.tsv"
TEST_REJECTS = "test-rejects.tsv"
VALIDATION_REJECTS = "validation-rejects.tsv"


@dataclass(frozen=True, slots=True)
class DataFiles:
    """A log and, if known, the profiles of its users.

    Attributes:
        plays: The log.
        profiles: Of the users.
    """

    plays: Path
    profiles: Path | None = None


@task(task_run_name="ingest {source.plays.name}", cache_policy=NO_CACHE)
def ingest(
    workspace: Workspace, source: DataFiles, config: DataConfig, adopt: bool = False
) -> StageEntry:
    """Read the log and the profiles; keep what was rejected.

    Args:
        workspace: Holds the cache.
        source: The log and the profiles.
        config: How they are read.
        adopt: Whether what other code made of them is used; so in every stage.
    """
    inputs: dict[str, Any] = {
        "files": _hashes(workspace, source.plays, config),
        "config": counted(config),
    }
    if source.profiles is not None:
        inputs["profiles"] = file_hash(workspace, source.profiles)
    return stage(
        workspace, "ingest", inputs, lambda folder: _read(folder, source, config), READING, adopt
    )


def _hashes(workspace: Workspace, path: Path, config: DataConfig) -> dict[str, str]:
    """Of a log and of the files beside it that names are taken from."""
    named = config.columns is not None and config.format == "auto"
    beside = [] if named else sources.companions(path, config.format)
    report_progress(f"checking {path.name}", 0, None)
    return {each.name: file_hash(workspace, each) for each in (path, *beside)}


def _read_log(path: Path, config: DataConfig) -> sources.Reading:
    reading = sources.read(
        path,
        format=config.format,
        columns=config.columns,
        item_key=config.item_key,
        decimal=config.decimal,
        strict=config.strict,
        progress=report_progress,
    )
    return reading if config.min_value is None else _with_values(path, reading, config.min_value)


def _with_values(path: Path, reading: sources.Reading, least: float) -> sources.Reading:
    """The rows with at least this value, and a note of how many others there are.

    Raises:
        InputError: there are no such rows.
    """
    events = reading.events
    kept = events.where(events.plays >= least).compact()
    if not len(kept):
        most = events.plays.max(initial=0.0)
        raise InputError(
            f"{path}: no row has a value of data.min_value = {least:g} or more; the highest is "
            f"{most:g}"
        )
    below = f"{len(events) - len(kept):,} of {len(events):,} rows are below data.min_value = "
    return replace(reading, events=kept, notes=(*reading.notes, f"{below}{least:g}: left out"))


def _read(folder: Path, source: DataFiles, config: DataConfig) -> dict[str, Any]:
    reading = _read_log(source.plays, config)
    for note in reading.notes:
        report_result(f"note: {note}")
    save_events(reading.events, folder)
    reading.rejects.write(folder / REJECTS)
    facts = {**_reading_facts(reading), "profiles": None}
    if source.profiles is not None:
        facts["profiles"] = _read_profiles(folder, source.profiles, reading.events, config)
    return facts


def _reading_facts(reading: sources.Reading) -> dict[str, Any]:
    return {
        "rows": reading.n_rows,
        "rejected": len(reading.rejects),
        "reasons": reading.rejects.counts,
        "format": reading.format,
        "columns": reading.columns,
        "notes": list(reading.notes),
        "spellings": reading.n_spellings,
        "users": len(reading.events.users),
        "items": len(reading.events.items),
    }


def _read_profiles(folder: Path, path: Path, events: Events, config: DataConfig) -> dict[str, Any]:
    reading = sources.read_profiles(
        path, columns=config.profile_columns, strict=config.strict, progress=report_progress
    )
    save_profiles(reading.profiles, folder)
    reading.rejects.write(folder / PROFILE_REJECTS)
    return {
        "rows": reading.n_rows,
        "rejected": len(reading.rejects),
        "reasons": reading.rejects.counts,
        "made_missing": reading.missing,
        "listeners_without": reading.profiles.aligned(events.users).missing(),
    }


@task(task_run_name="filter", cache_policy=NO_CACHE)
def narrow(
    workspace: Workspace,
    ingested: StageEntry,
    config: FilterConfig,
    seed: int,
    adopt: bool = False,
) -> StageEntry:
    """Keep the users and items that `config` selects."""
    inputs: dict[str, Any] = {"of": ingested.key, "config": counted(config)}
    if config.fraction < 1:
        inputs["seed"] = seed
    if ingested.facts["profiles"] is not None:
        inputs["profiles"] = "of all users"  # once only of those of the log
    return stage(
        workspace,
        "filter",
        inputs,
        lambda folder: _filter(folder, ingested, config, seed),
        READING,
        adopt,
    )


def _filter(folder: Path, ingested: StageEntry, config: FilterConfig, seed: int) -> dict[str, Any]:
    has_profiles = ingested.facts["profiles"] is not None
    profiles = load_profiles(ingested.folder) if has_profiles else None
    report_progress("filtering", 0, None)
    events, steps = apply_filters(load_events(ingested.folder), profiles, config, seed)
    save_events(events, folder)
    if profiles is not None:
        save_profiles(profiles, folder)  # of all users: some may be only in a test file
    stats = MatrixStats.of(events.cells()).as_dict()
    return {
        "steps": [asdict(step) for step in steps],
        "matrix": stats,
        "fingerprint": _fingerprint(folder),
    }


def _fingerprint(folder: Path) -> str:
    digest = sha256()
    for name in ("users.parquet", "items.parquet", "events.npz"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


@task(task_run_name="split {config.split.kind}", cache_policy=NO_CACHE)
def split(
    workspace: Workspace, filtered: StageEntry, config: ExperimentConfig, adopt: bool = False
) -> StageEntry:
    """Cut into a validation fold and a test fold."""
    inputs: dict[str, Any] = {
        "of": filtered.key,
        "split": counted(config.split),
        "seed": config.seed,
    }
    if isinstance(config.split, GivenSplit):
        inputs["test"] = _hashes(workspace, config.split.test, config.data)
        if config.split.validation is not None:
            inputs["validation"] = _hashes(workspace, config.split.validation, config.data)
        inputs["data"] = counted(config.data)
    return stage(
        workspace,
        "split",
        inputs,
        lambda folder: _split(folder, filtered, config),
        SPLITTING,
        adopt,
    )


def _split(folder: Path, filtered: StageEntry, config: ExperimentConfig) -> dict[str, Any]:
    facts: dict[str, Any] = {"test_file": None, "validation_file": None, "sides": None}
    given: dict[str, Events] = {}
    for side, path, rejects in _published(config.split):
        reading = _read_log(path, config.data)
        reading.rejects.write(folder / rejects)
        facts[f"{side}_file"] = _reading_facts(reading)
        given[side] = reading.events
    test = given.get("test")
    report_progress(f"cutting: {config.split.kind}", 0, None)
    made = cut(load_events(filtered.folder), config, test, given.get("validation"))
    if (filtered.folder / PROFILES).exists():
        made = made.with_profiles(load_profiles(filtered.folder))
    facts |= {"method": made.method, "fingerprint": made.fingerprint}
    facts["equal_plays"] = bool(np.ptp(made.test.train.plays) == 0)
    if "validation" in given:
        n_given = len(given["validation"].cells())
        facts["validation_dropped"] = n_given - len(made.validation.held_out)
    if test is not None:
        facts["sides"] = asdict(Sides.of(made.test, len(test.cells())))
    for name, fold in (("validation", made.validation), ("test", made.test)):
        (folder / name).mkdir()
        save_fold(fold, folder / name)
        facts[name] = _fold_facts(fold)
    return facts


def _published(config: SplitConfig) -> Iterator[tuple[str, Path, str]]:
    """The sides of a split that come from files: name, file, and where its rejects go."""
    if isinstance(config, GivenSplit):
        yield "test", config.test, TEST_REJECTS
        if config.validation is not None:
            yield "validation", config.validation, VALIDATION_REJECTS


@dataclass(frozen=True, slots=True, eq=False)
class Everything:
    """All data of an experiment, none held out.

    Attributes:
        cells: Training, validation and test together.
        profiles: Of their users, aligned with them; None where none are known.
        made_from: Fingerprints of the "data" after the filter and, where the test was published,
            of the "split".
    """

    cells: Interactions
    profiles: Profiles | None
    made_from: Mapping[str, str]


def everything(workspace: Workspace, source: DataFiles, config: ExperimentConfig) -> Everything:
    """All that is left after the filter; with the test file, where one was published."""
    filtered = narrow.fn(
        workspace, ingest.fn(workspace, source, config.data), config.filter, config.seed
    )
    made_from = {"data": str(filtered.facts["fingerprint"])}
    if isinstance(config.split, GivenSplit):
        cut_up = split.fn(workspace, filtered, config)
        fold = load_fold(cut_up.folder / "test")
        made_from["split"] = str(cut_up.facts["fingerprint"])
        return Everything(fold.train.merged(fold.held_out), fold.profiles, made_from)
    cells = load_events(filtered.folder).cells()
    known = (filtered.folder / PROFILES).exists()
    profiles = load_profiles(filtered.folder).aligned(cells.users) if known else None
    return Everything(cells, profiles, made_from)


def _fold_facts(fold: Fold) -> dict[str, Any]:
    return {
        "train": MatrixStats.of(fold.train).as_dict(),
        "judged_users": len(fold.judged),
        "held_out": len(fold.held_out),
        "unreachable": fold.unreachable,
        "folds_in": fold.folds_in,
    }
