"""The note that Optuna's dashboard shows with a study, as `optuna_dashboard.save_note` writes it.

That package is slow to import, and a study needs nothing else of it.
"""

from optuna.storages import BaseStorage

VERSION = "dashboard:note_ver"  # rises, so that a page that is open sees the change
PART = "dashboard:note_str:"  # with a number
LONGEST = 2_045  # letters of a part: what databases take


def save_note(storage: BaseStorage, study_id: int, text: str) -> None:
    """Replace the note of a study.

    Args:
        storage: Holds the study.
        study_id: Optuna's key of it.
        text: In Markdown.
    """
    known = storage.get_study_system_attrs(study_id)
    parts = [text[at : at + LONGEST] for at in range(0, len(text), LONGEST)]
    before = sum(name.startswith(PART) for name in known)
    for n, part in enumerate([*parts, *[""] * (before - len(parts))]):
        storage.set_study_system_attr(study_id, f"{PART}{n}", part)
    storage.set_study_system_attr(study_id, VERSION, known.get(VERSION, 0) + 1)
