"""A variational autoencoder with a composite prior, trained in turns (Shenbin et al. 2020)."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

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
from recsys.models.neural import Tensor, Torch, layer_norm, swish
from recsys.models.weighting import Weighting

DEPTH = 5  # layers of the encoder
ENCODED = 3  # passes over the users that train the encoder, for one that trains the decoder
EPSILON = 0.1  # added to the variance in a layer norm
STANDARD, EARLIER, WIDE = 3 / 20, 3 / 4, 1 / 10  # weights of the parts of the prior
WIDTH = 10.0  # log variance of its wide part
ENCODER, DECODER = "encoder", "decoder"  # that are trained in turns


class RecVaeConfig(AutoencoderConfig):
    """A variational autoencoder with a composite prior."""

    kind: Literal["recvae"] = "recvae"
    weighting: Weighting = "binary"
    """Of the input; the output is 1 for each item of the history."""
    hidden: Factors = 600
    """Units of each layer of the encoder."""
    factors: Factors = 200
    iterations: Iterations = 50
    """Of three passes over the users for the encoder and one for the decoder."""
    batch: Count = 500
    learning_rate: PositiveFloat = 0.0005
    regularization: NonNegativeFloat = 0.0
    dropout: Dropout = 0.5
    """Of the items that the encoder is trained with; the decoder is trained with all."""
    gamma: NonNegativeFloat = 0.005
    """Weight of the divergence from the prior for each item of a user."""


class RecVae(Autoencoder):
    """RecVAE: a deep encoder, a linear decoder, and a prior that remembers the last encoder.

        z ~ q(z | x) = N(mu(x), sigma(x)),   log p(y | z) = sum_i y_i log softmax(W z + b)_i
        minimise  -log p(y | z) + gamma * |x| * (log q(z | x) - log p(z | x))
        p(z | x) = 3/20 N(0, 1) + 3/4 q_old(z | x) + 1/10 N(0, e^10)

    (Shenbin et al. 2020, section 3; the mixture is one of each factor, as in the code of the
    authors.) |x| is the number of items of a user, q_old the encoder before the
    iteration. The encoder has five layers, each fed by all before it, with swish and layer norm. An
    iteration is three passes over the users that train the encoder on noisy input, with q_old
    fixed, and one that trains the decoder on the whole input. Adam; `regularization` is the decay
    of the weights beside it, 0 in the paper. `weighting` other than binary is ours.
    """

    _config: RecVaeConfig

    def _shapes(self, n_items: int) -> Shapes:
        return _shapes(self._config, n_items)

    def _begun(self, torch: Torch) -> Training:
        return _Training(torch, self._config, self._weighted, self._seed)

    def _scores(self, weighted: csr_matrix) -> Float32Array:
        layers = self._layers
        mean, _ = _encoded(layers, np.asarray(weighted @ layers["layer1"]))
        return np.asarray(mean @ layers["decoder"] + layers["decoder_bias"])


CONFIG = RecVaeConfig


def create(config: RecVaeConfig, seed: int, profiles: Profiles | None = None) -> RecVae:
    """The untrained model."""
    return RecVae(config, seed)


def _shapes(config: RecVaeConfig, n_items: int) -> Shapes:
    """Shapes of the layers of the encoder, each with bias and layer norm, and of the decoder."""
    hidden, latent = config.hidden, config.factors
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(1, DEPTH + 1):
        shapes[f"layer{n}"] = (hidden if n > 1 else n_items, hidden)
        shapes |= {f"{name}{n}": (hidden,) for name in ("bias", "scale", "shift")}
    for name, shape in {"latent": (hidden, 2 * latent), "decoder": (latent, n_items)}.items():
        shapes |= {name: shape, f"{name}_bias": shape[1:]}
    return shapes


def _encoded(layers: Mapping[str, Any], summed: Any) -> tuple[Any, Any]:
    """Mean and log variance of z, each of shape (m, factors): of arrays or of tensors.

    Args:
        layers: By their names.
        summed: Rows of the first layer, summed over the items of each user, shape (m, hidden).
    """
    entering = summed + layers["bias1"]
    before: Any = 0  # the sum of the layers so far
    for n in range(1, DEPTH + 1):
        out = layer_norm(swish(entering), layers[f"scale{n}"], layers[f"shift{n}"], EPSILON)
        before = before + out
        if n < DEPTH:
            entering = out @ layers[f"layer{n + 1}"] + layers[f"bias{n + 1}"] + before
    latent = out @ layers["latent"] + layers["latent_bias"]
    half = latent.shape[1] // 2
    return latent[:, :half], latent[:, half:]


def _density(at: Tensor, mean: Tensor | float, log_variance: Tensor | float) -> Tensor:
    """The log of N(at | mean, e^log_variance) of each factor, less a constant that all share."""
    variance = math.exp(log_variance) if isinstance(log_variance, float) else log_variance.exp()
    return -(log_variance + (at - mean) ** 2 / variance) / 2


class _Training(AutoencoderTraining):
    """With an optimizer for the encoder and one for the decoder."""

    _config: RecVaeConfig

    def __init__(self, torch: Torch, config: RecVaeConfig, weighted: csr_matrix, seed: int) -> None:
        super().__init__(torch, weighted, seed, _shapes(config, weighted.shape[1]))
        self._config = config
        of_decoder = [name for name in self._layers if name.startswith(DECODER)]
        self._encoder = [name for name in self._layers if name not in of_decoder]
        self.adams = {
            side: (
                names,
                torch.optim.AdamW(
                    [self._layers[name] for name in names],
                    lr=config.learning_rate,
                    weight_decay=config.regularization,
                ),
            )
            for side, names in ((ENCODER, self._encoder), (DECODER, of_decoder))
        }

    def step(self, number: int) -> float:
        """Train the encoder, then the decoder; the mean loss of a user in the last pass."""
        earlier = {name: self._layers[name].detach().clone() for name in self._encoder}
        for _ in range(ENCODED):
            for users in self._turns():
                self._move(self._encoder_loss(self._cells(users), earlier), ENCODER)
        lost = 0.0
        for users in self._turns():
            loss = self._decoder_loss(self._cells(users))
            self._move(loss, DECODER)
            lost += loss.item() * len(users)
        return lost / len(self._users)

    def _encoder_loss(self, batch: Batch, earlier: Mapping[str, Tensor]) -> Tensor:
        """-log p(y | z) and the weighed divergence from the prior, the mean over the users."""
        torch = self._torch
        mean, log_variance = self._encoded(batch, self._layers, self._config.dropout)
        latent = self._drawn(mean, log_variance)
        with torch.no_grad():
            old = self._encoded(batch, earlier, 0.0)
        parts = [
            math.log(share) + _density(latent, *each)
            for share, each in ((STANDARD, (0.0, 0.0)), (EARLIER, old), (WIDE, (0.0, WIDTH)))
        ]
        prior = torch.logsumexp(torch.stack(parts), dim=0)
        divergence = (_density(latent, mean, log_variance) - prior).sum(dim=1)
        weights = self._config.gamma * torch.bincount(batch.rows, minlength=batch.users)
        decoder = self._layers["decoder"].detach(), self._layers["decoder_bias"].detach()
        odds = latent @ decoder[0] + decoder[1]
        return self._unlikeliness(odds, batch) + (weights * divergence).mean()

    def _decoder_loss(self, batch: Batch) -> Tensor:
        """-log p(y | z), the mean over the users, with the whole input of each."""
        with self._torch.no_grad():
            latent = self._drawn(*self._encoded(batch, self._layers, 0.0))
        odds = latent @ self._layers["decoder"] + self._layers["decoder_bias"]
        return self._unlikeliness(odds, batch)

    def _encoded(
        self, batch: Batch, layers: Mapping[str, Tensor], dropped: float
    ) -> tuple[Tensor, Tensor]:
        return _encoded(layers, self._summed(batch, layers["layer1"], dropped))
