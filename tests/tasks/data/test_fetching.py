import errno
import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.errors import InputError
from tasks.data.archives import ArchiveMember
from tasks.data.downloading import Patience
from tasks.data.fetching import Dataset, Fetched, fetch, fetch_dataset
from tests.tasks.data.unreliable import Handler, Request, Source, serving

PLAYS = b"".join(b'%040x\t\tan "artist"\t%d\n' % (n * 7919, n) for n in range(20_000))
PROFILES = b"0000\tf\t22\tGermany\tFeb 1, 2007\n"
TOP = "lastfm-dataset-360K/"


def member(name: str, content: bytes) -> ArchiveMember:
    return ArchiveMember(name, hashlib.md5(content).hexdigest(), max_bytes=10_000_000)


DATASET = Dataset(
    "tiny", "http://unused", (member("plays.tsv", PLAYS), member("profile.tsv", PROFILES)), 0
)


def tar_gz(*entries: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


RIGHT = (
    (TOP + "README.txt", b"read me"),
    (TOP + "plays.tsv", PLAYS),
    (TOP + "profile.tsv", PROFILES),
)
ARCHIVE = tar_gz(*RIGHT)
HALF = len(ARCHIVE) // 2


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source(content=ARCHIVE)
    with serving(source):
        yield source


def get(source: Source, folder: Path, waits: list[float] | None = None) -> Fetched:
    noted = [] if waits is None else waits
    patience = Patience(failures=3, wait=noted.append)
    return fetch_dataset(DATASET, folder, url=source.url, patience=patience)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


COMPLETE = {"plays.tsv": PLAYS, "profile.tsv": PROFILES}


def test_fetching_leaves_the_wanted_files_and_nothing_else(source: Source, tmp_path: Path) -> None:
    fetched = get(source, tmp_path / "new" / "folder")

    assert fetched.new
    assert [path.read_bytes() for path in fetched.files] == [PLAYS, PROFILES]
    assert contents(tmp_path / "new" / "folder") == COMPLETE


def test_a_second_call_sends_no_request(source: Source, tmp_path: Path) -> None:
    get(source, tmp_path)
    again = get(source, tmp_path)

    assert not again.new
    assert len(source.requests) == 1


def test_a_missing_file_is_fetched_beside_the_one_in_place(source: Source, tmp_path: Path) -> None:
    (tmp_path / "plays.tsv").write_bytes(PLAYS)
    fetched = get(source, tmp_path)

    assert fetched.new
    assert contents(tmp_path) == COMPLETE


def test_a_dropped_connection_is_resumed_where_it_broke(source: Source, tmp_path: Path) -> None:
    source.drops = [HALF, 1000]
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE
    assert source.requests == [
        Request(None, None),
        Request(f"bytes={HALF}-", '"one"'),
        Request(f"bytes={HALF + 1000}-", '"one"'),
    ]


def test_an_interrupted_call_is_resumed_by_the_next(source: Source, tmp_path: Path) -> None:
    source.drops = [HALF, 0, 0, 0]
    with pytest.raises(InputError, match=rf"{HALF:,} bytes of {len(ARCHIVE):,} .*same command"):
        get(source, tmp_path)
    left = contents(tmp_path)
    get(source, tmp_path)

    assert not left.keys() & COMPLETE.keys()
    assert contents(tmp_path) == COMPLETE
    assert source.requests[-1] == Request(f"bytes={HALF}-", '"one"')


def test_a_server_that_cannot_resume_is_read_from_the_start(source: Source, tmp_path: Path) -> None:
    source.resumes, source.drops = False, [HALF]
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE
    assert len(source.requests) == 2


def test_a_file_that_changed_on_the_server_is_read_from_the_start(
    source: Source, tmp_path: Path
) -> None:
    source.content, source.etag, source.drops = b"older" * 10_000, '"zero"', [20_000]

    def publish(source: Source) -> None:
        source.content, source.etag = ARCHIVE, '"one"'

    source.after = publish
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE


@pytest.mark.parametrize("old", [b"other" * 10_000, b"x" * len(ARCHIVE)], ids=["longer", "same"])
def test_a_server_without_if_range_cannot_mix_two_versions(
    source: Source, tmp_path: Path, old: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Handler, "start", lambda self, request: int((request.range or "bytes=0-")[6:-1])
    )
    source.content, source.etag, source.drops = old, '"zero"', [20_000]

    def publish(source: Source) -> None:
        source.content, source.etag = ARCHIVE, '"one"'

    source.after = publish
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE


def test_a_part_longer_than_the_file_is_thrown_away(source: Source, tmp_path: Path) -> None:
    source.content, source.etag, source.drops = ARCHIVE * 2, None, [len(ARCHIVE) + 9, 0, 0, 0]
    with pytest.raises(InputError):
        get(source, tmp_path)
    source.content = ARCHIVE
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE


def test_a_weak_etag_is_not_trusted_for_resuming(source: Source, tmp_path: Path) -> None:
    source.etag, source.drops = 'W/"one"', [HALF]
    get(source, tmp_path)

    assert source.requests[1] == Request(f"bytes={HALF}-", None)


def test_a_part_from_another_address_is_not_resumed(source: Source, tmp_path: Path) -> None:
    source.drops = [HALF, 0, 0, 0]
    with pytest.raises(InputError):
        get(source, tmp_path)
    source.url += "&mirror=2"
    get(source, tmp_path)

    assert source.requests[-1] == Request(None, None)
    assert contents(tmp_path) == COMPLETE


def test_a_part_without_its_record_is_not_resumed(source: Source, tmp_path: Path) -> None:
    (tmp_path / ".tiny.tar.gz.part").write_bytes(b"whose bytes are these")
    get(source, tmp_path)

    assert source.requests == [Request(None, None)]
    assert contents(tmp_path) == COMPLETE


@pytest.mark.parametrize("declares_length", [True, False])
def test_a_complete_part_is_unpacked_without_a_request(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declares_length: bool
) -> None:
    source.declares_length = declares_length

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tasks.data.fetching.unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            get(source, tmp_path)
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE
    assert len(source.requests) == 1


def test_a_file_of_undeclared_length_is_fetched_too(source: Source, tmp_path: Path) -> None:
    source.declares_length = False
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_retried(source: Source, tmp_path: Path, status: int) -> None:
    source.statuses = [status, status]
    waits: list[float] = []
    get(source, tmp_path, waits)

    assert contents(tmp_path) == COMPLETE
    assert waits == [2.0, 4.0]


def test_a_server_that_stays_in_trouble_is_given_up(source: Source, tmp_path: Path) -> None:
    source.statuses = [500] * 9
    waits: list[float] = []
    with pytest.raises(InputError, match=r"500 .*0 bytes are in .*same command again"):
        get(source, tmp_path, waits)

    assert len(source.requests) == 3
    assert len(waits) == 2


def test_a_server_that_never_gets_further_is_given_up(source: Source, tmp_path: Path) -> None:
    source.resumes, source.drops = False, [HALF] * 9
    with pytest.raises(InputError, match="closed at byte"):
        get(source, tmp_path)

    assert len(source.requests) == 4


def test_progress_between_failures_restores_the_patience(source: Source, tmp_path: Path) -> None:
    source.drops = [1000, 0, 0] * 4
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final_and_names_the_address(
    source: Source, tmp_path: Path, status: int
) -> None:
    source.statuses = [status]
    with pytest.raises(InputError, match=rf"127\.0\.0\.1.* {status} .*check the address"):
        get(source, tmp_path)

    assert len(source.requests) == 1


def test_no_server_is_one_clear_sentence(tmp_path: Path) -> None:
    nobody = Source(url="http://127.0.0.1:9/data.tar.gz")
    with pytest.raises(InputError, match=r"cannot be fetched .* 0 bytes"):
        get(nobody, tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (ARCHIVE[:HALF], "damaged or cut short"),
        (b"<html>Sign in</html>", "damaged or cut short"),
        (b"", "damaged or cut short"),
        (tar_gz(("../evil", b"x"), *RIGHT), "outside the destination"),
        (tar_gz((TOP + "plays.tsv", PLAYS[:-1] + b"9"), *RIGHT[2:]), r"plays\.tsv .*MD5"),
        (tar_gz(*RIGHT[:2]), r"holds no profile\.tsv"),
    ],
    ids=["cut short", "a page", "empty", "outside the destination", "other content", "incomplete"],
)
def test_another_archive_than_the_published_leaves_nothing_behind(
    source: Source, tmp_path: Path, content: bytes, says: str
) -> None:
    source.content = content
    with pytest.raises(InputError, match=says):
        get(source, tmp_path / "in")

    assert contents(tmp_path) == {}


def test_after_a_wrong_archive_it_is_downloaded_again(source: Source, tmp_path: Path) -> None:
    source.content = tar_gz((TOP + "plays.tsv", b"something else"), *RIGHT[2:])
    with pytest.raises(InputError, match="MD5"):
        get(source, tmp_path)
    source.content = ARCHIVE
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE


def test_a_file_of_the_users_own_is_never_overwritten(source: Source, tmp_path: Path) -> None:
    (tmp_path / "plays.tsv").write_bytes(b"my own")
    with pytest.raises(InputError, match=r"not the published file.*move it away"):
        get(source, tmp_path)

    assert contents(tmp_path) == {"plays.tsv": b"my own"}
    assert source.requests == []


def test_a_file_in_place_of_the_folder_is_named(source: Source, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"taken cannot be written to \(File exists\).*choose another"
    ):
        get(source, tmp_path / "taken")

    assert source.requests == []


def test_a_disk_too_small_is_an_error_before_anything_is_written(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = len(ARCHIVE) + 5_000
    free = needed - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free, 0, free))
    with pytest.raises(InputError, match=rf"{free:,} bytes free and {needed:,} are needed"):
        fetch_dataset(replace(DATASET, unpacked_bytes=5_000), tmp_path, url=source.url)

    assert contents(tmp_path) == {}


def test_a_full_disk_is_an_error_and_the_part_file_is_kept(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tasks.data.fetching.unpack", full)
        with pytest.raises(InputError, match="No space left"):
            get(source, tmp_path)
    get(source, tmp_path)

    assert contents(tmp_path) == COMPLETE
    assert len(source.requests) == 1


def test_progress_counts_up_to_the_total(source: Source, tmp_path: Path) -> None:
    source.drops = [HALF]
    reports: list[tuple[str, int, int | None]] = []
    fetch_dataset(
        DATASET,
        tmp_path,
        url=source.url,
        progress=lambda *step: reports.append(step),
        patience=Patience(wait=lambda _: None),
    )
    downloading = [(done, total) for what, done, total in reports if what == "downloading"]

    assert downloading == sorted(downloading)
    assert downloading[-1] == (len(ARCHIVE), len(ARCHIVE))
    assert "unpacking" in {what for what, _, _ in reports}


def test_an_unknown_data_set_is_an_error_with_the_known_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'lastfm' .*lastfm-360k"):
        fetch("lastfm", tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x.tar.gz", "host/x.tar.gz"])
def test_an_address_of_another_protocol_is_an_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="not one of HTTP"):
        fetch("lastfm-360k", tmp_path, url=url)
