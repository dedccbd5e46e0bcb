"""A served model as a folder of plain arrays, and its answers as a table.

    served.json                 model, parameters, seed, the hash of every other file
    users.parquet, cells.npz    and the rest of what `recsys.data.store.save_data` writes
    user_factors.npy, ...       what the model learned, see `recsys.models.arrays`

Loading never trains. Models without arrays (popularity, user-knn) count the cells again.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys import bounds
from recsys.bounds import shown
from recsys.data.store import load_data, save_data
from recsys.errors import InputError
from recsys.models import build, outside_file, read_config, use_file
from recsys.models.arrays import REMEDY, StoredArrays, save_arrays
from recsys.models.config import ModelConfig
from recsys.serving.answers import RankedItem, Served, fold_in_history, known_user
from recsys.serving.names import listed

COLUMNS = ("user", "items", "plays")  # of the input; each may be missing
ANSWER = ("user", "item", "name", "score", "rank")  # of the output
K = 10  # items in an answer by default
_SERVED, _MODELS = "served.json", "models"


def check_portable(config: ModelConfig) -> None:
    """Check that a model can be served without its extra library.

    Raises:
        InputError: the model needs PyTorch.
    """
    for part in config.parts:
        if part.library is not None:
            raise InputError(
                f"the model {part.kind} cannot be registered: it needs {part.library} where it is "
                "served; pass the run of another model, such as als or ease"
            )


def pack(served: Served, seed: int, folder: Path) -> None:
    """Write everything that answers need into a folder that exists.

    Profiles are written only for models that use them.

    Args:
        served: The model, fitted on its cells.
        seed: Seed of the fit.
        folder: Where the files go.

    Raises:
        InputError: see `check_portable`.
    """
    check_portable(served.config)
    save_data(served.cells, served.profiles if served.config.uses_profiles else None, folder)
    save_arrays(served.model.arrays(), folder)
    _ship(served.config, folder / _MODELS)
    files = sorted(path for path in folder.rglob("*.*") if path.name != _SERVED)
    described = {
        "model": served.config.model_dump(mode="json"),
        "seed": seed,
        "files": {path.relative_to(folder).as_posix(): _hash(path) for path in files},
    }
    (folder / _SERVED).write_text(json.dumps(described, indent=1), encoding="utf-8")


def _ship(config: ModelConfig, folder: Path) -> None:
    """Copy the files of models outside recsys: a loader has recsys alone."""
    for part in config.parts:
        path = outside_file(part.kind)
        if path is not None:
            folder.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / f"{part.kind}.py")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(folder: Path) -> Served:
    """The model that `pack` wrote; its answers are identical to the last bit.

    Folders of early versions of recsys have no hashes. Their ALS factors have the same files; the
    arrays of other models may be missing.

    Raises:
        InputError: a file is missing or damaged; the message names it.
    """
    described = _described(folder / _SERVED)
    _check(folder, described.get("files", {}))
    for path in sorted((folder / _MODELS).glob("*.py")):
        use_file(path.stem, path)
    config = read_config(described["model"])
    seed = int(described["seed"])
    cells, profiles = load_data(folder)
    model = build(config, seed, profiles).restore(cells, StoredArrays(folder))
    return Served(config, model, cells, profiles)


def find_package(folder: Path) -> Path:
    """The folder that `pack` wrote: this one, or the only one below it.

    Raises:
        InputError: there are several below it.
    """
    if (folder / _SERVED).exists():
        return folder
    found = sorted(path.parent for path in folder.rglob(_SERVED))
    if len(found) > 1:
        raise InputError(
            f"{folder} has {len(found)} models, such as {found[0]}; give the folder of one of them"
        )
    return found[0] if found else folder


def _described(path: Path) -> dict[str, Any]:
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; {REMEDY}") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); {REMEDY}") from error
    return described


def _check(folder: Path, files: Mapping[str, str]) -> None:
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing; {REMEDY}")
        if _hash(path) != digest:
            raise InputError(f"{path} is damaged: its hash is another one; {REMEDY}")


def answers(served: Served, requests: pd.DataFrame, k: int = K) -> pd.DataFrame:
    """The k best items for each row of a table, without what the user plays already.

    A row has the id of a known `user`, or a history: `items` as a text that
    `recsys.serving.names.listed` reads ("radiohead, muse:3"), or as a list of names or ids with
    `plays` as a list of as many numbers, 1 each by default. With a history, `user` is a label that
    is copied to the output, known or not.

    Args:
        served: The model.
        requests: With any of the columns `user`, `items`, `plays`; empty, None and NaN are
            missing.
        k: How many for each, at least 1; a list ends at the catalogue.

    Returns:
        A row per recommendation, best first, in the order of the requests: `user` (str, or None
        without one), `item` (its id, str), `name` (str), `score` (float64), `rank` (int64, from
        1). A user without recommendations has no row.

    Raises:
        InputError: k is below 1, the request is larger than `recsys.bounds` allows, or a row
            cannot be answered; the message counts rows from 0 and offers the nearest spellings of
            unknown names.
    """
    if k < 1:
        raise InputError(f"k is {k}; give a number from 1")
    _check_size(len(requests), served.longest(k))
    if requests.columns.intersection(["user", "items"]).empty:
        there = ", ".join(map(str, requests.columns)) or "none"
        raise InputError(f"columns are {there}; give `user` or `items`")
    rows = [
        (request.user, item.id, item.name, float(item.score), rank)
        for number, request in enumerate(_read(requests))
        for rank, item in enumerate(_row(served, number, request, k), start=1)
    ]
    table = pd.DataFrame(rows, columns=list(ANSWER), dtype=object)  # None stays, as JSON's null
    return table.astype({"score": np.float64, "rank": np.int64})


def _check_size(records: int, k: int) -> None:
    if records > bounds.RECORDS:
        raise InputError(f"{records:,} records; send at most {bounds.RECORDS:,} in one request")
    if records * k > bounds.ANSWERS:
        raise InputError(
            f"{records:,} records with {k:,} items each; an answer has at most "
            f"{bounds.ANSWERS:,} rows: send fewer records, or a lower k"
        )


@dataclass(frozen=True, slots=True)
class _Request:
    """A row of the input; None is missing."""

    user: str | None
    items: Any
    plays: Any


def _read(requests: pd.DataFrame) -> Iterator[_Request]:
    table = requests.reindex(columns=list(COLUMNS))
    columns = ([_given(value) for value in table[name]] for name in COLUMNS)
    for user, items, plays in zip(*columns, strict=True):
        yield _Request(_id(user), items, plays)


def _row(served: Served, number: int, request: _Request, k: int) -> Sequence[RankedItem]:
    try:
        _check_long(request)
        if request.items is not None:
            history = _history(served, request.items, request.plays)
            return fold_in_history(served, history, k).items
        if request.plays is not None:
            raise InputError("`plays` without `items`; name the played items")
        if request.user is None:
            raise InputError("neither a `user` nor `items`; give one of them")
        return known_user(served, served.user(request.user), k).items
    except InputError as error:
        raise InputError(f"row {number}: {error}") from error


def _check_long(request: _Request) -> None:
    """Refuse what is longer than any history or id is."""
    if request.user is not None and len(request.user) > bounds.TEXT:
        raise InputError(
            f"`user` has {len(request.user):,} characters; an id has at most {bounds.TEXT:,}"
        )
    items = request.items
    if not isinstance(items, str | list):
        return
    entries = items.count(",") + 1 if isinstance(items, str) else len(items)
    if entries > bounds.HISTORY:
        raise InputError(f"`items` has {entries:,} entries; give at most {bounds.HISTORY:,}")


def _history(served: Served, items: Any, plays: Any) -> dict[int, float]:
    """Item number to plays, from a text or a list."""
    if isinstance(items, str):
        if plays is not None:
            raise InputError(
                f"`plays` {shown(plays)} beside `items` as a text; write them behind colons, as "
                'in "muse:3", or give both as lists'
            )
        history = listed(items, served.names)
        if not history:
            raise InputError(f"no item in {shown(items)}; name at least one")
        return history
    if not isinstance(items, list):
        raise InputError(f"`items` is {shown(items)}; give a text or a list of names or ids")
    n = len(items)
    amounts = [1.0] * n if plays is None else plays
    if not isinstance(amounts, list) or len(amounts) != n:
        raise InputError(
            f"`plays` is {shown(plays)}; give a list with a number for each item, {n} in all"
        )
    history = {}
    for item, amount in zip(items, amounts, strict=True):
        number = served.names.number(str(item))
        history[number] = history.get(number, 0.0) + _above_zero(item, amount)
    return history


def _above_zero(item: object, amount: Any) -> float:
    number = isinstance(amount, Real) and not isinstance(amount, bool)
    if not (number and np.isfinite(amount) and amount > 0):
        raise InputError(f"item {shown(item)}: plays are {amount!r}; give a number above 0")
    return float(amount)


def _id(user: Any) -> str | None:
    """An id as text; a table makes floats of whole numbers where others are missing."""
    if user is None:
        return None
    return str(int(user) if isinstance(user, float) and user.is_integer() else user)


def _given(value: Any) -> Any:
    """A plain Python value; None for a missing or empty one."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return list(value) or None
    if value is None or value is pd.NA or value == "" or value != value:
        return None
    return value
