import resource
from pathlib import Path

import pytest

from recsys.errors import InputError
from recsys.models import make_config
from recsys.models.needs import (
    CGROUPS,
    GIB,
    available_memory,
    product_rate,
    require_memory,
)

PAPER = (359_000, 68_000, 17_000_000)  # users, items and cells of a whole catalogue


def test_a_model_that_leaves_no_room_beside_the_data_is_refused() -> None:
    """18.8 of 21.7 GiB were accepted once."""
    need = make_config("ease", {}).need(*PAPER)
    assert need is not None
    assert need.memory / GIB == pytest.approx(18.3, abs=0.2)

    with pytest.raises(
        InputError,
        match=r"ease needs 18\.\d GiB for the links between 68,000 items; 21\.7 GiB are available, "
        r"of which a model may take 80%; set top_items to 6\d\d\d\d or fewer "
        r"\(--set search\.top_items=6\d\d\d\d\), keep fewer items \(filter\.min_users\), or take "
        r"another model, such as item-knn",
    ):
        require_memory("ease", need, int(21.7 * GIB))
    require_memory("ease", need, 25 * GIB)


def test_the_items_that_fit_do() -> None:
    need = make_config("ease", {}).need(*PAPER)
    assert need is not None
    most = need.most_items(0.8 * 21.7 * GIB)

    cut = make_config("ease", {"top_items": most}).need(*PAPER)

    assert cut is not None
    require_memory("ease", cut, int(21.7 * GIB))


def test_the_line_names_memory_and_time() -> None:
    need = make_config("ease", {}).need(*PAPER)
    assert need is not None

    line = need.line("ease", 30 * GIB, 60e9)

    assert line == (
        "ease: the links between 68,000 items need 18.3 GiB, 30.0 GiB are available; a training "
        "takes about 46 minutes on this machine"
    )


@pytest.mark.parametrize(("model", "items", "pairs"), [("slim", 16_384, 0), ("ease", 10, 4)])
def test_dense_matrices_of_items_are_counted(model: str, items: int, pairs: int) -> None:
    need = make_config(model, {}).need(1000, items, 5000)

    assert need is not None
    assert need.pair == pairs
    assert need.seconds > 0


def test_most_models_hold_no_dense_matrix() -> None:
    assert make_config("item-knn", {}).need(*PAPER) is None


def test_the_limit_of_the_process_counts() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + GIB, before[1]))
    try:
        found = available_memory()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)

    assert 0 <= found <= GIB


def test_the_limits_of_all_groups_above_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2: 3 GiB of the group above, of which 2.5 are used and 1 of them can be dropped."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    mine = tmp_path / lines[-1].split(":", 2)[2].lstrip("/") / "inner"
    mine.mkdir(parents=True)
    for folder, limit, used in ((mine, "max", 1), (tmp_path, str(3 * GIB), int(2.5 * GIB))):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(str(used))
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\n")
    (kind, _, *names), _ = CGROUPS
    last = lines[-1].split(":", 2)[1]
    monkeypatch.setattr("recsys.models.needs.CGROUPS", ((last, tmp_path, *names),))

    assert available_memory() <= 1.5 * GIB
    assert kind == ""


def test_a_matrix_product_is_timed() -> None:
    assert product_rate() > 1e8
