from recsys.config import ExperimentConfig
from recsys.search.widening import Edge, edges_of, wider_ranges


def config_of(**search: object) -> ExperimentConfig:
    return ExperimentConfig.model_validate({"model": "ease", "search": search})


RANGE = {"low": 10.0, "high": 1000.0, "log": True}


def test_a_parameter_on_an_edge_has_a_range_beyond_it() -> None:
    config = config_of(regularization=RANGE, b={"low": 0, "high": 1}, weighting=["bm25", "log"])

    found = wider_ranges(config, {"regularization": 10.0, "b": 1.0, "weighting": "bm25"})

    edge, wider = found["regularization"]
    assert edge == "lowest of 10..1000"
    assert wider == "{low = 2.5, high = 1000.0, log = true}"
    assert "b" not in found, "the model takes nothing above 1"


def test_only_an_edge_of_most_splits_is_named() -> None:
    config = config_of(regularization=RANGE)
    points = [{"regularization": value} for value in (10.0, 10.02, 1000.0, 10.0)]

    found = edges_of("ease", [(config, point) for point in points])

    wider = "{low = 2.5, high = 1000.0, log = true}"
    assert found == [Edge("ease", "regularization", "lowest of 10..1000", wider, 3, 4)]
    assert edges_of("ease", [(config, point) for point in points[1:3]]) == []


def test_a_parameter_that_the_best_model_does_not_use_has_no_edge() -> None:
    k1 = {"low": 100.0, "high": 500.0, "when": {"weighting": "bm25"}}
    config = config_of(weighting=["bm25", "binary"], k1=k1)
    plain, used = ({"weighting": name, "k1": 100.0} for name in ("binary", "bm25"))

    assert edges_of("ease", [(config, plain)]) == []
    assert [edge.parameter for edge in edges_of("ease", [(config, used)])] == ["k1"]
