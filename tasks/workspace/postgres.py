"""PostgreSQL: addresses, connections, and locks for the processes of several machines."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import unquote

from recsys.errors import InputError

if TYPE_CHECKING:
    from psycopg import Connection

_SCHEME = re.compile(r"^postgres(ql)?(\+\w+)?://")
_PASSWORD = re.compile(r"(?<=://)([^:]*):(.*)@")  # to the last @: rather mask too much
_PASSWORD_OPTION = re.compile(r"([?&]\w*password=)[^&]*")

# A machine that loses power closes no connection. With these settings both sides notice within a
# minute: three probes after 20 silent seconds, and an end where nothing is acknowledged.
_CLIENT = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,
    "fallback_application_name": "recsys",
}
_SERVER = {
    "tcp_keepalives_idle": 20,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 50_000,
    "statement_timeout": 0,  # waiting for a lock has no limit
    "lock_timeout": 0,
}

_TAKE = "SELECT pg_advisory_lock(%s)"
_TRY = "SELECT pg_try_advisory_lock(%s)"
_SHARE = "SELECT pg_advisory_lock_shared(%s)"
_FREE = "SELECT pg_advisory_unlock(%s)"
_HELD = """
SELECT EXISTS (
  SELECT FROM pg_locks
  WHERE locktype = 'advisory' AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = %s
)
"""


def is_postgres(storage: str) -> bool:
    """Whether the address is one of PostgreSQL."""
    return _SCHEME.match(storage) is not None


def sqlalchemy_url(storage: str) -> str:
    """The address as SQLAlchemy wants it, with the driver: postgresql+psycopg://..."""
    return _SCHEME.sub("postgresql+psycopg://", storage)


def masked(storage: str) -> str:
    """The address without its password, for messages."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", storage))


def split_password(storage: str) -> tuple[str, dict[str, str]]:
    """The address without its password, and the environment in which libpq finds the password.

    Raises:
        InputError: the address cannot be read.
    """
    password = _read_address(storage, "--storage").get("password")
    bare = re.sub(r"(?<=[?&])\w*password=[^&]*&?", "", _PASSWORD.sub(r"\1@", storage)).rstrip("?&")
    return bare, {} if password is None else {"PGPASSWORD": str(password)}


class DatabaseLost(InputError):
    """The database cannot be reached; a retry may succeed."""


class PostgresLocks:
    """Advisory locks of the database that holds the studies, for any number of machines.

    Each lock is one session, and free when that session ends: at the end of the block, when the
    process dies, or when the connection is lost. A lost connection does not interrupt the holder:
    from then on another process may take the lock, and the other workers take this one for dead
    and give its trial to another worker. So a worker that is `living` checks that the trial is
    still its own before it reports a result, and may ask `lives` about itself. A lost `exclusive`
    raises at the end of its block.

    The address must lead to the server itself: behind a pooler that gives one session to many
    clients, such as PgBouncer in transaction mode, a lock protects nothing.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def exclusive(self, name: str, busy: str | None = None) -> Iterator[None]:
        """Hold the lock `name`, waiting for it, or with `busy` not.

        Raises:
            InputError: the database cannot be reached, or was lost within the block; or another
                process holds the lock, where `busy` says so.
        """
        key = _key("lock", name)
        with closing(self._connected()) as connection:
            if busy is None:
                self._ask(connection, _TAKE, key)
            elif not self._ask(connection, _TRY, key):
                raise InputError(busy)
            yield
            self._ask(connection, _FREE, key)

    @contextmanager
    def shared(self, name: str) -> Iterator[None]:
        """Hold the lock `name` beside others that share it; the end of its session frees it.

        Raises:
            InputError: the database cannot be reached.
        """
        with closing(self._connected()) as connection:
            self._ask(connection, _SHARE, _key("lock", name))
            yield

    @contextmanager
    def living(self, worker: str) -> Iterator[None]:
        """Within the block `lives(worker)` is true in every process, while the connection holds.

        Raises:
            InputError: the database cannot be reached.
        """
        key = _key("worker", worker)
        with closing(self._connected()) as connection:
            self._ask(connection, _TAKE, key)
            try:
                yield
            finally:
                with suppress(InputError):  # a connection that was lost freed it long ago
                    self._ask(connection, _FREE, key)

    def lives(self, worker: str) -> bool:
        """Whether the process that entered `living(worker)` is still in it.

        Read from the server's list of locks. To try the lock instead would hold it for a moment,
        and a process that tries it in that moment would take us for the worker.

        Raises:
            InputError: the database cannot be reached, which says nothing about the worker.
        """
        with closing(self._connected()) as connection:
            return self._ask(connection, _HELD, _key("worker", worker))

    def _connected(self) -> "Connection[Any]":  # Any: psycopg's type of a row
        import psycopg

        options = _options(self._url)
        with self._explained():
            return psycopg.connect(**options, autocommit=True)

    def _ask(self, connection: "Connection[Any]", query: LiteralString, key: int) -> bool:
        with self._explained():
            row = connection.execute(query, (key,)).fetchone()
        return bool(row and row[0])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise _unreachable(self._url, error, "--storage") from error


@contextmanager
def connected(url: str, option: str) -> "Iterator[Connection[Any]]":
    """A connection for the length of the block; each statement outside a transaction is its own.

    Args:
        url: The address.
        option: Where the user gave it, for messages.

    Raises:
        DatabaseLost: the server cannot be reached, or no longer.
        InputError: the address cannot be read, or the database refuses a statement.
    """
    import psycopg

    options = _options(url, option)
    try:
        with closing(psycopg.connect(**options, autocommit=True)) as connection:
            yield connection
    except psycopg.errors.ProgramLimitExceeded as error:  # an OperationalError, too
        why = " ".join(str(error).split())
        raise InputError(
            f"PostgreSQL at {masked(url)}: an id is too long for it ({why[:80]}); give such users "
            "and items shorter ids, or publish to a file"
        ) from error
    except psycopg.OperationalError as error:
        raise _unreachable(url, error, option) from error
    except psycopg.Error as error:
        why = " ".join(str(error).split())
        raise InputError(
            f"PostgreSQL at {masked(url)}: {why}; check the rights of the user in {option}"
        ) from error


def _unreachable(url: str, error: Exception, option: str) -> DatabaseLost:
    return DatabaseLost(
        f"PostgreSQL at {masked(url)}: {' '.join(str(error).split())}; check that the server runs, "
        f"and the address, the user and the password in {option}"
    )


def _options(url: str, option: str = "--storage") -> dict[str, Any]:
    """Arguments of a connection; settings in the address come before ours.

    Raises:
        InputError: the address cannot be read.
    """
    address = _read_address(url, option)
    ours = " ".join(f"-c {name}={value}" for name, value in _SERVER.items())
    options = f"{ours} {address.get('options', '')}".strip()
    return {**_CLIENT, **address, "options": options}


def _read_address(url: str, option: str) -> dict[str, Any]:
    """The parts of an address, as libpq names them.

    Raises:
        InputError: the address cannot be read, or not in one way only. The database's own words
            are not shown: they may hold a part of the password.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    secret = _PASSWORD.search(url)
    try:
        parts = conninfo_to_dict(_SCHEME.sub("postgresql://", url))
    except ProgrammingError:
        parts = None
    if parts is None or (secret and unquote(secret[2]) != parts.get("password")):
        raise InputError(
            f"PostgreSQL at {masked(url)}: this address cannot be read; {option} has the form "
            "postgresql://user:password@host:5432/database, and in the user's name, the password "
            "and options each of @ : / ? # % is written in percent, as %40 for @"
        )
    return dict(parts)


def _key(kind: str, name: str) -> int:
    """The number of a lock: 64 bits with a sign."""
    digest = sha256(f"recsys:{kind}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
