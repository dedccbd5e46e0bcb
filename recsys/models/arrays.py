"""What a model learned, as plain arrays in a folder, from which it is restored without training.

    name.npy      a dense array
    name.npz      a matrix, CSR
    0/name.npy    of the first member of an ensemble

Nothing is pickled, and nothing pickled is read.
"""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, load_npz, save_npz

from recsys.errors import InputError

Array = npt.NDArray[Any] | csr_matrix
ModelArrays = Mapping[str, Array]
"""Arrays by their names; that of a member of an ensemble is `0/name`."""
Kind = TypeVar("Kind", bound=np.generic)
Read = TypeVar("Read", bound=Array)

REMEDY = (
    "bring the file back, or delete this version and its logged model in MLflow and "
    "`recsys register` the run again"
)


def save_arrays(arrays: ModelArrays, folder: Path) -> None:
    """Write a file for each array into a folder that exists, and folders for those of members."""
    for name, array in arrays.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(array, csr_matrix):
            save_npz(path.with_name(f"{path.name}.npz"), array, compressed=False)
        else:
            np.save(path.with_name(f"{path.name}.npy"), array, allow_pickle=False)


@dataclass(frozen=True, slots=True)
class StoredArrays:
    """What `save_arrays` wrote; a file is read when its array is needed.

    Attributes:
        folder: Holds the files.
    """

    folder: Path

    def dense(self, name: str, kind: type[Kind], *shape: int) -> npt.NDArray[Kind]:
        """A dense array.

        Raises:
            InputError: the file is missing or damaged, or has another type or shape.
        """
        return _read(self.folder / f"{name}.npy", _dense, kind, shape)

    def sparse(self, name: str, kind: type[np.generic], *shape: int) -> csr_matrix:
        """A CSR matrix, whose columns are inside of its shape.

        Raises:
            InputError: as in `dense`.
        """
        return _read(self.folder / f"{name}.npz", _sparse, kind, shape)

    def all_dense(self) -> dict[str, npt.NDArray[Any]]:
        """Every dense array of the folder by its name, as it is.

        Raises:
            InputError: a file is damaged.
        """
        return {path.stem: _loaded(path, _dense) for path in sorted(self.folder.glob("*.npy"))}

    def member(self, number: int) -> "StoredArrays":
        """The arrays of a member of an ensemble, counted from 0."""
        return StoredArrays(self.folder / str(number))


def _read(
    path: Path, read: Callable[[Path], Read], kind: type[np.generic], shape: tuple[int, ...]
) -> Read:
    array = _loaded(path, read)
    if array.dtype != kind or array.shape != shape:
        raise InputError(
            f"{path} is {array.dtype} of shape {array.shape}, and {np.dtype(kind)} of shape "
            f"{shape} is needed; {REMEDY}"
        )
    return array


def _loaded(path: Path, read: Callable[[Path], Read]) -> Read:
    try:
        return read(path)
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is missing: another version of recsys wrote this model, or the file was "
            "lost; `recsys promote` its run, which registers it anew, or bring the file back"
        ) from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path} is damaged ({why}); {REMEDY}") from error


def _dense(path: Path) -> npt.NDArray[Any]:
    with path.open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _sparse(path: Path) -> csr_matrix:
    with path.open("rb") as file:  # numpy would leave a damaged one open
        matrix = load_npz(file)
    if not isinstance(matrix, csr_matrix):
        raise ValueError(f"it holds a {type(matrix).__name__}")
    matrix.check_format(full_check=True)
    return matrix
