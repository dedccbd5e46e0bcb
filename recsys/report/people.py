"""The section of users: a few of them with their lists, and a box to look up others."""

from collections.abc import Sequence
from typing import Any

from recsys.report.page import Cards, Section, Text, section
from recsys.report.tables import ListedUser, People, RankedItem, StudyTables
from recsys.report.words import score_text


def users_section(of: StudyTables) -> Section | None:
    """Users drawn at random, with their history and what both models show them."""
    people = of.people
    if people is None or not people.users:
        return None
    models = list(people.users[0].lists)
    one = of.users.removesuffix("s")
    held = len(people.users)
    note = (
        f"{people.shown} {of.users} drawn at random from the {people.judged:,} that were judged, "
        f"so that no flattering one is picked. A hit was held out and is found."
    )
    which = f"all {held:,}" if held == people.judged else f"{held:,} of {people.judged:,}"
    limit = "" if held == people.judged else ", drawn at random, so that the page stays small"
    box = f"The box looks up {which} judged {of.users}{limit}."
    shown = [_card(user, one, models) for user in people.users[: people.shown]]
    cards = Cards(shown, _embedded(people, one, models), one)
    return section("users", f"Sample {of.users}", Text(note), Text(box, "note"), cards)


def _card(user: ListedUser, one: str, models: Sequence[str]) -> dict[str, Any]:
    hits = ", ".join(f"{m} {sum(i.hit for i in user.lists[m])}" for m in models)
    return {
        "title": f"{one} {user.user}: {user.n_history:,} in the history, {user.n_held_out:,} held "
        f"out; hits: {hits}",
        "lists": [
            {"title": "plays most", "items": [_row(each) for each in user.history]},
            *({"title": m, "items": [_row(each) for each in user.lists[m]]} for m in models),
        ],
    }


def _row(item: RankedItem) -> dict[str, Any]:
    return {"name": item.name, "value": score_text(item.score), "hit": item.hit}


def _embedded(people: People, one: str, models: Sequence[str]) -> dict[str, Any]:
    """What the script reads: names once, items by their place among them.

    A user is [id, heading, [items, plays], [[items, scores, places of hits] of each model]].
    """
    places: dict[str, int] = {}

    def at(items: Sequence[RankedItem]) -> list[int]:
        return [places.setdefault(each.name, len(places)) for each in items]

    users = [
        [
            user.user,
            "plays most",
            [at(user.history), [score_text(each.score) for each in user.history]],
            [_list(user.lists[model], at(user.lists[model])) for model in models],
        ]
        for user in people.users
    ]
    return {
        "label": f"Look up a {one} of the test by id",
        "user": one,
        "missing": f"no {one} of this page has the id",
        "names": list(places),
        "lists": list(models),
        "users": users,
    }


def _list(items: Sequence[RankedItem], places: list[int]) -> list[Any]:
    hits = [n for n, each in enumerate(items) if each.hit]
    return [places, [score_text(each.score) for each in items], hits]
