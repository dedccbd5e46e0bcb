"""Models that the code of November 2026 packed answer today as they did then.

packed-2026-11.zip has, for each model, the folder that commit d9dbc77 wrote for 24 users and 10
items, and its answers in KIND.json: the 3 best of user u03, and of a history.
"""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from recsys.serving.package import answers, unpack

PACKED = Path(__file__).with_name("packed-2026-11.zip")
KINDS = [name[:-5] for name in zipfile.ZipFile(PACKED).namelist() if name.count("/") == 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_packed_before_answers_as_it_did(kind: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(PACKED) as packed:
        expected = json.loads(packed.read(f"{kind}.json"))
        packed.extractall(tmp_path, [n for n in packed.namelist() if n.startswith(f"{kind}/")])

    served = unpack(tmp_path / kind)
    questions = pd.DataFrame({"user": ["u03", None], "items": [None, "Artist 1:3, Artist 4"]})
    table = answers(served, questions, k=3)

    rows = zip(table["user"], table["item"], table["score"], table["rank"], strict=True)
    assert [list(row) for row in rows] == [
        [user, item, pytest.approx(score, rel=1e-5), rank] for user, item, score, rank in expected
    ]
