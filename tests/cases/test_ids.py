"""Ids as people type them on the command line."""

import shlex
from typing import Any

import pytest

from flows.cli.hyphens import ids_kept
from flows.cli.main import build, main

TAKEN = [
    ("recommend --user -Xabc", "recommend --user=-Xabc"),
    ("recommend --user=-Xabc --k 5", "recommend --user=-Xabc --k 5"),
    ("recommend --user -1 --json", "recommend --user=-1 --json"),
    ("recommend --user -", "recommend --user=-"),
    ("recommend --user --Xabc", "recommend --user=--Xabc"),
    ("recommend --items '-a:3, -b'", "recommend '--items=-a:3, -b'"),
    ("explain --user -a --item -x", "explain --user=-a --item=-x"),
    ("lookup --workspace ws -Xabc", "lookup --workspace ws -- -Xabc"),
    ("lookup -Xabc --workspace ws", "lookup --workspace ws -- -Xabc"),
    ("lookup --workspace ws -- -Xabc", "lookup --workspace ws -- -Xabc"),
    ("lookup --item -x", "lookup --item=-x"),
    ("lookup -", "lookup -- -"),
    ("lookup 42 --json", "lookup 42 --json"),
    ("similar -x --k 3", "similar --k 3 -- -x"),
    ("similar -- --x", "similar -- --x"),
    # No ids:
    ("recommend --user --k 5", "recommend --user --k 5"),
    ("recommend --user --kk 5", "recommend --user --kk 5"),
    ("recommend -k 5", "recommend -k 5"),
    ("lookup -h", "lookup -h"),
    ("lookup --workspace -x", "lookup --workspace -x"),
    ("lookup --itme muse", "lookup --itme muse"),
    ("inspect -x", "inspect -x"),
]


@pytest.mark.parametrize(("typed", "read"), [pytest.param(*each, id=each[0]) for each in TAKEN])
def test_an_id_with_a_hyphen_first_is_taken_as_one(typed: str, read: str) -> None:
    """Case 30."""
    words = shlex.split(typed)

    assert ids_kept(build(words), words) == shlex.split(read)


@pytest.mark.parametrize("words", [["-Xabc"], ["--", "-Xabc"]])
def test_lookup_finds_what_was_published_for_it(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 30, to the end of the command line: the function gets the id."""
    asked: list[Any] = []
    monkeypatch.setattr("flows.cli.lookup.lookup", lambda user, /: asked.append(user))

    assert main(["lookup", *words]) == 0
    assert asked == ["-Xabc"]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("lookup --Xabc", "an id that begins so: `recsys lookup -- --Xabc`"),
        ("similar --x", "an id that begins so: `recsys similar -- --x`"),
        ("recommend --user", "--user: give a value (--user=VALUE where it begins with --)"),
        ("lookup -- -x --json", "--json: options stand before --; what follows it is an id"),
        ("lookup --", "give either the id of a user or --item"),
    ],
)
def test_what_cannot_be_an_id_is_explained_in_one_line(
    typed: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 30."""
    monkeypatch.setattr("flows.cli.session.Place.open", lambda self: None)

    code = main(shlex.split(typed))

    (said,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line in said
