"""The door to PyTorch, an optional library: loaded when needed, repeatable to the bit.

Networks are trained with torch and then kept as numpy arrays, with which they recommend: a few
multiplications.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.special import expit
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float32Array, Int32Array
from recsys.errors import InputError
from recsys.models.iterative import DenseArrays
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.models.top_k import SCORES, best

Torch = Any  # torch is not there where types are checked
Tensor = Any


def load_torch() -> Torch:
    """The library.

    Raises:
        InputError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "this model needs PyTorch, which is not installed: pip install 'recsys[neural]'"
        ) from error
    return torch


@contextmanager
def repeatable() -> Iterator[Torch]:
    """PyTorch on one thread and with deterministic algorithms only; its settings are restored.

    More threads would add in another order. BLAS is kept to one thread too. Both are settings of
    the process: do not train in several threads of it at once.
    """
    torch = load_torch()
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with threadpool_limits(1, "blas"):
            yield torch
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


def uniform(generator: Tensor, rows: int, columns: int) -> Tensor:
    """A matrix to learn, float32, shape (rows, columns), drawn as Glorot & Bengio 2010, eq. 16."""
    drawn = load_torch().rand(rows, columns, generator=generator)
    bound = np.sqrt(6 / (rows + columns))
    return ((2 * drawn - 1) * bound).requires_grad_()


def layer_norm(units: Any, scale: Any, shift: Any, epsilon: float) -> Any:
    """A layer norm (Ba et al. 2016) of arrays or of tensors; `scale` is what is added to 1."""
    if not isinstance(units, np.ndarray):
        normed = load_torch().nn.functional.layer_norm
        return normed(units, shift.shape, 1 + scale, shift, epsilon)
    centred = units - units.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + epsilon) * (1 + scale) + shift


def swish(sums: Any) -> Any:
    """Sums times their sigmoids, of arrays or of tensors."""
    if not isinstance(sums, np.ndarray):
        return load_torch().nn.functional.silu(sums)
    return sums * expit(sums)


def softmax(logs: Any) -> Any:
    """Shares along the last axis, of arrays or of tensors."""
    if not isinstance(logs, np.ndarray):
        return load_torch().softmax(logs, dim=-1)
    shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def ranked(
    scored: Callable[[slice], Float32Array],
    seen: csr_matrix,
    users: Int32Array,
    k: int,
    width: int = 1,
) -> Recommendations:
    """The k best items of each user by scores that are computed for a few users at once.

    Args:
        scored: Scores of some of the users, float32, shape (m, n_items).
        seen: CSR, shape (len(users), n_items); its cells are never shown.
        users: Their numbers.
        k: Length of the lists.
        width: How many numbers are held for a score while it is computed.
    """
    items = np.full((len(users), k), NO_ITEM, dtype=np.int32)
    scores = np.full((len(users), k), np.nan, dtype=np.float32)
    size = max(1, SCORES // max(seen.shape[1] * width, 1))
    with threadpool_limits(1, "blas"):
        for start in range(0, len(users), size):
            part = slice(start, start + size)
            known, block = seen[part], scored(part)
            rows = np.repeat(np.arange(len(block)), np.diff(known.indptr))
            block[rows, known.indices] = -np.inf
            items[part], scores[part] = best(block, k)
    return Recommendations(users.astype(np.int32), items, scores)


def moments(
    adam: Tensor, names: Iterable[str], steps: str = "steps"
) -> dict[str, npt.NDArray[Any]]:
    """What Adam remembers, as arrays that share its memory: two of each parameter, and the step.

    Args:
        adam: The optimizer, of one group.
        names: Of its parameters, in their order.
        steps: Name of the step.
    """
    known = [adam.state[part] for part in adam.param_groups[0]["params"]]
    found = {}
    for name, state in zip(names, known, strict=True):
        found[f"{name}_mean"] = state["exp_avg"].numpy()
        found[f"{name}_square"] = state["exp_avg_sq"].numpy()
    found[steps] = known[0]["step"].numpy()
    return found


def recall(adam: Tensor, names: Iterable[str], arrays: DenseArrays, steps: str = "steps") -> None:
    """Let Adam go on from copies of what `moments` gave."""
    torch = load_torch()
    for name, part in zip(names, adam.param_groups[0]["params"], strict=True):
        adam.state[part] = {
            "step": torch.tensor(float(arrays[steps]), dtype=torch.float32),
            "exp_avg": torch.from_numpy(np.array(arrays[f"{name}_mean"])),
            "exp_avg_sq": torch.from_numpy(np.array(arrays[f"{name}_square"])),
        }
