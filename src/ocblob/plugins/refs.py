"""The refs of the host app's database and prompts, and one that must resolve: of the session that was active last."""

from collections import Counter
from dataclasses import dataclass

from ocblob import config
from ocblob.attachments import attachments
from ocblob.cells import Scope
from ocblob.errors import CellError, DatabaseError
from ocblob.passes import opened
from ocblob.prompts.lines import PromptFile
from ocblob.scan import RefSpan, scan


@dataclass(frozen=True, slots=True)
class RefsFound:
    """What a database's refs are."""

    total: int
    v2: int
    """In tables of V2 sessions, where no hook of the host resolves them."""
    session: str
    """Of the sessions with refs that the plugin resolves, the one that was active last; empty if there is none."""
    digest: str
    """One of its refs."""


def find_refs_of(place: config.Place) -> RefsFound:
    """Look at every attachment. Memory: one digest for each session. Raises `DatabaseError`."""
    counted = Counter[bool]()
    digests: dict[str, str] = {}
    with opened(place) as at:
        for resolved, columns in ((True, at.profile.columns), (False, at.profile.counted)):
            for attachment in attachments(at.database, columns, scope=Scope()):
                if attachment.inline:
                    continue
                counted[resolved] += 1
                if resolved:
                    digests.setdefault(attachment.session, attachment.digest)
        table = at.profile.session_table
        times = at.database.session_times(table) if table and digests else {}
    session = max(digests, key=lambda name: (times.get(name, -1), name), default="")
    return RefsFound(counted.total(), counted[False], session, digests.get(session, ""))


def count_prompt_refs(place: config.Place) -> int:
    """The refs of prompts beside the host app's own database. Raises `DatabaseError` if a file cannot be read."""
    if not config.is_hosts_own(config.database_address(place)):
        return 0
    count = 0
    for path in config.prompt_history_files():
        try:
            with PromptFile(path) as file:
                for line in file.lines():
                    spans = scan(line.read(0, line.size), hashing=False)
                    count += sum(isinstance(span, RefSpan) for span in spans)
        except (OSError, CellError) as error:
            raise DatabaseError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error
    return count
