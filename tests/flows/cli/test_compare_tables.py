import shlex

from flows.cli.compare_tables import beyond
from recsys.search.widening import Edge


def test_a_comparison_gives_the_experiment_that_searches_beyond_an_edge() -> None:
    typed = shlex.split(
        "compare --plays p.tsv --models als,ease --seeds=3 --tune-once --trials 12 "
        "--set filter.min_items=3 --name mine --json"
    )
    wider = "{low = 2.5, high = 1000.0}"

    command = beyond(typed, Edge("ease", "regularization", "lowest of 10..1000", wider, 2, 3))

    assert shlex.split(command) == [
        *("recsys", "experiment", "--plays", "p.tsv", "--trials", "12"),
        *("--set", "filter.min_items=3", "--model", "ease"),
        *("--set", f"search.regularization={wider}"),
    ]
