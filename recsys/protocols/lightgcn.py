"""The cuts of LightGCN: train.txt and test.txt, a line a user, the user first, then its items.

Recall divides by all held-out items. Validation is cut from the training side by us, a fifth of
the items of each user.
"""

from pathlib import Path

import numpy as np

from recsys.data.ids import IdMap, strings
from recsys.data.interactions import Events
from recsys.errors import InputError
from recsys.protocols.protocol import LARGE, LIGHT, Count, Prepared, Protocol, PublishedRow, Task
from recsys.sources.stream import lines

PAPER = "He, Deng, Wang, Li, Zhang and Wang 2020 (SIGIR), LightGCN"
HOME = "https://github.com/kuandeng/LightGCN/tree/master/Data"
SOURCES = {
    "BSPM": "Choi et al. 2023 (SIGIR)",
    "SimpleX": "Mao et al. 2021 (CIKM), SimpleX",
    "UltraGCN": "Mao et al. 2021 (CIKM), UltraGCN",
    "GF-CF": "Shen et al. 2021 (CIKM)",
    "LightGCN": "He et al. 2020 (SIGIR)",
    "EASE": "Steck 2019 (WWW), measured by Zhu et al. 2022 (SIGIR), BARS",
    "SLIM": "Ning and Karypis 2011 (ICDM), measured by Zhu et al. 2022 (SIGIR), BARS",
    "SANSA": "Spišák et al. 2023 (RecSys)",
}
METRICS = ("recall@20", "ndcg@20")


def read_adjacency(path: Path) -> tuple[Events, int]:
    """The pairs of a file with a line a user, and how many items its lines have.

    A user without items is no error, nor is an item that comes twice.

    Raises:
        InputError: the file is missing, empty, or has something else than whole numbers.
    """
    users: list[str] = []
    sizes: list[int] = []
    items: list[str] = []
    for block in lines(path):
        for number, text in zip(block.numbers.tolist(), block.texts.to_pylist(), strict=True):
            words = text.split()
            bad = [word for word in words if not (word.isascii() and word.isdigit())]
            if bad:
                raise InputError(
                    f"{path}:{number}: {bad[0]!r} is no number of a user or an item; give the "
                    f"published file, a line a user: the user, then its items"
                )
            users.extend(words[:1])
            sizes.extend([len(words) - 1] if words else [])
            items.extend(words[1:])
    if not items:
        raise InputError(f"{path} has no user with an item; give the published file")
    return _events(np.repeat(np.asarray(users, dtype=object), sizes).tolist(), items), len(items)


def _events(users: list[str], items: list[str]) -> Events:
    user_ids, rows = IdMap.encode(strings(users))
    item_ids, cols = IdMap.encode(strings(items))
    found = Events.of(user_ids, item_ids, rows, cols, np.ones(len(rows)))
    return found.where(found.begins)


def prepare_lightgcn(task: Task) -> Prepared:
    """Both files as they are."""
    train, n_train = read_adjacency(task.files["train.txt"])
    test, n_test = read_adjacency(task.files["test.txt"])
    counts = {
        "users": _distinct(train.users, test.users),
        "items": _distinct(train.items, test.items),
        "interactions": n_train + n_test,
        "train interactions": n_train,
        "test interactions": n_test,
    }
    return Prepared(train, counts, test)


def _distinct(one: IdMap, other: IdMap) -> int:
    return len(one) + int(np.count_nonzero(one.find(other.ids) < 0))


def _protocol(
    name: str,
    title: str,
    counts: tuple[int, int, int, int, int],
    rows: dict[str, tuple[float, float]],
    models: tuple[str, ...] = LIGHT,
) -> Protocol:
    names = ("users", "items", "interactions", "train interactions", "test interactions")
    return Protocol(
        name=name,
        title=f"{title}, the cut of LightGCN",
        paper=PAPER,
        files=("train.txt", "test.txt"),
        home=f"{HOME}/{name}",
        prepare=prepare_lightgcn,
        split={"kind": "given", "fraction": 0.2, "min_items": 5},
        metrics=METRICS,
        objective="recall@20",
        counts=dict(zip(names, map(Count, counts), strict=True)),
        published=tuple(PublishedRow(m, values, SOURCES[m]) for m, values in rows.items()),
        models=models,
        notes=("the published cut has no validation side; that of ours is cut from its train",),
    )


GOWALLA = _protocol(
    "gowalla",
    "Gowalla, check-ins",
    (29_858, 40_981, 1_027_370, 810_128, 217_242),
    {
        "BSPM": (0.1920, 0.1597),
        "SimpleX": (0.1872, 0.1557),
        "UltraGCN": (0.1862, 0.1580),
        "GF-CF": (0.1849, 0.1518),
        "LightGCN": (0.1830, 0.1554),
        "EASE": (0.1765, 0.1467),
        "SLIM": (0.1699, 0.1382),
    },
)
YELP2018 = _protocol(
    "yelp2018",
    "Yelp 2018, businesses",
    (31_668, 38_048, 1_561_406, 1_237_259, 324_147),
    {
        "SimpleX": (0.0701, 0.0575),
        "GF-CF": (0.0697, 0.0571),
        "UltraGCN": (0.0683, 0.0561),
        "EASE": (0.0657, 0.0552),
        "SLIM": (0.0646, 0.0541),
    },
)
AMAZON_BOOK = _protocol(
    "amazon-book",
    "Amazon books",
    (52_643, 91_599, 2_984_108, 2_380_730, 603_378),
    {
        "SANSA": (0.0768, 0.0637),
        "SLIM": (0.0755, 0.0602),
        "GF-CF": (0.0710, 0.0584),
        "EASE": (0.0710, 0.0567),
        "UltraGCN": (0.0681, 0.0556),
        "SimpleX": (0.0583, 0.0468),
    },
    LARGE,
)
