"""Sessions that a killed retention or pull has left in pieces: noted before, put back by the next retention.

A large tree goes in many transactions. What is left of it then may be within every limit, so that no plan would take
the rest. A note that stays for nothing costs the next retention a look into the archive, or the mirror.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocblob import config
from ocblob.cells import SessionTree
from ocblob.databases.addresses import Address, is_server
from ocblob.databases.session_rows import SessionDatabase
from ocblob.databases.sqlite.session_delete import WHOLE_BYTES_MAX, WHOLE_ROWS_MAX
from ocblob.errors import DatabaseError, DatabaseLockedError, OcblobError
from ocblob.filesystem import make_private_directory, write_durable
from ocblob.sessions.seals import Sealed
from ocblob.sessions.trees import Tree
from ocblob.sessions.unarchive import UnarchiveReport, put_back
from ocblob.space import Say

FromMirror = Callable[[str, Sequence[str]], UnarchiveReport]
"""Puts rows of sessions back out of the mirror of this name; raises `OcblobError` if it cannot be reached."""


@dataclass(frozen=True, slots=True)
class _Note:
    """Sessions that were about to go, or to come back."""

    path: Path
    archive: str
    """The file that has it whole; empty if only a mirror has."""
    mirror: str
    """The database that has it whole, if any."""
    sessions: tuple[str, ...]
    comes: bool
    """Whether it was to come back, and not to go."""

    @property
    def where(self) -> str:
        """What has it whole."""
        return self.archive or self.mirror


@dataclass(frozen=True, slots=True)
class Notes:
    """Of one database on this machine."""

    directory: Path
    database: str

    @classmethod
    def of(cls, address: Address) -> "Notes":
        """In the state directory, by the name of a database."""
        return cls(config.state_directory() / "retain", address.name)

    def begin(self, tree: Tree, sealed: Sealed, database: SessionDatabase) -> Callable[[], None]:
        """Note that a tree may be in pieces from now on; what it returns ends that, once its rows are gone for good.

        What goes in one transaction, as everything on a server, needs no note. A state directory that takes none stops
        nothing where an archive has the tree. Raises `DatabaseError` where only a mirror has: who went on with what a
        kill has left, and mirrored it, would take the rest from there too.
        """
        whole = is_server(self.database) or (tree.rows <= WHOLE_ROWS_MAX and tree.size <= WHOLE_BYTES_MAX)
        if whole or not sealed.where:
            return lambda: None
        archive = str(Path(sealed.archive).absolute()) if sealed.archive else ""
        return self._begin(archive, sealed.mirror, tree.sessions, database)

    def begin_pull(self, mirror: str, sessions: Sequence[str], database: SessionDatabase) -> Callable[[], None]:
        """Note that sessions come back out of a mirror, in pieces; what it returns ends that, once they are there.

        Half of one is a session like others to whoever goes on with it, and the mirror would take it for the newer one:
        so a state directory that takes no note is a `DatabaseError`.
        """
        if not sessions:
            return lambda: None
        ends = self._begin("", mirror, sessions, database, comes=True)

        def end() -> None:
            ends()
            for note in self._pending():  # of a pull that was killed
                if note.comes and note.mirror == mirror and set(note.sessions) <= set(sessions):
                    note.path.unlink(missing_ok=True)

        return end

    def in_pieces(self) -> frozenset[str]:
        """Sessions that are not what they were, or may be: somebody is at them, or was killed at that."""
        return frozenset(session for note in self._pending() for session in note.sessions)

    def _begin(
        self, archive: str, mirror: str, sessions: Sequence[str], database: SessionDatabase, *, comes: bool = False
    ) -> Callable[[], None]:
        note = self.directory / f"{os.urandom(8).hex()}.json"
        said: dict[str, object] = {
            "database": self.database,
            "archive": archive,
            "mirror": mirror,
            "sessions": sessions,
        }
        if comes:
            said["comes"] = True
        try:
            make_private_directory(self.directory)
            write_durable(note, json.dumps(said).encode())
        except OSError as error:
            if archive:
                return lambda: None
            raise DatabaseError(
                f"{self.directory} takes no note of what is about to be in pieces: {error.strerror or error}",
                hint="make room there, or let XDG_STATE_HOME name a directory that can be written",
            ) from error

        def end() -> None:
            # After a power cut some of the rows would be back, and nobody would know.
            with contextlib.suppress(DatabaseError, OSError):
                database.flush()
                note.unlink()

        return end

    def pending(self) -> list[_Note]:
        """What killed retentions have left, or another one is at."""
        return list(self._pending())

    def finish(self, database: SessionDatabase, tree: SessionTree, mirrored: FromMirror, say: Say) -> None:
        """Put the rows back that went. A tree of which nothing is left has gone as a whole.

        Raises `DatabaseLockedError`; the notes of what is not back stay.
        """
        for note in self._pending():
            with database.snapshot() as snapshot:
                left = [session for session in note.sessions if snapshot.exists(tree, session)]
            try:
                report = _back(note, database, tree, left, mirrored) if left else None
            except DatabaseLockedError:
                raise
            except (OcblobError, OSError) as error:
                _tell(note, str(error), say)
                continue
            if report is not None and report.locked:
                raise DatabaseLockedError(report.locked)
            if report is not None and not report.complete:
                _tell(note, "; ".join(report.problems), say)
                continue
            if report is not None and report.rows:
                say(
                    f"warning: a retention, or a pull, was killed while session {note.sessions[0]} was in pieces;"
                    f" {report.rows:,} rows of it are back from {note.where}"
                )
            with contextlib.suppress(OSError):
                note.path.unlink()

    def _pending(self) -> Iterator[_Note]:
        try:
            paths = sorted(self.directory.glob("*.json"))
        except OSError:  # of another user, say: what cannot be read has not been written by this one
            return
        for path in paths:
            try:
                said = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            match said:
                case {"database": self.database, "archive": str(archive), "sessions": [*sessions], **more}:
                    yield _Note(
                        path, archive, str(more.get("mirror", "")), tuple(map(str, sessions)), bool(more.get("comes"))
                    )


def _back(
    note: _Note, database: SessionDatabase, tree: SessionTree, sessions: Sequence[str], mirrored: FromMirror
) -> UnarchiveReport:
    if not note.archive:
        return mirrored(note.mirror, sessions)
    archive = Path(note.archive)
    return put_back(database, tree, archive, sessions, directory=archive.parent)


def _tell(note: _Note, why: str, say: Say) -> None:
    say(
        f"warning: a retention, or a pull, was killed while session {note.sessions[0]} was in pieces, and its rows are"
        f" not back: {why};"
        f" bring {note.where} back, or remove {note.path}"
    )
