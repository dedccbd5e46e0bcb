"""The networks: the contract of all models, and what is theirs alone."""

import sys
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_matrix

from recsys.errors import InputError
from recsys.models import build, mult_vae, ncf
from recsys.models.config import ModelConfig
from recsys.models.mult_vae import MultVae, MultVaeConfig
from recsys.models.ncf import Ncf, NcfConfig
from recsys.models.recommender import Scoring
from tests.conftest import cells_of, two_camps
from tests.recsys.models import test_contract as contract

with_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is not installed: `make test-neural` does it"
)
neural = pytest.mark.neural

NCF = NcfConfig(factors=3, iterations=4, learning_rate=0.05)
VAE = MultVaeConfig(factors=3, iterations=5, learning_rate=0.05)
DEEP = MultVaeConfig(hidden=4, factors=3, iterations=5, learning_rate=0.05, weighting="share")
NETWORKS = [NCF, VAE, DEEP]
every_network = pytest.mark.parametrize("config", NETWORKS, ids=["ncf", "mult-vae", "deep"])

Check = Callable[..., None]


def checks_of_every_model() -> dict[str, Check]:
    """The tests of the contract whose only parameter is a model, and which hold for all."""
    found = {}
    for name, function in vars(contract).items():
        marks = [m for m in getattr(function, "pytestmark", []) if m.name == "parametrize"]
        names, *values = marks[0].args if len(marks) == 1 else ("",)
        if names == "config" and all(model in values[0] for model in contract.MODELS):
            found[name] = function
    return found


CHECKS = checks_of_every_model()


def everybody(n: int) -> npt.NDArray[np.int32]:
    return np.arange(n, dtype=np.int32)


def test_the_contract_was_found() -> None:
    assert "test_the_catalogue_is_never_cut" in CHECKS
    assert len(CHECKS) >= 10


@neural
@with_torch
@every_network
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_contract(check: Check, config: ModelConfig) -> None:
    check(config=config)


@neural
@with_torch
@every_network
def test_a_whole_catalogue_heard_leaves_an_empty_list(config: ModelConfig) -> None:
    recs = contract.fitted(config, np.ones((2, 3))).recommend(everybody(2), 2)

    assert contract.lists(recs) == [[], []]


@neural
@with_torch
@every_network
def test_fitting_and_asking_leave_the_cells_alone(config: ModelConfig) -> None:
    cells = cells_of(two_camps(5, 7))
    before = [cells.rows.copy(), cells.cols.copy(), cells.plays.copy()]
    model = build(config, 1).fit(cells)
    model.recommend(everybody(5), 3)
    model.fold_in(cells, everybody(5), 3)

    assert contract.same(before, cells)


@neural
@with_torch
@every_network
def test_restoring_trains_nothing(config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object) -> None:
        raise AssertionError("something was trained")

    cells = cells_of(two_camps(5, 7))
    model = build(config, 1).fit(cells)
    monkeypatch.setattr(ncf, "_trained", trained)
    monkeypatch.setattr(mult_vae._Training, "run", trained)

    again = contract.restored(model, config, cells)

    assert contract.answered(again, cells) == contract.answered(model, cells)
    with pytest.raises(AssertionError, match="something was trained"):
        again.fit(cells)


@pytest.mark.parametrize("config", [NCF, VAE], ids=lambda config: config.kind)
def test_without_pytorch_the_remedy_is_told(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails

    with pytest.raises(InputError, match=r"pip install 'recsys\[neural\]'"):
        build(config, 1)


CAMPS = [
    NcfConfig(factors=4, iterations=60, learning_rate=0.02),
    MultVaeConfig(factors=2, iterations=150, learning_rate=0.02, dropout=0.3),
    MultVaeConfig(hidden=8, factors=2, iterations=150, learning_rate=0.02, dropout=0.3),
]
of_camps = pytest.mark.parametrize("config", CAMPS, ids=["ncf", "mult-vae", "deep"])


@neural
@with_torch
@of_camps
@pytest.mark.parametrize("seed", range(3))
def test_the_hidden_item_of_each_camp_is_found(config: ModelConfig, seed: int) -> None:
    dense = two_camps(12, 12)

    recs = contract.fitted(config, dense, seed).recommend(everybody(12), 1)

    assert recs.items[:, 0].tolist() == everybody(12).tolist()


@neural
@with_torch
@of_camps
def test_a_stranger_is_folded_into_their_camp(config: ModelConfig) -> None:
    model = contract.fitted(config, two_camps(24, 12))
    history = cells_of([[0, 0, 3, 0, 2, 0, 9, 0, 0, 0, 0, 0], [0, 5, 0, 5, 0, 5, 0, 0, 0, 0, 0, 0]])

    even, odd = contract.lists(model.fold_in(history, everybody(2), 3))

    assert {*even} == {0, 8, 10}
    assert {*odd} == {7, 9, 11}


@neural
@with_torch
@every_network
def test_the_loss_falls(config: NcfConfig | MultVaeConfig) -> None:
    longer = config.model_copy(update={"iterations": 30, "learning_rate": 0.02})
    model = build(longer, 3).fit(cells_of(two_camps(24, 12)))

    assert isinstance(model, Ncf | MultVae)
    assert len(model.losses) == 30
    assert np.mean(model.losses[-5:]) < np.mean(model.losses[:5])


@neural
@with_torch
@every_network
def test_another_seed_gives_another_model(config: ModelConfig) -> None:
    dense = two_camps(5, 7)
    one, other = (contract.fitted(config, dense, seed) for seed in (1, 2))

    assert contract.told(one.recommend(everybody(5), 3)) != contract.told(
        other.recommend(everybody(5), 3)
    )


@neural
@with_torch
@every_network
def test_the_bits_do_not_depend_on_the_threads_or_the_chance_of_the_process(
    config: ModelConfig,
) -> None:
    import torch

    threads, dense = torch.get_num_threads(), two_camps(5, 7)
    once = contract.told(contract.fitted(config, dense).recommend(everybody(5), 3))
    try:
        torch.set_num_threads(2)
        torch.manual_seed(99)
        state = torch.random.get_rng_state()
        again = contract.told(contract.fitted(config, dense).recommend(everybody(5), 3))
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.random.get_rng_state(), state)
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)

    assert once == again


@neural
@with_torch
@every_network
def test_scores_are_those_by_which_is_ranked_and_nothing_drops_out(
    config: NcfConfig | MultVaeConfig,
) -> None:
    cells = cells_of(two_camps(5, 7))
    model = build(config.model_copy(update={"dropout": 0.9}), 1).fit(cells)
    assert isinstance(model, Scoring)

    recs = model.fold_in(cells, everybody(5), 3)

    assert contract.told(recs) == contract.told(model.fold_in(cells, everybody(5), 3))
    for user in range(5):
        scores = model.score(cells, user)
        assert scores.shape == (7,)
        shown = recs.items[user][recs.items[user] >= 0]
        np.testing.assert_allclose(scores[shown], recs.scores[user, : len(shown)], rtol=1e-5)


@neural
@with_torch
def test_a_stranger_without_history_gets_nothing_of_the_autoencoder_and_something_of_ncf() -> None:
    dense = two_camps(6, 7)
    dense[2] = 0
    for config, shown in ((VAE, 0), (DEEP, 0), (NCF, 4)):
        model = contract.fitted(config, dense)
        for recs in (
            model.recommend(everybody(6), 4),
            model.fold_in(cells_of(dense), everybody(6), 4),
        ):
            assert len(contract.lists(recs)[2]) == shown


@neural
@with_torch
@pytest.mark.parametrize("hidden", [0, 5])
def test_arrays_and_tensors_are_the_same_network(hidden: int) -> None:
    """What recommends, in numpy, against what is trained, in torch."""
    import torch

    config = MultVaeConfig(hidden=hidden, factors=3, iterations=1, dropout=0.0)
    cells = csr_matrix(np.eye(4, 6, dtype=np.float32))
    training = mult_vae._Training(torch, config, cells, 1)
    columns = torch.from_numpy(cells.indices.astype(np.int64))
    latent, _ = training._encoded(cells, columns)
    layers = training._layers
    if hidden:
        latent = torch.tanh(latent @ layers.outer + layers.outer_bias)
    odds = (latent @ layers.decoder + layers.decoder_bias).detach().numpy()

    np.testing.assert_allclose(mult_vae._scores(layers.arrays(), cells), odds, rtol=1e-4, atol=1e-6)


@neural
@with_torch
def test_ncf_scores_as_its_equations_say() -> None:
    rng = np.random.default_rng(5)
    f, half, users, items = 4, 2, 3, 5
    shapes = [(users, f), (items, f), (users, f), (items, f), (f, f), (f, f), (f,), (f, half)]
    parts = [rng.normal(size=shape) for shape in [*shapes, (half,), (f,), (half,), (1,)]]
    net = ncf.Network(*parts)

    found = ncf._scores(net, net.user_gmf, net.user_mlp)

    for u in range(users):
        for i in range(items):
            both = np.concatenate([net.user_mlp[u], net.item_mlp[i]])
            first = np.vstack([net.first_user, net.first_item])
            hidden = np.maximum(both @ first + net.first_bias, 0)
            hidden = np.maximum(hidden @ net.second + net.second_bias, 0)
            product = net.user_gmf[u] * net.item_gmf[i]
            score = np.concatenate([product, hidden]) @ np.concatenate([net.out_gmf, net.out_mlp])
            assert found[u, i] == pytest.approx(score + net.out_bias[0], rel=1e-5)


@neural
@with_torch
def test_negatives_are_never_among_what_was_heard() -> None:
    dense = two_camps(9, 30)
    rng = np.random.default_rng(1)

    for rows, cols, heard in ncf._batches(cells_of(dense).matrix(), 4, rng):
        assert ((dense[rows, cols] > 0) == heard).all()
        assert heard.sum() == (dense > 0).sum()
        assert len(heard) > 2 * heard.sum()
