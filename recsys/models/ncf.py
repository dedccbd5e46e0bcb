"""Neural collaborative filtering (He et al. 2017): a product and a network, side by side."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Count, Factors, Iterations, ModelConfig
from recsys.models.iterative import (
    OnIteration,
    State,
    copied,
    iterate,
    random_from,
    random_state,
)
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

BATCH = 1024  # plays of a step; each brings its negatives
SPREAD = 0.01  # standard deviation of the first embeddings, as in the paper
RIVALS = 64  # items that a history is compared with when it is folded in
STEPS = 20  # of the solver that does it; as training stops early, so does it
RATE = 0.05  # length of such a step
AT_ONCE = 256  # users that are folded in together


class NcfConfig(ModelConfig):
    """Neural collaborative filtering."""

    iterative: ClassVar[bool] = True
    library: ClassVar[str | None] = "PyTorch"

    kind: Literal["ncf"] = "ncf"
    factors: Factors = 64
    iterations: Iterations = 10
    learning_rate: PositiveFloat = 0.002
    regularization: NonNegativeFloat = 1e-6
    negatives: Count = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """The parameters, as arrays of float32 or, during the training, as tensors.

    Attributes:
        user_gmf: p of the product, shape (n_users, factors).
        item_gmf: q of the product, shape (n_items, factors).
        user_mlp: Input of the network for a user, shape (n_users, factors).
        item_mlp: Its input for an item, shape (n_items, factors).
        first_user: First layer, from a user, shape (factors, factors).
        first_item: First layer, from an item, shape (factors, factors).
        first_bias: Shape (factors,).
        second: Second layer, shape (factors, half), half being factors // 2, at least 1.
        second_bias: Shape (half,).
        out_gmf: How much each factor of the product counts, shape (factors,).
        out_mlp: How much each unit of the second layer counts, shape (half,).
        out_bias: Shape (1,).
    """

    user_gmf: Any
    item_gmf: Any
    user_mlp: Any
    item_mlp: Any
    first_user: Any
    first_item: Any
    first_bias: Any
    second: Any
    second_bias: Any
    out_gmf: Any
    out_mlp: Any
    out_bias: Any

    def parts(self) -> list[Any]:
        """All arrays in the order of the attributes."""
        return list(self.named().values())

    def named(self) -> dict[str, Any]:
        """All arrays by the names of the attributes, in their order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Ncf:
    """NeuMF without pre-training: generalised matrix factorization beside a perceptron.

        score(u, i) = h_g . (p_u * q_i) + h_m . relu(W2 relu(W1 [p'_u, q'_i] + b1) + b2) + b

    (He et al. 2017, equations 9, 10 and 12, with two layers.) The loss is the binary
    cross-entropy of sigmoid(score) (equation 7) over the plays and, beside each, `negatives`
    items drawn anew in each epoch, all alike; one drawn that the user has played does not
    count. Adam; `regularization` is its L2 on all parameters, `dropout` falls on what enters the
    network. The loss of an iteration is the mean of that cross-entropy over its pairs.

    A play counts, however often. A user without history gets the mean of the embeddings of the
    others.
    """

    _train: csr_matrix
    _network: Network
    _training: "_NcfTraining"
    _iteration: int
    _rivals: npt.NDArray[np.int64]

    def __init__(self, config: NcfConfig, seed: int) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            seed: Of the first parameters, the negatives, the order of the plays and the dropout.

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
        self._train = train.matrix()
        self._iteration = 0
        with repeatable() as torch:
            self._training = _NcfTraining(torch, self._config, self._train, self._seed)
            if start is not None:
                self.rewind(start)

            def step(number: int) -> float:
                loss = self._training.step()
                self._iteration = number
                if on_iteration is not None:
                    self._take()
                return loss

            iterate(self, self._iteration + 1, self._config.iterations, step, on_iteration)
        self._take()
        return self

    def _take(self) -> None:
        """Copies of the parameters; a user without history gets the mean of the others."""
        learned = Network(*(np.array(part) for part in self._training.parts().values()))
        strangers = np.diff(self._train.indptr) == 0
        for table in (learned.user_gmf, learned.user_mlp):
            table[strangers] = table[~strangers].mean(axis=0)
        self._network = learned
        rng = random_from(random_state(self._training.rng))  # a copy: the training draws on
        self._rivals = rng.integers(0, self._train.shape[1], RIVALS)

    def state(self, into: State | None = None) -> State:
        """A copy of the parameters, of what Adam remembers, and of the random numbers."""
        return State(self._iteration, copied(self._training.arrays(), into))

    def rewind(self, state: State) -> None:
        """Take copies of what a state holds."""
        self._iteration = state.iteration
        self._training.load(state)
        self._take()

    def arrays(self) -> ModelArrays:
        """The network, and the rivals that were drawn."""
        return {**self._network.named(), "rivals": self._rivals}

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Take the network and the rivals."""
        self._train = train.matrix()
        shapes = _shapes(self._config.factors, *self._train.shape).items()
        self._network = Network(*(stored.dense(each, np.float32, *shape) for each, shape in shapes))
        self._rivals = stored.dense("rivals", np.int64, RIVALS)
        return self

    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k best items for the embeddings of each user, none met in training."""
        mine = self._network.user_gmf[users], self._network.user_mlp[users]
        return self._ranked(*mine, self._train[users], users, k)

    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """As `recommend`, for embeddings fitted to each history while all else stays.

        From the mean of the embeddings, 20 steps of Adam go down the cross-entropy over the
        history and those of a fixed draw of 64 items that are not in it, which weigh together
        `negatives` times what the history weighs. It draws nothing, and in float64 it comes to
        the same for every set of users.
        """
        seen = history.matrix()[users]
        return self._ranked(*self._folded(seen), seen, users, k)

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> Float32Array:
        """The score of every item for a user folded in, float32, shape (n_items,)."""
        seen = history.matrix()[np.array([user])]
        return np.asarray(_scores(self._network, *self._folded(seen))[0])

    def _ranked(
        self, gmf: Float32Array, mlp: Float32Array, seen: csr_matrix, users: Int32Array, k: int
    ) -> Recommendations:
        def scored(part: slice) -> Float32Array:
            return _scores(self._network, gmf[part], mlp[part])

        return ranked(scored, seen, users, k, width=2 * mlp.shape[1])

    def _folded(self, seen: csr_matrix) -> tuple[Float32Array, Float32Array]:
        """Both embeddings of users with these items, float32, shape (m, factors)."""
        parts = [seen[start : start + AT_ONCE] for start in range(0, seen.shape[0], AT_ONCE)]
        factors = self._network.user_gmf.shape[1]
        tables = [np.zeros((0, factors), np.float32)], [np.zeros((0, factors), np.float32)]
        with repeatable() as torch:
            for part in parts:
                solved = _solved(torch, self._config, self._network, part, self._rivals)
                for table, rows in zip(tables, solved, strict=True):
                    table.append(rows)
        return np.concatenate(tables[0]), np.concatenate(tables[1])


CONFIG = NcfConfig


def create(config: NcfConfig, seed: int, profiles: Profiles | None = None) -> Ncf:
    """The untrained model."""
    return Ncf(config, seed)


def _shapes(factors: int, n_users: int, n_items: int) -> dict[str, tuple[int, ...]]:
    """Of the arrays of a network, by their names, in the order of its attributes."""
    half = max(factors // 2, 1)
    return {
        "user_gmf": (n_users, factors),
        "item_gmf": (n_items, factors),
        "user_mlp": (n_users, factors),
        "item_mlp": (n_items, factors),
        "first_user": (factors, factors),
        "first_item": (factors, factors),
        "first_bias": (factors,),
        "second": (factors, half),
        "second_bias": (half,),
        "out_gmf": (factors,),
        "out_mlp": (half,),
        "out_bias": (1,),
    }


def _scores(network: Network, gmf: Float32Array, mlp: Float32Array) -> Float32Array:
    """Scores of all items for users with these embeddings, float32, shape (m, n_items)."""
    scores = (gmf * network.out_gmf) @ network.item_gmf.T + network.out_bias
    theirs = network.item_mlp @ network.first_item + network.first_bias
    mine = mlp @ network.first_user
    for user, mixed in enumerate(mine):
        hidden = np.maximum(theirs + mixed, 0) @ network.second + network.second_bias
        scores[user] += np.maximum(hidden, 0) @ network.out_mlp
    return np.asarray(scores, dtype=np.float32)


def _fresh(torch: Torch, config: NcfConfig, shape: tuple[int, int], generator: Tensor) -> Network:
    """Random parameters; the last layer starts with equal weights for product and network."""
    f, half = config.factors, max(config.factors // 2, 1)

    def table(n: int) -> Tensor:
        return (torch.randn(n, f, generator=generator) * SPREAD).requires_grad_()

    def zeros(n: int) -> Tensor:
        return torch.zeros(n, requires_grad=True)

    tables = [table(n) for n in (*shape, *shape)]
    first = [uniform(generator, f, f) for _ in range(2)]
    second = uniform(generator, f, half)
    out = [uniform(generator, n, 1).detach()[:, 0].requires_grad_() for n in (f, half)]
    parts = [*tables, *first, zeros(f), second, zeros(half), *out, zeros(1)]
    return Network(*parts)


class _NcfTraining:
    """One training: parameters, optimizer and random numbers."""

    def __init__(self, torch: Torch, config: NcfConfig, train: csr_matrix, seed: int) -> None:
        self._torch = torch
        self._config = config
        self._train = train
        self.rng = np.random.default_rng(seed)
        self._chance = torch.Generator().manual_seed(int(self.rng.integers(1 << 62)))
        self._network = _fresh(torch, config, train.shape, self._chance)
        self._adam = torch.optim.Adam(
            self._network.parts(), lr=config.learning_rate, weight_decay=config.regularization
        )

    def step(self) -> float:
        """Train one iteration, all plays once; the mean loss of a pair."""
        torch, config, network = self._torch, self._config, self._network
        lost, counted = 0.0, 0
        for rows, cols, played in _batches(self._train, config.negatives, self.rng):
            users, items, labels = map(torch.from_numpy, (rows, cols, played))
            scores = _pair_scores(torch, network, users, items, config.dropout, self._chance)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()
            lost, counted = lost + loss.item() * len(rows), counted + len(rows)
        return lost / counted

    def parts(self) -> dict[str, npt.NDArray[np.float32]]:
        """The parameters, as arrays that share their memory."""
        return {name: part.detach().numpy() for name, part in self._network.named().items()}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that changes, as arrays."""
        return {
            **self.parts(),
            **moments(self._adam, self._network.named()),
            "random": random_state(self.rng),
            "chance": self._chance.get_state().numpy(),
        }

    def load(self, state: State) -> None:
        """Take copies of what `arrays` gave."""
        for name, part in self.parts().items():
            np.copyto(part, state.arrays[name])
        recall(self._adam, self._network.named(), state.arrays)
        self.rng = random_from(state.arrays["random"])
        self._chance.set_state(self._torch.from_numpy(np.array(state.arrays["chance"])))


def _batches(
    train: csr_matrix, negatives: int, rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Float32Array]]:
    """Users, items and labels (1: a play, 0: drawn beside it); every play once."""
    n_items = train.shape[1]
    rows = np.repeat(np.arange(train.shape[0]), np.diff(train.indptr))
    keys = rows * n_items + train.indices
    order = rng.permutation(len(keys))
    for start in range(0, len(order), BATCH):
        chosen = keys[order[start : start + BATCH]]
        drawn = np.repeat(chosen // n_items, negatives) * n_items
        drawn += rng.integers(0, n_items, len(drawn))
        place = np.minimum(np.searchsorted(keys, drawn), len(keys) - 1)
        pairs = np.concatenate([chosen, drawn[keys[place] != drawn]])
        played = np.zeros(len(pairs), np.float32)
        played[: len(chosen)] = 1
        yield pairs // n_items, pairs % n_items, played


def _pair_scores(
    torch: Torch, network: Network, users: Tensor, items: Tensor, dropout: float, generator: Tensor
) -> Tensor:
    """Scores of pairs while training, shape (n,)."""

    def kept(entering: Tensor) -> Tensor:
        if not dropout:
            return entering
        mask = torch.rand(entering.shape, generator=generator) >= dropout
        return entering * mask / (1 - dropout)

    product = network.user_gmf[users] * network.item_gmf[items] @ network.out_gmf
    mixed = kept(network.user_mlp[users]) @ network.first_user
    mixed = mixed + kept(network.item_mlp[items]) @ network.first_item
    return product + _tower(torch, network, mixed)


def _tower(torch: Torch, network: Network, mixed: Tensor) -> Tensor:
    """What follows the first product of the perceptron, shape (n,)."""
    hidden = torch.relu(mixed + network.first_bias)
    hidden = torch.relu(hidden @ network.second + network.second_bias)
    return hidden @ network.out_mlp + network.out_bias


def _solved(
    torch: Torch,
    config: NcfConfig,
    learned: Network,
    seen: csr_matrix,
    rivals: npt.NDArray[np.int64],
) -> tuple[Float32Array, Float32Array]:
    """The embeddings of a few users, float32, shape (m, factors)."""
    network = Network(*(torch.from_numpy(part.astype(np.float64)) for part in learned.parts()))
    rows, cols, labels, weights = map(torch.from_numpy, _pairs(seen, rivals, config.negatives))
    theirs = network.item_mlp[cols] @ network.first_item
    weighed = network.item_gmf[cols] * network.out_gmf
    start = [network.user_gmf.mean(0), network.user_mlp.mean(0)]
    mine = [each.repeat(seen.shape[0], 1).requires_grad_() for each in start]
    adam = torch.optim.Adam(mine, lr=RATE)
    for _ in range(STEPS if len(rows) else 0):
        scores = (mine[0][rows] * weighed).sum(1)
        scores = scores + _tower(torch, network, mine[1][rows] @ network.first_user + theirs)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            scores, labels, weights, reduction="sum"
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    gmf, mlp = (each.detach().numpy().astype(np.float32) for each in mine)
    return gmf, mlp


def _pairs(
    seen: csr_matrix, rivals: npt.NDArray[np.int64], negatives: int
) -> tuple[npt.NDArray[Any], ...]:
    """Rows, items, labels and weights of what embeddings are fitted to.

    The plays of a user weigh 1 together, the rivals `negatives`.
    """
    sizes = np.diff(seen.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    played = csr_matrix((np.ones(seen.nnz), seen.indices, seen.indptr), seen.shape)
    free = played[:, rivals].toarray() == 0
    free[sizes == 0] = False
    of, which = np.nonzero(free)
    labels = np.concatenate([np.ones(len(rows)), np.zeros(len(of))])
    weights = np.concatenate([1 / sizes[rows], negatives / free.sum(axis=1)[of]])
    return (
        np.concatenate([rows, of]),
        np.concatenate([seen.indices, rivals[which]]),
        labels,
        weights,
    )
