"""Published protocols: data, cut, metrics and rows that others measured, one table entry each."""

from recsys.protocols.liang import ML_20M, MSD
from recsys.protocols.lightgcn import AMAZON_BOOK, GOWALLA, YELP2018
from recsys.protocols.others import LASTFM_360K, MOVIELENS_100K, YAMBDA_50M
from recsys.protocols.protocol import Protocol

_ALL = (
    *(ML_20M, MSD),
    *(GOWALLA, YELP2018, AMAZON_BOOK),
    *(LASTFM_360K, MOVIELENS_100K, YAMBDA_50M),
)
PROTOCOLS: dict[str, Protocol] = {each.name: each for each in _ALL}
"""By name."""
