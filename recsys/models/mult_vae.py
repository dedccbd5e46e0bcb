"""A variational autoencoder with a multinomial likelihood (Liang et al. 2018)."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, Self

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
from recsys.models.neural import (
    Tensor,
    Torch,
    load_torch,
    moments,
    ranked,
    recall,
    repeatable,
    uniform,
)
from recsys.models.recommender import Recommendations
from recsys.models.weighting import WeightedConfig, Weighting, Weights


class MultVaeConfig(WeightedConfig):
    """A variational autoencoder with a multinomial likelihood."""

    iterative: ClassVar[bool] = True
    library: ClassVar[str | None] = "PyTorch"

    kind: Literal["mult-vae"] = "mult-vae"
    weighting: Weighting = "bm25"
    """Of the input; the output is 1 for each item of the history."""
    hidden: Annotated[int, Field(ge=0, le=bounds.FACTORS)] = 0
    """Units of the layers between items and factors; 0: no such layers."""
    factors: Factors = 400
    iterations: Iterations = 70
    batch: Count = 500
    """Users of a step."""
    learning_rate: PositiveFloat = 0.003
    regularization: NonNegativeFloat = 2.0
    """Decay of the weights."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    beta: NonNegativeFloat = 0.3
    """Weight of the divergence from the prior, reached after `annealing` iterations."""
    annealing: Count = 70
    """Iterations over which the weight of the divergence rises from 0."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Layers:
    """The parameters, as arrays of float32 or, during the training, as tensors.

    With `hidden` of 0 there are no inner layers: those are None.

    Attributes:
        encoder: From the items, shape (n_items, hidden), or (n_items, 2 * factors).
        encoder_bias: Shape (hidden,), or (2 * factors,).
        inner: To mean and log variance, shape (hidden, 2 * factors).
        inner_bias: Shape (2 * factors,).
        outer: From the latent factors, shape (factors, hidden).
        outer_bias: Shape (hidden,).
        decoder: To the items, shape (hidden, n_items), or (factors, n_items).
        decoder_bias: Shape (n_items,).
    """

    encoder: Any
    encoder_bias: Any
    inner: Any = None
    inner_bias: Any = None
    outer: Any = None
    outer_bias: Any = None
    decoder: Any
    decoder_bias: Any

    def named(self) -> dict[str, Any]:
        """The arrays by the names of the attributes and in their order."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: part for name, part in every.items() if part is not None}


def _shapes(config: MultVaeConfig, n_items: int) -> dict[str, tuple[int, int]]:
    """Shapes of the layers; each bias has one number per column."""
    hidden, latent = config.hidden, config.factors
    inner = {"inner": (hidden, 2 * latent), "outer": (latent, hidden)} if hidden else {}
    return {
        "encoder": (n_items, hidden or 2 * latent),
        **inner,
        "decoder": (hidden or latent, n_items),
    }


class MultVae:
    """Mult-VAE: the items of a user pass through a few factors and come back as log odds.

        z ~ N(mu(x), sigma(x)),   log p(y | z) = sum_i y_i log softmax(f(z))_i
        minimise   -log p(y | z) + beta * KL(q(z | x) | N(0, 1))

    (Liang et al. 2018, equations 2, 5 and 7; beta rises from 0 to its value over the
    first `annealing` iterations.) The loss of an iteration is the mean of -log p(y | z) of a user.
    x are the weights of the plays, divided by their Euclidean length, of which a share is dropped
    while training; y is 1 for each item of the history, as in the paper: targets
    that are weighed did worse. Adam; `regularization` is the decay of the weights beside it
    (Loshchilov & Hutter 2019).

    It recommends without dropout and without drawing: z is mu. A user without history gets no
    list; known and new users are folded in by the same pass.
    """

    _train: csr_matrix
    _weights: Weights
    _weighted: csr_matrix
    _layers: Layers
    _training: "_Training"
    _iteration: int

    def __init__(self, config: MultVaeConfig, seed: int) -> None:
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
            self._training = _Training(torch, self._config, self._weighted, self._seed)
            if start is not None:
                self.rewind(start)

            def step(number: int) -> float:
                loss = self._training.step(number)
                self._iteration = number
                self._layers = self._training.layers()
                return loss

            iterate(self, self._iteration + 1, self._config.iterations, step, on_iteration)
        return self

    def state(self, into: State | None = None) -> State:
        """A copy of the layers, of what Adam remembers, and of the random numbers."""
        return State(self._iteration, copied(self._training.arrays(), into))

    def rewind(self, state: State) -> None:
        """Take copies of what a state holds."""
        self._iteration = state.iteration
        self._training.load(state)
        self._layers = self._training.layers()

    def arrays(self) -> ModelArrays:
        """The layers."""
        return self._layers.named()

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Weigh the plays and take the layers."""
        self._weigh(train)
        parts = {}
        for name, shape in _shapes(self._config, len(train.items)).items():
            parts[name] = stored.dense(name, np.float32, *shape)
            parts[f"{name}_bias"] = stored.dense(f"{name}_bias", np.float32, shape[1])
        self._layers = Layers(**parts)
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
            return np.asarray(_scores(self._layers, weighted)[0])

    def _ranked(
        self, weighted: csr_matrix, seen: csr_matrix, users: Int32Array, k: int
    ) -> Recommendations:
        def scored(part: slice) -> Float32Array:
            scores = _scores(self._layers, weighted[part])
            scores[np.diff(seen[part].indptr) == 0] = -np.inf
            return scores

        return ranked(scored, seen, users, k)


CONFIG = MultVaeConfig


def create(config: MultVaeConfig, seed: int, profiles: Profiles | None = None) -> MultVae:
    """The untrained model."""
    return MultVae(config, seed)


def _normalised(weighted: csr_matrix) -> csr_matrix:
    """Rows divided by their Euclidean length; those of zeros stay."""
    lengths = np.sqrt(weighted.multiply(weighted).sum(axis=1)).A1
    lengths[lengths == 0] = 1
    data = weighted.data / np.repeat(lengths, np.diff(weighted.indptr))
    return csr_matrix(
        (data.astype(np.float32), weighted.indices, weighted.indptr), shape=weighted.shape
    )


def _scores(layers: Layers, weighted: csr_matrix) -> Float32Array:
    """Log odds of all items at the mean of z, float32, shape (m, n_items)."""
    between = np.asarray(weighted @ layers.encoder) + layers.encoder_bias
    if layers.inner is not None:
        between = np.tanh(between) @ layers.inner + layers.inner_bias
    mean = between[:, : between.shape[1] // 2]
    if layers.outer is not None:
        mean = np.tanh(mean @ layers.outer + layers.outer_bias)
    return np.asarray(mean @ layers.decoder + layers.decoder_bias)


class _Training:
    """One training: its data, its layers, its random numbers."""

    def __init__(
        self, torch: Torch, config: MultVaeConfig, weighted: csr_matrix, seed: int
    ) -> None:
        self._torch = torch
        self._config = config
        self._weighted = weighted
        self._users = np.flatnonzero(np.diff(weighted.indptr))
        self._chance = torch.Generator().manual_seed(seed)
        self._layers = self._fresh(weighted.shape[1])
        self._adam = torch.optim.AdamW(
            self._layers.named().values(),
            lr=config.learning_rate,
            weight_decay=config.regularization,
        )

    def _fresh(self, n_items: int) -> Layers:
        parts: dict[str, Tensor] = {}
        for name, shape in _shapes(self._config, n_items).items():
            parts[name] = uniform(self._chance, *shape)
            parts[f"{name}_bias"] = self._torch.zeros(shape[1], requires_grad=True)
        return Layers(**parts)

    def step(self, number: int) -> float:
        """Train the iteration of this number, all users once; the mean loss of a user."""
        config, batches = self._config, self._batches()
        taken, rising, lost = (number - 1) * len(batches), config.annealing * len(batches), 0.0
        for n, users in enumerate(batches):
            likelihood, divergence = self._loss(self._weighted[users])
            self._adam.zero_grad()
            beta = config.beta * min(taken + n, rising) / rising
            (likelihood + beta * divergence).backward()
            self._adam.step()
            lost += likelihood.item() * len(users)
        return lost / len(self._users)

    def layers(self) -> Layers:
        """As arrays that share the memory of the tensors."""
        return Layers(**self._parts())

    def _parts(self) -> dict[str, npt.NDArray[np.float32]]:
        return {name: part.detach().numpy() for name, part in self._layers.named().items()}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that changes, as arrays."""
        names = self._layers.named()
        chance = self._chance.get_state().numpy()
        return {**self._parts(), **moments(self._adam, names), "chance": chance}

    def load(self, state: State) -> None:
        """Take copies of what `arrays` gave."""
        for name, part in self._parts().items():
            np.copyto(part, state.arrays[name])
        recall(self._adam, self._layers.named(), state.arrays)
        self._chance.set_state(self._torch.from_numpy(np.array(state.arrays["chance"])))

    def _batches(self) -> list[npt.NDArray[np.int64]]:
        order = self._torch.randperm(len(self._users), generator=self._chance).numpy()
        size = self._config.batch
        return [self._users[order[at : at + size]] for at in range(0, len(order), size)]

    def _loss(self, cells: csr_matrix) -> tuple[Tensor, Tensor]:
        """-log p(y | z) and the divergence from the prior, means over the users."""
        torch, layers, m = self._torch, self._layers, cells.shape[0]
        rows = torch.from_numpy(np.repeat(np.arange(m), np.diff(cells.indptr)))
        cols = torch.from_numpy(cells.indices.astype(np.int64))
        mean, log_variance = self._encoded(cells, cols)
        noise = torch.randn(mean.shape, generator=self._chance)
        latent = mean + torch.exp(log_variance / 2) * noise
        if layers.outer is not None:
            latent = torch.tanh(latent @ layers.outer + layers.outer_bias)
        odds = torch.log_softmax(latent @ layers.decoder + layers.decoder_bias, dim=1)
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2
        return -odds[rows, cols].sum() / m, divergence / m

    def _encoded(self, cells: csr_matrix, cols: Tensor) -> tuple[Tensor, Tensor]:
        torch, layers, dropout = self._torch, self._layers, self._config.dropout
        values = torch.from_numpy(cells.data)
        kept = torch.rand(len(values), generator=self._chance) >= dropout
        starts = torch.from_numpy(cells.indptr[:-1].astype(np.int64))
        between = layers.encoder_bias + torch.nn.functional.embedding_bag(
            cols,
            layers.encoder,
            starts,
            mode="sum",
            per_sample_weights=values * kept / (1 - dropout),
        )
        if layers.inner is not None:
            between = torch.tanh(between) @ layers.inner + layers.inner_bias
        mean, log_variance = between.chunk(2, dim=1)
        return mean, log_variance
