import json
import os
from pathlib import Path

import numpy as np
import pytest

from recsys.models.iterative import State
from recsys.search.curves import CurvePoint
from tasks.study.checkpoints import Checkpoints


def state(iteration: int) -> State:
    rng = np.random.default_rng(iteration)
    return State(iteration, {"weights": rng.random((4, 2), dtype=np.float32), "steps": np.array(7)})


def bits(there: State) -> dict[str, tuple[bytes, str]]:
    return {name: (part.tobytes(), str(part.dtype)) for name, part in there.arrays.items()}


def points(n: int) -> list[CurvePoint]:
    return [CurvePoint(i, 0.1 + 0.2 * i, {"ndcg@5": 1 / i, "map@1": 0.3}, 0.7) for i in range(1, n)]


@pytest.fixture
def paths(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "paths")


def test_a_checkpoint_is_read_bit_by_bit_with_its_curve(paths: Checkpoints) -> None:
    paths.save("a", state(3), points(4))

    found = paths.nearest("a", 9)

    assert found is not None
    there, curve = found
    assert there.iteration == 3
    assert bits(there) == bits(state(3))
    assert curve == points(4)


@pytest.mark.parametrize(
    ("most", "expected"), [(1, None), (2, 2), (3, 2), (9, 2), (10, 10), (11, 10), (100, 12)]
)
def test_the_latest_checkpoint_within_the_iterations_is_read(
    paths: Checkpoints, most: int, expected: int | None
) -> None:
    for iteration in (10, 2, 12):
        paths.save("a", state(iteration), [])
    paths.save("other", state(1), [])

    found = paths.nearest("a", most)

    assert (None if found is None else found[0].iteration) == expected


def test_a_new_path_has_no_checkpoint(paths: Checkpoints) -> None:
    paths.save("a", state(1), [])

    assert paths.nearest("b", 9) is None
    assert Checkpoints(Path("/nowhere")).nearest("a", 9) is None


def test_a_checkpoint_that_exists_stays_as_it_is(paths: Checkpoints, tmp_path: Path) -> None:
    paths.save("a", state(3), points(4))
    paths.save("a", State(3, state(8).arrays), [])

    found = paths.nearest("a", 3)

    assert found is not None
    assert bits(found[0]) == bits(state(3))
    assert [path.name for path in (tmp_path / "paths" / "a").iterdir()] == ["3"]


def test_an_interrupted_write_leaves_no_checkpoint(
    paths: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.save("a", state(2), [])
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            paths.save("a", state(3), [])

    found = paths.nearest("a", 9)

    assert found is not None
    assert found[0].iteration == 2
    paths.save("a", state(3), [])
    again = paths.nearest("a", 9)
    assert again is not None
    assert again[0].iteration == 3


def interrupted(*_: object, **__: object) -> str:
    raise KeyboardInterrupt


def test_every_file_is_on_disk_before_it_has_its_name(
    paths: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a checkpoint could be there after a power cut without its bytes."""
    synced: list[str] = []
    sync, rename = os.fsync, Path.rename

    def noting(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def renaming(self: Path, target: Path) -> Path:
        synced.append("renamed")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(Path, "rename", renaming)

    paths.save("a", state(3), points(4))

    before = synced[: synced.index("renamed")]
    assert {"weights.npy", "steps.npy", "points.json"} <= set(before)


def test_all_checkpoints_can_be_removed(paths: Checkpoints, tmp_path: Path) -> None:
    paths.save("a", state(3), [])

    paths.remove()
    paths.remove()

    assert paths.nearest("a", 3) is None
    assert not (tmp_path / "paths").exists()
