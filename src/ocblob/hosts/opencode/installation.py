"""The files of one installation of the plugin: its script, its entry, the stand-ins, and a note of what was made.

A plan only reads; what it read is looked at again before anything is written, so that an edit beside us is not lost.
"""

import contextlib
import json
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ocblob.errors import OcblobError, UsageError
from ocblob.filesystem import link_to_nothing, make_private_directory, write_durable
from ocblob.hosts.opencode.configuration import (
    PLUGIN_FILE,
    entries,
    has_array,
    is_bare,
    new_document,
    with_entry,
    without_entries,
)
from ocblob.hosts.opencode.places import config_directories, config_directory, config_files, project_files
from ocblob.hosts.opencode.session_options import SessionOptions, session_options
from ocblob.hosts.opencode.stub import Packages, is_ours, packages, put_stub, remove_stub

DIRECTORY: Final = "ocblob"
"""Not `plugin/`: what lies there is loaded without options, and would be loaded twice."""

Made = Literal["", "array", "document", "file"]
"""What had to be made for the entry, beyond which nothing was there: the array, all of an empty file, the file."""

_NOTE: Final = "install.json"


@dataclass(frozen=True, slots=True)
class Site:
    """Where the plugin is installed or would be: the user's configuration, or a project's."""

    kind: Literal["user", "project"]
    directory: Path
    """OpenCode's configuration directory there."""
    files: tuple[Path, ...]
    """Those that OpenCode merges, in its order."""
    preferred: tuple[Path, ...]
    """Where a new entry goes: the first that is there, or else the last."""
    packages: tuple[Path, ...]
    """The directories in which OpenCode would install packages before it loads the plugin."""

    @property
    def script(self) -> Path:
        """The plugin."""
        return self.directory / DIRECTORY / PLUGIN_FILE

    @property
    def note(self) -> Path:
        """What was made besides, for the removal."""
        return self.directory / DIRECTORY / _NOTE


@dataclass(frozen=True, slots=True)
class Installed:
    """An entry that was found."""

    file: Path
    script: Path
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What an installation writes."""

    site: Site
    file: Path
    before: str | None
    """None if there is no such file."""
    after: str
    script: bytes
    stubs: tuple[Path, ...]
    """Directories that get a stand-in."""
    has_stubs: tuple[Path, ...]
    """Those that have one."""
    made: Made
    waits: tuple[Path, ...]
    """Directories where OpenCode itself installs packages, and none of ours would do."""
    script_before: bytes | None

    @property
    def new_script(self) -> bool:
        """Whether the script has to be written."""
        return self.script != self.script_before

    @property
    def replaces_script(self) -> bool:
        """Whether another one is there, which a process that has loaded it goes on with."""
        return self.script_before is not None and self.new_script

    @property
    def changes(self) -> bool:
        """Whether anything is written."""
        return self.after != self.before or self.new_script or bool(self.stubs)


def user_site(environment: Mapping[str, str], home: Path) -> Site:
    """The user's configuration, which counts in every project."""
    directory = config_directory(environment, home)
    preferred = (directory / "opencode.jsonc", directory / "opencode.json")
    wanted = tuple(config_directories(environment, home))
    return Site("user", directory, tuple(config_files(environment, home)), preferred, wanted)


def project_site(project: Path, environment: Mapping[str, str], home: Path) -> Site:
    """A project's own configuration. Raises `UsageError` if there is no such directory."""
    project = project.resolve()
    if not project.is_dir():
        raise UsageError(f"{project} is no directory")
    directory = project / ".opencode"
    own = directory / "opencode.json"
    preferred = (directory / "opencode.jsonc", own, project / "opencode.jsonc", project / "opencode.json", own)
    wanted = (*config_directories(environment, home), directory)
    return Site("project", directory, tuple(project_files(project)), preferred, wanted)


def installed(site: Site) -> list[Installed]:
    """Our entries, the one that counts last. Raises `UsageError` for a file that OpenCode could not read."""
    found = []
    for file in site.files:
        text = read_text(file)
        if text:
            with _naming(file):
                found += [Installed(file, entry.path, entry.options) for entry in entries(text, file.parent)]
    return found


def read_session_options(file: Path) -> SessionOptions:
    """What a file says about the retention of sessions. Raises `UsageError` for one that OpenCode could not read."""
    text = read_text(file)
    if not text:
        return SessionOptions(None, ())
    with _naming(file):
        return session_options(text, file.parent)


def plan_install(site: Site, script: bytes, options: Mapping[str, Any], *, new: Mapping[str, Any]) -> InstallPlan:
    """What is to be written. `options` are set, `new` only in an entry that is new; others of an entry stay.

    Raises `UsageError` for a configuration that cannot be edited.
    """
    found = installed(site)
    existing = [file for file in site.preferred if file.exists() or file.is_symlink()]
    file = found[-1].file if found else [*existing, site.preferred[-1]][0]
    before = read_text(file)
    with _naming(file):
        if before:
            after = with_entry(before, file.parent, site.script, options, new=new)
            made = _made_before(site, file) if found else "" if has_array(before) else "array"
        else:
            after = new_document(site.script, {**options, **new})
            made = "file" if before is None else "document"
    states = {directory: packages(directory) for directory in site.packages}
    # We are about to make our own, and OpenCode makes the user's.
    for directory in (site.directory, site.packages[0]):
        if not directory.is_dir():
            states[directory] = Packages.MISSING
    return InstallPlan(
        site,
        file,
        before,
        after,
        script,
        stubs=tuple(directory for directory, state in states.items() if state is Packages.MISSING),
        has_stubs=tuple(directory for directory, state in states.items() if state is Packages.STAND_IN),
        made=made,
        waits=tuple(directory for directory, state in states.items() if state is Packages.WANTED),
        script_before=_bytes(site.script),
    )


def apply_install(plan: InstallPlan) -> None:
    """Write what is planned; the entry last, so that it never names what is not there. May be repeated after a crash.

    Raises `UsageError` if the configuration is not what was planned for, or is read-only, `OcblobError` if the disk
    refuses; the configuration is then as it was.
    """
    site = plan.site
    try:
        if plan.before is not None and plan.after != plan.before:
            _check_writable(plan.file)
        if read_text(plan.file) != plan.before:
            raise UsageError(f"{plan.file} has changed meanwhile; nothing was written")
        made_directory = not site.directory.exists() or _note(site).get("made_directory") is True
        make_private_directory(site.script.parent)
        if plan.new_script:
            write_durable(site.script, plan.script)
        _keep_note(plan, made_directory=made_directory)
        for directory in plan.stubs:
            put_stub(directory)
        if plan.after != plan.before:
            make_private_directory(plan.file.parent)
            _write(plan.file, plan.after)
    except OSError as error:
        raise OcblobError(f"{error.filename or site.directory}: {error.strerror}") from error


def remove(site: Site, *, keep: Collection[Path] = (), dry_run: bool = False) -> list[Path]:
    """Take away our entries, the script, and what was made for it; returns what was changed or removed.

    A stand-in in a directory of `keep` stays. May be repeated after a crash. Raises as `apply_install` does.
    """
    note = _note(site)
    stubs, made_for = note.get("stubs"), note.get("file")
    done: list[Path] = []
    try:
        for file in dict.fromkeys(entry.file for entry in installed(site)):
            made = note.get("made") if str(file) == made_for else None
            _remove_entry(file, made=str(made or ""), dry_run=dry_run)
            done.append(file)
        done += [
            directory / "node_modules"
            for directory in map(Path, stubs if isinstance(stubs, list) else [])
            if directory not in keep and (is_ours(directory) if dry_run else remove_stub(directory))
        ]
        # The note last: with it a removal that was cut off can be finished.
        for path in (site.script, site.note):
            if path.exists():
                done.append(path)
                if not dry_run:
                    path.unlink()
        if dry_run:
            return done
        with contextlib.suppress(OSError):  # what others have put there stays
            site.script.parent.rmdir()
            if note.get("made_directory") is True:
                site.directory.rmdir()
    except OSError as error:
        raise OcblobError(f"{error.filename or site.directory}: {error.strerror}") from error
    return done


def read_text(file: Path) -> str | None:
    """A configuration as it is written, line ends and all; None if there is none. Raises `UsageError`."""
    try:
        return file.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if link := link_to_nothing(file):
            raise UsageError(f"{link} is a link to nothing") from None
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8") from error
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error


def _remove_entry(file: Path, *, made: str, dry_run: bool) -> None:
    text = read_text(file) or ""
    with _naming(file):
        after = without_entries(text, file.parent, empty_array=made != "")
        bare = is_bare(after)
    _check_writable(file)
    if dry_run:
        return
    if bare and made == "file":
        file.resolve().unlink()
    else:
        _write(file, "" if bare and made == "document" else after)


def _write(file: Path, text: str) -> None:
    """Replace a configuration as a whole: the file itself, wherever links to it stand, with its mode and owner."""
    target = file.resolve()
    write_durable(target, text.encode("utf-8"), like=target if target.exists() else None)


def _check_writable(file: Path) -> None:
    """Raise `UsageError` for a file that is not to be written: a rename would not mind."""
    if file.exists() and not file.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"{file} is read-only; nothing was written", hint=f"make it writable: {file.resolve()}")


def _made_before(site: Site, file: Path) -> Made:
    note = _note(site)
    made = note.get("made") if note.get("file") == str(file) else ""
    return made if made in {"array", "document", "file"} else ""


def _keep_note(plan: InstallPlan, *, made_directory: bool) -> None:
    stubs = sorted(map(str, (*plan.stubs, *plan.has_stubs)))
    note = {"file": str(plan.file), "made": plan.made, "stubs": stubs, "made_directory": made_directory}
    if note != _note(plan.site):
        write_durable(plan.site.note, json.dumps(note, indent=2).encode() + b"\n")


def _note(site: Site) -> dict[str, object]:
    try:
        value = json.loads(site.note.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@contextlib.contextmanager
def _naming(file: Path) -> Iterator[None]:
    """What is wrong with a file is told with its name."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{file}: {error}", hint=error.hint) from error
