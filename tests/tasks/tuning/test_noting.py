import optuna
import optuna_dashboard
import pytest

from tasks.tuning.noting import LONGEST, save_note


@pytest.mark.parametrize("length", [0, 10, LONGEST, LONGEST + 1, 3 * LONGEST])
def test_the_dashboard_reads_the_note_that_was_written_last(length: int) -> None:
    study = optuna.create_study()
    text = "".join(chr(ord("a") + n % 26) for n in range(length))

    save_note(study._storage, study._study_id, "before " * LONGEST)
    save_note(study._storage, study._study_id, text)

    assert optuna_dashboard.get_note(study) == text


def test_a_page_that_is_open_sees_that_the_note_has_changed() -> None:
    study = optuna.create_study()
    optuna_dashboard.save_note(study, "by hand")

    save_note(study._storage, study._study_id, "by us")

    assert study._storage.get_study_system_attrs(study._study_id)["dashboard:note_ver"] == 2
