"""Reports and recommendation lists on disk, as Parquet and plain arrays."""

from pathlib import Path

import numpy as np
import pandas as pd

from recsys.evaluation.report import Report
from recsys.models.recommender import Recommendations


def save_report(report: Report, folder: Path) -> None:
    """Write per_user.parquet and exposure.parquet."""
    # Dictionaries of the values would take half of the time, and save a twentieth of the room.
    users, items = folder / "per_user.parquet", folder / "exposure.parquet"
    report.user_frame().to_parquet(users, use_dictionary=False, compression="lz4")
    report.exposure_frame().to_parquet(items, write_statistics=False)


_LISTS = "lists.npz"


def save_lists(recs: Recommendations, folder: Path) -> None:
    """Write lists.npz: users, items and scores."""
    np.savez(
        folder / _LISTS,
        allow_pickle=False,
        users=recs.users,
        items=recs.items,
        scores=recs.scores,
    )


def load_lists(folder: Path) -> Recommendations:
    """Read what save_lists wrote."""
    with np.load(folder / _LISTS, allow_pickle=False) as arrays:
        return Recommendations(arrays["users"], arrays["items"], arrays["scores"])


def load_report(folder: Path) -> Report:
    """Read what save_report wrote."""
    return Report.from_frames(
        pd.read_parquet(folder / "per_user.parquet"), pd.read_parquet(folder / "exposure.parquet")
    )
