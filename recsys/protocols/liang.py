"""Strong generalization of Liang et al. 2018: whole users are held out and folded in.

Their code drops items that no training user has from both held-out sides, judges users who keep
five or more items on a fifth of them, and trains the judged model on the training users alone.
"""

import numpy as np

from recsys import sources
from recsys.data.config import FilterConfig
from recsys.data.filtering import apply_filters
from recsys.data.interactions import Events
from recsys.errors import InputError
from recsys.protocols.protocol import Count, Prepared, Protocol, PublishedRow, Task

LIKED = 3.5  # ratings above this count
PAPER = "Liang, Krishnan, Hoffman and Jebara 2018 (WWW), Variational Autoencoders for CF"
SANSA = "Spišák et al. 2023 (RecSys)"
METRICS = ("capped_recall@20", "capped_recall@50", "ndcg@100")
CAPPED = "capped_recall is hits / min(k, held out), which the papers call recall"


def _split(held_out: int, draw: str) -> dict[str, object]:
    return {
        **{"kind": "users", "validation": held_out, "test": held_out, "history": 0.8},
        **{"min_items": 5, "known_items": True, "refit": False, "draw": draw},
    }


def _filtered(events: Events, min_items: int, min_users: int) -> Events:
    """Items with enough users first, then users with enough of these items: once each.

    Raises:
        InputError: nothing is left.
    """
    try:
        for least in ({"min_users": min_users}, {"min_items": min_items}):
            config = FilterConfig.model_validate({"min_items": 0, "min_users": 0, **least})
            events, _ = apply_filters(events, None, config, 0)
    except InputError as error:
        raise InputError(
            f"items with {min_users} users or more, then users with {min_items} of these or more: "
            "none is left; give the whole published data"
        ) from error
    return events


def _binary(events: Events) -> Events:
    """The distinct pairs, without values and times."""
    kept = events.where(events.begins)
    ones = np.ones(len(kept))
    return Events(kept.users, kept.items, kept.rows, kept.cols, ones)


def counted(events: Events) -> dict[str, int]:
    """Users, items and distinct pairs."""
    pairs = int(np.count_nonzero(events.begins))
    return {"users": len(events.users), "items": len(events.items), "interactions": pairs}


def prepare_ml_20m(task: Task) -> Prepared:
    """The liked films of users with five or more."""
    (path,) = task.files.values()
    reading = sources.read(path, format="movielens", progress=task.progress)
    liked = reading.events.where(reading.events.plays > LIKED).compact()
    log = _binary(_filtered(liked, 5, 0))
    return Prepared(log, {"ratings": len(reading.events), **counted(log)})


def prepare_msd(task: Task) -> Prepared:
    """The songs with 200 or more users, of users with 20 or more of these."""
    (path,) = task.files.values()
    columns = {"user": 0, "item": 1, "plays": 2}
    reading = sources.read(path, columns=columns, progress=task.progress)
    log = _binary(_filtered(reading.events, 20, 200))
    return Prepared(log, {"triplets": len(reading.events), **counted(log)})


def _measured_again(values: str) -> str:
    return f"measured again; Steck 2019 (WWW) prints {values}"


ML_20M = Protocol(
    name="ml-20m",
    title="MovieLens 20M, ratings above 3.5, strong generalization",
    paper=PAPER,
    files=("ratings.csv",),
    home="https://grouplens.org/datasets/movielens/20m/",
    prepare=prepare_ml_20m,
    split=_split(10_000, "liang-2018"),
    metrics=METRICS,
    objective="ndcg@100",
    held_out=10_000,
    counts={
        "ratings": Count(20_000_263),
        "users": Count(136_677),
        "items": Count(20_720),
        "interactions": Count(9_990_682),
        "training users": Count(116_677),
        "items of training users": Count(20_108, exact=False),
    },
    published=(
        PublishedRow("VASP", (0.414, 0.552, 0.448), "Vančura and Kordík 2021 (ICANN)"),
        PublishedRow("RecVAE", (0.414, 0.553, 0.442), "Shenbin et al. 2020 (WSDM)"),
        PublishedRow("higher-order EASE", (0.400, 0.530, 0.429), "Steck and Liang 2021 (RecSys)"),
        PublishedRow("iALS, 2048 factors", (0.395, 0.532, 0.425), "Rendle et al. 2022 (RecSys)"),
        PublishedRow("Mult-VAE", (0.395, 0.537, 0.426), "Liang et al. 2018 (WWW)"),
        PublishedRow("EASE", (0.392, 0.521, 0.422), _measured_again(".391, .521, .420")),
        PublishedRow("SANSA, 1 % of links", (0.388, 0.518, 0.420), SANSA),
    ),
    notes=(CAPPED, "who is held out is drawn as in the code of the authors, with its seed"),
)

MSD = Protocol(
    name="msd",
    title="Million Song Dataset, strong generalization",
    paper=PAPER,
    files=("train_triplets.txt",),
    home="http://millionsongdataset.com/tasteprofile/",
    prepare=prepare_msd,
    split=_split(50_000, "seed"),
    metrics=METRICS,
    objective="ndcg@100",
    held_out=50_000,
    counts={
        "triplets": Count(48_373_586),
        "users": Count(571_355),
        "items": Count(41_140),
        "interactions": Count(33_633_450),
        "training users": Count(471_355),
    },
    published=(
        PublishedRow("EASE", (0.332, 0.428, 0.388), _measured_again(".333, .428, .389")),
        PublishedRow("SANSA, 0.05 % of links", (0.328, 0.422, 0.383), SANSA),
    ),
    notes=(CAPPED, "who is held out is drawn by --seed: of this data no draw is published"),
)
