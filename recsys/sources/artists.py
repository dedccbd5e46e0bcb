"""Artists from MBIDs and names: which rows are one artist, and its display name."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.dtypes import Int32Array
from recsys.sources.layout import ItemKey
from recsys.sources.merging import Merged, merged
from recsys.sources.usable import Texts

PLAIN: ItemKey = "mbid"  # of items that have one id that is never empty


def number(
    pairs: Texts, spelling: Int32Array, plays: npt.NDArray[np.float64], key: ItemKey
) -> tuple[IdMap, Int32Array, Merged]:
    """The artists of n rows, numbered.

    The display name of an artist is the spelling with most plays (of equals, the smaller by code
    point), or its id if it has no name. With "mbid-else-name" the id of an artist without MBID
    is "name:" and its name, which is never the MBID of another.

    Args:
        pairs: Distinct pairs of MBID or other id and name, each "" where there is none.
        spelling: The pair of each row, int32, shape (n,).
        plays: float64, shape (n,).
        key: What identifies an artist.

    Returns:
        The artists, the number of each row's artist, int32, shape (n,), and the spellings of one
        artist: names, or ids where names tell artists apart.
    """
    items, item_of = IdMap.encode(_keys(pairs.items, pairs.names, key))
    weight = np.bincount(spelling, weights=plays, minlength=len(pairs.items)).astype(np.float64)
    shown = _heaviest(items, item_of, pairs.names, weight)
    named = items.named(shown)
    spelled = pairs.items if key == "name" else pairs.names
    return named, item_of[spelling], merged(named, item_of, spelled, weight)


def named_by(items: IdMap, ids: Strings, names: Strings) -> IdMap:
    """`items` under the names a table gives their ids; the first of equal ids counts."""
    texts = names.take(pc.index_in(items.ids, value_set=ids))
    named = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    return items.named(pc.coalesce(named, items.names))


def _keys(ids: Strings, names: Strings, key: ItemKey) -> Strings:
    match key:
        case "mbid":
            return ids
        case "name":
            return names
        case _:
            return pc.if_else(pc.equal(ids, ""), _joined("name:", names), _escaped(ids))


def _escaped(ids: Strings) -> Strings:
    """Ids that differ from "name:...", whatever they contain; MBIDs do not change."""
    clash = pc.match_substring_regex(ids, "^(name|mbid):")
    return pc.if_else(clash, _joined("mbid:", ids), ids)


def _joined(prefix: str, texts: Strings) -> Strings:
    return pc.binary_join_element_wise(prefix, texts, "")


def _heaviest(
    items: IdMap, item_of: npt.NDArray[np.int32], spelled: Strings, weight: npt.NDArray[np.float64]
) -> Strings:
    """The most played name of each item, or its id where all its names are empty."""
    pairs = pa.table({"item": item_of, "weight": weight, "name": spelled})
    pairs = pairs.filter(pc.not_equal(pairs["name"], ""))
    pairs = pairs.sort_by([("item", "ascending"), ("weight", "descending"), ("name", "ascending")])
    item, first = np.unique(pairs["item"].to_numpy(), return_index=True)
    at = np.full(len(items), -1, dtype=np.int64)
    at[item] = first
    shown = pairs["name"].combine_chunks().take(pa.array(at, mask=at < 0))
    return pc.coalesce(shown, items.ids)
