"""A real PostgreSQL of the tests' own: on loopback, in a directory that goes away with it."""

import contextlib
import signal
from collections.abc import Mapping
from pathlib import Path

import psycopg
from server_process import (
    ADMINISTRATOR,
    OWNER,
    PASSWORD,
    READER,
    STOP_SECONDS,
    ServerProcess,
    find_binary,
    run_unprivileged,
)

QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "5s",
    "dynamic_shared_memory_type": "mmap",
}


class PostgreSQL(ServerProcess):
    """See `ServerProcess`. Settings are those of postgresql.conf."""

    kind = "postgresql"
    scheme = "postgresql"

    def __init__(
        self,
        binary: Path,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> None:
        self._binaries = binary.parent
        super().__init__(durable=durable, settings=settings, root=root)

    def _make(self) -> None:
        password = self.root / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        run_unprivileged(
            [
                *(str(self._binaries / "initdb"), "-D", str(self.root / "data"), "-U", ADMINISTRATOR),
                *("--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--no-locale", "--no-sync"),
            ],
            self.root,
        )
        self._has_users = False

    def _command(self) -> list[str]:
        settings = SETTINGS | ({} if self.durable else QUICK) | self.settings
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self.root / "data"), "-p", str(self.port), *options]

    def start(self) -> None:
        """See `ServerProcess`."""
        super().start()
        if not self._has_users:
            self.execute(*(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'" for user in (OWNER, READER)))
            self._has_users = True

    def execute(self, *statements: str, database: str = "") -> list[tuple[object, ...]]:
        """See `ServerProcess`."""
        place = f"host=127.0.0.1 port={self.port} user={ADMINISTRATOR} password={PASSWORD} connect_timeout=2"
        with (
            contextlib.closing(
                psycopg.connect(f"{place} dbname={database or 'postgres'}", autocommit=True)
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, database: str) -> None:
        """See `ServerProcess`."""
        self.execute(f"CREATE DATABASE {database} OWNER {OWNER} TEMPLATE template0 STRATEGY file_copy")
        self.execute(
            f"ALTER SCHEMA public OWNER TO {OWNER}",
            f"GRANT USAGE ON SCHEMA public TO {READER}",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT SELECT ON TABLES TO {READER}",
            database=database,
        )

    def _end(self) -> None:
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGQUIT)  # at once, and its shared memory is given back
            self._process.wait(STOP_SECONDS)
            self._process = None


def find_postgresql() -> Path | None:
    """The server's binary: OCBLOB_TEST_POSTGRES, or one on PATH, or the newest of Debian's."""

    def version(path: Path) -> float:
        with contextlib.suppress(ValueError):
            return float(path.parent.name)
        return 0.0

    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)
    return find_binary("postgres", "OCBLOB_TEST_POSTGRES", debian)
