"""The equations of ALS, solved densely: Hu, Koren and Volinsky 2008, with the lambda of each row.

Rendle et al. 2021 scale lambda by frequency to the power of nu; nu = 0 is one lambda for all.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Interactions
from recsys.dtypes import Float32Array
from recsys.models.als import Als, AlsConfig
from recsys.models.weighting import Weights
from tests.conftest import cells_of

Dense = npt.NDArray[np.float64]
WEIGHTINGS = ["linear", "log", "share", "bm25", "tfidf", "binary"]


def random_cells(n_users: int = 25, n_items: int = 18, seed: int = 7) -> Interactions:
    """Items of very different popularity."""
    rng = np.random.default_rng(seed)
    played = rng.random((n_users, n_items)) < np.linspace(0.05, 0.8, n_items)
    return cells_of(played * rng.integers(1, 40, (n_users, n_items)))


def config_of(**settings: Any) -> AlsConfig:
    usual = {"factors": 3, "iterations": 1, "regularization": 2.0, "alpha": 0.3, "k1": 20.0}
    return AlsConfig.model_validate({**usual, **settings})


def preference(cells: Interactions) -> Dense:
    return (cells.matrix().toarray() > 0).astype(np.float64)


def confidence(config: AlsConfig, train: Interactions, cells: Interactions) -> Dense:
    """c = 1 + alpha f(r), and 1 where there is no cell; f is tested beside its definition."""
    weights = Weights(config, train)(cells).toarray().astype(np.float64)
    return np.asarray(1 + config.alpha * weights)


def lambdas(config: AlsConfig, train: Interactions) -> tuple[Dense, Dense]:
    """Of users and items: (|I_u| + |I| / alpha)^nu, over their mean, times regularization."""
    p = preference(train)
    n_users, n_items = (int((p.sum(axis=axis) > 0).sum()) for axis in (1, 0))
    of_users = np.array([(sum(row) + n_items / config.alpha) ** config.nu for row in p])
    of_items = np.array([(sum(row) + n_users / config.alpha) ** config.nu for row in p.T])
    there = np.concatenate([of_users[p.any(axis=1)], of_items[p.any(axis=0)]])
    unit = config.regularization / there.mean()
    return of_users * unit, of_items * unit


def solved(c: Dense, p: Dense, others: Float32Array, regularization: Dense) -> Dense:
    """Equation 4, row by row: x = (Y' C Y + lambda_u I)^-1 Y' C p."""
    y = others.astype(np.float64)
    rows = []
    for each, wanted, mine in zip(c, p, regularization, strict=True):
        left = y.T @ np.diag(each) @ y + mine * np.eye(y.shape[1])
        rows.append(np.linalg.solve(left, y.T @ np.diag(each) @ wanted))
    return np.array(rows)


def bits(model: Als) -> tuple[bytes, bytes]:
    return model.user_factors.tobytes(), model.item_factors.tobytes()
