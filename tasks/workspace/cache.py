"""Stages made before are used again: same input bytes, same configuration, same code.

An entry is a folder named by its key. It appears by rename, so it is whole or absent; its
manifest holds the size and hash of every file, and both are compared whenever it is used. The
manifest's time of change is that of its last use, by which `tasks.workspace.cleaning` goes.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import recsys
from recsys.errors import InputError
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import locked, passing

MANIFEST = "manifest.json"
_BLOCK = 1 << 22

StageFacts = dict[str, Any]  # what a stage tells about its result; JSON values


@dataclass(frozen=True, slots=True)
class StageEntry:
    """A stage's result on disk.

    Attributes:
        folder: Where its files are.
        key: What it was made from, 16 hex digits.
        facts: What the stage told about it.
        reused: Whether it was there already.
    """

    folder: Path
    key: str
    facts: StageFacts
    reused: bool


def stage(
    workspace: Workspace, name: str, inputs: Mapping[str, Any], make: Callable[[Path], StageFacts]
) -> StageEntry:
    """The result of a stage, made now unless it is there and intact.

    Args:
        workspace: Holds the cache.
        name: Of the stage.
        inputs: Everything the result depends on besides the code, as JSON values.
        make: Writes the files into the folder it is given and returns the facts.
    """
    described = {"stage": name, "inputs": dict(inputs), "code": code_version()}
    key = sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = workspace.cache / name / key
    manifest = _intact(folder)
    if manifest is not None:
        (folder / MANIFEST).touch()  # when it was used last
        return StageEntry(folder, key, manifest["facts"], reused=True)
    facts = _make(folder, workspace.lock("cache"), described, make)
    return StageEntry(folder, key, facts, reused=False)


def _make(
    folder: Path, lock: Path, described: StageFacts, make: Callable[[Path], StageFacts]
) -> StageFacts:
    with passing(folder.parent, f".{folder.name}-") as made:
        facts: StageFacts = json.loads(json.dumps(make(made)))
        files = {
            path.relative_to(made).as_posix(): {"size": path.stat().st_size, "sha256": _hash(path)}
            for path in sorted(made.rglob("*"))
            if path.is_file()
        }
        manifest = {**described, "files": files, "facts": facts}
        manifest["sha256"] = _sum(manifest)
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        with locked(lock):  # of two who replace a damaged entry, one would take the other's away
            _put(made, folder)
    return facts


def _put(made: Path, folder: Path) -> None:
    """Rename into place; what another process put there meanwhile wins if it is intact.

    Only for whoever holds the lock on the cache.
    """
    if folder.exists() and _intact(folder) is None:
        with passing(folder.parent, ".broken-") as broken:
            folder.rename(broken / folder.name)
    try:
        made.rename(folder)
    except OSError:
        if _intact(folder) is None:
            raise


def _intact(folder: Path) -> StageFacts | None:
    """The manifest of an entry whose files are all there, unaltered; else None."""
    try:
        manifest: StageFacts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest.pop("sha256") != _sum(manifest):
            return None
        for name, known in manifest["files"].items():
            path = folder / name
            if path.stat().st_size != known["size"] or _hash(path) != known["sha256"]:
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest


def _sum(manifest: Mapping[str, Any]) -> str:
    return sha256(json.dumps(manifest, sort_keys=True, default=str).encode()).hexdigest()


def _hash(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@functools.cache
def code_version() -> str:
    """16 hex digits of the sources of `recsys`: any change there makes every stage again.

    Those of pictures do not count, for no value depends on them.
    """
    root = Path(recsys.__file__).parent
    digest = sha256()
    for path in sorted(set(root.rglob("*.py")) - set((root / "plots").rglob("*.py"))):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def file_hash(workspace: Workspace, path: Path) -> str:
    """SHA-256 of a file, read again only when its path, size or time of change is new.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        status = path.stat()
        known = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}
        entry = _read_index(workspace.files).get(str(path.resolve()))
        if entry is not None and {name: entry.get(name) for name in known} == known:
            return str(entry["sha256"])
        digest = _hash(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; pass a file that can be read") from error
    with locked(workspace.lock("files")):
        index = _read_index(workspace.files)
        _write_index(workspace.files, {**index, str(path.resolve()): {**known, "sha256": digest}})
    return digest


def _read_index(path: Path) -> dict[str, StageFacts]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _write_index(path: Path, index: Mapping[str, StageFacts]) -> None:
    """Only for whoever holds the lock on it: what one who was killed left is written over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(index), encoding="utf-8")
    new.replace(path)
