from pathlib import Path

import pandas as pd

from recsys.evaluation.protocol import judge
from recsys.evaluation.store import load_report, save_report
from recsys.models import build
from recsys.models.als import AlsConfig
from recsys.splitting.split import random_split
from tests.conftest import cells_of, two_camps


def test_a_loaded_report_equals_the_saved_one_to_the_last_bit(tmp_path: Path) -> None:
    fold = random_split(cells_of(two_camps(12, 14)), 0.2, 5, (1, 2)).test
    model = build(AlsConfig(factors=3, iterations=2), 1).fit(fold.train)
    report = judge(model, fold, (1, 5, 10))

    save_report(report, tmp_path)
    back = load_report(tmp_path)

    pd.testing.assert_frame_equal(back.per_user, report.per_user, check_exact=True)
    assert back.n_shown.tolist() == report.n_shown.tolist()
    assert back.summary() == report.summary()
    assert sorted(back.exposure) == [1, 5, 10]
    for k, counts in report.exposure.items():
        assert back.exposure[k].tolist() == counts.tolist()
