"""One contract for every model that trains step by step."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from recsys.data.interactions import Interactions
from recsys.models import MODELS, build, config_class, make_config
from recsys.models.als import AlsConfig
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.bpr import BprConfig
from recsys.models.config import ModelConfig
from recsys.models.fm import FmConfig
from recsys.models.iterative import (
    Iteration,
    Iterative,
    State,
    StopTraining,
    random_from,
    random_state,
)
from recsys.models.mult_vae import MultVaeConfig
from recsys.models.ncf import NcfConfig
from recsys.models.recvae import RecVaeConfig
from recsys.models.sasrec import SasRecConfig
from recsys.models.slim import SlimConfig
from tests.conftest import cells_of as untimed
from tests.conftest import timed

N_USERS, N_ITEMS, LAST, AT = 40, 30, 8, 3
NETWORK = [
    pytest.mark.neural,
    pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch: `make test-neural`"),
]
CONFIGS = [
    AlsConfig(factors=4, iterations=LAST),
    pytest.param(AlsConfig(factors=4, iterations=LAST, nu=0.5), id="als-scaled"),
    BprConfig(factors=4, iterations=LAST, learning_rate=0.1),
    FmConfig(factors=4, iterations=LAST),
    SlimConfig(iterations=LAST, l1=0.1, l2=0.1, neighbours=20),
    pytest.param(NcfConfig(factors=4, iterations=LAST, learning_rate=0.01), marks=NETWORK),
    pytest.param(MultVaeConfig(factors=4, iterations=LAST, annealing=5), marks=NETWORK),
    pytest.param(MultVaeConfig(iterations=LAST, hidden=6), marks=NETWORK, id="mult-vae-deep"),
    pytest.param(SasRecConfig(factors=4, iterations=LAST, length=6, batch=8), marks=NETWORK),
    pytest.param(
        RecVaeConfig(iterations=LAST, hidden=8, factors=4, learning_rate=0.005), marks=NETWORK
    ),
]


every_model = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)


def plays(seed: int) -> npt.NDArray[np.int64]:
    """Two camps that leak; the last user and the last item have nothing."""
    rng = np.random.default_rng(seed)
    same = (np.arange(N_USERS)[:, None] - np.arange(N_ITEMS)) % 2 == 0
    dense = (rng.random(same.shape) < np.where(same, 0.7, 0.1)) * rng.integers(1, 9, same.shape)
    dense[-1], dense[:, -1] = 0, 0
    return np.asarray(dense)


def cells_of(dense: npt.ArrayLike) -> Interactions:
    """With times, as some models need them."""
    return timed(untimed(dense))


@pytest.fixture(scope="module")
def cells() -> Interactions:
    return cells_of(plays(seed=5))


def model_of(config: ModelConfig, **changed: Any) -> Iterative:
    model = build(config.model_copy(update=changed), 7)
    assert isinstance(model, Iterative)
    return model


class Observer:
    """Records each iteration, keeps the state after iteration AT, and can stop there."""

    def __init__(self, stop: bool = False) -> None:
        self.steps: list[tuple[int, float]] = []
        self.states: list[State] = []
        self.bits: list[dict[str, bytes]] = []
        self.answers: list[bytes] = []
        self._stop = stop

    def __call__(self, step: Iteration) -> None:
        self.steps.append((step.number, step.loss))
        self.bits.append(bits(step.model))
        self.answers.append(answers(step.model))
        assert step.seconds > 0
        if step.number == AT:
            self.states.append(step.model.state())
            if self._stop:
                raise StopTraining


def bits(model: Iterative) -> dict[str, bytes]:
    """All arrays that the next iteration depends on."""
    return {name: array.tobytes() for name, array in model.state().arrays.items()}


def answers(model: Iterative) -> bytes:
    """Lists of known and of new users; implicit keeps products of factors from a fold-in on."""
    users = np.arange(N_USERS, dtype=np.int32)
    both = (model.recommend(users, 5), model.fold_in(cells_of(plays(seed=6)), users, 5))
    return b"".join(recs.items.tobytes() + recs.scores.tobytes() for recs in both)


def test_every_model_with_iterations_is_here() -> None:
    here = {getattr(each, "values", [each])[0].kind for each in CONFIGS}

    assert here == {kind for kind in MODELS if config_class(kind).iterative}


@every_model
def test_the_observer_gets_every_iteration_once_and_changes_nothing(
    config: ModelConfig, cells: Interactions
) -> None:
    seen = Observer()

    watched, alone = model_of(config).fit(cells, on_iteration=seen), model_of(config).fit(cells)

    assert [number for number, _ in seen.steps] == list(range(1, LAST + 1))
    assert bits(watched) == bits(alone) == seen.bits[-1]
    assert answers(watched) == answers(alone) == seen.answers[-1]


@every_model
def test_the_loss_falls(config: ModelConfig, cells: Interactions) -> None:
    seen = Observer()

    model_of(config, iterations=30).fit(cells, on_iteration=seen)

    losses = [loss for _, loss in seen.steps]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@every_model
@pytest.mark.parametrize("at", [1, AT])
def test_a_training_is_the_beginning_of_every_longer_one(
    config: ModelConfig, cells: Interactions, at: int
) -> None:
    seen = Observer()
    model_of(config).fit(cells, on_iteration=seen)

    shorter = model_of(config, iterations=at).fit(cells)

    assert bits(shorter) == seen.bits[at - 1]
    assert answers(shorter) == seen.answers[at - 1]


@every_model
def test_a_training_resumed_from_stored_arrays_gives_the_same_bits(
    config: ModelConfig, cells: Interactions, tmp_path: Path
) -> None:
    whole, rest = Observer(), Observer()
    model_of(config).fit(cells, on_iteration=whole)
    save_arrays(whole.states[0].arrays, tmp_path)

    start = State(AT, StoredArrays(tmp_path).all_dense())
    model_of(config).fit(cells, start, rest)

    assert rest.steps == whole.steps[AT:]
    assert rest.bits == whole.bits[AT:]
    assert rest.answers == whole.answers[AT:]


@every_model
def test_a_stopped_training_leaves_the_model_of_its_last_iteration(
    config: ModelConfig, cells: Interactions
) -> None:
    stopped = model_of(config).fit(cells, on_iteration=Observer(stop=True))
    shorter = model_of(config, iterations=AT).fit(cells)

    assert stopped.state().iteration == AT
    assert bits(stopped) == bits(shorter)
    assert answers(stopped) == answers(shorter)


@every_model
def test_a_model_goes_to_any_state_of_its_training_and_shares_nothing_with_it(
    config: ModelConfig, cells: Interactions
) -> None:
    seen = Observer()
    model = model_of(config).fit(cells, on_iteration=seen)
    (state,) = seen.states

    model.rewind(state)
    again = model.state()
    earlier = bits(model), answers(model)
    last = model_of(config).fit(cells).state()
    model.rewind(last)
    reused = model_of(config).fit(cells).state(into=state)

    assert again.iteration == AT
    assert earlier == (seen.bits[AT - 1], seen.answers[AT - 1])
    assert bits(model) == seen.bits[-1]
    assert {name: part.tobytes() for name, part in reused.arrays.items()} == seen.bits[-1]


@every_model
def test_a_training_that_starts_at_its_end_gives_the_same_model(
    config: ModelConfig, cells: Interactions
) -> None:
    whole, seen = model_of(config).fit(cells), Observer()

    again = model_of(config).fit(cells, whole.state(), seen)

    assert seen.steps == []
    assert bits(again) == bits(whole)
    assert answers(again) == answers(whole)


@every_model
def test_other_errors_of_the_observer_pass_through(
    config: ModelConfig, cells: Interactions
) -> None:
    def failing(step: Iteration) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model_of(config).fit(cells, on_iteration=failing)


@pytest.mark.parametrize("kind", [each for each in MODELS if not config_class(each).iterative])
def test_a_model_that_learns_in_one_pass_is_not_iterative(kind: str) -> None:
    assert not isinstance(build(make_config(kind, {}), 1), Iterative)


@pytest.mark.parametrize("drawn", [0, 1])
def test_restored_random_numbers_continue_the_same_sequence(drawn: int) -> None:
    """One 32-bit number of two leaves the other half behind."""
    rng = np.random.default_rng(3)
    rng.integers(0, 100, drawn, dtype=np.int32)

    again = random_from(random_state(rng))

    assert again.integers(0, 100, 9, dtype=np.int32).tolist() == (
        rng.integers(0, 100, 9, dtype=np.int32).tolist()
    )
    assert again.random(9).tolist() == rng.random(9).tolist()
