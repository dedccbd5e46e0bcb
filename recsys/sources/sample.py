"""An invented listening log in the Last.fm 360K format, learnable, and untidy like the real one.

How it is drawn: artists belong to a few of up to 32 overlapping taste groups and have a
popularity that falls with their rank (Zipf-Mandelbrot). A listener's weight on each group
depends on country, gender and age, and for the most part on the person. Every listen draws a
group, then an artist in it; a share of them are strays into a random group, which get few
plays, while the favourite groups get many. So play counts show taste, with noise.

All arrays over listens have one entry per row of the file, shape (n,); listeners and
artists are numbered from 0, listeners in the order of their ids, artists by falling popularity.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.bounds import SAMPLE
from recsys.dtypes import Float64Array, Int64Array
from recsys.errors import InputError
from recsys.files import atomic_file
from recsys.seeds import seed_for

Table = Any  # pyarrow.Table; pyarrow ships no types

GROUPS = 32
MEMBERSHIPS = (0.72, 0.2, 0.08)  # an artist's share in its first, second and third group
STRAYS = 0.15
FEWEST_ARTISTS = 10
ROWS_AT_ONCE = 1_000_000  # in one string array, which ends at 2 GiB

# Share of listeners by country, about as in the real data.
COUNTRIES = {
    "United States": 19.0, "United Kingdom": 9.0, "Germany": 9.0, "Poland": 6.0, "Brazil": 5.0,
    "Russian Federation": 5.0, "Sweden": 4.0, "Finland": 4.0, "Spain": 4.0, "Canada": 3.5,
    "France": 3.0, "Netherlands": 3.0, "Australia": 2.5, "Japan": 2.5, "Italy": 2.5,
    "Norway": 2.0, "Turkey": 2.0, "Ukraine": 2.0, "Mexico": 2.0, "Portugal": 1.5,
    "Czech Republic": 1.5, "Chile": 1.0, "Cote D'Ivoire": 0.5,
}  # fmt: skip
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

ADJECTIVES = """Velvet Quiet Copper Distant Hollow Amber Paper Silver Crooked Gentle Restless Marble
    Northern Salted Wooden Faded Electric Patient Scarlet Borrowed Tidal Dusty Midnight Golden
    Broken Second Sleepless Ivory Careful Burning Lonesome Polite Static Winter Emerald Feral
    Glass Humble Invisible Lunar"""
NOUNS = """Harbour Engine Lantern Orchard Meridian Sparrow Cathedral Compass Parade Balcony Signal
    Tramway Garden Archive Staircase Pilgrim Almanac Ferry Window Satellite Hedgehog Carnival
    Telegraph Meadow Chimney Turbine Glacier Kettle Monsoon Viaduct Foxglove Pendulum Circuit
    Antler Mirror Beacon Cartographer Thimble Avalanche Caravan Lighthouse Typewriter Canyon
    Umbrella Zeppelinist Quarry Bicycle Puppeteer"""
FIRST = """Ada Ilse Marlow Tobin Wren Cosmo Delphine Otis Petra Quentin Rosalind Silas Thea Ulric
    Vesper Winifred Xenia Yoric Zelda Ambrose Bettina Caspian Dorothea Ephraim"""
LAST = """Marrow Larkin Thistlewood Quill Vane Harrowgate Pemberly Ashdown Brackwater Coldwell
    Dunmore Elderfield Fenwhistle Greyling Hollins Inkpen Jessop Kestrelton Lockridge Mossop
    Nettleship Oakhanger Pettibone Rookwood"""
NICKNAMES = """Strange Iron Lucky Slow Tiny Doc Thunder Sugar Rusty Bishop Cricket Dizzy Foggy
    Gravel Handsome Lefty"""
WORLD_FIRST = "Søren Zoë Łucja Björn Íris Gülşen Håkan Šárka Ñusta Åsa Jérôme Ölgyay"
WORLD_LAST = "Ångholm Núñovar Żabińka Øksedal Čermákov Çiçekli Lèveque Grünspan Þorvik"
CYRILLIC_FIRST = "Тихий Северный Белый Ночной Старый Медный Дальний Летний Пустой"
CYRILLIC_LAST = "Фонарь Маяк Причал Трамвай Снегирь Колодец Парус Чердак Метроном"
KANJI_FIRST = "夜 海 森 星 風 雪 雨 月 硝子 夕暮れ"
KANJI_LAST = "灯台 機関車 手紙 図書館 温室 羅針盤 傘 階段 電波 庭園"

# Template, first words, second words.
KINDS = (
    ("{} {}", ADJECTIVES, NOUNS),
    ("The {} {}s", ADJECTIVES, NOUNS),
    ("{} of the {}", NOUNS, NOUNS),
    ("{} {}", FIRST, LAST),
    ('"{}" {}', NICKNAMES, LAST),
    ('{} 7" {}', ADJECTIVES, NOUNS),  # a quote that never closes
    ("{} {}", WORLD_FIRST, WORLD_LAST),
    ("{} {}", CYRILLIC_FIRST, CYRILLIC_LAST),
    ("{}の{}", KANJI_FIRST, KANJI_LAST),
)
# Artist i has a name of kind KIND_OF[i % 20], so that even ten artists show most oddities.
KIND_OF = np.array([0, 1, 4, 6, 2, 1, 0, 3, 5, 1, 0, 2, 3, 0, 7, 1, 2, 8, 0, 1])


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An invented log; every column is a pyarrow string column.

    Attributes:
        plays: Columns user, mbid, name, plays; by user id, then by falling plays.
        profiles: Columns user, gender, age, country, signup; by user id.
    """

    plays: Table
    profiles: Table


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """The true listeners; their profiles hold less than this."""

    ids: list[str]
    country: Int64Array
    gender: Int64Array  # 1 female, 0 male
    age: Int64Array  # years


def make_sample(users: int = 5000, artists: int = 3000, seed: int = 0) -> Sample:
    """An invented log of `users` listeners; each of the `artists` has at least one of them.

    The same arguments give the same sample. (NumPy promises its random streams within a
    version only, and the last bit of exp may differ between processors; a difference shows
    only where that bit decides a draw.)

    Raises:
        InputError: fewer than 1 user, fewer than 10 artists, a negative seed, or too many.
    """
    for name, value, least, most in (
        ("users", users, 1, SAMPLE),
        ("artists", artists, FEWEST_ARTISTS, SAMPLE),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            bound = f"use {least} or more" if value < least else f"use at most {most:,}"
            raise InputError(f"a sample cannot have {name} = {value}: {bound}")
    people = _people(users, seed)
    listeners, liked, plays = _listens(people, artists, seed)
    listeners, spelled, plays = _spelled(listeners, liked, plays, artists, _rng(seed, "spelling"))
    order = np.lexsort((spelled, -plays, listeners))
    names, mbids = _names(artists, _rng(seed, "names")), _mbids(artists, _rng(seed, "mbids"))
    spellings = pa.array(names + [name.lower() for name in names])
    log = {
        "user": pa.array(people.ids).take(pa.array(listeners[order])),
        "mbid": pa.array(mbids * 2).take(pa.array(spelled[order])),
        "name": spellings.take(pa.array(spelled[order])),
        "plays": pa.array(plays[order]).cast(pa.string()),
    }
    return Sample(pa.table(log), _profiles(people, _rng(seed, "profiles")))


def write_sample(sample: Sample, plays: Path, profiles: Path) -> None:
    """Write both files, tab-separated without header; each is written atomically."""
    _write(sample.plays, plays)
    _write(sample.profiles, profiles)


def _write(table: Table, path: Path) -> None:
    with atomic_file(path) as new, new.open("wb") as file:
        for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
            *fields, last = batch.columns
            ends = pc.binary_join_element_wise(last, "\n", "")
            # The values of a string array lie end to end: they are the text of the file.
            file.write(pc.binary_join_element_wise(*fields, ends, "\t").buffers()[2])


def _rng(seed: int, use: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed_for(seed, "sample", use)))


def _people(n: int, seed: int) -> _People:
    rng = _rng(seed, "people")
    share = np.array(list(COUNTRIES.values()))
    return _People(
        ids=sorted(hashlib.sha1(f"{seed}/{i}".encode()).hexdigest() for i in range(n)),
        country=rng.choice(len(share), n, p=share / share.sum()),
        gender=(rng.random(n) < 0.3).astype(np.int64),
        age=np.clip(np.rint(14 + rng.gamma(2.2, 4.8, n)), 13, 79).astype(np.int64),
    )


def _tastes(people: _People, groups: int, rng: np.random.Generator) -> Float64Array:
    """The share of each group in the taste of each listener, shape (n_users, groups)."""
    by_country = rng.normal(0, 1.1, (len(COUNTRIES), groups))
    by_gender, by_age, size = rng.normal(0, [[0.8], [0.9], [0.5]], (3, groups))
    years = np.clip((people.age - 24.0) / 8, -1.5, 3)
    liking = size + by_country[people.country]
    liking += np.outer(2.0 * people.gender - 1, by_gender) + np.outer(years, by_age)
    liking += rng.normal(0, 1.8, liking.shape)
    weight = np.exp(liking)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _memberships(
    artists: int, groups: int, rng: np.random.Generator
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Group, artist and mass of every membership, by group, then by artist; shape (3 artists,)."""
    popularity = (np.arange(artists) + 0.03 * artists + 1) ** -1.7
    first = rng.permutation(np.arange(artists) % groups)  # no group stays without artists
    others = rng.integers(0, groups, (2, artists))
    group = np.concatenate([first, others.ravel()])
    artist = np.tile(np.arange(artists), 3)
    mass = np.outer(MEMBERSHIPS, popularity * np.exp(rng.normal(0, 0.4, artists))).ravel()
    order = np.lexsort((artist, group))
    return group[order], artist[order], mass[order]


def _draw(
    tastes: Float64Array, owner: Int64Array, artists: int, rng: np.random.Generator
) -> tuple[Int64Array, Int64Array, npt.NDArray[np.bool_]]:
    """Group and artist of each draw, made for the listener `owner`, and whether it is a stray."""
    n_users, groups = tastes.shape
    ladder = (np.cumsum(tastes, axis=1) + np.arange(n_users)[:, None]).ravel()
    at = np.searchsorted(ladder, owner + rng.random(len(owner)), side="right")
    group = np.clip(at - owner * groups, 0, groups - 1)
    stray = rng.random(len(owner)) < STRAYS
    group[stray] = rng.integers(0, groups, int(stray.sum()))
    of_group, of_artist, mass = _memberships(artists, groups, rng)
    first, last = (np.searchsorted(of_group, np.arange(groups), side) for side in ("left", "right"))
    heights = np.concatenate([[0.0], np.cumsum(mass)])
    # Groups list famous artists first: a power above 1 makes a listener keep to these.
    fame = np.exp(rng.normal(0, 0.3, n_users))
    step = rng.random(len(owner)) ** fame[owner] * (heights[last] - heights[first])[group]
    pick = np.searchsorted(heights, heights[first][group] + step, side="right") - 1
    return group, of_artist[np.clip(pick, first[group], last[group] - 1)], stray


def _how_many(users: int, artists: int, rng: np.random.Generator) -> Int64Array:
    """Number of artists of each listener: about 50, for some fewer, shape (n_users,)."""
    many = np.rint(rng.normal(53, 8, users))
    few = rng.integers(1, 25, users)
    wanted = np.where(rng.random(users) < 0.08, few, many)
    return np.clip(wanted, 1, max(1, artists // 4)).astype(np.int64)


def _listens(people: _People, artists: int, seed: int) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Listener, artist and plays of each pair, every artist at least once."""
    rng = _rng(seed, "listens")
    n_users = len(people.ids)
    tastes = _tastes(people, min(GROUPS, artists), _rng(seed, "tastes"))
    wanted = _how_many(n_users, artists, rng)
    owner = np.repeat(np.arange(n_users), 3 * wanted)
    group, artist, stray = _draw(tastes, owner, artists, rng)
    kept = np.sort(np.unique(owner * artists + artist, return_index=True)[1])
    place = np.arange(len(kept)) - np.searchsorted(owner[kept], owner[kept])
    kept = kept[place < wanted[owner[kept]]]
    owner, artist = owner[kept], artist[kept]
    fondness = np.log(tastes / tastes.max(axis=1, keepdims=True))[owner, group[kept]]
    fondness = np.where(stray[kept], -4.5, np.maximum(fondness, -4.5))
    level = rng.normal(5.1, 1.0, n_users)[owner] + 0.5 * fondness
    plays = np.maximum(1, np.rint(np.exp(level + rng.normal(0, 1.0, len(owner)))))
    unheard = np.setdiff1d(np.arange(artists), artist)
    return (
        np.concatenate([owner, rng.integers(0, n_users, len(unheard))]),
        np.concatenate([artist, unheard]),
        np.concatenate([plays, rng.integers(1, 20, len(unheard))]).astype(np.int64),
    )


def _spelled(
    listeners: Int64Array,
    liked: Int64Array,
    plays: Int64Array,
    artists: int,
    rng: np.random.Generator,
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Listener, spelling and plays: artist number, plus `artists` for the second spelling.

    One artist in 60 has two; a few listeners have both, on two rows.
    """
    draw = rng.random(len(liked))
    double = liked % 60 == 5  # a name in capitals, and never one without MBID: see _mbids
    both = np.flatnonzero(double & (draw > 0.95))
    spelled = liked + artists * (double & (draw < 0.35))
    return (
        np.concatenate([listeners, listeners[both]]),
        np.concatenate([spelled, liked[both] + artists]),
        np.concatenate([plays, 1 + plays[both] // 4]),
    )


def _names(artists: int, rng: np.random.Generator) -> list[str]:
    """Invented distinct names; a number makes names distinct when the words run out."""
    names = [""] * artists
    kind_of = np.resize(KIND_OF, artists)
    for kind, (template, *words) in enumerate(KINDS):
        firsts, seconds = (text.split() for text in words)
        order = rng.permutation(len(firsts) * len(seconds))
        for used, artist in enumerate(np.flatnonzero(kind_of == kind)):
            turn, at = divmod(used, len(order))
            first, second = divmod(int(order[at]), len(seconds))
            name = template.format(firsts[first], seconds[second])
            names[artist] = f"{name} {turn + 1}" if turn else name
    return names


def _mbids(artists: int, rng: np.random.Generator) -> list[str]:
    """Random UUIDs, shape (artists,); one in 25 is empty."""
    numbers = (rng.bytes(16) for _ in range(artists))
    return [
        "" if artist % 25 == 7 else str(UUID(bytes=number, version=4))
        for artist, number in enumerate(numbers)
    ]


def _profiles(people: _People, rng: np.random.Generator) -> Table:
    """Profiles with some empty fields; one age is 1337 and one -1."""
    n = len(people.ids)
    gender = np.where(people.gender == 1, "f", "m").astype(object)
    gender[rng.random(n) < 0.08] = ""
    age = people.age.astype(str).astype(object)
    age[rng.random(n) < 0.2] = ""
    if n >= 20:
        age[rng.choice(n, 2, replace=False)] = ["1337", "-1"]
    country = np.array(list(COUNTRIES), dtype=object)[people.country]
    country[rng.random(n) < 0.005] = ""
    days = np.datetime64("2003-02-01") + rng.integers(0, 2_400, n)
    columns = (people.ids, gender, age, country, _dates(days.tolist()))
    fields = ("user", "gender", "age", "country", "signup")
    return pa.table({f: pa.array(c, pa.string()) for f, c in zip(fields, columns, strict=True)})


def _dates(days: Iterable[Any]) -> list[str]:
    """Dates as Last.fm writes them in every locale, "Feb 1, 2007"."""
    return [f"{MONTHS[day.month - 1]} {day.day}, {day.year}" for day in days]
