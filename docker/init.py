"""Make the databases and bring their tables to the version of the image; again does no harm.

The admin of PostgreSQL is in PGHOST, PGUSER and PGPASSWORD. The servers work as the admin. Who
searches does not: STUDIES_DATABASE belongs to a role of the same name, with STUDIES_PASSWORD, that
can do nothing elsewhere.
"""

import os
import subprocess

import psycopg
from psycopg import Connection, sql

HERE = "postgresql+psycopg://"  # where it is, the driver reads from PG*


def main() -> None:
    """Databases first, then what is in them."""
    servers = [os.environ[name] for name in ("MLFLOW_DATABASE", "PREFECT_SERVER_DATABASE_NAME")]
    studies, password = os.environ["STUDIES_DATABASE"], os.environ["STUDIES_PASSWORD"]
    with psycopg.connect(autocommit=True) as admin:
        _make_role(admin, studies, password)
        for name in servers:
            _make_database(admin, name, os.environ["PGUSER"])
        _make_database(admin, studies, studies)

    _call({"PGDATABASE": servers[0]}, "mlflow", "db", "upgrade", HERE)
    _call({}, "prefect", "server", "database", "upgrade", "--yes")
    owner = {"PGDATABASE": studies, "PGUSER": studies, "PGPASSWORD": password}
    if _holds_studies(studies):  # an empty one is filled by the first worker
        _call(owner, "optuna", "storage", "upgrade", "--storage", HERE)


def _make_role(admin: Connection, name: str, password: str) -> None:
    known = admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    verb = sql.SQL("CREATE" if known is None else "ALTER")
    admin.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            verb, sql.Identifier(name), sql.Literal(password)
        )
    )


def _make_database(admin: Connection, name: str, owner: str) -> None:
    names = sql.Identifier(name), sql.Identifier(owner)
    known = admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
    if known is None:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
    # By default every role may connect to every database.
    admin.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(names[0]))


def _holds_studies(database: str) -> bool:
    with psycopg.connect(dbname=database) as connection:
        row = connection.execute("SELECT to_regclass('version_info')").fetchone()
    return row is not None and row[0] is not None


def _call(more: dict[str, str], *command: str) -> None:
    print(*command, flush=True)
    subprocess.run(command, env=os.environ | more, check=True)


if __name__ == "__main__":
    main()
