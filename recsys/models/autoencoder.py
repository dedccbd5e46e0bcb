"""What autoencoders of the items of a user share: the training, the lists, fold-in, resuming."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys import bounds
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Count, Factors, Iterations
from recsys.models.iterative import OnIteration, State, copied, iterate
from recsys.models.neural import Tensor, Torch, load_torch, ranked, repeatable, uniform
from recsys.models.recommender import Recommendations
from recsys.models.weighting import WeightedConfig, Weights

Shapes = Mapping[str, tuple[int, ...]]
"""Of the arrays to learn by their names: a matrix of weights, or a vector that starts at 0."""
Dropout = Annotated[float, Field(ge=0, lt=1)]
Units = Annotated[int, Field(ge=0, le=bounds.FACTORS)]


class AutoencoderConfig(WeightedConfig):
    """The parameters of an autoencoder."""

    iterative: ClassVar[bool] = True
    library: ClassVar[str | None] = "PyTorch"

    hidden: Units
    factors: Factors
    iterations: Iterations
    batch: Count
    """Users of a step."""
    learning_rate: PositiveFloat
    regularization: NonNegativeFloat
    """Decay of the weights."""
    dropout: Dropout


class Autoencoder(ABC):
    """What these models share: the items of a user go in, and odds of all items come out.

    x are the weights of the plays, divided by their Euclidean length, of which a share is dropped
    while training; the target is 1 for each item of the history. The loss of an iteration is the
    mean of -log p(y | z) of a user. Known and new users are folded in by the same pass, without
    dropout and without drawing; a user without history gets no list.
    """

    _config: AutoencoderConfig
    _train: csr_matrix
    _weights: Weights
    _weighted: csr_matrix
    _layers: Mapping[str, Float32Array]
    _training: "Training"
    _iteration: int

    def __init__(self, config: AutoencoderConfig, seed: int) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            seed: Of the first weights, the order of the users, the dropout and z.

        Raises:
            InputError: PyTorch is not installed.
        """
        load_torch()
        self._config = config
        self._seed = seed

    @abstractmethod
    def _shapes(self, n_items: int) -> Shapes:
        """Of the arrays to learn, in the order in which they are drawn."""

    @abstractmethod
    def _begun(self, torch: Torch) -> "Training":
        """A training at its seeded beginning."""

    @abstractmethod
    def _scores(self, weighted: csr_matrix) -> Float32Array:
        """Log odds of all items at the mean of z, float32, shape (m, n_items)."""

    def fit(
        self,
        train: Interactions,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Self:
        """Train on one thread; see `recsys.models.iterative`."""
        self._weigh(train)
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
        """Weigh the plays and take the layers."""
        self._weigh(train)
        shapes = self._shapes(len(train.items))
        self._layers = {
            name: stored.dense(name, np.float32, *shape) for name, shape in shapes.items()
        }
        return self

    def _weigh(self, train: Interactions) -> None:
        self._train = train.matrix()
        self._weights = Weights(self._config, train)
        self._weighted = _normalised(self._weights(train))

    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k best items each user has not met in training."""
        return self._ranked(self._weighted[users], self._train[users], users, k)

    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k best items that are not in each user's history."""
        weighted = _normalised(self._weights(history, users))
        return self._ranked(weighted, history.matrix()[users], users, k)

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> Float32Array:
        """The score of every item for a user, known or not, float32, shape (n_items,).

        -inf for all where there is no history.
        """
        weighted = _normalised(self._weights(history, np.array([user], dtype=np.int32)))
        if not weighted.nnz:
            return np.full(weighted.shape[1], -np.inf, dtype=np.float32)
        with threadpool_limits(1, "blas"):
            return np.asarray(self._scores(weighted)[0])

    def _ranked(
        self, weighted: csr_matrix, seen: csr_matrix, users: Int32Array, k: int
    ) -> Recommendations:
        def scored(part: slice) -> Float32Array:
            scores = self._scores(weighted[part])
            scores[np.diff(seen[part].indptr) == 0] = -np.inf
            return scores

        return ranked(scored, seen, users, k)


def _normalised(weighted: csr_matrix) -> csr_matrix:
    """Rows divided by their Euclidean length; those of zeros stay."""
    lengths = np.sqrt(weighted.multiply(weighted).sum(axis=1)).A1
    lengths[lengths == 0] = 1
    data = weighted.data / np.repeat(lengths, np.diff(weighted.indptr))
    return csr_matrix(
        (data.astype(np.float32), weighted.indices, weighted.indptr), shape=weighted.shape
    )


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The cells of a few users as tensors.

    Attributes:
        users: How many.
        rows: User of each cell, from 0, int64.
        cols: Item of each cell, int64.
        values: Of each cell, float32.
        starts: Where the cells of each user begin, int64, shape (users,).
    """

    users: int
    rows: Tensor
    cols: Tensor
    values: Tensor
    starts: Tensor

    @classmethod
    def of(cls, torch: Torch, cells: csr_matrix) -> Self:
        """The cells of a CSR matrix with sorted columns."""
        users = cells.shape[0]
        numbers = np.repeat(np.arange(users), np.diff(cells.indptr)), cells.indices
        rows, cols = (torch.from_numpy(each.astype(np.int64)) for each in numbers)
        starts = torch.from_numpy(cells.indptr[:-1].astype(np.int64))
        return cls(users, rows, cols, torch.from_numpy(cells.data), starts)


class Training(ABC):
    """One training: its data, its layers, its random numbers."""

    _config: AutoencoderConfig

    def __init__(self, torch: Torch, weighted: csr_matrix, seed: int, shapes: Shapes) -> None:
        self._torch = torch
        self._weighted = weighted
        self._users = np.flatnonzero(np.diff(weighted.indptr))
        self._chance = torch.Generator().manual_seed(seed)
        self._layers: dict[str, Tensor] = {
            name: uniform(self._chance, *shape)
            if len(shape) > 1
            else torch.zeros(shape, requires_grad=True)
            for name, shape in shapes.items()
        }

    @abstractmethod
    def step(self, number: int) -> float:
        """Train the iteration of this number; the mean loss of a user."""

    @abstractmethod
    def moments(self) -> dict[str, npt.NDArray[Any]]:
        """What the optimizers remember, as arrays that share its memory."""

    @abstractmethod
    def recall(self, state: State) -> None:
        """Let the optimizers go on from copies of `moments`."""

    def parts(self) -> dict[str, Float32Array]:
        """The layers, as arrays that share the memory of the tensors."""
        return {name: part.detach().numpy() for name, part in self._layers.items()}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that changes, as arrays."""
        return {**self.parts(), **self.moments(), "chance": self._chance.get_state().numpy()}

    def load(self, state: State) -> None:
        """Take copies of what `arrays` gave."""
        for name, part in self.parts().items():
            np.copyto(part, state.arrays[name])
        self.recall(state)
        self._chance.set_state(self._torch.from_numpy(np.array(state.arrays["chance"])))

    def _batches(self) -> list[npt.NDArray[np.int64]]:
        """The users in a new order, a few at once."""
        order = self._torch.randperm(len(self._users), generator=self._chance).numpy()
        size = self._config.batch
        return [self._users[order[at : at + size]] for at in range(0, len(order), size)]

    def _cells(self, users: npt.NDArray[np.int64]) -> Batch:
        return Batch.of(self._torch, self._weighted[users])

    def _summed(self, batch: Batch, encoder: Tensor, dropped: float) -> Tensor:
        """Rows of the first layer, weighed and summed over the items of each user."""
        torch, values = self._torch, batch.values
        if dropped:
            kept = torch.rand(len(values), generator=self._chance) >= dropped
            values = values * kept / (1 - dropped)
        return torch.nn.functional.embedding_bag(
            batch.cols, encoder, batch.starts, mode="sum", per_sample_weights=values
        )

    def _drawn(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """z, by the noise of a normal distribution."""
        noise = self._torch.randn(mean.shape, generator=self._chance)
        return mean + self._torch.exp(log_variance / 2) * noise

    def _unlikeliness(self, odds: Tensor, batch: Batch) -> Tensor:
        """-log p(y | z), the mean over the users."""
        odds = self._torch.log_softmax(odds, dim=1)
        return -odds[batch.rows, batch.cols].sum() / batch.users
