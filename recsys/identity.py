"""What a result depends on, as a key: by default everything.

A setting counts unless its field says otherwise (`recsys.settings.setting`): with `identity=False`
it counts for nothing, with a use it counts where that use is asked for:

    "points"    which points a study tries
    "stop"      where a training stops, and with it which points a study tries
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from recsys.config import ExperimentConfig
from recsys.settings import Use, use_of

Side = Literal["trial", "validation", "test", "path"]


def key_of(parts: Mapping[str, object], digits: int = 32) -> str:
    """Hex digits that stand for `parts`: JSON values, and settings of which those that count do."""
    text = json.dumps(parts, sort_keys=True, default=_json)
    return sha256(text.encode()).hexdigest()[:digits]


def _json(value: object) -> object:
    if isinstance(value, BaseModel):
        return counted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a key")


def counted(settings: BaseModel, *uses: Use) -> dict[str, Any]:
    """The settings that count, as JSON values.

    Args:
        settings: A table, with the tables in it.
        uses: What the result depends on besides the settings that always count.
    """
    dumped = settings.model_dump(mode="json")
    return {
        name: _counted(getattr(settings, name), dumped[name], uses)
        for name, field in type(settings).model_fields.items()
        if (use := use_of(field)) is True or use in uses
    }


def _counted(value: object, dumped: object, uses: tuple[Use, ...]) -> object:
    if isinstance(value, BaseModel):
        return counted(value, *uses)
    if isinstance(value, tuple) and isinstance(dumped, list):
        return [_counted(*pair, uses) for pair in zip(value, dumped, strict=True)]
    return dumped


def study_settings(config: ExperimentConfig) -> dict[str, str]:
    """The settings that the points and the values of a study depend on: dotted name to JSON text.

    Not those of the data: they count by the fingerprint of the split that they lead to.
    """
    return _flat(counted(config, "points", "stop"))


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[above + name] = json.dumps(value, sort_keys=True)
    return flat


def measured_key(
    side: Side, config: ExperimentConfig, model: BaseModel, split: str, code: str
) -> str:
    """32 hex digits: the same for what is measured alike, and different for everything else.

    Args:
        side: "trial" is a trial of a search, on validation; "validation" is judged there on all
            users; "test" on test; "path" is a training along which others continue.
        config: Of the experiment. Where a training is stopped by its curve, what decides that
            counts, too.
        model: The model with its parameters.
        split: Fingerprint of the data and of how they were cut.
        code: Fingerprint of the code and the libraries that measure.
    """
    found = config.found if side in ("trial", "path") else None
    uses: tuple[Use, ...] = ("stop",) if found is not None or side == "path" else ()
    return key_of(
        {
            "side": side,
            "settings": counted(config, *uses),
            "model": model,
            "found": None if found is None else [found.low, found.high],
            "split": split,
            "code": code,
        }
    )
