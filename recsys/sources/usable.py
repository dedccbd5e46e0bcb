"""Usable rows of a log, block by block and all together, with numbers for their texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.dtypes import BoolArray, Float64Array, Int32Array
from recsys.sources.times import Seconds


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """The texts of users and items, by number.

    Attributes:
        users: Ids, pyarrow strings.
        items: Ids, pyarrow strings, one for each pair of id and name.
        names: Names, pyarrow strings, as long as `items`; None where the log has none.
    """

    users: Strings
    items: Strings
    names: Strings | None

    def texts(self) -> Self:
        """Themselves."""
        return self


class Numbered(Protocol):
    """What knows the texts of its numbers, once all rows are read."""

    def texts(self) -> Texts:
        """The texts by number; some may be of no row."""


@dataclass(frozen=True, slots=True, eq=False)
class Usable:
    """Usable rows of one block.

    Attributes:
        users: Numbers of the users, int32, shape (n,).
        items: Numbers of the pairs of id and name, int32, shape (n,).
        plays: float64, shape (n,).
        times: Seconds, int64, shape (n,), if the log has times.
        source: Has the texts of the numbers.
    """

    users: Int32Array
    items: Int32Array
    plays: Float64Array
    times: Seconds | None
    source: Numbered

    @classmethod
    def of(
        cls,
        users: Strings,
        items: Strings,
        names: Strings | None,
        plays: Float64Array,
        times: Seconds | None,
    ) -> Self:
        """Rows of plain texts, each of shape (n,)."""
        user, user_texts = _encoded(users)
        item, item_texts = _encoded(items)
        if names is None:
            return cls(user, item, plays, times, Texts(user_texts, item_texts, None))
        name, name_texts = _encoded(names)
        at, pairs = pd.factorize(item * np.int64(max(len(name_texts), 1)) + name)
        item_of, name_of = np.divmod(pairs, max(len(name_texts), 1))
        texts = Texts(
            user_texts, item_texts.take(pa.array(item_of)), name_texts.take(pa.array(name_of))
        )
        return cls(user, at.astype(np.int32), plays, times, texts)

    def __len__(self) -> int:
        return len(self.plays)


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """All usable rows, in one numbering.

    Attributes:
        users: The users.
        rows: Their numbers, int32, shape (n,).
        pairs: The distinct pairs of item id and name.
        spelling: Number of each row's pair, int32, shape (n,).
        plays: float64, shape (n,).
        times: Seconds, int64, shape (n,), if the log has times.
    """

    users: IdMap
    rows: Int32Array
    pairs: Texts
    spelling: Int32Array
    plays: Float64Array
    times: Seconds | None


def together(parts: Sequence[Usable]) -> Together:
    """The rows of all blocks; at least one."""
    sources = {id(part.source): part.source for part in parts}
    texts = {key: source.texts() for key, source in sources.items()}
    user_maps, user_texts = _united([each.users for each in texts.values()])
    pair_maps, pairs = _united_pairs(list(texts.values()))
    place = {key: at for at, key in enumerate(texts)}
    rows, users = _renumbered(
        [part.users for part in parts],
        [user_maps[place[id(part.source)]] for part in parts],
        user_texts,
    )
    spelling = np.concatenate([pair_maps[place[id(part.source)]][part.items] for part in parts])
    spelling, used = _used(spelling, len(pairs.items))
    mask = pa.array(used)
    names = None if pairs.names is None else pairs.names.filter(mask)
    pairs = Texts(user_texts, pairs.items.filter(mask), names)
    plays = np.concatenate([part.plays for part in parts])
    known = [part.times for part in parts if part.times is not None]
    return Together(users, rows, pairs, spelling, plays, np.concatenate(known) if known else None)


def _encoded(column: Strings) -> tuple[Int32Array, Strings]:
    coded = column.dictionary_encode()
    return coded.indices.to_numpy().astype(np.int32), coded.dictionary


def _united(texts: Sequence[Strings]) -> tuple[list[Int32Array], Strings]:
    """The new number of each text of each array, and all distinct texts."""
    coded = pa.chunked_array(texts, pa.string()).dictionary_encode()
    maps = [chunk.indices.to_numpy().astype(np.int32) for chunk in coded.chunks]
    return maps, coded.chunk(0).dictionary


def _united_pairs(texts: Sequence[Texts]) -> tuple[list[Int32Array], Texts]:
    """The new number of each pair of each source, and all distinct pairs."""
    item_maps, items = _united([each.items for each in texts])
    if texts[0].names is None:
        return item_maps, Texts(items, items, None)
    name_maps, names = _united([each.names for each in texts])
    joined = np.concatenate(item_maps).astype(np.int64) * len(names) + np.concatenate(name_maps)
    number, pairs = pd.factorize(joined)
    item_of, name_of = np.divmod(pairs, len(names))
    sizes = np.cumsum([len(each) for each in item_maps])[:-1]
    made = Texts(items, items.take(pa.array(item_of)), names.take(pa.array(name_of)))
    return np.split(number.astype(np.int32), sizes), made


def _renumbered(
    codes: Sequence[Int32Array], maps: Sequence[Int32Array], texts: Strings
) -> tuple[Int32Array, IdMap]:
    """Numbers of the rows in a map of the texts that they have, and the map."""
    numbers = np.concatenate([to[part] for part, to in zip(codes, maps, strict=True)])
    numbers, used = _used(numbers, len(texts))
    known = texts.filter(pa.array(used))
    order = pc.sort_indices(known).to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    ids = known.take(pa.array(order))
    return rank[numbers], IdMap(ids, ids)


def _used(numbers: Int32Array, n: int) -> tuple[Int32Array, BoolArray]:
    """The numbers without gaps, and which of the n are there."""
    used = np.zeros(n, dtype=np.bool_)
    used[numbers] = True
    if used.all():
        return numbers, used
    return (np.cumsum(used, dtype=np.int32) - 1).astype(np.int32)[numbers], used
