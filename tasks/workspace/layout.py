"""Where everything on disk lives, and at which address. No other module builds a path."""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from recsys.errors import InputError

_LONGEST = 200  # bytes of the name of an experiment; a file name has at most 255


@dataclass(frozen=True, slots=True)
class Workspace:
    """One folder, ignored by git; `mlruns` by default.

    Attributes:
        root: The folder.
        storage: Address of the PostgreSQL database that holds the studies; None for a journal in
            the folder. It may hold a password: show `masked(storage)`.
        tracking: Address of an MLflow server or database; None for a database in the folder.
    """

    root: Path
    storage: str | None = field(default=None, repr=False)
    tracking: str | None = field(default=None, repr=False)

    @classmethod
    def at(cls, root: Path, storage: str | None = None, tracking: str | None = None) -> "Workspace":
        """The workspace in `root`, which is made where it is missing.

        Raises:
            InputError: the folder cannot be made, or the databases in it could not be addressed.
        """
        if any("\ud800" <= each <= "\udfff" for each in str(root.resolve())):
            raise InputError(f"workspace {str(root)!a}: its path is not written in UTF-8")
        if "?" in str(root.resolve()):
            raise InputError(
                f"workspace {root}: the address of a database cannot hold a ?; pass --workspace "
                "with another name"
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"workspace {root}: {error.strerror}; pass --workspace with a folder you may write"
            ) from error
        return cls(root.resolve(), storage, tracking)

    @property
    def tracking_uri(self) -> str:
        """MLflow's backend: a server, or a database, as plain folders are refused since 3.13."""
        return self.tracking or f"sqlite:///{self.tracking_database}"

    @property
    def tracking_server(self) -> str | None:
        """Address of the MLflow server without user and password, where one is used."""
        parts = urlsplit(self.tracking or "")
        if parts.scheme not in ("http", "https"):
            return None
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def tracking_database(self) -> Path:
        """MLflow's database, where no server is used."""
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Files attached to MLflow runs."""
        return self.root / "artifacts"

    @property
    def studies(self) -> Path:
        """Optuna's storage, a journal."""
        return self.root / "optuna.journal"

    @property
    def prefect_home(self) -> Path:
        """Prefect's database and settings."""
        return self.root / "prefect"

    @property
    def prefect_secret(self) -> Path:
        """What clients of a Prefect server that stays log in with; made at its first start."""
        return self.prefect_home / "auth-string"

    @property
    def cache(self) -> Path:
        """Results of the data stages."""
        return self.root / "cache"

    @property
    def files(self) -> Path:
        """Index of input files: path, size, time and hash."""
        return self.cache / "files.json"

    @property
    def scratch(self) -> Path:
        """Files on their way into an artifact."""
        return self.root / "tmp"

    @property
    def published(self) -> Path:
        """Published lists, where no other place is named."""
        return self.root / "published.db"

    @property
    def incoming(self) -> Path:
        """Plays that `recsys retrain` merged; those of served models stay."""
        return self.root / "incoming"

    @property
    def libraries(self) -> Path:
        """Files that libraries would otherwise put into the user's home."""
        return self.root / "home"

    @property
    def sample(self) -> Path:
        """Where `recsys sample` writes."""
        return self.root / "sample"

    @property
    def sample_plays(self) -> Path:
        """Plays of the sample."""
        return self.sample / "plays.tsv"

    @property
    def sample_profiles(self) -> Path:
        """Profiles of the sample."""
        return self.sample / "profiles.tsv"

    def artifacts_of(self, experiment: str) -> Path:
        """Files attached to the runs of an experiment; no % in it, which MLflow would decode."""
        return self.artifacts / _safe(experiment)

    def paths(self, study: str) -> Path:
        """Checkpoints of the trainings of a study, while it is searched."""
        return self.scratch / f"paths-{_own(study)}"

    def inspection(self, plays: Path) -> Path:
        """Where the plots of `recsys inspect` go."""
        return self.root / "inspect" / _safe(plays.name)

    @property
    def locks(self) -> Path:
        """Files to hold locks on."""
        return self.root / "locks"

    def lock(self, name: str) -> Path:
        """A file to hold a lock on."""
        return self.locks / f"{_safe(name)}.lock"


def data_set_name(plays: Path) -> str:
    """What the experiment of a log is called: its folder and its file, short enough for MLflow.

    It names a folder, too.
    """
    name = f"{plays.parent.name}/{plays.name}"
    if len(name.encode()) <= _LONGEST:
        return name
    begin = name.encode()[: _LONGEST - 16].decode(errors="ignore")
    return f"{begin}-{sha256(name.encode()).hexdigest()[:8]}"


def _own(name: str) -> str:
    """A safe file name, unique to the name."""
    return f"{_safe(name)}-{sha256(name.encode()).hexdigest()[:8]}"


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
