"""What networks that PyTorch trains share: seeded, resumed to the bit, kept as plain arrays."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveFloat

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Count, Iterations, ModelConfig
from recsys.models.iterative import OnIteration, State, copied, iterate
from recsys.models.neural import Tensor, Torch, load_torch, moments, recall, repeatable, uniform
from recsys.models.recommender import Recommendations

Shapes = Mapping[str, tuple[int, ...]]
"""Of the arrays to learn by their names: a matrix of weights, or a vector that starts at 0."""
Dropout = Annotated[float, Field(ge=0, lt=1)]


class NetworkConfig(ModelConfig):
    """What the parameters of all networks have."""

    iterative: ClassVar[bool] = True
    library: ClassVar[str | None] = "PyTorch"

    iterations: Iterations
    batch: Count
    """Users of a step."""
    learning_rate: PositiveFloat
    dropout: Dropout


class Network(ABC):
    """Training, stopping, resuming and restoring."""

    _layers: Mapping[str, Float32Array]
    _training: "Training"
    _iteration: int

    def __init__(self, config: NetworkConfig, seed: int) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            seed: Of the first weights, the order of the users, the dropout and all that is drawn.

        Raises:
            InputError: PyTorch is not installed.
        """
        load_torch()
        self._config = config
        self._seed = seed

    @abstractmethod
    def _read(self, train: Interactions) -> None:
        """Keep what the training and the lists need of the training data."""

    @abstractmethod
    def _shapes(self, n_items: int) -> Shapes:
        """Of the arrays to learn, in the order in which they are drawn."""

    @abstractmethod
    def _begun(self, torch: Torch) -> "Training":
        """A training at its seeded beginning."""

    @abstractmethod
    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k best items each user has not met in training."""

    @abstractmethod
    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k best items that are not in each user's history."""

    def fit(
        self,
        train: Interactions,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Self:
        """Train on one thread; see `recsys.models.iterative`.

        Raises:
            FloatingPointError: the layers do not stay finite.
        """
        self._read(train)
        self._iteration = 0
        with repeatable() as torch:
            self._training = self._begun(torch)
            if start is not None:
                self.rewind(start)

            def step(number: int) -> float:
                loss = self._training.step(number)
                self._iteration = number
                self._layers = self._training.parts()
                return loss

            iterate(self, self._iteration + 1, self._config.iterations, step, on_iteration)
        if not all(np.isfinite(part).all() for part in self._layers.values()):
            raise FloatingPointError(
                f"the layers of {self._config.kind} hold NaN or infinity with learning_rate = "
                f"{self._config.learning_rate:g}; lower it"
            )
        return self

    def state(self, into: State | None = None) -> State:
        """A copy of the layers, of what the optimizers remember, and of the random numbers."""
        return State(self._iteration, copied(self._training.arrays(), into))

    def rewind(self, state: State) -> None:
        """Take copies of what a state holds."""
        self._iteration = state.iteration
        self._training.load(state)
        self._layers = self._training.parts()

    def arrays(self) -> ModelArrays:
        """The layers."""
        return self._layers

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Read the training data and take the layers."""
        self._read(train)
        shapes = self._shapes(len(train.items))
        self._layers = {
            name: stored.dense(name, np.float32, *shape) for name, shape in shapes.items()
        }
        return self


class Training(ABC):
    """One training: the layers, their optimizers, the random numbers.

    Attributes:
        adams: Optimizers by the beginning of the name of what they remember, each with the names
            of its layers.
    """

    adams: Mapping[str, tuple[list[str], Tensor]]

    def __init__(self, torch: Torch, seed: int, shapes: Shapes) -> None:
        self._torch = torch
        self._chance = torch.Generator().manual_seed(seed)
        self._layers: dict[str, Tensor] = {
            name: uniform(self._chance, *shape)
            if len(shape) > 1
            else torch.zeros(shape, requires_grad=True)
            for name, shape in shapes.items()
        }

    @abstractmethod
    def step(self, number: int) -> float:
        """Train the iteration of this number, from 1; its loss."""

    def parts(self) -> dict[str, Float32Array]:
        """The layers, as arrays that share the memory of the tensors."""
        return {name: part.detach().numpy() for name, part in self._layers.items()}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that changes, as arrays."""
        found: dict[str, npt.NDArray[Any]] = {**self.parts()}
        for side, (names, adam) in self.adams.items():
            found |= moments(adam, names, f"{side}steps")
        return {**found, "chance": self._chance.get_state().numpy()}

    def load(self, state: State) -> None:
        """Take copies of what `arrays` gave."""
        for name, part in self.parts().items():
            np.copyto(part, state.arrays[name])
        for side, (names, adam) in self.adams.items():
            recall(adam, names, state.arrays, f"{side}steps")
        self._chance.set_state(self._torch.from_numpy(np.array(state.arrays["chance"])))

    def _move(self, loss: Tensor, side: str = "") -> None:
        """Take a step of an optimizer."""
        _, adam = self.adams[side]
        adam.zero_grad()
        loss.backward()
        adam.step()

    def _dropped(self, values: Tensor, share: float) -> Tensor:
        """The values, of which a share is 0 and the others are larger instead."""
        if not share:
            return values
        kept = self._torch.rand(values.shape, generator=self._chance) >= share
        return values * kept / (1 - share)

    def _batches(self, users: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
        """Users in a new order, a few at once."""
        order = self._torch.randperm(len(users), generator=self._chance).numpy()
        return [users[order[at : at + size]] for at in range(0, len(order), size)]
