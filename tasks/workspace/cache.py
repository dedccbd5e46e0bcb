"""Stages made before are used again: same input bytes, same settings, same code.

An entry is an atomic folder, named by its key. Its manifest holds the size and hash of every
file, and each use compares them. A use touches the manifest, so `tasks.workspace.cleaning` knows
when the last one was.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from recsys.errors import InputError
from recsys.files import atomic_file, temporary_folder
from recsys.identity import key_of
from recsys.kernels.pool import in_threads
from tasks.progress import report_result
from tasks.workspace.code import SPLITTING, code_parts, differences
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import locked
from tasks.workspace.readable import if_allowed, is_writable, substitute

MANIFEST = "manifest.json"
_BLOCK = 1 << 22

StageFacts = dict[str, Any]  # what a stage reports about its result; JSON values


@dataclass(frozen=True, slots=True)
class StageEntry:
    """A stage's result on disk.

    Attributes:
        folder: Where its files are.
        key: What it was made from, 16 hex digits.
        facts: What the stage reports about it.
        reused: Whether it was there already.
        changed: How the code differs from that of an entry of the same inputs, in words: of this
            entry where it is reused, else of one that it replaces.
    """

    folder: Path
    key: str
    facts: StageFacts
    reused: bool
    changed: str = ""


def stage(
    workspace: Workspace,
    name: str,
    inputs: Mapping[str, Any],
    make: Callable[[Path], StageFacts],
    scope: tuple[str, ...] = SPLITTING,
    adopt: bool = False,
) -> StageEntry:
    """The result of a stage, made now unless it is there and intact.

    In a workspace that may only be read it is made among temporary files.

    Args:
        workspace: Holds the cache.
        name: Of the stage.
        inputs: Everything the result depends on besides the code, as JSON values.
        make: Writes the files into the folder it is given and returns the facts.
        scope: Whose code the result depends on, see `tasks.workspace.code`.
        adopt: Whether an entry of the same inputs is used though other code made it.
    """
    described = {"stage": name, "inputs": dict(inputs), "code": code_parts(scope)}
    key = key_of(described, 16)
    folder = workspace.cache / name / key
    if (entry := _reused(folder)) is not None:
        return entry
    other, changed = _of_other_code(folder.parent, described)
    if adopt and other is not None and (entry := _reused(other, changed)) is not None:
        return entry
    if changed:
        report_result(f"{name}: other code made it ({changed}), so it is made again; see --adopt")
    lock = workspace.lock("cache")
    if not (is_writable(folder) and is_writable(lock)):
        folder, lock = substitute() / name / key, substitute() / lock.name
        if (entry := _reused(folder)) is not None:
            return entry
    facts = _make(folder, lock, described, make)
    return StageEntry(folder, key, facts, reused=False, changed=changed)


def _reused(folder: Path, changed: str = "") -> StageEntry | None:
    """An intact entry, marked as used now."""
    manifest = _intact(folder)
    if manifest is None:
        return None
    with if_allowed():
        (folder / MANIFEST).touch()
    return StageEntry(folder, folder.name, manifest["facts"], reused=True, changed=changed)


def _of_other_code(place: Path, described: Mapping[str, Any]) -> tuple[Path | None, str]:
    """The entry of the same inputs that was used last, and how its code differs."""
    wanted = key_of({"inputs": described["inputs"]})
    for path in sorted(place.glob(f"[!.]*/{MANIFEST}"), key=_used_at, reverse=True):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            alike = key_of({"inputs": manifest["inputs"]}) == wanted
        except (OSError, ValueError, KeyError, TypeError):
            continue  # damaged, or cleaned away meanwhile
        if alike and (changed := differences(manifest.get("code"), described["code"])):
            return path.parent, changed
    return None, ""


def _used_at(manifest: Path) -> float:
    try:
        return manifest.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _make(
    folder: Path, lock: Path, described: StageFacts, make: Callable[[Path], StageFacts]
) -> StageFacts:
    with temporary_folder(folder.parent, f".{folder.name}-") as new:
        facts: StageFacts = json.loads(json.dumps(make(new)))
        files = {
            path.relative_to(new).as_posix(): {"size": path.stat().st_size, "sha256": _hash(path)}
            for path in sorted(new.rglob("*"))
            if path.is_file()
        }
        manifest = {**described, "files": files, "facts": facts}
        manifest["sha256"] = _sum(manifest)
        (new / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        with locked(lock):  # else two processes that replace a damaged entry race
            _put(new, folder)
    return facts


def _put(new: Path, folder: Path) -> None:
    """Rename into place; an intact entry that another process put there meanwhile stays.

    The caller holds the lock on the cache.
    """
    if folder.exists() and _intact(folder) is None:
        with temporary_folder(folder.parent, ".broken-") as broken:
            folder.rename(broken / folder.name)
    try:
        new.rename(folder)
    except OSError:
        if _intact(folder) is None:
            raise


def _intact(folder: Path) -> StageFacts | None:
    """The manifest of an entry whose files are all there, unaltered; else None."""
    try:
        manifest: StageFacts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest.pop("sha256") != _sum(manifest):
            return None
        files = {folder / name: known for name, known in manifest["files"].items()}
        if any(path.stat().st_size != known["size"] for path, known in files.items()):
            return None
        # Hashes run side by side: hashlib holds no lock of Python. The largest file begins first.
        largest = sorted(files, key=lambda path: files[path]["size"], reverse=True)
        hashes = in_threads(_hash, largest)
        if any(files[path]["sha256"] != found for path, found in zip(largest, hashes, strict=True)):
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
    with if_allowed(), locked(workspace.lock("files")):
        index = _read_index(workspace.files)
        _write_index(workspace.files, {**index, str(path.resolve()): {**known, "sha256": digest}})
    return digest


def _read_index(path: Path) -> dict[str, StageFacts]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _write_index(path: Path, index: Mapping[str, StageFacts]) -> None:
    with atomic_file(path) as new:
        new.write_text(json.dumps(index), encoding="utf-8")
