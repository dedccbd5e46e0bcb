"""Profiles as numbers: age bands and one-hot columns."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.data.ids import IdMap, Strings
from recsys.dtypes import Int32Array

BANDS = (18, 25, 35, 45, 55)  # ages at which a band begins; the first begins at 0


def age_bands(age: npt.NDArray[np.float32]) -> Int32Array:
    """0-17, 18-24, 25-34, 35-44, 45-54, 55 and above as 0 to 5, int32; -1 for NaN."""
    return np.where(np.isnan(age), -1, np.digitize(age, BANDS)).astype(np.int32)


def known(texts: Strings | None) -> IdMap:
    """The values that occur, without missing and empty texts; none where there are no texts."""
    return IdMap.of([] if texts is None else filter(None, texts.to_pylist()))


def numbered(texts: Strings, values: IdMap) -> Int32Array:
    """The number of each text in `values`, int32; -1 where it is another one or missing."""
    return values.find(texts.fill_null(""))


def one_hot(numbers: Int32Array, width: int) -> csr_matrix:
    """A one in the column of each number, none for -1; float64 CSR, shape (m, width)."""
    rows = np.flatnonzero(numbers >= 0)
    cells = np.ones(len(rows)), (rows, numbers[rows])
    return csr_matrix(cells, shape=(len(numbers), width))
