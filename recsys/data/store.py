"""Ids, events, profiles and cells on disk, as Parquet and plain arrays; no pickles.

The functions write into a folder that exists. The caller makes the folder appear atomically.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.ids import IdMap
from recsys.data.interactions import Events, Interactions
from recsys.data.mapped import load_mapped, save_mapped
from recsys.data.profiles import Profiles

ArrayColumns = Mapping[str, npt.NDArray[Any]]


def save_ids(ids: IdMap, path: Path) -> None:
    """Write ids and names, one row each, in order."""
    pq.write_table(pa.table({"id": ids.ids, "name": ids.names}), path)


def load_ids(path: Path) -> IdMap:
    """Read what save_ids wrote."""
    table = pq.read_table(path)
    columns = [table[name].cast(pa.string()).combine_chunks() for name in ("id", "name")]
    flat = [pa.concat_arrays(c.chunks) if isinstance(c, pa.ChunkedArray) else c for c in columns]
    return IdMap(*flat)


def save_events(events: Events, folder: Path) -> None:
    """Write users.parquet, items.parquet and events.npz."""
    save_ids(events.users, folder / "users.parquet")
    save_ids(events.items, folder / "items.parquet")
    columns: ArrayColumns = {"rows": events.rows, "cols": events.cols, "plays": events.plays}
    _save_arrays(folder / "events.npz", columns, {"times": events.times})


def load_events(folder: Path) -> Events:
    """Read what save_events wrote."""
    users, items = load_ids(folder / "users.parquet"), load_ids(folder / "items.parquet")
    arrays = load_mapped(folder / "events.npz")
    times = arrays.get("times")
    return Events(users, items, arrays["rows"], arrays["cols"], arrays["plays"], times)


PROFILES = "profiles.parquet"
"""File that is missing where a folder has no profiles."""


def save_profiles(profiles: Profiles, folder: Path) -> None:
    """Write profiles.parquet."""
    table = pa.table(
        {
            "user": profiles.users.ids,
            "gender": profiles.gender,
            "age": profiles.age,
            "country": profiles.country,
            "signup": profiles.signup,
        }
    )
    pq.write_table(table, folder / PROFILES)


def load_profiles(folder: Path) -> Profiles:
    """Read what save_profiles wrote."""
    table = pq.read_table(folder / PROFILES).combine_chunks()
    text = {
        name: pa.concat_arrays(table[name].cast(pa.string()).chunks or [pa.array([], pa.string())])
        for name in ("user", "gender", "country")
    }
    users = IdMap(text["user"], text["user"])
    age, signup = table["age"].to_numpy(), table["signup"].to_numpy()
    return Profiles(
        users, text["gender"], age.astype(np.float32), text["country"], signup.astype(np.int64)
    )


def save_data(cells: Interactions, profiles: Profiles | None, folder: Path) -> None:
    """Write users.parquet, items.parquet, cells.npz and, where there are any, profiles.parquet."""
    save_ids(cells.users, folder / "users.parquet")
    save_ids(cells.items, folder / "items.parquet")
    save_cells(cells, folder / "cells.npz")
    if profiles is not None:
        save_profiles(profiles, folder)


def load_data(folder: Path) -> tuple[Interactions, Profiles | None]:
    """Read what save_data wrote; the profiles are aligned with the users."""
    users, items = load_ids(folder / "users.parquet"), load_ids(folder / "items.parquet")
    known = (folder / PROFILES).exists()
    profiles = load_profiles(folder).aligned(users) if known else None
    return load_cells(folder / "cells.npz", users, items), profiles


def save_cells(cells: Interactions, path: Path) -> None:
    """Write rows, cols, plays and, where there are any, times as one .npz."""
    columns: ArrayColumns = {"rows": cells.rows, "cols": cells.cols, "plays": cells.plays}
    _save_arrays(path, columns, {"first": cells.first, "last": cells.last})


def _save_arrays(
    path: Path,
    columns: ArrayColumns,
    times: Mapping[str, npt.NDArray[np.int64] | None],
) -> None:
    """One uncompressed .npz; a missing time is left out."""
    known = {name: values for name, values in times.items() if values is not None}
    save_mapped(path, {**columns, **known})


def load_cells(path: Path, users: IdMap, items: IdMap) -> Interactions:
    """Read what save_cells wrote, over the id maps of its rows and cols."""
    arrays = load_mapped(path)
    first, last = (arrays.get(name) for name in ("first", "last"))
    return Interactions(users, items, arrays["rows"], arrays["cols"], arrays["plays"], first, last)
