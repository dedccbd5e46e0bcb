"""Models that train step by step: what they report, how they stop and how they are resumed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Interactions
from recsys.models.config import ModelConfig
from recsys.models.recommender import Recommender

DenseArrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All that a training needs to be resumed after an iteration, bit for bit.

    Attributes:
        iteration: How many iterations are done.
        arrays: Parameters, and where the method has them, moments of the optimizer and the state
            of the random numbers.
    """

    iteration: int
    arrays: DenseArrays


@dataclass(frozen=True, slots=True, eq=False)
class Iteration:
    """One finished iteration of a training.

    Attributes:
        number: 1 for the first.
        seconds: Time the iteration took.
        loss: Training loss, lower is better; the class of each model says which one.
        model: The model as it is now. It changes with the next iteration.
    """

    number: int
    seconds: float
    loss: float
    model: "Iterative"


OnIteration = Callable[[Iteration], None]


class StopTraining(Exception):
    """Raised by an observer of a training: `fit` returns with the model as it is now."""


@runtime_checkable
class Iterative(Recommender, Protocol):
    """A model that trains in iterations, as many as the field `iterations` of its config says.

    One iteration does not depend on how many follow. So a training of n iterations is the
    beginning of every longer one, and the best n can be found along a single training.
    """

    def fit(
        self,
        train: Interactions,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Self:
        """Learn from `train`, from the seeded beginning or resumed at `start`.

        A resumed training gives the same bits as one that was never interrupted. The observer
        changes nothing that is learned.

        Args:
            train: What to learn.
            start: Taken by a training that differed at most in its number of iterations. With no
                iteration left to do, the model is as it was there.
            on_iteration: Called after each iteration. `StopTraining` ends the training early;
                any other exception passes through.
        """

    def state(self, into: State | None = None) -> State:
        """A copy of the state after the last iteration; for a model that `fit` has trained.

        Args:
            into: A state that is no longer needed, whose arrays may be overwritten.
        """

    def rewind(self, state: State) -> None:
        """Make the model what it was at `state`, of the same training."""


def iterations_of(config: ModelConfig) -> int | None:
    """The number of iterations of a training; None for a model that learns in one pass."""
    iterations: int | None = getattr(config, "iterations", None) if config.iterative else None
    return iterations


def iterate(
    model: Iterative,
    first: int,
    last: int,
    step: Callable[[int], float],
    on_iteration: OnIteration | None,
) -> None:
    """Take the steps from `first` to `last` and report each, until the observer stops them.

    Args:
        model: That is trained.
        first: Number of the first step, from 1.
        last: Number of the last step.
        step: Trains one iteration and returns its loss.
        on_iteration: The observer, if there is one.
    """
    for number in range(first, last + 1):
        begin = time.perf_counter()
        loss = step(number)
        if on_iteration is None:
            continue
        try:
            on_iteration(Iteration(number, time.perf_counter() - begin, loss, model))
        except StopTraining:
            return


def random_state(rng: np.random.Generator) -> npt.NDArray[np.uint64]:
    """The state of a PCG64 generator as an array, uint64, shape (6,)."""
    known = rng.bit_generator.state
    words = [
        known["state"][name] >> shift & _WORD for name in ("state", "inc") for shift in (0, 64)
    ]
    return np.array([*words, known["has_uint32"], known["uinteger"]], dtype=np.uint64)


def random_from(state: npt.NDArray[np.uint64]) -> np.random.Generator:
    """The generator that continues at `random_state`."""
    low, high, inc_low, inc_high, has_uint32, uinteger = map(int, state)
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": low | high << 64, "inc": inc_low | inc_high << 64},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
    return np.random.Generator(bits)


def copied(arrays: DenseArrays, into: State | None = None) -> DenseArrays:
    """Copies of dense arrays, in the memory of a state that is no longer needed if there is one."""
    if into is None:
        return {name: np.array(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        np.copyto(into.arrays[name], array)
    return into.arrays


_WORD = (1 << 64) - 1
