"""How often: a time that schedulers can be told."""

from dataclasses import dataclass
from typing import Final, Literal

from ocblob.errors import UsageError

Unit = Literal["minutes", "hours", "days", "weeks"]
MINUTE_S: Final = 60
DAY_MINUTES: Final = 24 * 60
EVERY_MINUTES_MAX: Final = 30 * DAY_MINUTES
AT_HOUR: Final = 12
AT_MINUTE: Final = 17
"""When a daily pass runs: a laptop is awake then, and a full hour is when everybody else begins."""
_NAMES: Final = {"minutes": "m", "hours": "h", "days": "d", "weeks": "w"}


@dataclass(frozen=True, slots=True)
class Every:
    """A time between two passes, in whole minutes."""

    minutes: int

    @classmethod
    def of(cls, seconds: float) -> "Every":
        """Raises `UsageError` for what no scheduler keeps."""
        minutes, rest = divmod(seconds, MINUTE_S)
        if rest or not 1 <= minutes <= EVERY_MINUTES_MAX:
            raise UsageError(f"--every {seconds:g}s: write whole minutes, from 1m to 30d")
        return cls(int(minutes))

    @property
    def seconds(self) -> int:
        """The same in seconds."""
        return self.minutes * MINUTE_S

    @property
    def calendar(self) -> tuple[Unit, int] | None:
        """As times of a clock that come back at the same ones each hour, day or week; None if they would not."""
        if self.minutes < 60 and 60 % self.minutes == 0:  # noqa: PLR2004 - of an hour
            return "minutes", self.minutes
        hours, rest = divmod(self.minutes, 60)
        if not rest and hours < 24 and 24 % hours == 0:  # noqa: PLR2004 - of a day
            return "hours", hours
        return {DAY_MINUTES: ("days", 1), 7 * DAY_MINUTES: ("weeks", 1)}.get(self.minutes)  # type: ignore[return-value]

    def __str__(self) -> str:
        for unit, minutes in (("weeks", 7 * DAY_MINUTES), ("days", DAY_MINUTES), ("hours", 60)):
            if self.minutes % minutes == 0:
                return f"{self.minutes // minutes}{_NAMES[unit]}"
        return f"{self.minutes}m"
