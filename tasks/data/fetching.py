"""Public data sets: download, verify, unpack."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import InputError
from recsys.progress import Progress, silent
from tasks.data.archives import ArchiveMember, md5_of, unpack
from tasks.data.downloading import Patience, download, forget


@dataclass(frozen=True)
class Dataset:
    """A published .tar.gz: its address, the members to unpack, the bytes they take on disk."""

    name: str
    url: str
    members: tuple[ArchiveMember, ...]
    unpacked_bytes: int


@dataclass(frozen=True)
class Fetched:
    """The files of a data set, in the order of its members, and whether this call fetched them."""

    files: tuple[Path, ...]
    new: bool


LASTFM_360K = Dataset(
    name="lastfm-360k",
    url="https://zenodo.org/records/6090214/files/lastfm-dataset-360K.tar.gz?download=1",
    members=(  # the digests are in the README of the archive
        ArchiveMember(
            "usersha1-artmbid-artname-plays.tsv",
            md5="be672526eb7c69495c27ad27803148f1",
            max_bytes=4_000_000_000,
        ),
        ArchiveMember(
            "usersha1-profile.tsv",
            md5="51159d4edf6a92cb96f87768aa2be678",
            max_bytes=500_000_000,
        ),
    ),
    unpacked_bytes=1_700_000_000,  # about
)
DATASETS: Mapping[str, Dataset] = {dataset.name: dataset for dataset in (LASTFM_360K,)}


def fetch(
    name: str, folder: Path, *, url: str | None = None, progress: Progress = silent
) -> Fetched:
    """The files of the data set of that name, in folder; from url if it is given.

    Raises:
        InputError: the name is unknown; see also `fetch_dataset`.
    """
    if name not in DATASETS:
        raise InputError(f"there is no data set {name!r} to fetch: choose {' or '.join(DATASETS)}")
    return fetch_dataset(DATASETS[name], folder, url=url, progress=progress)


def fetch_dataset(
    dataset: Dataset,
    folder: Path,
    *,
    url: str | None = None,
    progress: Progress = silent,
    patience: Patience | None = None,
) -> Fetched:
    """Download, verify and unpack, unless the right files are in folder already; idempotent.

    An interrupted call leaves a hidden part file, which the next call resumes; a file under its
    final name is complete and verified.

    Raises:
        InputError: a file of another content is in the folder, the transfer keeps failing, or the
            downloaded data is not the published data (it is removed then).
    """
    files = tuple(folder / member.name for member in dataset.members)
    if _in_place(dataset, folder, progress):
        return Fetched(files, new=False)
    try:
        _fetch(dataset, folder, url or dataset.url, progress, patience)
    except OSError as error:  # of the disk; `download` handles those of the network
        raise InputError(
            f"{folder} cannot be written to ({error.strerror}): choose another folder"
        ) from error
    return Fetched(files, new=True)


def _fetch(
    dataset: Dataset, folder: Path, url: str, progress: Progress, patience: Patience | None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{dataset.name}.tar.gz.part"
    download(url, part, room=dataset.unpacked_bytes, progress=progress, patience=patience)
    try:
        unpack(part, dataset.members, folder, progress)
    except InputError:
        forget(part)  # else the same bytes would fail each time
        raise
    forget(part)


def _in_place(dataset: Dataset, folder: Path, progress: Progress) -> bool:
    present = [member for member in dataset.members if (folder / member.name).exists()]
    for member in present:
        if (digest := md5_of(folder / member.name, progress)) != member.md5:
            raise InputError(
                f"{folder / member.name} has MD5 {digest} and not {member.md5}, so it is not the "
                f"published file of {dataset.name}: move it away or choose another folder"
            )
    return len(present) == len(dataset.members)
