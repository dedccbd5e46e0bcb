"""A variational autoencoder with a multinomial likelihood (Liang et al. 2018)."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

from recsys import bounds
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array
from recsys.models.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    AutoencoderTraining,
    Batch,
)
from recsys.models.config import Count, Factors, Iterations
from recsys.models.network import Dropout, Shapes, Training
from recsys.models.neural import Tensor, Torch
from recsys.models.weighting import Weighting


class MultVaeConfig(AutoencoderConfig):
    """A variational autoencoder with a multinomial likelihood."""

    kind: Literal["mult-vae"] = "mult-vae"
    weighting: Weighting = "bm25"
    """Of the input; the output is 1 for each item of the history."""
    hidden: Annotated[int, Field(ge=0, le=bounds.FACTORS)] = 0
    """Units of the layers between items and factors; 0: no such layers."""
    factors: Factors = 400
    iterations: Iterations = 70
    batch: Count = 500
    learning_rate: PositiveFloat = 0.003
    regularization: NonNegativeFloat = 2.0
    dropout: Dropout = 0.5
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


def _shapes(config: MultVaeConfig, n_items: int) -> Shapes:
    """Shapes of the layers; each has a bias with one number per column."""
    hidden, latent = config.hidden, config.factors
    inner = {"inner": (hidden, 2 * latent), "outer": (latent, hidden)} if hidden else {}
    layers = {
        "encoder": (n_items, hidden or 2 * latent),
        **inner,
        "decoder": (hidden or latent, n_items),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in layers.items():
        shapes |= {name: shape, f"{name}_bias": shape[1:]}
    return shapes


class MultVae(Autoencoder):
    """Mult-VAE: the items of a user pass through a few factors and come back as log odds.

        z ~ N(mu(x), sigma(x)),   log p(y | z) = sum_i y_i log softmax(f(z))_i
        minimise   -log p(y | z) + beta * KL(q(z | x) | N(0, 1))

    (Liang et al. 2018, equations 2, 5 and 7; beta rises from 0 to its value over the
    first `annealing` iterations.) y is 1 for each item of the history, as in the paper: targets
    that are weighed did worse. Adam; `regularization` is the decay of the weights beside it
    (Loshchilov & Hutter 2019).
    """

    _config: MultVaeConfig

    def _shapes(self, n_items: int) -> Shapes:
        return _shapes(self._config, n_items)

    def _begun(self, torch: Torch) -> Training:
        return _Training(torch, self._config, self._weighted, self._seed)

    def _scores(self, weighted: csr_matrix) -> Float32Array:
        return _scores(Layers(**self._layers), weighted)


CONFIG = MultVaeConfig


def create(config: MultVaeConfig, seed: int, profiles: Profiles | None = None) -> MultVae:
    """The untrained model."""
    return MultVae(config, seed)


def _scores(layers: Layers, weighted: csr_matrix) -> Float32Array:
    """Log odds of all items at the mean of z, float32, shape (m, n_items)."""
    between = np.asarray(weighted @ layers.encoder) + layers.encoder_bias
    if layers.inner is not None:
        between = np.tanh(between) @ layers.inner + layers.inner_bias
    mean = between[:, : between.shape[1] // 2]
    if layers.outer is not None:
        mean = np.tanh(mean @ layers.outer + layers.outer_bias)
    return np.asarray(mean @ layers.decoder + layers.decoder_bias)


class _Training(AutoencoderTraining):
    """With one optimizer for all layers."""

    _config: MultVaeConfig

    def __init__(
        self, torch: Torch, config: MultVaeConfig, weighted: csr_matrix, seed: int
    ) -> None:
        super().__init__(torch, weighted, seed, _shapes(config, weighted.shape[1]))
        self._config = config
        adam = torch.optim.AdamW(
            self._layers.values(), lr=config.learning_rate, weight_decay=config.regularization
        )
        self.adams = {"": (list(self._layers), adam)}

    def step(self, number: int) -> float:
        """Train the iteration of this number, all users once; the mean loss of a user."""
        config, batches = self._config, self._turns()
        taken, rising, lost = (number - 1) * len(batches), config.annealing * len(batches), 0.0
        for n, users in enumerate(batches):
            unlikeliness, divergence = self._loss(self._cells(users))
            beta = config.beta * min(taken + n, rising) / rising
            self._move(unlikeliness + beta * divergence)
            lost += unlikeliness.item() * len(users)
        return lost / len(self._users)

    def layers(self) -> Layers:
        """The tensors."""
        return Layers(**self._layers)

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """-log p(y | z) and the divergence from the prior, means over the users."""
        torch, layers = self._torch, self.layers()
        mean, log_variance = self._encoded(batch)
        latent = self._drawn(mean, log_variance)
        if layers.outer is not None:
            latent = torch.tanh(latent @ layers.outer + layers.outer_bias)
        odds = latent @ layers.decoder + layers.decoder_bias
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2
        return self._unlikeliness(odds, batch), divergence / batch.users

    def _encoded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        layers = self.layers()
        between = self._summed(batch, layers.encoder, self._config.dropout) + layers.encoder_bias
        if layers.inner is not None:
            between = self._torch.tanh(between) @ layers.inner + layers.inner_bias
        mean, log_variance = between.chunk(2, dim=1)
        return mean, log_variance
