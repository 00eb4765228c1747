"""A real MariaDB of the tests' own: on loopback, in a directory that goes away with it."""

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import pymysql
from server_process import ADMINISTRATOR, OWNER, PASSWORD, READER, ServerProcess, find_binary, run_unprivileged

QUICK = {"innodb-flush-log-at-trx-commit": "0", "innodb-doublewrite": "0", "innodb-flush-method": "nosync"}
SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "1",
    "max-allowed-packet": "64M",
    "max-connections": "60",
    "innodb-buffer-pool-size": "64M",
    "innodb-fast-shutdown": "2",
    "character-set-server": "utf8mb4",
}


class MariaDB(ServerProcess):
    """See `ServerProcess`. Settings are options of `mariadbd` without their dashes."""

    kind = "mariadb"
    scheme = "mysql"

    def __init__(
        self,
        binary: Path,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> None:
        self._binary = binary
        super().__init__(durable=durable, settings=settings, root=root)

    def _make(self) -> None:
        install = shutil.which("mariadb-install-db") or str(self._binary.parents[1] / "bin" / "mariadb-install-db")
        run_unprivileged(
            [
                *(install, "--no-defaults", f"--datadir={self.root / 'data'}", "--skip-test-db"),
                "--auth-root-authentication-method=normal",
            ],
            self.root,
        )
        # Read at each start, with every right.
        administrator = f"{ADMINISTRATOR}@'127.0.0.1'"
        users = [f"{user}@'127.0.0.1'" for user in (OWNER, READER)]
        statements = [
            *(f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{PASSWORD}'" for user in [administrator, *users]),
            f"GRANT ALL ON *.* TO {administrator} WITH GRANT OPTION",
            "DROP USER IF EXISTS root@localhost",
        ]
        (self.root / "users.sql").write_text("".join(f"{statement};\n" for statement in statements), encoding="utf-8")

    def _command(self) -> list[str]:
        settings = SETTINGS | ({} if self.durable else QUICK) | self.settings
        return [
            *(str(self._binary), "--no-defaults", f"--datadir={self.root / 'data'}", f"--port={self.port}"),
            *(f"--socket={self.root / 'socket'}", f"--pid-file={self.root / 'pid'}"),
            f"--init-file={self.root / 'users.sql'}",
            *(f"--{name}={value}" for name, value in settings.items()),
        ]

    def execute(self, *statements: str, database: str = "") -> list[tuple[object, ...]]:
        """See `ServerProcess`."""
        with (
            contextlib.closing(
                pymysql.connect(
                    host="127.0.0.1",
                    port=self.port,
                    user=ADMINISTRATOR,
                    password=PASSWORD,
                    database=database or None,
                    autocommit=True,
                    connect_timeout=2,
                    charset="utf8mb4",
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def create(self, database: str) -> None:
        """See `ServerProcess`."""
        self.execute(
            f"CREATE DATABASE {database}",
            f"GRANT ALL ON {database}.* TO {OWNER}@'127.0.0.1'",
            f"GRANT SELECT ON {database}.* TO {READER}@'127.0.0.1'",
        )


def find_mariadb() -> Path | None:
    """The server's binary: OCBLOB_TEST_MARIADB, or one on PATH, or where Debian puts it."""
    return find_binary("mariadbd", "OCBLOB_TEST_MARIADB", [Path("/usr/sbin"), Path("/usr/libexec")])
