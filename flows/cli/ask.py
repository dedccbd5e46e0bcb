"""`recsys recommend`, `user`, `similar` and `explain`."""

from typing import Annotated

from cyclopts import Group, Parameter

from flows.cli.session import HERE, Count, Json, Place, RunOption, progress, show

USER = Group("User", sort_key=1)
Text = Annotated[str | None, Parameter(group=USER)]
User = Annotated[
    str | None, Parameter(name="--user", group=USER, metavar="ID", help="A user of the data.")
]
History = Annotated[
    str | None,
    Parameter(
        name="--items",
        group=USER,
        metavar="LIST",
        help='A history: names or ids with plays, 1 by default: "radiohead, muse:3".',
    ),
]
K = Annotated[Count, Parameter(help="How many.")]


def recommend(
    *,
    user: User = None,
    items: History = None,
    country: Annotated[Text, Parameter(metavar="NAME")] = None,
    age: Annotated[float | None, Parameter(group=USER, metavar="YEARS")] = None,
    gender: Text = None,
    include_heard: bool = False,
    k: K = 10,
    run: RunOption = None,
    as_json: Json = False,
    place: Place = HERE,
) -> None:
    """Recommend items to a user.

    To a user of the data, for a new history, for a profile alone, or without any of them.

    Example:
        recsys recommend --user 42
        recsys recommend --items "radiohead, muse:3" --k 5

    Args:
        country: Of a user who is not in the data.
        age: Likewise.
        gender: As in the data: m or f.
        include_heard: Rank the items of the history among the rest.
    """
    from flows import answering
    from flows.cli.answer_tables import recommended_table

    query = answering.UserQuery(user, items, country, age, gender)
    with progress(place):
        answer = answering.recommend(place.open(), run, query, k, include_heard)
    show(answer.as_json(), as_json, lambda: recommended_table(answer))


def user(
    user: str, /, *, k: K = 10, run: RunOption = None, as_json: Json = False, place: Place = HERE
) -> None:
    """Show a user: profile, history, recommended items and what they follow from.

    Example:
        recsys user 42

    Args:
        user: Id of a user of the data.
    """
    from flows.cli.answer_tables import user_tables
    from flows.user_view import view_user

    with progress(place):
        view = view_user(place.open(), run, user, k)
    show(view.as_json(), as_json, lambda: user_tables(view))


def similar(
    item: str, /, *, k: K = 10, run: RunOption = None, as_json: Json = False, place: Place = HERE
) -> None:
    """Show the items most similar to one.

    Example:
        recsys similar muse

    Args:
        item: Name or id.
    """
    from flows import answering
    from flows.cli.answer_tables import similar_table

    with progress(place):
        answer = answering.similar(place.open(), run, item, k)
    show(answer.as_json(), as_json, lambda: similar_table(answer))


def explain(
    *,
    item: str,
    user: User = None,
    items: History = None,
    run: RunOption = None,
    as_json: Json = False,
    place: Place = HERE,
) -> None:
    """Show which items of a history carry a recommendation.

    The score is a sum over the history: what each item adds to it. For ALS it is the score of the
    user solved exactly, which `recommend` ranks by.

    Example:
        recsys explain --user 42 --item muse

    Args:
        item: Name or id of what was recommended.
    """
    from flows import answering
    from flows.cli.answer_tables import explained_table

    query = answering.UserQuery(user, items)
    with progress(place):
        answer = answering.explain(place.open(), run, query, item)
    show(answer.as_json(), as_json, lambda: explained_table(answer))
