"""The section of users: a few of them with their lists, and a box to look up others."""

from collections.abc import Sequence
from typing import Any

from recsys.report.page import Cards, Section, Text, section
from recsys.report.tables import ListedUser, People, Ranks, StudyTables
from recsys.report.words import score_text

PLAYED = "history, most played first"


def users_section(of: StudyTables) -> Section | None:
    """Users drawn at random, with their history and what both models show them."""
    people = of.people
    if people is None or not people.users:
        return None
    one = of.users.removesuffix("s")
    held = len(people.users)
    note = (
        f"{people.shown} {of.users} drawn at random from the {people.judged:,} that were judged, "
        f"so that no flattering one is picked. A hit was held out and is found."
    )
    which = f"all {held:,}" if held == people.judged else f"{held:,} of {people.judged:,}"
    limit = "" if held == people.judged else ", drawn at random, so that the page stays small"
    box = f"The box looks up {which} judged {of.users}{limit}."
    shown = [_card(user, one, people) for user in people.users[: people.shown]]
    cards = Cards(shown, _embedded(people, one), one)
    return section("users", f"Sample {of.users}", Text(note), Text(box, "note"), cards)


def _card(user: ListedUser, one: str, people: People) -> dict[str, Any]:
    lists = dict(zip(people.models, user.lists, strict=True))
    hits = ", ".join(f"{model} {len(ranks.hits)}" for model, ranks in lists.items())
    return {
        "title": f"{one} {user.user}: {user.n_history:,} in the history, {user.n_held_out:,} held "
        f"out; hits: {hits}",
        "lists": [
            {"title": title, "items": _rows(ranks, people.names)}
            for title, ranks in {PLAYED: user.history, **lists}.items()
        ],
    }


def _rows(ranks: Ranks, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"name": names[item], "value": score_text(score), "hit": n in ranks.hits}
        for n, (item, score) in enumerate(zip(ranks.items, ranks.scores, strict=True))
    ]


def _embedded(people: People, one: str) -> dict[str, Any]:
    """What the script reads: names once, items by their place among them.

    A user is [id, history, [list of each model]]; a list is [items, scores, places of hits].
    """
    return {
        "label": f"Look up a {one} of the test by id",
        "user": one,
        "missing": f"no {one} of this page has the id",
        "names": people.names,
        "lists": [PLAYED, *people.models],
        "users": [(user.user, (user.history, *user.lists)) for user in people.users],
    }
