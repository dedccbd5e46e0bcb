import hashlib
import io
import os
import random
import tarfile
from pathlib import Path

import pytest

from recsys.errors import InputError
from tasks.data.archives import ArchiveMember, md5_of, unpack

PLAYS = random.Random(0).randbytes(
    50_000
)  # does not compress, so a hole in it is a hole in the file
PROFILES = b"0000\tf\t22\tGermany\tFeb 1, 2007\n"
MEMBERS = tuple(
    ArchiveMember(name, hashlib.md5(content).hexdigest(), max_bytes=100_000)
    for name, content in (("plays.tsv", PLAYS), ("profile.tsv", PROFILES))
)
COMPLETE = {"plays.tsv": PLAYS, "profile.tsv": PROFILES}

Entry = tuple[str | tarfile.TarInfo, bytes]


def tar_gz(*entries: Entry) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "") -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


FOLDER = special("data", tarfile.DIRTYPE)
RIGHT: tuple[Entry, ...] = (("data/plays.tsv", PLAYS), ("data/profile.tsv", PROFILES))
GOOD = tar_gz(FOLDER, ("data/README", b"read me"), *RIGHT)
HALF = len(GOOD) // 2


def unpacked(content: bytes, tmp_path: Path) -> Path:
    """The folder into which an archive of these bytes was unpacked."""
    (tmp_path / "data.tar.gz").write_bytes(content)
    (tmp_path / "in").mkdir(exist_ok=True)
    unpack(tmp_path / "data.tar.gz", MEMBERS, tmp_path / "in")
    return tmp_path / "in"


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() or path.is_symlink()
    }


def test_only_the_wanted_members_are_written(tmp_path: Path) -> None:
    assert everything(unpacked(GOOD, tmp_path)) == COMPLETE


def test_of_two_members_of_one_name_the_first_is_taken(tmp_path: Path) -> None:
    later = tar_gz(*RIGHT, ("another/plays.tsv", b"later"))

    assert everything(unpacked(later, tmp_path)) == COMPLETE


@pytest.mark.parametrize(
    "other", [("/tmp/evil", b"x"), special("plays", tarfile.LNKTYPE, "data/plays.tsv")]
)
def test_other_members_are_skipped(tmp_path: Path, other: Entry) -> None:
    assert everything(unpacked(tar_gz(other, *RIGHT), tmp_path)) == COMPLETE
    assert not Path("/tmp/evil").exists()


def test_what_a_killed_call_left_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "in" / ".data.tar.gz-killed"
    left.mkdir(parents=True)
    (left / "plays.tsv").write_bytes(b"half")

    assert everything(unpacked(GOOD, tmp_path)) == COMPLETE
    assert not left.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOD[:HALF], "damaged or cut short"),
        (GOOD[:HALF] + bytes(100) + GOOD[HALF + 100 :], "damaged or cut short|MD5"),
        (b"<html>Sign in</html>", "damaged or cut short"),
        (b"", "damaged or cut short"),
        (
            tar_gz(("../evil", b"x"), *RIGHT),
            r"'\.\./evil' would be extracted .* outside the destination",
        ),
        (tar_gz(("data/../../evil", b"x"), *RIGHT), "outside the destination"),
        (tar_gz(("../plays.tsv", PLAYS), *RIGHT[1:]), "outside the destination"),
        (tar_gz(*RIGHT, ("../evil", b"x")), "outside the destination"),
        (tar_gz(special("data/plays.tsv", tarfile.SYMTYPE, "/etc/passwd"), *RIGHT[1:]), "a link"),
        (tar_gz(special("plays.tsv", tarfile.SYMTYPE, "../plays.tsv"), *RIGHT), "would link"),
        (
            tar_gz(special("plays.tsv", tarfile.LNKTYPE, "profile.tsv"), *RIGHT[1:]),
            "holds no plays",
        ),
        (tar_gz(special("null", tarfile.CHRTYPE), *RIGHT), "special file"),
        (tar_gz(special("pipe", tarfile.FIFOTYPE), *RIGHT), "special file"),
        (tar_gz(("zeros", bytes(300_000)), *RIGHT), "far more bytes"),
        (tar_gz(*[(f"empty{n}", b"") for n in range(500)], *RIGHT), "far more bytes"),
        (tar_gz(("data/plays.tsv", PLAYS[:-1] + b"9"), *RIGHT[1:]), r"plays\.tsv .*MD5"),
        (tar_gz(RIGHT[0], ("data/profile.tsv", b"")), r"profile\.tsv .*MD5"),
        (tar_gz(*RIGHT[:1]), r"holds no profile\.tsv"),
        (tar_gz(RIGHT[0], special("profile.tsv", tarfile.DIRTYPE)), r"holds no profile\.tsv"),
    ],
)
def test_an_archive_with_a_fault_leaves_nothing_behind(
    tmp_path: Path, content: bytes, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        unpacked(content, tmp_path)
    (tmp_path / "data.tar.gz").unlink()

    assert everything(tmp_path) == {}
    assert os.listdir(tmp_path / "in") == []


def test_the_digest_of_a_file_reports_progress(tmp_path: Path) -> None:
    reports: list[tuple[str, int, int | None]] = []
    (tmp_path / "file").write_bytes(PLAYS)
    digest = md5_of(tmp_path / "file", lambda *step: reports.append(step))

    assert digest == MEMBERS[0].md5
    assert reports == [("checking", len(PLAYS), len(PLAYS))]
