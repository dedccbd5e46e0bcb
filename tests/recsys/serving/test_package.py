"""A model taken elsewhere answers as it did here; what cannot be answered is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking

from recsys.errors import InputError
from recsys.models import make_config
from recsys.models.als_sweeps import Sweeps
from recsys.models.config import ModelConfig
from recsys.models.ease import Ease
from recsys.models.fm import Fm
from recsys.models.item_knn import ItemKnn
from recsys.models.rp3beta import Rp3beta
from recsys.models.slim import Slim
from recsys.serving.answers import Served, fold_in_history, known_user
from recsys.serving.package import ANSWER, answers, pack, unpack
from tests.conftest import cells_of, profiles_of, two_camps
from tests.recsys.serving.served_models import ALS, BOTH, EASE, MODELS, SEED, WITHIN, served_by

CELLS = cells_of(two_camps(12, 8))
PROFILES = profiles_of(CELLS.users, ["Sweden", "Chile"] * 6)
NCF = make_config("ncf", {})
every_model = pytest.mark.parametrize("config", MODELS, ids=lambda config: config.kind)


@pytest.fixture(scope="module")
def served() -> Served:
    return served_by(ALS, CELLS, PROFILES)


def answer(served: Served, *rows: dict[str, Any], k: int = 3) -> list[dict[str, Any]]:
    return answers(served, pd.DataFrame(list(rows)), k).to_dict("records")


def refuse_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step that learns raise."""

    def trained(*_: object, **__: object) -> None:
        raise AssertionError("something was trained")

    steps: list[tuple[type, str]] = [
        *((AlternatingLeastSquares, "fit"), (Sweeps, "__call__")),
        *((each, "_linked") for each in (Ease, Slim, ItemKnn, Rp3beta)),
        *((BayesianPersonalizedRanking, "fit"), (Fm, "_learn")),
    ]
    for owner, step in steps:
        monkeypatch.setattr(owner, step, trained)


@every_model
def test_a_packed_model_gives_the_same_answers_without_training(
    config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = served_by(config, CELLS, PROFILES)
    table = pd.DataFrame([{"user": "u03"}, {"items": "i01:5, i03"}])
    expected = answers(here, table, 3)
    pack(here, SEED, tmp_path)
    refuse_training(monkeypatch)

    there = unpack(tmp_path)

    assert set(expected["user"]) == {"u03", None}
    pd.testing.assert_frame_equal(answers(there, table, 3), expected)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".npy", ".npz", ".parquet"}
    if config.kind not in ("popularity-users", "user-knn"):
        with pytest.raises(AssertionError, match="something was trained"):
            there.model.fit(CELLS)


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))


@pytest.mark.parametrize("config", [ALS, BOTH, MODELS[-1]], ids=lambda config: config.kind)
def test_every_lost_or_changed_file_is_named(config: ModelConfig, tmp_path: Path) -> None:
    pack(served_by(config, CELLS, PROFILES), SEED, tmp_path)
    described = json.loads((tmp_path / "served.json").read_text(encoding="utf-8"))

    names = [name for name in files_in(tmp_path) if name != "served.json"]

    assert sorted(described["files"]) == names
    for name in names:
        path = tmp_path / name
        whole = path.read_bytes()
        for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=rf"{name} is damaged.*`recsys reg"):
                unpack(tmp_path)
        path.unlink()
        with pytest.raises(InputError, match=rf"{name} is missing; bring the file back"):
            unpack(tmp_path)
        path.write_bytes(whole)
    assert unpack(tmp_path).config == config
    (tmp_path / "served.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"served.json is damaged .*; bring the file back"):
        unpack(tmp_path)
    (tmp_path / "served.json").unlink()
    with pytest.raises(InputError, match=r"served.json is missing; bring the file back"):
        unpack(tmp_path)


def test_a_folder_without_hashes_of_an_earlier_version_is_loaded(
    served: Served, tmp_path: Path
) -> None:
    pack(served, SEED, tmp_path)
    path = tmp_path / "served.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    del described["files"]
    path.write_text(json.dumps(described), encoding="utf-8")

    there = unpack(tmp_path)

    assert answer(there, {"items": "i01:5"}) == answer(served, {"items": "i01:5"})
    (tmp_path / "item_factors.npy").unlink()
    with pytest.raises(InputError, match=r"is missing: another version .*`recsys promote`"):
        unpack(tmp_path)


def test_packing_twice_keeps_the_second_model(tmp_path: Path) -> None:
    pack(served_by(EASE, CELLS, PROFILES), SEED, tmp_path)
    pack(served_by(ALS, CELLS, PROFILES), SEED, tmp_path)

    assert unpack(tmp_path).config == ALS


def test_profiles_are_packed_only_for_models_that_use_them(tmp_path: Path) -> None:
    for config, travel in ((ALS, False), (WITHIN, True)):
        folder = tmp_path / config.kind
        folder.mkdir()
        pack(served_by(config, CELLS, PROFILES), SEED, folder)

        assert (unpack(folder).profiles is not None) == travel


@pytest.mark.parametrize(
    "config",
    [
        NCF,
        make_config("mult-vae", {}),
        make_config("recvae", {}),
        make_config("ensemble", {"members": (ALS, NCF)}),
    ],
    ids=lambda config: config.kind,
)
def test_models_that_need_more_libraries_are_refused(config: ModelConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be registered: it needs PyTorch .* pass the run"):
        pack(replace(served_by(ALS, CELLS, PROFILES), config=config), SEED, tmp_path)


def test_a_known_user_gets_the_best_new_items_of_the_model(
    served: Served,
) -> None:
    known = {CELLS.items.id(col) for col in CELLS.cols[CELLS.rows == 3].tolist()}

    found = answer(served, {"user": "u03"}, k=len(CELLS.items))

    expected = known_user(served, 3, len(CELLS.items)).items
    assert [row["item"] for row in found] == [each.id for each in expected]
    assert [row["score"] for row in found] == [each.score for each in expected]
    assert [row["rank"] for row in found] == list(range(1, len(found) + 1))
    assert {row["user"] for row in found} == {"u03"}
    assert not known & {row["item"] for row in found}


@pytest.mark.parametrize(
    "row",
    [
        {"items": "i01:5, i03"},
        {"items": ["i01", "i03"], "plays": [5, 1]},
        {"items": np.array(["i01", "i03"]), "plays": np.array([5.0, 1.0])},
        {"items": ["i01", "i03", "i01"], "plays": [2, 1, 3]},
        {"items": "i01:5, i03", "user": "", "plays": np.nan},
    ],
)
def test_every_form_of_a_history_is_folded_in(served: Served, row: dict[str, Any]) -> None:
    found = answer(served, row)

    expected = fold_in_history(served, {1: 5.0, 3: 1.0}, 3).items
    assert [(row["item"], row["score"]) for row in found] == [(e.id, e.score) for e in expected]
    assert {row["user"] for row in found} == {None}


def test_rows_are_answered_in_order_and_a_user_with_a_history_is_a_label(
    served: Served,
) -> None:
    table = answers(
        served,
        pd.DataFrame([{"items": "i01", "user": "me"}, {"user": "u02"}, {"items": ["i00"]}]),
        2,
    )

    assert tuple(table.columns) == ANSWER
    assert table["user"].tolist() == ["me", "me", "u02", "u02", None, None]
    assert table["rank"].tolist() == [1, 2] * 3
    assert table.dtypes[["score", "rank"]].tolist() == [np.float64, np.int64]


def test_an_empty_table_has_no_answers(served: Served) -> None:
    table = answers(served, pd.DataFrame({"user": pd.Series([], dtype=object)}), 2)

    assert tuple(table.columns) == ANSWER
    assert len(table) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"user": "u0"}, r"row 1: user 'u0' is not known; nearest are 'u0\d'"),
        ({"user": 12}, "row 1: user '12' is not known"),
        ({"user": 12.0}, "row 1: user '12' is not known"),
        ({"items": "i001"}, "row 1: item 'i001' is not known; nearest are 'i00'"),
        ({"items": ["i001"]}, "row 1: item 'i001' is not known; nearest are 'i00'"),
        ({"items": "i01:0"}, "row 1: item 'i01:0': plays after a colon"),
        ({"items": " , "}, "row 1: no item in ' , '"),
        ({"items": {"i01": 2}}, r"row 1: `items` is \{'i01': 2\}; give a text or a list"),
        ({"items": "i01", "plays": [2]}, r"row 1: `plays` \[2\] beside `items` as a text"),
        ({"items": ["i01"], "plays": [1, 2]}, r"row 1: .* a number for each item, 1 in all"),
        ({"items": ["i01"], "plays": 2}, "row 1: `plays` is 2.0; give a list with a number"),
        ({"items": ["i01"], "plays": [-1]}, "row 1: item 'i01': plays are -1; give a number"),
        ({"items": ["i01"], "plays": ["2"]}, "row 1: item 'i01': plays are '2'"),
        ({"items": ["i01"], "plays": [True]}, "row 1: item 'i01': plays are True"),
        ({"plays": [2]}, "row 1: `plays` without `items`"),
        ({}, "row 1: neither a `user` nor `items`"),
    ],
)
def test_an_error_names_its_row(served: Served, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        answer(served, {"user": "u03"}, row)


def test_requests_without_columns_and_k_below_one_are_refused(served: Served) -> None:
    with pytest.raises(InputError, match="columns are who; give `user` or `items`"):
        answer(served, {"who": "u03"})
    with pytest.raises(InputError, match="k is 0; give a number from 1"):
        answer(served, {"user": "u03"}, k=0)
