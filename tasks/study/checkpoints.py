"""States along a training, at which a trial that differs only in its iterations resumes.

A resumed training gives the same bits as one from the start, so checkpoints change no value.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from recsys.files import atomic_folder
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.iterative import State
from recsys.search.curves import CurvePoint

_ARRAYS, _POINTS = "arrays", "points.json"


class Checkpoints:
    """The states of the trainings of a study after some of their iterations."""

    def __init__(self, folder: Path) -> None:
        """Keep them in a folder, which is made with the first."""
        self._folder = folder

    def nearest(self, path: str, most: int) -> tuple[State, list[CurvePoint]] | None:
        """The latest checkpoint of a path after no more than `most` iterations, with its curve.

        Args:
            path: Key of all that a training depends on but the number of iterations.
            most: Iterations of the training that is to resume.
        """
        places = self._folder / path
        known = [int(each.name) for each in places.glob("[0-9]*")]
        reached = max((n for n in known if n <= most), default=None)
        if reached is None:
            return None
        place = places / str(reached)
        state = State(reached, StoredArrays(place / _ARRAYS).all_dense())
        points = json.loads((place / _POINTS).read_text(encoding="utf-8"))
        return state, [CurvePoint(**point) for point in points]

    def save(self, path: str, state: State, points: Sequence[CurvePoint]) -> None:
        """Write a checkpoint, atomically; one that is there already stays as it is."""
        place = self._folder / path / str(state.iteration)
        if place.exists():
            return
        # Where another worker was first, its folder stays: the bits are the same.
        with atomic_folder(place, durable=True) as new:
            (new / _ARRAYS).mkdir()
            save_arrays(state.arrays, new / _ARRAYS)
            (new / _POINTS).write_text(json.dumps(list(map(asdict, points))), encoding="utf-8")

    def remove(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)
