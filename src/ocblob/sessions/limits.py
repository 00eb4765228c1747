"""What a database may hold of sessions. A limit that cannot be meant is refused: none ever means "everything goes"."""

from dataclasses import dataclass
from typing import Final, Literal

from ocblob.errors import UsageError
from ocblob.units import format_size

By = Literal["created", "used"]

DAY_S: Final = 86_400
SIZE_MIN_BYTES: Final = 1_000_000
SIZE_MAX_BYTES: Final = 2**62
AGE_MIN_S: Final = 3600
AGE_MAX_S: Final = 100 * 365.25 * DAY_S
SESSIONS_MAX: Final = 10**9
KEEP_ACTIVE_S: Final = 7.0 * DAY_S


@dataclass(frozen=True, slots=True)
class RetainLimits:
    """While one of the limits is exceeded, the oldest trees of sessions go."""

    max_size: int | None = None
    """Bytes of content of live rows, events included."""
    max_age_s: float | None = None
    max_sessions: int | None = None
    """Trees, as the host's list shows them."""
    by: By = "created"
    """What age and order go by: when a tree's root began, or the latest activity of the whole tree."""
    keep_active_s: float = KEEP_ACTIVE_S
    """A tree with activity within this time stays, whatever the limits."""
    keep: tuple[str, ...] = ()
    """Sessions whose trees stay."""

    @property
    def given(self) -> bool:
        """Whether there is a limit at all."""
        return not (self.max_size is None and self.max_age_s is None and self.max_sessions is None)

    def check(self) -> None:
        """Raise `UsageError` for limits that cannot be meant."""
        if not self.given:
            raise UsageError(
                "nothing to do: name a limit",
                hint="--max-size 200MB, --max-age 30d, --max-sessions 100, or their keys in the config file",
            )
        # Each is asked for what holds, not for what does not: a NaN is below nothing and above nothing.
        size, age, sessions = self.max_size, self.max_age_s, self.max_sessions
        if size is not None and not SIZE_MIN_BYTES <= size <= SIZE_MAX_BYTES:
            allowed = f"{format_size(SIZE_MIN_BYTES)} at least, and no more than any disk holds"
            raise UsageError(f"a maximum size of {size} bytes: {allowed}", hint="--max-size 200MB")
        if age is not None and not AGE_MIN_S <= age <= AGE_MAX_S:
            raise UsageError(f"a maximum age of {age:g} s: 1 h at least, 100 years at most", hint="--max-age 30d")
        if sessions is not None and not 1 <= sessions <= SESSIONS_MAX:
            raise UsageError(
                f"a maximum of {sessions} sessions: 1 at least, {SESSIONS_MAX:,} at most", hint="--max-sessions 100"
            )
        if not 0 <= self.keep_active_s <= AGE_MAX_S:
            raise UsageError(
                f"to keep what was active within {self.keep_active_s:g} s: 0 at least, 100 years at most",
                hint="--keep-active 7d",
            )
        if self.by not in {"created", "used"}:
            raise UsageError(f"sessions go by when they were created or used, not by {self.by!r}")
        # An unset shell variable must not mean that nothing is kept.
        if any(not session.strip() for session in self.keep):
            raise UsageError("a session to keep has an empty id")
