"""What passes over prompt files report."""

from dataclasses import dataclass, field

from ocblob.pass_report import Problems


@dataclass(slots=True)
class PromptReport(Problems):
    """A pass that changes lines of prompt files. Sizes in bytes."""

    files: int = 0
    """Files looked at."""
    files_replaced: int = 0
    files_left: int = 0
    """Files that could not be read or replaced; they are as they were."""
    lines: int = 0
    """Lines that changed; in a dry run, that would."""

    def leave(self, where: object, why: object) -> None:
        """Count a file and say why."""
        self.files_left += 1
        self.tell(f"{where}: {why}")


@dataclass(slots=True)
class PromptOffloadReport(PromptReport):
    """Prompt files to store."""

    payloads: int = 0
    """Payloads moved out."""
    payload_chars: int = 0
    """Base64 text that left the files."""
    size: int = 0
    """The same, decoded."""
    blobs_new: int = 0
    stored_size_new: int = 0
    refs: int = 0
    """Refs that were there before."""
    inline: dict[str, int] = field(default_factory=dict)
    """Payloads that stay, by reason."""
    failed: int = 0
    """Lines with payloads that could not be stored; they are as they were."""

    @property
    def complete(self) -> bool:
        """Whether every payload that should have moved has."""
        return not self.files_left and not self.failed


@dataclass(slots=True)
class PromptRestoreReport(PromptReport):
    """Store to prompt files."""

    refs_restored: int = 0
    size: int = 0
    """Bytes of attachments put back, decoded."""
    unresolved: dict[str, int] = field(default_factory=dict)
    """Refs that stay, by reason: missing, expired, corrupt, unavailable, foreign."""

    @property
    def complete(self) -> bool:
        """Whether no ref is left."""
        return not self.files_left and not self.unresolved
