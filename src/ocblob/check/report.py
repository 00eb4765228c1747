"""What a check is asked and what it tells."""

from dataclasses import dataclass

from ocblob.pass_report import Problems


@dataclass(frozen=True, slots=True)
class Share:
    """Part `number` of `of` equal parts of the store, by digest; 1 of 1 is all of it."""

    number: int
    of: int

    def holds(self, digest: str) -> bool:
        """Whether a blob belongs to this part."""
        return int(digest[:8], 16) % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(slots=True)
class RebuildReport(Problems):
    """What a new catalog was made from."""

    objects: int = 0
    stored_size: int = 0
    catalogued: int = 0
    corrupt: int = 0
    """Objects whose headers are damaged; in quarantine now."""

    @property
    def sound(self) -> bool:
        """Whether every object is in the new catalog."""
        return not self.corrupt


@dataclass(slots=True)
class CheckReport(Problems):
    """What was found. Sizes in bytes."""

    objects: int = 0
    stored_size: int = 0
    catalogued: int = 0
    missing_objects: int = 0
    """Live in the catalog, but no object is there."""
    elsewhere: int = 0
    """Live, and only in a copy: evicted from here."""
    unknown_objects: int = 0
    """There, but not in the catalog: a pass was stopped before its last step, or another host put it. No harm."""
    wrong_sizes: int = 0
    refs: int = 0
    blobs_named: int = 0
    unresolved: int = 0
    """Blobs that rows name and that the store does not give out."""
    objects_read: int = 0
    resumed_after: str = ""
    """The digest up to which an earlier check had read, before it was stopped."""
    corrupt: int = 0
    repaired: int = 0
    """Things put right: the catalog, or objects from a copy."""
    broken: int = 0
    """Missing objects and wrong sizes that are as they were."""
    databases: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, or all of it was repaired."""
        return not (self.broken or self.unresolved or self.corrupt)
