"""Every deliberate error of ocblob; each belongs to exactly one branch of this tree.

OcblobError
├── UsageError                  an option or a setting that cannot be meant
│   └── UnknownHostError        whose rows a database has is not known, and was not said
├── BlobError                   one blob cannot be given out
│   ├── BlobMissingError        no copy anywhere
│   ├── BlobExpiredError        the last copy went by policy; a tombstone tells when
│   └── BlobCorruptError        stored bytes are not the blob's
├── StoreError
│   ├── StoreNotFoundError      nothing there yet (exit 10)
│   ├── StoreFormatError        a store or an object written by a version we do not know
│   ├── StoreLockedError        another process holds the catalog for longer than we wait (exit 11)
│   ├── DeletionRefusedError    what is still needed cannot be known for sure; nothing was taken away
│   ├── ClaimLostError          a blob was taken away between its put and the row's swap
│   └── StageError              what was staged does not read back as what went in
├── BackendError                a place for bytes fails
│   ├── ObjectNotFoundError     the key is not there
│   └── StoreUnavailableError   it may be there: no answer, no permission, a broken device
├── ArchiveError                a file is no archive of sessions, or not as it was written
├── FleetError                  a cluster does not answer, or its workers are not as they must be
├── HostError                   the running host app does not answer, or not as it should
├── ScheduleError               the system's scheduler refuses, or there is none
└── DatabaseError
    ├── DatabaseUnsupportedError  refused before anything was touched
    ├── DatabaseLockedError       somebody else holds it (exit 11)
    ├── DatabaseFullError         its disk has no room; the transaction was undone
    ├── DanglingRowError          a row refers to one that is not there
    └── CellError                 one cell cannot be read or written
"""


class OcblobError(Exception):
    """Base of all deliberate errors. `hint` is one line that says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(OcblobError):
    """An option, an argument or a setting is not usable."""


class UnknownHostError(UsageError):
    """A database is no known host's, and nobody says which cells count."""


class BlobError(OcblobError):
    """One blob cannot be given out. `digest` names it."""

    def __init__(self, message: str, *, digest: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.digest = digest


class BlobMissingError(BlobError):
    """No copy of the blob is in the store."""


class BlobExpiredError(BlobError):
    """The last copy was dropped by policy; `tombstone` holds what is known of it."""

    def __init__(self, message: str, *, digest: str, tombstone: dict[str, object]) -> None:
        super().__init__(message, digest=digest)
        self.tombstone = tombstone


class BlobCorruptError(BlobError):
    """Stored bytes do not hash to the digest they are filed under."""


class StoreError(OcblobError):
    """A store cannot do what was asked."""


class StoreNotFoundError(StoreError):
    """There is no store at this place."""


class StoreFormatError(StoreError):
    """A store or an object is of a format this version does not know."""


class StoreLockedError(StoreError):
    """Another process holds the store's catalog for longer than we wait."""


class DeletionRefusedError(StoreError):
    """It cannot be known for sure what is still needed, or too much would go; nothing was taken away."""


class ClaimLostError(StoreError):
    """A claimed blob was taken away before the row named it; the batch must be done again."""


class StageError(StoreError):
    """A staged object does not decode to the bytes that went in."""


class BackendError(OcblobError):
    """A place for bytes fails; the only error a backend raises."""


class ObjectNotFoundError(BackendError):
    """No object has this key."""


class StoreUnavailableError(BackendError):
    """The object may well be there, but nobody can say so now."""


class ArchiveError(OcblobError):
    """A file is no archive of sessions, or not as it was written; nothing of it was taken."""


class FleetError(OcblobError):
    """A cluster of workers does not answer, or they cannot do what is asked of them."""


class HostError(OcblobError):
    """The running host app does not answer, or not as it should."""


class ScheduleError(OcblobError):
    """The system's scheduler refuses, does not answer, or there is none."""


class DatabaseError(OcblobError):
    """A database cannot do what was asked."""


class DatabaseUnsupportedError(DatabaseError):
    """Refused as a whole, before anything was touched."""


class DatabaseLockedError(DatabaseError):
    """Another process holds the database, or a lock in it, for longer than we wait."""


class DanglingRowError(DatabaseError):
    """A row refers to one that is not there; it was not put in."""


class DatabaseFullError(DatabaseError):
    """The disk has no room for a transaction, which was undone; what is there can be trusted."""


class CellError(DatabaseError):
    """One cell cannot be read or written; it is as it was."""
