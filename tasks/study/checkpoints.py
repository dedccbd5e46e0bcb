"""Factors along a training, so that a trial alike but for its iterations goes on from there.

Going on gives the same bits as training from the start, so what is kept here changes no value.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from recsys.files import atomic_folder
from recsys.models.iterative import State
from recsys.search.curves import CurvePoint

_USERS, _ITEMS, _POINTS = "user_factors.npy", "item_factors.npy", "points.json"


class Checkpoints:
    """Where the trainings of a study stood after some of their iterations."""

    def __init__(self, folder: Path) -> None:
        """Keep them in a folder, which is made when it is needed."""
        self._folder = folder

    def nearest(self, path: str, most: int) -> tuple[State, list[CurvePoint]] | None:
        """The furthest point known of a path after no more than `most` iterations.

        Args:
            path: Its name: all that a training depends on but the number of iterations.
            most: Iterations that are asked for.
        """
        places = self._folder / path
        known = [int(each.name) for each in places.glob("[0-9]*")]
        reached = max((n for n in known if n <= most), default=None)
        if reached is None:
            return None
        place = places / str(reached)
        factors = [np.load(place / name, allow_pickle=False) for name in (_USERS, _ITEMS)]
        points = json.loads((place / _POINTS).read_text(encoding="utf-8"))
        return State(reached, *factors), [CurvePoint(**point) for point in points]

    def save(self, path: str, state: State, points: Sequence[CurvePoint]) -> None:
        """Keep where a training stands; it appears whole or not at all."""
        place = self._folder / path / str(state.iteration)
        if place.exists():
            return
        # Where another worker was first, its folder stays: the bits are the same.
        with atomic_folder(place, durable=True) as new:
            np.save(new / _USERS, state.user_factors, allow_pickle=False)
            np.save(new / _ITEMS, state.item_factors, allow_pickle=False)
            (new / _POINTS).write_text(json.dumps(list(map(asdict, points))), encoding="utf-8")

    def remove(self) -> None:
        """Forget all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)
