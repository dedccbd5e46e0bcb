"""Fingerprints of code: a part for each folder, file and library that a result depends on.

A result stores its parts, so a later difference can be named. Code outside every scope decides no
result: a change in `recsys/plots`, `recsys/report` or `flows` ends no study and empties no cache.
"""

import functools
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from recsys.identity import key_of
from recsys.models import MODELS as MODEL_TABLE
from recsys.models import outside_file

ROOT = Path(__file__).parents[2]

Parts = Mapping[str, str]
"""Part to its fingerprint: 16 hex digits of a folder or file, the version of a library."""

MODELS_FOLDER = "recsys/models"
READING = (
    *("recsys/sources", "recsys/data", "recsys/seeds.py"),
    *("recsys/kernels/log_lines.py", "recsys/kernels/text_codes.py", "recsys/kernels/words.py"),
)
SPLITTING = (*READING, "recsys/splitting")
MODELS = (
    *SPLITTING,
    *(MODELS_FOLDER, "recsys/kernels", "recsys/evaluation", "recsys/search", "recsys/config.py"),
)
MEASURING = (
    *MODELS,
    *("tasks/tuning/sampling.py", "tasks/tuning/cube.py"),  # which points
    "tasks/study/monitor.py",  # where training stops
    *("cmaes", "implicit", "numba", "numpy", "optuna", "scikit-learn", "scipy"),
)
SERVING = (*MODELS, "recsys/serving")


@functools.cache
def code_parts(scope: tuple[str, ...], model: str | None = None) -> Parts:
    """The parts of the code that runs, as it was when they were first read.

    Args:
        scope: What the result depends on.
        model: The model it is a result of; the file of a model outside recsys is a part, too. None
            for a result of any model.
    """
    parts = dict(fingerprints(scope, ROOT))
    models = [] if MODELS_FOLDER not in scope else [*MODEL_TABLE] if model is None else [model]
    for kind in models:
        if (path := outside_file(kind)) is not None:
            parts[f"models/{kind}"] = sha256(path.read_bytes()).hexdigest()[:16]
    return parts


def code_id(scope: tuple[str, ...], model: str | None = None) -> str:
    """16 hex digits for all parts together."""
    return id_of(code_parts(scope, model))


def id_of(parts: Parts) -> str:
    """16 hex digits for all parts together."""
    return key_of(parts, 16)


def fingerprints(scope: Sequence[str], root: Path) -> Parts:
    """The parts of the code in a folder; a part that is not there has no entry.

    Args:
        scope: Folders and files, relative to `root`, and names of libraries.
        root: Holds `recsys` and `tasks`.
    """
    known = {part: _fingerprint(part, root) for part in scope}
    return {part: value for part, value in known.items() if value}


def _fingerprint(part: str, root: Path) -> str:
    if "/" not in part:
        return version(part)
    path = root / part
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path] * path.exists()
    digest = sha256()
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16] if files else ""


def differences(known: object, now: Parts) -> str:
    """What changed, in words; empty where nothing did.

    Args:
        known: Parts that were stored; anything else was stored by an earlier version.
        now: Parts of the code that runs.
    """
    if not isinstance(known, Mapping):
        return "an earlier version of recsys"
    return ", ".join(
        _difference(part, known.get(part), now.get(part))
        for part in sorted(known.keys() | now.keys())
        if known.get(part) != now.get(part)
    )


def _difference(part: str, known: str | None, now: str | None) -> str:
    if "/" in part:
        return f"{part} changed"
    return f"{part} is {now or 'not counted'} and was {known or 'not counted'}"
