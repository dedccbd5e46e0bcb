"""The sequences of plays that a model reads, and what it learns from their order."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import log_softmax, softmax

from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.evaluation.fitting import check_order, fit_and_judge
from recsys.models import build, make_config, sasrec
from recsys.models.sasrec import SasRecConfig, sequences
from recsys.splitting.split import last_split, random_split
from tests.conftest import cells_of, events_of, timed
from tests.recsys.models.test_neural import neural, with_torch

Layers = dict[str, npt.NDArray[np.float64]]


def heard(*orders: list[int], n_items: int) -> Interactions:
    """The items of each user, in the order in which they met them."""
    dense, at = np.zeros((len(orders), n_items)), np.zeros((len(orders), n_items), np.int64)
    for user, items in enumerate(orders):
        dense[user, items] = 1
        at[user, items] = 100 + np.arange(len(items))
    cells = cells_of(dense)
    moments = at[cells.rows, cells.cols]
    return replace(cells, first=moments, last=moments + 1000 - 2 * moments)


def test_a_sequence_has_the_last_items_by_their_first_plays_and_ends_on_the_right() -> None:
    cells = heard([4, 0, 2], [], [3], [0, 1, 2, 3, 4], n_items=5)

    assert sequences(cells, 4).tolist() == [
        [-1, 4, 0, 2],
        [-1, -1, -1, -1],
        [-1, -1, -1, 3],
        [1, 2, 3, 4],
    ]


def test_of_items_first_played_in_the_same_second_the_higher_number_is_later() -> None:
    cells = heard([2, 1, 0], n_items=3)
    assert cells.first is not None

    read = sequences(replace(cells, first=np.zeros_like(cells.first)), 3)

    assert read.tolist() == [[0, 1, 2]]


def test_without_times_there_is_no_order() -> None:
    with pytest.raises(InputError, match=r"in the order of their times, .* has none; name the col"):
        sequences(cells_of([[1, 1]]), 2)


def cycles(n_users: int, n_items: int, step: int) -> Interactions:
    """Each user begins somewhere and goes on by `step` items, around a circle."""
    orders = [
        [(user * 5 + step * place) % n_items for place in range(4 + user % 3)]
        for user in range(n_users)
    ]
    return heard(*orders, n_items=n_items)


@neural
@with_torch
@pytest.mark.parametrize("step", [1, -1], ids=["forward", "backward"])
def test_the_item_that_follows_comes_first(step: int) -> None:
    """The same pairs of users and items, but for where they begin; the order alone tells."""
    config = SasRecConfig(factors=16, blocks=1, length=6, iterations=60, learning_rate=0.01)
    model = build(config, 1).fit(cycles(48, 12, step))

    recs = model.fold_in(cycles(12, 12, step), np.arange(12, dtype=np.int32), 1)

    lengths = 4 + np.arange(12) % 3
    assert recs.items[:, 0].tolist() == ((np.arange(12) * 5 + step * lengths) % 12).tolist()


def slow(layers: Layers, items: list[int], blocks: int) -> npt.NDArray[np.float64]:
    """What is known after each item, place by place, as the paper writes it."""

    def normed(x: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
        units = (x - x.mean()) / np.sqrt(x.var() + 1e-8)
        return np.asarray(units * (1 + layers[f"scale{name}"]) + layers[f"shift{name}"])

    d, n = layers["items"].shape[1], len(items)
    places = layers["places"][-n:]
    x = [
        np.sqrt(d) * layers["items"][item] + place
        for item, place in zip(items, places, strict=True)
    ]
    for b in range(1, blocks + 1):
        entering = [normed(each, f"{b}a") for each in x]
        for t in range(n):
            logs = [
                (entering[t] @ layers[f"query{b}"]) @ (entering[s] @ layers[f"key{b}"]) / np.sqrt(d)
                for s in range(t + 1)
            ]
            looks = softmax(logs)
            seen = [look * entering[s] @ layers[f"value{b}"] for s, look in enumerate(looks)]
            x[t] = x[t] + np.sum(seen, axis=0)
        for t in range(n):
            hidden = normed(x[t], f"{b}b") @ layers[f"inner{b}"] + layers[f"inner_bias{b}"]
            outer = np.maximum(hidden, 0) @ layers[f"outer{b}"] + layers[f"outer_bias{b}"]
            x[t] = x[t] + outer
    return np.array([normed(each, "") for each in x])


def drawn_training(**more: object) -> tuple[sasrec._Training, Layers, SasRecConfig]:
    """A training with layers of random numbers, and copies of them."""
    import torch

    config = SasRecConfig(factors=4, blocks=2, length=5, dropout=0.0).model_copy(update=more)
    read = sequences(heard([3, 1, 4, 0], [2, 5], n_items=6), 6)
    training = sasrec._Training(torch, config, read, 6, 1)
    rng = np.random.default_rng(2)
    for part in training.parts().values():
        part[...] = rng.normal(size=part.shape)
    layers = {name: part.astype(np.float64) for name, part in training.parts().items()}
    return training, layers, config


@neural
@with_torch
def test_it_scores_as_the_paper_says_and_ignores_what_is_not_there() -> None:
    training, layers, config = drawn_training()
    model = sasrec.SasRec(config, 1)
    model._layers = training.parts()

    scores = model._scores(np.array([[-1, 3, 1, 4, 0], [-1, -1, -1, 2, 5]], dtype=np.int32))

    for user, items in enumerate(([3, 1, 4, 0], [2, 5])):
        expected = layers["items"] @ slow(layers, items, 2)[-1]
        np.testing.assert_allclose(scores[user], expected, rtol=1e-3, atol=1e-4)


@neural
@with_torch
def test_the_loss_tells_the_next_item_from_all_others() -> None:
    """With as many negatives as there are items, it is the softmax over the catalogue."""
    training, layers, _ = drawn_training(negatives=6)

    losses = training._losses(training._read).detach().numpy()

    expected = []
    for items in ([3, 1, 4, 0], [2, 5]):
        odds = log_softmax(slow(layers, items[:-1], 2) @ layers["items"].T, axis=1)
        expected += [-odds[place, item] for place, item in enumerate(items[1:])]
    np.testing.assert_allclose(losses, expected, rtol=1e-3, atol=1e-4)


@neural
@with_torch
def test_negatives_are_drawn_anew_for_each_step() -> None:
    training, _, _ = drawn_training(negatives=4)

    drawn = [training._negatives(1000).tolist() for _ in range(3)]

    assert {len(each) for each in drawn} == {4}
    assert len({*map(tuple, drawn)}) == 3


@neural
@with_torch
def test_users_with_one_item_teach_nothing_and_are_answered() -> None:
    config = SasRecConfig(factors=4, length=5, iterations=2)
    alone = timed(cells_of(np.eye(3, 4)))
    untrained = build(config.model_copy(update={"iterations": 1}), 1).fit(alone)

    model = build(config, 1).fit(alone)

    for name, part in model.arrays().items():
        assert (part == untrained.arrays()[name]).all()
    assert (model.recommend(np.arange(3, dtype=np.int32), 3).items >= 0).all()


def test_it_is_not_judged_where_held_out_items_lie_between_those_of_the_history() -> None:
    """Refused before anything is trained, so without PyTorch too."""
    log = events_of([(user, item, 1, item) for user in range(3) for item in range(9)])

    fold = random_split(log.cells(), 0.2, 5, (1, 2)).validation
    with pytest.raises(
        InputError, match=r'sasrec learns from the order of plays.*"last" or "time"'
    ):
        fit_and_judge(SasRecConfig(), 1, fold, (3,))

    members = make_config("ensemble", {"members": (SasRecConfig(), make_config("als", {}))})
    with pytest.raises(InputError, match="sasrec learns from the order of plays"):
        check_order(members, fold)
    check_order(members, last_split(log.cells(), 2).validation)
    check_order(make_config("als", {}), fold)
