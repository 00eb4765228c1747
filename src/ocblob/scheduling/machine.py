"""The machine as schedulers are told about it: files and commands, each noted, none of them run in a dry run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.errors import ScheduleError
from ocblob.filesystem import write_durable

COMMAND_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    said: str
    """Its words on stderr, or on stdout if there are none."""


@dataclass(frozen=True, slots=True)
class Written:
    """Something that was written, or would be."""

    place: str
    text: str


@dataclass(slots=True)
class Machine:
    """Where jobs are installed, and what was done for that."""

    home: Path
    environment: Mapping[str, str]
    platform: str = sys.platform
    dry_run: bool = False
    commands: list[tuple[str, ...]] = field(default_factory=list)
    """Those that change something, in order."""
    written: list[Written] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def config_directory(self) -> Path:
        """Of programs that follow XDG."""
        named = self.environment.get("XDG_CONFIG_HOME")
        return Path(named) if named else self.home / ".config"

    def has(self, command: str) -> bool:
        """Whether a command can be run."""
        return shutil.which(command, path=self.environment.get("PATH")) is not None

    def ask(self, *words: str) -> Answer:
        """Run a command that changes nothing. Raises `ScheduleError` if it cannot be run."""
        return self._run(words, None)

    def act(self, *words: str, stdin: str | None = None) -> None:
        """Run a command that changes something. Raises `ScheduleError` with its words if it fails."""
        self.commands.append(words)
        if self.dry_run:
            return
        answer = self._run(words, stdin)
        if answer.code != 0:
            raise ScheduleError(f"`{' '.join(words)}` gave {answer.code}: {answer.said or 'it says nothing'}")

    def write(self, path: Path, data: bytes) -> bool:
        """Write a file as a whole; False if it is there already, the same."""
        self.written.append(Written(str(path), data.decode("utf-8")))
        if path.is_file() and path.read_bytes() == data:
            return False
        if not self.dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durable(path, data)
        return True

    def remove(self, path: Path) -> bool:
        """Remove a file; False if there is none."""
        if not path.is_file():
            return False
        self.removed.append(str(path))
        if not self.dry_run:
            path.unlink()
        return True

    def _run(self, words: tuple[str, ...], stdin: str | None) -> Answer:
        # Bytes that are no UTF-8 go through as they are: a crontab belongs to the user.
        coded = None if stdin is None else stdin.encode("utf-8", "surrogateescape")
        program = shutil.which(words[0], path=self.environment.get("PATH")) or words[0]
        try:
            done = subprocess.run(  # noqa: S603 - no shell
                [program, *words[1:]],
                input=coded if coded is not None else b"",
                capture_output=True,
                check=False,
                timeout=COMMAND_TIMEOUT_S,
                env={**self.environment, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it does not answer"
            raise ScheduleError(f"`{' '.join(words)}` cannot be run: {reason}") from error
        out = done.stdout.decode("utf-8", "surrogateescape")
        said = done.stderr.decode("utf-8", "replace").strip() or out.encode("utf-8", "replace").decode().strip()
        return Answer(done.returncode, out, said[-500:])
