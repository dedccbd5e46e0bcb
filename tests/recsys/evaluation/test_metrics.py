import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from recsys.dtypes import Int64Array
from recsys.evaluation.metrics import METRICS, OFFERED, Hits, column, parsed

ALL = pytest.mark.parametrize("name", list(OFFERED))


@st.composite
def judged(draw: st.DrawFn) -> tuple[Hits, Int64Array, list[int]]:
    """Hits, number of relevant items (at least the hits) and some cut-offs."""
    m, kmax = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    row = st.lists(st.booleans(), min_size=kmax, max_size=kmax)
    hits = np.array(draw(st.lists(row, min_size=m, max_size=m)), dtype=bool)
    extra = draw(st.lists(st.integers(0, 12), min_size=m, max_size=m))
    n_relevant = np.maximum(hits.sum(axis=1) + extra, 1).astype(np.int64)
    ks = draw(st.lists(st.integers(1, kmax), min_size=1, max_size=4, unique=True))
    return hits, n_relevant, sorted(ks)


def slow(name: str, row: list[bool], n_relevant: int, k: int) -> float:
    """One user, one cut-off, in plain loops over ranks from 1."""
    hit_ranks = [rank for rank in range(1, k + 1) if row[rank - 1]]
    best = min(k, n_relevant)
    match name:
        case "precision":
            return len(hit_ranks) / k
        case "recall":
            return len(hit_ranks) / n_relevant
        case "capped_recall":
            return len(hit_ranks) / best
        case "ndcg":
            gain = sum(1 / np.log2(rank + 1) for rank in hit_ranks)
            return float(gain / sum(1 / np.log2(rank + 1) for rank in range(1, best + 1)))
        case "map":
            return sum(sum(row[:rank]) / rank for rank in hit_ranks) / best
        case "mrr":
            return 1 / hit_ranks[0] if hit_ranks else 0.0
        case "hit_rate":
            return float(bool(hit_ranks))
    raise AssertionError(name)


@ALL
@given(data=judged())
def test_every_metric_equals_a_slow_loop(
    name: str, data: tuple[Hits, Int64Array, list[int]]
) -> None:
    hits, n_relevant, ks = data

    values = OFFERED[name](hits, n_relevant, ks)

    expected = [
        [slow(name, row, int(n), k) for k in ks]
        for row, n in zip(hits.tolist(), n_relevant, strict=True)
    ]
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_values_of_a_list_worked_out_by_hand() -> None:
    hits = np.array([[False, True, True, False]])
    n_relevant = np.array([3])

    found = {name: metric(hits, n_relevant, [1, 3])[0] for name, metric in OFFERED.items()}

    dcg, ideal = 1 / np.log2(3) + 1 / np.log2(4), 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found["precision"] == pytest.approx([0, 2 / 3])
    assert found["recall"] == pytest.approx([0, 2 / 3])
    assert found["capped_recall"] == pytest.approx([0, 2 / 3])
    assert found["ndcg"] == pytest.approx([0, dcg / ideal])
    assert found["map"] == pytest.approx([0, (1 / 2 + 2 / 3) / 3])
    assert found["mrr"] == pytest.approx([0, 1 / 2])
    assert found["hit_rate"] == pytest.approx([0, 1])


@pytest.mark.parametrize("k", [1, 3, 10, 30])
def test_ndcg_agrees_with_scikit_learn_on_binary_relevance(
    rng: np.random.Generator, k: int
) -> None:
    relevant = rng.random((40, 30)) < 0.2
    relevant[:, 0] = True
    scores = rng.random(relevant.shape)
    hits = np.take_along_axis(relevant, np.argsort(-scores, axis=1), axis=1)

    ours = METRICS["ndcg"](hits, relevant.sum(axis=1), [k])

    assert ours.mean() == pytest.approx(ndcg_score(relevant, scores, k=k, ignore_ties=True))


@given(st.sampled_from(list(OFFERED)), st.integers(1, 500))
def test_names_are_read_as_they_are_written(metric: str, k: int) -> None:
    assert parsed(column(metric, k)) == (metric, k)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ngcd@10", "unknown metric 'ngcd@10'; offered are precision"),
        ("coverage@10", "unknown metric"),
        ("ndcg", "write ndcg@10"),
        ("ndcg@0", "no cut-off"),
        ("ndcg@-1", "no cut-off"),
        ("ndcg@1.5", "no cut-off"),
    ],
)
def test_a_name_that_is_no_metric_is_refused(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parsed(name)
