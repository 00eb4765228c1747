"""What a pass over the sessions goes by, and who says so.

The command line merges its options over it (`Settings.with_options`): nothing else decides between two sources.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ocblob.config.keys import Vacuum, meant
from ocblob.config.places import Place
from ocblob.config.said import Said, said
from ocblob.errors import UsageError
from ocblob.filesystem import expanded
from ocblob.sessions.limits import KEEP_ACTIVE_S, By, RetainLimits
from ocblob.urls import names_server, shown_url

DEFAULT: Final = "default"
_OPTION_OF: Final = {
    "max_age_s": "--max-age",
    "keep_active_s": "--keep-active",
    "archive_wanted": "--no-archive",
    "archive_refs": "--refs",
}
"""Where an option is not called as its field."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds when no option says otherwise."""

    max_size: int | None = None
    """Bytes of live content."""
    max_age_s: float | None = None
    max_sessions: int | None = None
    by: By = "created"
    keep_active_s: float = KEEP_ACTIVE_S
    keep: tuple[str, ...] = ()
    """Of all sources together: who keeps a session does not take back what somebody else keeps."""
    archive: Path | None = None
    """None: `archive_directory()`."""
    archive_wanted: bool = True
    archive_refs: bool = False
    mirror: str | None = field(default=None, repr=False)
    """Another database that holds what goes: a path or a URL, which may have a password in it."""
    vacuum: Vacuum = "auto"
    warn_bytes: tuple[int, ...] = (100_000_000, 500_000_000, 1_000_000_000)
    offload: bool = True
    prune: bool = True
    evict_max_size: int | None = None
    evict_max_age_s: float | None = None
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """By the names of the fields: `file:line`, a variable, an option. What is not in it is a default."""
    problems: tuple[UsageError, ...] = ()
    """What cannot be meant, and counts for nothing. Only where `settings` was not to raise it."""

    @property
    def limits(self) -> RetainLimits:
        """For `retain`; not checked yet, so maybe none at all."""
        return RetainLimits(
            self.max_size, self.max_age_s, self.max_sessions, self.by, self.keep_active_s, tuple(self.keep)
        )

    @property
    def mirror_place(self) -> Place | None:
        """The mirror; None if there is none."""
        return None if self.mirror is None else Place(self.mirror, self.source("mirror"))

    @property
    def archives(self) -> bool:
        """Whether what goes is archived. What a mirror holds is so only if somebody says it."""
        return self.archive_wanted and (self.mirror is None or self.source("archive_wanted") != DEFAULT)

    def source(self, name: str) -> str:
        """Where a field's value comes from."""
        return self.sources.get(name, DEFAULT)

    def with_options(self, **options: Any) -> "Settings":
        """Options of the command line over these, by the names of the fields; None is one that was not given.

        `keep` adds to what is kept. A place to archive in means that an archive is wanted.
        """
        given = {name: value for name, value in options.items() if value is not None and value != ()}
        sources = {**self.sources, **{name: _OPTION_OF.get(name, f"--{name.replace('_', '-')}") for name in given}}
        if "archive" in given and "archive_wanted" not in given:
            given["archive_wanted"], sources["archive_wanted"] = True, sources["archive"]
        if "keep" in given:
            given["keep"] = tuple(dict.fromkeys((*self.keep, *given["keep"])))
            sources["keep"] = ", ".join(filter(None, (self.sources.get("keep"), "--keep")))
        return replace(self, **given, sources=MappingProxyType(sources))


def settings(environment: Mapping[str, str] = os.environ, *, strict: bool = True) -> Settings:
    """What the environment, `config.toml` and OpenCode's configuration say, in this order.

    Raises `UsageError` that names file, line and key for what cannot be meant. With `strict=False` such a value counts
    for nothing and is among the problems instead: only for what takes nothing away, since one of them may have been
    meant to keep something.
    """
    found, problems = said(environment)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for one in found:
        try:
            value = _value(one)
        except UsageError as error:
            problems.append(error)
            continue
        name = one.key.field
        if name == "keep" and "keep" in values:
            value = tuple(dict.fromkeys((*values["keep"], *value)))
            sources["keep"] = f"{one.where}, {sources['keep']}"
        else:
            sources[name] = one.where
        values[name] = value
    if "archive" in values:
        values["archive_wanted"], sources["archive_wanted"] = values["archive"] is not None, sources["archive"]
    if problems and strict:
        first = problems[0]
        more = f"; `ocblob config show` lists all {len(problems)}" if len(problems) > 1 else ""
        raise UsageError(f"{first}{more}", hint=first.hint)
    return Settings(**values, sources=MappingProxyType(sources), problems=tuple(problems))


def _value(one: Said) -> Any:
    """As `Settings` has it. Raises `UsageError` that says where it stands."""
    try:
        value = one.value if one.is_read else meant(one.key, one.value)
        if one.key.name == "archive" and value is not None:
            # Relative to the file that says it: a pass by a timer runs anywhere.
            return one.base / expanded(value)
        if one.key.name == "mirror":
            return _mirror(one, value)
    except UsageError as error:
        raise UsageError(f"{one.where}: {one.within}{error}", hint=error.hint) from error
    return value


def _mirror(one: Said, value: str) -> str:
    """A path is absolute, as that of an archive. OpenCode's files are read by others: no password stands there."""
    if "://" not in value and not names_server(value):
        return str((one.base / expanded(value)).absolute())
    if one.within and shown_url(value) != value:
        raise UsageError(
            f"{one.key.name} {shown_url(value)} has a password in it",
            hint="it may stand in config.toml, or where the driver looks for one",
        )
    return value
