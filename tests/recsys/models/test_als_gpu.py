"""ALS on the GPU of implicit, with a stand-in for the module that needs one."""

from typing import Any

import numpy as np
import pytest
from implicit.cpu.als import _als
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float32Array
from recsys.errors import InputError
from recsys.models.als import Als
from tests.recsys.models.als_equations import config_of, random_cells

GPU = {"engine": "implicit", "device": "gpu", "nu": 0}


class Matrix:
    """Rows on the pretended GPU: a copy, as wide as whole warps."""

    def __init__(self, rows: Float32Array) -> None:
        assert rows.flags.c_contiguous
        assert rows.flags.writeable
        assert rows.shape[1] % 32 == 0
        self.rows = rows.copy()

    @classmethod
    def zeros(cls, n: int, m: int) -> "Matrix":
        return cls(np.zeros((n, m), np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape

    def to_numpy(self) -> Float32Array:
        return self.rows.copy()


class LeastSquaresSolver:
    """The solver of the pretended GPU: that of the CPU."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def calculate_yty(self, others: Matrix, shared: Matrix, regularization: float) -> None:
        shared.rows[:] = others.rows.T @ others.rows
        self.regularization = regularization

    def least_squares(
        self, cells: csr_matrix, mine: Matrix, shared: Matrix, others: Matrix, cg_steps: int
    ) -> None:
        np.testing.assert_allclose(shared.rows, others.rows.T @ others.rows, rtol=1e-5)
        _als.least_squares_cg(
            cells, mine.rows, others.rows, self.regularization, num_threads=1, cg_steps=cg_steps
        )

    def calculate_loss(self, cells: csr_matrix, x: Matrix, y: Matrix, regularization: float) -> Any:
        return _als.calculate_loss(cells, x.rows, y.rows, regularization, num_threads=1)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> type[LeastSquaresSolver]:
    """A machine with a GPU."""
    with threadpool_limits(1, "blas"):
        import implicit.gpu as module

    monkeypatch.setattr(module, "HAS_CUDA", True)
    for name, value in {
        "Matrix": Matrix,
        "LeastSquaresSolver": LeastSquaresSolver,
        "CSRMatrix": csr_matrix.copy,
    }.items():
        monkeypatch.setattr(module, name, value, raising=False)
    monkeypatch.setattr(LeastSquaresSolver, "made", 0)
    return LeastSquaresSolver


def test_the_gpu_takes_the_steps_of_the_cpu(gpu: type[LeastSquaresSolver]) -> None:
    train = random_cells(200, 60)
    losses: dict[str, list[float]] = {"cpu": [], "gpu": []}
    models = {
        device: Als(config_of(**{**GPU, "factors": 7, "iterations": 3, "device": device}), 5).fit(
            train, on_iteration=lambda step, to=kept: to.append(step.loss)
        )
        for device, kept in losses.items()
    }

    scores = [model.user_factors @ model.item_factors.T for model in models.values()]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-3)
    np.testing.assert_allclose(losses["gpu"], losses["cpu"], rtol=1e-4)
    assert len(losses["gpu"]) == 3
    assert gpu.made == 1


@pytest.mark.parametrize(
    "values", [{"engine": "native"}, {"nu": 0.5}], ids=["our kernels", "a lambda for each row"]
)
def test_our_kernels_use_no_gpu(gpu: type[LeastSquaresSolver], values: dict[str, Any]) -> None:
    Als(config_of(**{**GPU, **values}), 1).fit(random_cells())

    assert gpu.made == 0


@pytest.mark.usefixtures("gpu")
def test_more_factors_than_a_gpu_takes_are_refused() -> None:
    with pytest.raises(InputError, match="factors = 1025 on device gpu: use at most 1024"):
        Als(config_of(**{**GPU, "factors": 1025}), 1).fit(random_cells())


def test_without_a_gpu_a_training_on_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("implicit.gpu.HAS_CUDA", False)

    with pytest.raises(InputError, match="device gpu: implicit finds no GPU here"):
        Als(config_of(**GPU), 1).fit(random_cells())
