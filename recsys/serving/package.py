"""A served model as a folder of plain arrays, and the table that it answers with.

    served.json                 model, parameters, seed, the hash of every other file
    users.parquet, cells.npz    and the rest of what `recsys.data.store.save_data` writes
    user_factors.npy, ...       what the model learned, see `recsys.models.arrays`

No model is trained when it is loaded. Whoever learned nothing that is dear (popularity, user-knn)
counts its cells again.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.store import load_data, save_data
from recsys.errors import InputError
from recsys.models import build, read_config
from recsys.models.arrays import REMEDY, StoredArrays, save_arrays
from recsys.models.config import ModelConfig
from recsys.serving.answers import RankedItem, Served, fold_in_history, known_user
from recsys.serving.names import listed

COLUMNS = ("user", "items", "plays")  # of a question; each may be missing
ANSWER = ("user", "item", "name", "score", "rank")  # of an answer
K = 10  # items in an answer, unless asked otherwise
_SERVED = "served.json"


def check_portable(config: ModelConfig) -> None:
    """Refuse a model that cannot be taken elsewhere.

    Raises:
        InputError: it needs a library beyond those that every model needs.
    """
    for part in config.parts:
        if part.library is not None:
            raise InputError(
                f"the model {part.kind} cannot be registered: it needs {part.library} where it is "
                "served; pass the run of another model, such as als or ease"
            )


def pack(served: Served, seed: int, folder: Path) -> None:
    """Write all that the answers need into a folder that exists.

    Profiles are written only for models that use them: nobody else needs to know them.

    Args:
        served: The model, fitted on its cells.
        seed: That it was fitted with.
        folder: Gets the files.

    Raises:
        InputError: see `check_portable`.
    """
    check_portable(served.config)
    save_data(served.cells, served.profiles if served.config.uses_profiles else None, folder)
    save_arrays(served.model.learned(), folder)
    files = sorted(path for path in folder.rglob("*.*") if path.name != _SERVED)
    described = {
        "model": served.config.model_dump(mode="json"),
        "seed": seed,
        "files": {path.relative_to(folder).as_posix(): _hash(path) for path in files},
    }
    (folder / _SERVED).write_text(json.dumps(described, indent=1), encoding="utf-8")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(folder: Path) -> Served:
    """The model that `pack` wrote, which answers bit for bit as it did there.

    What an earlier version of recsys wrote has no hashes. Its factors of ALS are what they are
    now; of models that it did not keep the arrays of, the first one is missing.

    Raises:
        InputError: a file is missing or is not what was written; the message names it.
    """
    described = _described(folder / _SERVED)
    _check(folder, described.get("files", {}))
    config = read_config(described["model"])
    seed = int(described["seed"])
    cells, profiles = load_data(folder)
    model = build(config, seed, profiles).restore(cells, StoredArrays(folder))
    return Served(config, model, cells, profiles)


def _described(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; {REMEDY}") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); {REMEDY}") from error
    return found


def _check(folder: Path, files: Mapping[str, str]) -> None:
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing; {REMEDY}")
        if _hash(path) != digest:
            raise InputError(f"{path} is not what was written: its hash is another; {REMEDY}")


def answers(served: Served, questions: pd.DataFrame, k: int = K) -> pd.DataFrame:
    """The k best items for each row of a table, without what the user plays already.

    A row asks by the id of a known `user`, or by a history: `items` as a text that
    `recsys.serving.names.listed` reads ("radiohead, muse:3"), or as a list of names or ids with
    `plays` as a list of as many numbers, 1 each by default. Beside a history `user` is a label that
    comes back in the answer, known or not.

    Args:
        served: The model.
        questions: With any of the columns `user`, `items`, `plays`; empty, None and NaN are
            missing.
        k: How many for each, at least 1.

    Returns:
        A row per recommendation, best first, in the order of the questions: `user` (str, or None
        without one), `item` (its id, str), `name` (str), `score` (float64), `rank` (int64, from
        1). A user for whom the model has nothing has no row.

    Raises:
        InputError: k is below 1, or a row cannot be answered; the message counts rows from 0 and
            offers the nearest spellings of what is not known.
    """
    if k < 1:
        raise InputError(f"k is {k}: ask for at least 1")
    if questions.columns.intersection(["user", "items"]).empty:
        there = ", ".join(map(str, questions.columns)) or "none"
        raise InputError(f"columns are {there}; give `user` or `items`")
    rows = [
        (asked.user, found.id, found.name, float(found.score), rank)
        for number, asked in enumerate(_read(questions))
        for rank, found in enumerate(_row(served, number, asked, k), start=1)
    ]
    table = pd.DataFrame(rows, columns=list(ANSWER), dtype=object)  # None stays, as JSON's null
    return table.astype({"score": np.float64, "rank": np.int64})


@dataclass(frozen=True, slots=True)
class _Question:
    """A row, with None for what is missing."""

    user: str | None
    items: Any
    plays: Any


def _read(questions: pd.DataFrame) -> Iterator[_Question]:
    table = questions.reindex(columns=list(COLUMNS))
    columns = ([_given(value) for value in table[name]] for name in COLUMNS)
    for user, items, plays in zip(*columns, strict=True):
        yield _Question(_id(user), items, plays)


def _row(served: Served, number: int, asked: _Question, k: int) -> Sequence[RankedItem]:
    try:
        if asked.items is not None:
            history = _history(served, asked.items, asked.plays)
            return fold_in_history(served, history, k).items
        if asked.plays is not None:
            raise InputError("`plays` without `items`; name the items that were played")
        if asked.user is None:
            raise InputError("neither a `user` nor `items`; give one of them")
        return known_user(served, served.user(asked.user), k).items
    except InputError as error:
        raise InputError(f"row {number}: {error}") from error


def _history(served: Served, items: Any, plays: Any) -> dict[int, float]:
    """Plays of each item by its number, of a text or a list."""
    if isinstance(items, str):
        if plays is not None:
            raise InputError(
                f"`plays` {plays!r} beside `items` as a text; write them behind colons, as in "
                '"muse:3", or give both as lists'
            )
        found = listed(items, served.names)
        if not found:
            raise InputError(f"no item in {items!r}")
        return found
    if not isinstance(items, list):
        raise InputError(f"`items` is {items!r}; give a text or a list of names or ids")
    n = len(items)
    amounts = [1.0] * n if plays is None else plays
    if not isinstance(amounts, list) or len(amounts) != n:
        raise InputError(
            f"`plays` is {plays!r}; give a list with a number for each item, {n} in all"
        )
    history: dict[int, float] = {}
    for item, amount in zip(items, amounts, strict=True):
        number = served.names.number(str(item))
        history[number] = history.get(number, 0.0) + _above_zero(item, amount)
    return history


def _above_zero(item: object, amount: Any) -> float:
    number = isinstance(amount, Real) and not isinstance(amount, bool)
    if not (number and np.isfinite(amount) and amount > 0):
        raise InputError(f"item {item!r}: plays are {amount!r}; give a number above 0")
    return float(amount)


def _id(user: Any) -> str | None:
    """An id as text; a table makes floats of whole numbers where others are missing."""
    if user is None:
        return None
    return str(int(user) if isinstance(user, float) and user.is_integer() else user)


def _given(value: Any) -> Any:
    """A value as Python has it; None for what is missing or empty."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return list(value) or None
    if value is None or value is pd.NA or value == "" or value != value:
        return None
    return value
