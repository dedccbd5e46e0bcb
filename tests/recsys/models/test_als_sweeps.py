"""The kernels of ALS beside slow references in float64, and beside implicit from the same start."""

from typing import Any

import numpy as np
import pytest
from implicit.cpu.als import _als
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float32Array
from recsys.models import als_implicit, als_sweeps
from recsys.models.als import Als
from recsys.models.als_scaled import Regularization
from recsys.models.als_sweeps import LANES, Sweeps, exact, padded
from tests.recsys.models.als_equations import Dense, config_of, random_cells, solved

FEW_ITEMS = (120, 18)
wide_and_narrow = pytest.mark.parametrize("factors", [1, 5, 16, 40])  # 40: more than items


def problem(shape: tuple[int, int], seed: int = 3) -> csr_matrix:
    """Confidences; a row and a column without a cell, and rows of 1 to all cells."""
    rng = np.random.default_rng(seed)
    there = rng.random(shape) < np.linspace(0.02, 0.9, shape[1])
    there[4], there[:, 6] = False, False
    return csr_matrix(np.where(there, 1 + 20 * rng.random(shape) ** 3, 0).astype(np.float32))


def start(shape: tuple[int, int], factors: int) -> tuple[Float32Array, Float32Array]:
    rng = np.random.default_rng(8)
    users, items = (rng.normal(0, 0.3, (n, factors)).astype(np.float32) for n in shape)
    return users, items


def stepped(cells: csr_matrix, mine: Dense, others: Dense, lambdas: Dense) -> Dense:
    """Three steps of conjugate gradient in float64, row by row, with the matrix written out."""
    c = cells.toarray().astype(np.float64)
    moved = []
    for weights, x, mu in zip(c, mine, lambdas, strict=True):
        met = weights > 0
        left = others.T @ np.diag(np.where(met, weights, 1)) @ others + mu * np.eye(len(x))
        r = others.T @ weights - left @ x
        p = r
        for _ in range(3 if met.any() else 0):
            if r @ r < 1e-20:
                break
            length = (r @ r) / (p @ left @ p)
            x, before, r = x + length * p, r, r - length * (left @ p)
            p = r + (r @ r) / (before @ before) * p
        moved.append(x if met.any() else 0 * x)
    return np.array(moved)


def distance(scores: Any, expected: Any) -> float:
    """Relative, over all pairs."""
    return float(np.linalg.norm(scores - expected) / np.linalg.norm(expected))


def swept(cells: csr_matrix, scaled: Regularization, factors: int, sweeps: int = 1) -> Any:
    users, items = map(padded, start(cells.shape, factors))
    move = Sweeps(cells, scaled, factors, 2)
    with threadpool_limits(1, "blas"):
        for _ in range(sweeps):
            move(users, items, False)
    assert not users[:, factors:].any()
    assert not items[:, factors:].any()
    return users @ items.T


@wide_and_narrow
@pytest.mark.parametrize("nu", [0.0, 0.7])
def test_a_sweep_takes_the_steps_that_the_equations_say(factors: int, nu: float) -> None:
    cells = problem(FEW_ITEMS)
    scaled = Regularization.of(config_of(nu=nu), cells)

    scores = swept(cells, scaled, factors)

    x, y = (f.astype(np.float64) for f in start(cells.shape, factors))
    turned = csr_matrix(cells.T)
    x = stepped(cells, x, y, scaled.of_users(np.diff(cells.indptr)))
    y = stepped(turned, y, x, scaled.of_items(np.diff(turned.indptr)))
    assert distance(scores, x @ y.T) < 1e-4


@wide_and_narrow
def test_a_sweep_gives_the_scores_of_implicit_from_the_same_start(factors: int) -> None:
    cells = problem((300, 70))

    scores = swept(cells, Regularization(2.0, 0.0, 1.0, 1.0), factors)

    users, items = start(cells.shape, factors)
    with threadpool_limits(1, "blas"):
        als_implicit.sweeps(cells, 2.0, 1)(users, items, False)
    assert distance(scores, users @ items.T) < 1e-4


def test_the_loss_is_that_of_implicit() -> None:
    cells = problem((300, 70))
    users, items = map(padded, start(cells.shape, 16))

    with threadpool_limits(1, "blas"):
        loss = Sweeps(cells, Regularization(2.0, 0.0, 1.0, 1.0), 16, 2)(users, items, True)
        theirs = _als.calculate_loss(cells, users, items, 2.0, num_threads=1)

    assert loss == pytest.approx(theirs, rel=1e-5)


def test_with_many_steps_a_row_solves_its_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als_sweeps, "STEPS", 60)
    cells, factors = problem(FEW_ITEMS), 12
    users, items = map(padded, start(cells.shape, factors))

    with threadpool_limits(1, "blas"):
        Sweeps(cells, Regularization(2.0, 0.0, 1.0, 1.0), factors, 1)(users, items, False)

    c = cells.toarray().astype(np.float64).T
    expected = solved(np.where(c > 0, c, 1), c > 0, users[:, :factors], np.full(len(c), 2.0))
    np.testing.assert_allclose(items[:, :factors], expected, atol=1e-4)


@pytest.mark.parametrize(("name", "value"), [("ROWS", 7), ("LEAST", 1), ("LEAST", 90)])
def test_the_size_of_blocks_changes_next_to_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    cells, scaled = problem(FEW_ITEMS), Regularization(2.0, 0.0, 1.0, 1.0)
    usual = swept(cells, scaled, 5, sweeps=5)

    monkeypatch.setattr(als_sweeps, name, value)

    np.testing.assert_allclose(swept(cells, scaled, 5, sweeps=5), usual, atol=1e-4)


@pytest.mark.parametrize("factors", [1, 5, 8, 16, 40, 70])
def test_exact_rows_solve_their_equations(factors: int) -> None:
    cells, others = problem((40, 60)), start((40, 60), factors)[1]
    lambdas = np.linspace(0.5, 9, 40)

    rows = exact(cells, lambdas, others, others.T.astype(np.float64) @ others, 2)

    c = cells.toarray().astype(np.float64)
    expected = solved(np.where(c > 0, c, 1), c > 0, others, lambdas)
    np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-4)
    assert not rows[4].any()


def test_a_row_that_float32_cannot_factorise_is_solved_in_float64() -> None:
    """Factors of rank 1 and next to no regularization: rounding makes the matrix indefinite."""
    cells = problem((40, 60))
    others = np.outer(start((40, 60), 1)[1][:, 0], np.linspace(1, 2, 24)).astype(np.float32) * 50
    lambdas = np.full(40, 1e-3)

    rows = exact(cells, lambdas, others, others.T.astype(np.float64) @ others, 1)

    scores = rows.astype(np.float64) @ others.T
    c = cells.toarray().astype(np.float64)
    expected = solved(np.where(c > 0, c, 1), c > 0, others, lambdas) @ others.T
    np.testing.assert_allclose(scores, expected, atol=1e-2)


def test_padding_aligns_rows_and_adds_zeros() -> None:
    factors = np.ones((3, 5), np.float32)

    wide = padded(factors)

    assert wide.shape == (3, LANES)
    assert wide.ctypes.data % 64 == 0
    assert wide[:, :5].all()
    assert not wide[:, 5:].any()


def test_the_native_engine_needs_no_implicit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise AssertionError("implicit was loaded")

    monkeypatch.setattr(als_implicit, "_solver", refused)
    train, users = random_cells(), np.arange(25, dtype=np.int32)

    model = Als(config_of(), 1).fit(train)

    assert (model.fold_in(train, users, 3).items >= 0).any()


def test_a_training_of_implicit_is_resumed_by_the_kernels_and_the_other_way() -> None:
    train, factors = random_cells(200, 60), 12
    both = [config_of(factors=factors, iterations=4, engine=e) for e in ("native", "implicit")]
    scores = []
    for first in both:
        half = Als(first.model_copy(update={"iterations": 2}), 1).fit(train).state()
        for rest in both:
            model = Als(rest, 1).fit(train, half)
            scores.append(model.user_factors @ model.item_factors.T)

    assert max(distance(each, scores[0]) for each in scores) < 3e-4
