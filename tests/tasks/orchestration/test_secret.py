"""The secret of a workspace's Prefect server, and who can read it."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recsys.errors import InputError
from tasks.orchestration.secret import kept_secret


def test_all_who_start_at_once_get_the_secret_of_the_first(tmp_path: Path) -> None:
    file = tmp_path / "prefect" / "auth-string"
    with ThreadPoolExecutor(8) as pool:
        found = {*pool.map(kept_secret, [file] * 32)}

    assert found == {file.read_text(encoding="ascii").strip()}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_its_owner_alone_can_read_it_from_the_first_moment(tmp_path: Path, mask: int) -> None:
    file = tmp_path / "auth-string"
    before = os.umask(mask)
    try:
        first = kept_secret(file)
    finally:
        os.umask(before)

    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)  # a copy that lost it
    assert kept_secret(file) == first
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_disk_without_links_keeps_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    file = tmp_path / "auth-string"

    assert kept_secret(file) == kept_secret(file) != ""
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"recsys:a\nX-Header: b"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "auth-string"
    file.write_bytes(content)

    with pytest.raises(InputError, match="holds no secret; remove it"):
        kept_secret(file)


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "prefect").write_text("a file", encoding="utf-8")

    with pytest.raises(InputError, match="let its owner start the server"):
        kept_secret(tmp_path / "prefect" / "auth-string")
