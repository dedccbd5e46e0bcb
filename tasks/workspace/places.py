"""Paths that a workspace stores: found again when it was copied, moved or mounted elsewhere.

    in the workspace    stored relative to it
    anywhere else       stored whole; and relative to the workspace, for a folder that holds both
                        may have moved with them

Earlier versions stored all of them whole: in the workspace they are known by their folders.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.errors import InputError
from tasks.workspace.layout import Workspace

NEAR = "near"  # of a stored request: its paths, relative to the workspace
_FILES = ("plays", "profiles")
_SIDES = ("test", "validation")  # files of a published split


def stored_path(workspace: Workspace, path: Path) -> str:
    """The text that stands for a path: relative to the workspace where it lies in it."""
    path, root = path.resolve(), workspace.root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def found_path(workspace: Workspace, text: str, near: str | None = None) -> Path:
    """Where the file behind a stored text is now.

    Args:
        workspace: Stores it.
        text: As `stored_path` gives it.
        near: The same path relative to the workspace, for a file that is not where it was.
    """
    path = Path(text)
    if not path.is_absolute():
        return workspace.root / path
    if os.path.exists(path):
        return path
    ours = [workspace.root / near] if near else []
    if path.parent.name in (workspace.incoming.name, workspace.sample.name):
        ours.append(workspace.root / path.parent.name / path.name)
    return next((each.resolve() for each in ours if os.path.exists(each)), path)


def stored_request(
    workspace: Workspace, config: Mapping[str, Any], plays: Path, profiles: Path | None
) -> dict[str, Any]:
    """The request of a study as it is stored, JSON values; `found_request` reads it.

    Args:
        workspace: Stores it.
        config: Of the experiment, JSON values.
        plays: The log.
        profiles: Of the users.
    """
    paths = {"plays": plays, **({} if profiles is None else {"profiles": profiles})}
    split = dict(config.get("split", {}))
    sides = {name: Path(split[name]) for name in _SIDES if isinstance(split.get(name), str)}
    near = {
        name: os.path.relpath(path.resolve(), workspace.root)
        for name, path in {**paths, **sides}.items()
    }
    texts = {name: stored_path(workspace, path) for name, path in paths.items()}
    split |= {name: stored_path(workspace, path) for name, path in sides.items()}
    stored = {**config, **({"split": split} if sides else {})}
    return {"config": stored, "profiles": None, **texts, NEAR: near}


def found_request(workspace: Workspace, request: Mapping[str, Any]) -> dict[str, Any]:
    """A stored request with paths that are right today."""
    near = request.get(NEAR, {})
    paths = {
        name: str(found_path(workspace, request[name], near.get(name)))
        for name in _FILES
        if request.get(name) is not None
    }
    found = {name: value for name, value in request.items() if name != NEAR} | paths
    split = dict(found["config"].get("split", {}))
    sides = {name: split[name] for name in _SIDES if isinstance(split.get(name), str)}
    if sides and near:  # earlier versions stored what was typed
        split |= {
            name: str(found_path(workspace, text, near.get(name))) for name, text in sides.items()
        }
        found["config"] = {**found["config"], "split": split}
    return found


def is_inside(workspace: Workspace, path: Path) -> bool:
    """Whether a path is below the workspace when all its links are followed."""
    root, real = workspace.root.resolve(), path.resolve()
    return real != root and real.is_relative_to(root)


def check_inside(workspace: Workspace, path: Path) -> None:
    """Refuse to remove anything that is not in the workspace, whatever links lead there.

    Raises:
        InputError: the path leads out of the workspace.
    """
    if not is_inside(workspace, path):
        real = path.resolve()
        where = f"{path} leads to {real}" if real != path else f"{path} is"
        raise InputError(
            f"{where}, outside the workspace {workspace.root}: nothing is removed there; move it "
            "into the workspace, or remove it yourself"
        )
