# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
"""
A real PostgreSQL.
"""

from __future__ import annotations

import functools
import os
import pwd
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql
from typing_extensions import override

from cocained.test.live.servers import Server
from cocained.test.live.support import LOOPBACK, missing

#: Where Debian puts the programs, one directory for each version.
PROGRAMS = Path("/usr/lib/postgresql")

#: The user whom the server runs as; it refuses root.
USER = "postgres"


def programs() -> Path:
    """Give the directory of the newest version's programs."""
    found = sorted(PROGRAMS.glob("*/bin/postgres"), key=lambda path: path.parts[-3])
    if not found:
        raise missing("no PostgreSQL: install postgresql-15")
    if os.getuid() != 0:
        raise missing("only root can run PostgreSQL as another user")
    return found[-1].parent


class Postgres(Server):
    """One server; its superuser is trusted, all others need their password."""

    program = ("setpriv", "util-linux")

    def __init__(self) -> None:
        super().__init__()
        self._programs = programs()
        self._data = self.directory / "data"

    def _as_user(self, program: str, *arguments: str) -> list[str]:
        who = pwd.getpwnam(USER)
        return [
            "setpriv",
            f"--reuid={who.pw_uid}",
            f"--regid={who.pw_gid}",
            "--clear-groups",
            str(self._programs / program),
            *arguments,
        ]

    @override
    def prepare(self) -> None:
        who = pwd.getpwnam(USER)
        os.chown(self.directory, who.pw_uid, who.pw_gid)
        subprocess.run(
            self._as_user(
                "initdb", "-D", str(self._data), "-U", USER, "--no-sync", "-A", "trust"
            ),
            check=True,
            capture_output=True,
        )
        (self._data / "pg_hba.conf").write_text(
            f"host all {USER} {LOOPBACK}/32 trust\n"
            f"host all all {LOOPBACK}/32 scram-sha-256\n"
        )

    @override
    def command(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            # The machine of a test does not lose its power.
            "fsync": "off",
            "shared_buffers": "16MB",
        }
        words = [part for pair in settings.items() for part in ("-c", "=".join(pair))]
        return self._as_user(
            "postgres", "-D", str(self._data), "-p", str(self.port), *words
        )

    @override
    def is_ready(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    @override
    def stop(self, number: int = signal.SIGINT) -> None:
        """End it; SIGINT is the stop that waits for no client."""
        super().stop(number)

    def address(
        self, user: str = USER, database: str = "postgres", port: int | None = None
    ) -> str:
        """Give a connection string."""
        port = port or self.port
        return f"host={LOOPBACK} port={port} user={user} dbname={database}"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Connect as the superuser."""
        return psycopg.connect(self.address(), autocommit=True, connect_timeout=5)

    def ask(self, query: str, *names: str) -> list[tuple[object, ...]]:
        """Run one statement, with names in the places of its braces."""
        with self.connect() as connection:
            composed = sql.SQL(query).format(*map(sql.Identifier, names))
            cursor = connection.execute(composed)
            return cursor.fetchall() if cursor.description else []


@functools.cache
def shared() -> Postgres:
    """Give the server that all tests of a run may share, and must not stop."""
    server = Postgres()
    server.start()
    return server
