"""A mirror as what holds the sessions that a retention lets go."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ocblob import config
from ocblob.cells import SessionTree
from ocblob.mirroring import MirrorPass, check_places, mirror_pass, scratch_directory
from ocblob.passes import Opened
from ocblob.pulling import mirror_opened
from ocblob.sessions.lacking import Lacking
from ocblob.sessions.mirror_seal import MirrorSeal
from ocblob.sessions.mirror_source import MirrorSource, put_back_out_of
from ocblob.sessions.mirroring import MirrorReport
from ocblob.sessions.unarchive import UnarchiveReport
from ocblob.space import Say
from ocblob.stores import store_at_hand


def mirror_seal(  # noqa: PLR0913
    place: config.Place,
    mirror: config.Place,
    store_place: config.StorePlace,
    *,
    at: Opened,
    tree: SessionTree,
    lacking: Lacking,
    say: Say,
) -> MirrorSeal:
    """Seals sessions of a database that is open. Raises `UsageError` if both are one."""
    here, there = at.database.address, config.database_address(mirror)
    check_places(here, there)

    def bring(sessions: Sequence[str], verify: bool) -> MirrorReport:  # noqa: FBT001
        if not sessions:
            return MirrorReport()
        done: MirrorPass = mirror_pass(place, mirror, store_place, sessions=tuple(sessions), verify=verify, say=say)
        return done.report or MirrorReport()

    return MirrorSeal(
        at.database,
        tree,
        there.name,
        bring,
        partial(_sessions, mirror),
        lacking,
        scratch_directory(here, there),
    )


@dataclass(frozen=True, slots=True)
class NamedMirror:
    """Puts sessions back out of a mirror that only a note of a killed retention names: see `FromMirror`.

    Its password is that of the mirror that is configured, if that is the same one, or where its driver looks for one.
    """

    at: Opened
    tree: SessionTree
    settings: config.Settings
    store_place: config.StorePlace
    say: Say

    def __call__(self, name: str, sessions: Sequence[str]) -> UnarchiveReport:
        """The rows that are missing."""
        place = config.Place(name, "a note of a retention that was killed")
        configured = self.settings.mirror_place
        if configured is not None and config.database_address(configured).name == name:
            place = configured
        database = self.at.database
        directory = scratch_directory(database.address)
        with _sessions(place) as source, store_at_hand(self.store_place, self.say, needed=False) as (store, _):
            return put_back_out_of(source, database, self.tree, sessions, store=store, directory=directory)


@contextlib.contextmanager
def _sessions(mirror: config.Place) -> Iterator[MirrorSource]:
    with mirror_opened(mirror) as (_, source):
        yield source
