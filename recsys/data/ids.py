"""Two-way map between external ids (strings) and positions 0..n-1."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Strings = Any  # pyarrow.StringArray; pyarrow ships no types


def strings(values: Iterable[str]) -> Strings:
    """A pyarrow string array of `values`."""
    return pa.array(list(values), type=pa.string())


@dataclass(frozen=True, slots=True, eq=False)
class IdMap:
    """Sorted unique ids; the position in the array is the internal number.

    Sorting (by code point) makes the numbering a function of the *set* of ids, so the same
    data in another row order gives the same matrices.

    Attributes:
        ids: External ids, pyarrow string array of length n.
        names: Display name of each id, pyarrow string array of length n; the ids themselves
            where no names are known.
    """

    ids: Strings
    names: Strings

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.names):
            raise ValueError(f"{len(self.ids)} ids but {len(self.names)} names")
        if self.ids.null_count or self.names.null_count:
            raise ValueError("an id or a name is null")
        if len(self.ids) > 1 and not pc.all(pc.less(self.ids[:-1], self.ids[1:])).as_py():
            raise ValueError("ids must be sorted and unique; use IdMap.of() or IdMap.encode()")

    @classmethod
    def of(cls, values: Iterable[str]) -> Self:
        """Build a map from ids in any order, repeats allowed; the ids are their own names."""
        ids = strings(sorted(set(values)))
        return cls(ids, ids)

    @classmethod
    def encode(cls, values: Strings) -> tuple[Self, npt.NDArray[np.int32]]:
        """A map of the distinct `values`, and the number of each value.

        Args:
            values: pyarrow string array or chunked array, plain or dictionary encoded, no nulls.

        Returns:
            The map, and int32 numbers of shape (len(values),).
        """
        chunked = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
        if not pa.types.is_dictionary(chunked.type):
            chunked = chunked.dictionary_encode()
        coded = chunked.unify_dictionaries().combine_chunks()
        coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
        codes = coded.indices.to_numpy(zero_copy_only=False)
        used = np.unique(codes)
        distinct = coded.dictionary.cast(pa.string()).take(pa.array(used))
        order = pc.sort_indices(distinct).to_numpy()
        renumbered = np.full(len(coded.dictionary), -1, dtype=np.int32)
        renumbered[used[order]] = np.arange(len(order), dtype=np.int32)
        ids = distinct.take(pa.array(order))
        return cls(ids, ids), renumbered[codes]

    def __repr__(self) -> str:
        return f"IdMap: {len(self):,} ids"

    def __len__(self) -> int:
        return len(self.ids)

    def named(self, names: Strings) -> Self:
        """The same ids under other display names, pyarrow string array of length n."""
        return type(self)(self.ids, names)

    def find(self, ids: Iterable[str] | Strings) -> npt.NDArray[np.int32]:
        """Positions of `ids`, int32, -1 where an id is not in the map."""
        wanted = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else strings(ids)
        positions = pc.fill_null(pc.index_in(wanted, value_set=self.ids), -1)
        return np.asarray(positions.to_numpy(zero_copy_only=False), dtype=np.int32)

    def numbers(self, ids: Iterable[str] | Strings) -> npt.NDArray[np.int32]:
        """Positions of `ids`, int32.

        Raises:
            KeyError: an id is not in the map; the message names it.
        """
        wanted = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else strings(ids)
        numbers = self.find(wanted)
        if (unknown := np.flatnonzero(numbers < 0)).size:
            raise KeyError(f"unknown id {wanted[int(unknown[0])].as_py()!r}")
        return numbers

    def id(self, number: int) -> str:
        """The external id at position `number`."""
        return str(self.ids[int(number)].as_py())

    def name(self, number: int) -> str:
        """The display name at position `number`."""
        return str(self.names[int(number)].as_py())

    def where(self, keep: npt.NDArray[np.bool_]) -> Self:
        """The ids where `keep`, bool of shape (n,), is true, numbered anew."""
        mask = pa.array(keep)
        return type(self)(self.ids.filter(mask), self.names.filter(mask))
