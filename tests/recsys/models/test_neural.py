"""The networks; the contracts of all models and of iterative models are tested elsewhere."""

import sys
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_matrix
from scipy.special import log_softmax
from scipy.stats import norm

from recsys.errors import InputError
from recsys.models import build, mult_vae, ncf, recvae, sasrec
from recsys.models.autoencoder import Batch
from recsys.models.config import ModelConfig
from recsys.models.mult_vae import MultVaeConfig
from recsys.models.ncf import NcfConfig
from recsys.models.recommender import Scoring
from recsys.models.recvae import RecVaeConfig
from recsys.models.sasrec import SasRecConfig
from tests.conftest import two_camps
from tests.recsys.models import test_contract as contract
from tests.recsys.models.test_contract import cells_of

with_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is not installed: `make test-neural` does it"
)
neural = pytest.mark.neural

NCF = NcfConfig(factors=3, iterations=4, learning_rate=0.05)
VAE = MultVaeConfig(factors=3, iterations=5, learning_rate=0.05)
DEEP = MultVaeConfig(hidden=4, factors=3, iterations=5, learning_rate=0.05, weighting="share")
SAS = SasRecConfig(factors=4, iterations=5, length=5, learning_rate=0.05)
REC = RecVaeConfig(hidden=6, factors=3, iterations=5, learning_rate=0.05)
every_network = pytest.mark.parametrize(
    "config", [NCF, VAE, DEEP, REC, SAS], ids=["ncf", "mult-vae", "deep", "recvae", "sasrec"]
)


def users_of(n: int) -> npt.NDArray[np.int32]:
    return np.arange(n, dtype=np.int32)


@neural
@with_torch
@every_network
def test_restoring_trains_nothing(config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object) -> None:
        raise AssertionError("something was trained")

    cells = cells_of(two_camps(5, 7))
    model = build(config, 1).fit(cells)
    for training in (ncf._NcfTraining, mult_vae._Training, recvae._Training, sasrec._Training):
        monkeypatch.setattr(training, "step", trained)

    again = contract.restored(model, config, cells)

    assert contract.answered(again, cells) == contract.answered(model, cells)
    with pytest.raises(AssertionError, match="something was trained"):
        again.fit(cells)


@pytest.mark.parametrize("config", [NCF, VAE, REC, SAS], ids=lambda config: config.kind)
def test_without_pytorch_the_error_names_the_remedy(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails

    with pytest.raises(InputError, match=r"pip install 'recsys\[neural\]'"):
        build(config, 1)


@neural
@with_torch
@every_network
def test_threads_and_random_numbers_of_the_process_change_no_bit(
    config: ModelConfig,
) -> None:
    import torch

    threads, dense = torch.get_num_threads(), two_camps(5, 7)
    once = contract.bits(contract.fitted(config, dense).recommend(users_of(5), 3))
    try:
        torch.set_num_threads(2)
        torch.manual_seed(99)
        state = torch.random.get_rng_state()
        again = contract.bits(contract.fitted(config, dense).recommend(users_of(5), 3))
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.random.get_rng_state(), state)
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)

    assert once == again


@neural
@with_torch
@every_network
def test_the_ranking_follows_the_scores_and_nothing_drops_out(
    config: NcfConfig | MultVaeConfig | RecVaeConfig | SasRecConfig,
) -> None:
    cells = cells_of(two_camps(5, 7))
    model = build(config.model_copy(update={"dropout": 0.9}), 1).fit(cells)
    assert isinstance(model, Scoring)

    recs = model.fold_in(cells, users_of(5), 3)

    assert contract.bits(recs) == contract.bits(model.fold_in(cells, users_of(5), 3))
    for user in range(5):
        scores = model.score(cells, user)
        assert scores.shape == (7,)
        shown = recs.items[user][recs.items[user] >= 0]
        np.testing.assert_allclose(scores[shown], recs.scores[user, : len(shown)], rtol=1e-5)


@neural
@with_torch
@pytest.mark.parametrize("hidden", [0, 5])
def test_arrays_and_tensors_are_the_same_network(hidden: int) -> None:
    """The numpy network that recommends against the torch one that is trained."""
    import torch

    config = MultVaeConfig(hidden=hidden, factors=3, iterations=1, dropout=0.0)
    cells = csr_matrix(np.eye(4, 6, dtype=np.float32))
    training = mult_vae._Training(torch, config, cells, 1)
    layers = training.layers()
    latent, _ = training._encoded(Batch.of(torch, cells))
    if hidden:
        latent = torch.tanh(latent @ layers.outer + layers.outer_bias)
    odds = (latent @ layers.decoder + layers.decoder_bias).detach().numpy()

    found = mult_vae._scores(mult_vae.Layers(**training.parts()), cells)
    np.testing.assert_allclose(found, odds, rtol=1e-4, atol=1e-6)


def recvae_training() -> tuple[recvae._Training, dict[str, npt.NDArray[np.float64]]]:
    """One of 5 users and 7 items with layers of random numbers, and copies of them."""
    import torch

    config = RecVaeConfig(hidden=4, factors=3, iterations=1, gamma=0.7, dropout=0.0)
    training = recvae._Training(torch, config, cells_of(two_camps(5, 7)).matrix(), 1)
    rng = np.random.default_rng(3)
    for part in training.parts().values():
        part[...] = rng.normal(size=part.shape)
    layers = {name: part.astype(np.float64) for name, part in training.parts().items()}
    return training, layers


def dense_recvae(
    layers: dict[str, npt.NDArray[np.float64]], x: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and log variance of z as the paper writes the encoder: every layer is fed by all."""
    outs: list[npt.NDArray[np.float64]] = []
    for n in range(1, 6):
        out = (outs[-1] if outs else x) @ layers[f"layer{n}"] + layers[f"bias{n}"]
        out = sum(outs, out)
        out = out / (1 + np.exp(-out))
        spread = np.sqrt(out.var(axis=1, keepdims=True) + 0.1)
        out = (out - out.mean(axis=1, keepdims=True)) / spread
        outs.append(out * (1 + layers[f"scale{n}"]) + layers[f"shift{n}"])
    latent = outs[-1] @ layers["latent"] + layers["latent_bias"]
    return latent[:, :3], latent[:, 3:]


@neural
@with_torch
def test_recvae_encodes_and_scores_as_the_paper_says() -> None:
    import torch

    training, layers = recvae_training()
    cells = cells_of(two_camps(5, 7)).matrix()
    x = cells.toarray().astype(np.float64)
    expected, spread = dense_recvae(layers, x)

    mean, log_variance = training._encoded(Batch.of(torch, cells), training._layers, 0.0)
    model = build(REC.model_copy(update={"hidden": 4}), 1)
    assert isinstance(model, recvae.RecVae)
    model._layers = training.parts()

    np.testing.assert_allclose(mean.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_variance.detach().numpy(), spread, rtol=1e-4, atol=1e-5)
    odds = expected @ layers["decoder"] + layers["decoder_bias"]
    np.testing.assert_allclose(model._scores(cells), odds, rtol=1e-4, atol=1e-4)


@neural
@with_torch
def test_the_loss_of_recvae_weighs_the_divergence_by_the_items_of_a_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against scipy's normal densities: a mixture of standard, earlier encoder and wide."""
    import torch

    training, layers = recvae_training()
    cells = cells_of(two_camps(5, 7)).matrix()
    noise = np.random.default_rng(5).normal(size=(5, 3))
    monkeypatch.setattr(torch, "randn", lambda *_, **__: torch.from_numpy(noise).float())
    old = {name: part / 2 for name, part in layers.items()}
    tensors = {name: torch.from_numpy(part).float() for name, part in old.items()}

    loss = training._encoder_loss(Batch.of(torch, cells), tensors).item()

    x = cells.toarray().astype(np.float64)
    mean, log_variance = dense_recvae(layers, x)
    old_mean, old_log_variance = dense_recvae(old, x)
    z = mean + np.exp(log_variance / 2) * noise
    prior = 0.15 * norm.pdf(z) + 0.1 * norm.pdf(z, scale=np.exp(5))
    prior += 0.75 * norm.pdf(z, old_mean, np.exp(old_log_variance / 2))
    divergence = (norm.logpdf(z, mean, np.exp(log_variance / 2)) - np.log(prior)).sum(axis=1)
    odds = log_softmax(z @ layers["decoder"] + layers["decoder_bias"], axis=1)
    unlikeliness = -(odds * (x > 0)).sum(axis=1)
    expected = (unlikeliness + 0.7 * (x > 0).sum(axis=1) * divergence).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


@neural
@with_torch
def test_the_encoder_of_recvae_moves_three_times_and_the_decoder_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moves: list[str] = []
    training, _ = recvae_training()
    before = {name: part.copy() for name, part in training.parts().items()}
    move = training._move

    def watched(loss: object, side: str) -> None:
        now = {name: part.copy() for name, part in training.parts().items()}
        move(loss, side)
        moved = {name for name, part in training.parts().items() if (part != now[name]).any()}
        assert {name.startswith("decoder") for name in moved} == {side == "decoder"}
        moves.append(side)

    monkeypatch.setattr(training, "_move", watched)
    training.step(1)

    assert moves == ["encoder", "encoder", "encoder", "decoder"]
    assert all((part != before[name]).any() for name, part in training.parts().items())


@neural
@with_torch
def test_ncf_scores_as_its_equations_say() -> None:
    rng = np.random.default_rng(5)
    f, half, users, items = 4, 2, 3, 5
    shapes = [(users, f), (items, f), (users, f), (items, f), (f, f), (f, f), (f,), (f, half)]
    parts = [rng.normal(size=shape) for shape in [*shapes, (half,), (f,), (half,), (1,)]]
    net = ncf.Network(*parts)

    scores = ncf._scores(net, net.user_gmf, net.user_mlp)

    for u in range(users):
        for i in range(items):
            both = np.concatenate([net.user_mlp[u], net.item_mlp[i]])
            first = np.vstack([net.first_user, net.first_item])
            hidden = np.maximum(both @ first + net.first_bias, 0)
            hidden = np.maximum(hidden @ net.second + net.second_bias, 0)
            product = net.user_gmf[u] * net.item_gmf[i]
            expected = np.concatenate([product, hidden]) @ np.concatenate(
                [net.out_gmf, net.out_mlp]
            )
            assert scores[u, i] == pytest.approx(expected + net.out_bias[0], rel=1e-5)


@neural
@with_torch
@pytest.mark.parametrize("config", [VAE, REC, SAS], ids=lambda config: config.kind)
def test_a_training_that_runs_away_names_the_learning_rate(config: ModelConfig) -> None:
    hot = config.model_copy(update={"learning_rate": 1e6, "iterations": 8})

    with pytest.raises(FloatingPointError, match=rf"of {config.kind} hold NaN .* = 1e\+06; lower"):
        build(hot, 1).fit(cells_of(two_camps(5, 7)))


@neural
@with_torch
def test_negatives_are_never_items_of_the_user() -> None:
    dense = two_camps(9, 30)
    rng = np.random.default_rng(1)

    for rows, cols, played in ncf._batches(cells_of(dense).matrix(), 4, rng):
        assert ((dense[rows, cols] > 0) == played).all()
        assert played.sum() == (dense > 0).sum()
        assert len(played) > 2 * played.sum()
