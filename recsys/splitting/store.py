"""Folds on disk, as Parquet and plain arrays."""

import json
from pathlib import Path

from recsys.data.store import (
    PROFILES,
    load_cells,
    load_ids,
    load_profiles,
    save_cells,
    save_ids,
    save_profiles,
)
from recsys.splitting.split import Fold

_SIDES = ("train", "history", "held_out")


def save_fold(fold: Fold, folder: Path) -> None:
    """Write users.parquet, items.parquet, one .npz per side and fold.json."""
    save_ids(fold.train.users, folder / "users.parquet")
    save_ids(fold.train.items, folder / "items.parquet")
    sides = _SIDES if fold.folds_in else ("train", "held_out")
    for side in sides:
        save_cells(getattr(fold, side), folder / f"{side}.npz")
    if fold.profiles is not None:
        save_profiles(fold.profiles, folder)
    (folder / "fold.json").write_text(json.dumps({"sides": sides}), encoding="utf-8")


def load_fold(folder: Path) -> Fold:
    """Read what save_fold wrote."""
    users, items = load_ids(folder / "users.parquet"), load_ids(folder / "items.parquet")
    sides = json.loads((folder / "fold.json").read_text(encoding="utf-8"))["sides"]
    cells = {side: load_cells(folder / f"{side}.npz", users, items) for side in sides}
    known = (folder / PROFILES).exists()
    profiles = load_profiles(folder).aligned(users) if known else None
    return Fold(cells["train"], cells.get("history", cells["train"]), cells["held_out"], profiles)
