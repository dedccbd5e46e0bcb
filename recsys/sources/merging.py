"""Spellings that were taken for one item: how many, and where most plays are under another one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.dtypes import Int32Array

_SHOWN = 5  # items, and spellings of one


@dataclass(frozen=True, slots=True)
class MergedItem:
    """An item with several spellings.

    Attributes:
        name: That is shown.
        n_spellings: How many there are.
        spellings: Text and plays of the most played ones, these first.
    """

    name: str
    n_spellings: int
    spellings: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """The items that several spellings were taken for.

    Attributes:
        items: How many.
        spellings: Their spellings beyond one each.
        biggest: Those with most plays under other spellings than the most played one.
    """

    items: int
    spellings: int
    biggest: tuple[MergedItem, ...]


def merged(
    items: IdMap, item_of: Int32Array, texts: Strings, weight: npt.NDArray[np.float64]
) -> Merged:
    """The items that have several texts; an empty text is none.

    Args:
        items: With the names that are shown.
        item_of: The item of each of n texts, int32, shape (n,).
        texts: Names; ids where the names tell items apart.
        weight: Plays of each, float64, shape (n,).
    """
    every = pa.table({"item": item_of, "text": texts, "plays": weight})
    every = every.filter(pc.not_equal(every["text"], ""))
    spelled = every.group_by(["item", "text"]).aggregate([("plays", "sum")])
    order = [("item", "ascending"), ("plays_sum", "descending"), ("text", "ascending")]
    spelled = spelled.sort_by(order)
    item, plays = spelled["item"].to_numpy(), spelled["plays_sum"].to_numpy()
    own, first, counts = np.unique(item, return_index=True, return_counts=True)
    if not len(own):
        return Merged(0, 0, ())
    other = np.add.reduceat(plays, first) - plays[first]  # 0 of an item with one spelling
    most = np.argsort(-other, kind="stable")[:_SHOWN]
    biggest = [
        MergedItem(
            items.name(int(own[n])),
            int(counts[n]),
            tuple(
                (str(row["text"]), float(row["plays_sum"]))
                for row in spelled.slice(first[n], min(counts[n], _SHOWN)).to_pylist()
            ),
        )
        for n in most
        if counts[n] > 1
    ]
    several = counts[counts > 1]
    return Merged(len(several), int((several - 1).sum()), tuple(biggest))
