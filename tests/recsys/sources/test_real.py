from pathlib import Path

import pytest

from recsys.sources import parse_columns, read, read_profiles
from recsys.sources.detect import detect

pytestmark = pytest.mark.realdata


def test_the_37_rows_of_the_360k_excerpt(real_data: Path) -> None:
    reading = read(real_data / "lastfm-360k-format/plays_excerpt_37rows.tsv")

    assert detect(real_data / "lastfm-360k-format/plays_excerpt_37rows.tsv") == "lastfm-360k"
    assert (reading.n_rows, len(reading.events), len(reading.events.users)) == (37, 37, 4)
    assert "die Ärzte" in reading.events.items.names.to_pylist()


def test_hetrec_has_the_published_counts(real_data: Path) -> None:
    reading = read(real_data / "hetrec-lastfm-2k/user_artists.dat", strict=True)
    events = reading.events

    assert (len(events), len(events.users), len(events.items)) == (92_834, 1_892, 17_632)
    assert (events.plays.min(), events.plays.max()) == (1, 352_698)
    assert events.items.name(int(events.items.find(["1"])[0])) == "MALICE MIZER"
    assert sum(a != b for a, b in zip(events.items.ids, events.items.names, strict=True)) > 17_600


def test_movielens_has_the_published_counts(real_data: Path) -> None:
    events = read(real_data / "movielens-100k/u.data", strict=True).events

    assert (len(events), len(events.users), len(events.items)) == (100_000, 943, 1_682)
    assert events.items.name(int(events.items.find(["1"])[0])) == "Toy Story (1995)"
    assert events.times is not None


def test_the_events_read_by_position(real_data: Path) -> None:
    columns = parse_columns("user=0,item=1,time=2")
    events = read(real_data / "lastfm-events/events.tsv", columns=columns, strict=True).events

    assert (len(events), len(events.users), len(events.items)) == (129_310, 304, 789)
    assert events.times is not None
    assert events.times.max() // 86_400 == 394


def test_the_profiles_lack_the_published_numbers(real_data: Path) -> None:
    reading = read_profiles(real_data / "lastfm-360k-format/usersha1-profile.tsv", strict=True)

    assert reading.n_rows == len(reading.profiles) == 1_000
    assert reading.missing["gender"] == {"empty": 100}
    assert reading.missing["age"] == {"empty": 222, "out of range": 1}
    assert len(set(reading.profiles.country.to_pylist()) - {None}) == 71
    assert reading.missing["signup"] == {}
