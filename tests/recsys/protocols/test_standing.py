from recsys.protocols.standing import FoundCount, warnings_of


def test_a_warning_names_the_counts_that_must_be_the_published_ones_and_are_not() -> None:
    users = FoundCount("users", 10, 10, exact=True)
    unpublished = FoundCount("test pairs", 7, None, exact=True)
    about = FoundCount("items", 9, 12, exact=False)
    ratings, items = FoundCount("ratings", 5, 6, exact=True), FoundCount("items", 1, 2, exact=True)

    assert warnings_of([users, unpublished, about]) == []
    [line] = warnings_of([ratings, users, items])
    assert line.startswith("ratings, items differ from what is published")
