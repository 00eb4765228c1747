"""What is installed, and whether it would work: looked at with the plugin's own options."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ocblob import config
from ocblob.errors import BackendError, BlobError, DatabaseError, StoreError, UsageError
from ocblob.hosts.opencode import Site
from ocblob.hosts.opencode.installation import Installed, installed
from ocblob.hosts.opencode.stub import Packages, packages
from ocblob.plugins import script, version_of
from ocblob.plugins.options import database_of, same_place, store_of
from ocblob.plugins.refs import RefsFound, find_refs_of
from ocblob.status import v2_warnings
from ocblob.stores import open_store
from ocblob.urls import is_secret, shown_url

COMMAND_TIMEOUT_S: Final = 30.0


@dataclass(slots=True)
class Installation:
    """One entry and what it loads."""

    kind: str
    file: Path
    script: Path
    version: str
    """Empty if the script is not there, or is something else."""
    current: bool
    """Whether the script is this version's, byte for byte."""
    command: list[str]
    command_version: str
    """What the command prints for `--version`; empty if it does not run."""
    store: str
    db: str
    options: dict[str, Any]


@dataclass(slots=True)
class PluginStatus:
    """Everything that decides whether the host app gets its attachments back."""

    installations: list[Installation] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    """What OpenCode does before it loads plugins, by directory: `ready`, `stand-in`, `missing`, `wanted`."""
    refs: int = 0
    v2_refs: int = 0
    session: str = ""
    """The session that was active last of those with refs."""
    resolves: bool | None = None
    """Whether a ref of that session does; None if there is none."""
    problems: list[str] = field(default_factory=list)
    """What is wrong, with what to do about it."""

    @property
    def installed(self) -> bool:
        """Whether any entry is there."""
        return bool(self.installations)

    @property
    def sound(self) -> bool:
        """Whether it is installed and nothing is wrong."""
        return self.installed and not self.problems


def plugin_status(sites: list[Site], database: config.Place, store: config.StorePlace) -> PluginStatus:
    """Look at everything, change nothing. `database` and `store` are those that a command would use now."""
    status = PluginStatus()
    found: list[tuple[Site, Installed]] = []
    for site in sites:
        try:
            # A project's files can be the user's as well, where the project is the home directory.
            known = {entry.file for _site, entry in found}
            found += [(site, entry) for entry in installed(site) if entry.file not in known]
        except UsageError as error:
            status.problems.append(f"{error}; OpenCode cannot read it either")
    ours = script()
    for site, entry in found:
        status.installations.append(_installation(site, entry, ours, status.problems))
    status.packages = {
        str(directory): packages(directory).value for site in sites for directory in site.packages if directory.is_dir()
    }
    _judge(status, found, database, store)
    return status


def _judge(
    status: PluginStatus,
    found: list[tuple[Site, Installed]],
    database: config.Place,
    store: config.StorePlace,
) -> None:
    problems = status.problems
    if not found:
        problems.append("the plugin is not installed; `ocblob plugin install` does it")
    # OpenCode loads a script once, however often it is named.
    loaded = {entry.script: entry.file for _site, entry in found}
    if len(loaded) > 1:
        files = ", ".join(map(str, loaded.values()))
        problems.append(f"the plugin is loaded {len(loaded)} times: {files}; `ocblob plugin remove` takes one away")
    problems += [f"{path} is loaded without options; remove it" for path in config.stray_plugins()]
    if config.plugins_are_off():
        problems.append("OPENCODE_PURE is set, and OpenCode loads no plugin with it")
    waiting = [name for name, state in status.packages.items() if state in {_MISSING, _WANTED}]
    if found:
        problems += [
            f"OpenCode installs npm packages into {name} when it starts, and offline waits for more than a minute;"
            f" {'`ocblob plugin install` prevents it' if status.packages[name] == _MISSING else 'let it start online'}"
            for name in waiting
        ]
    place = database
    for _site, entry in found[-1:]:
        problems += _differences(entry.options, database, store)
        place = _own_database(entry.options, database)
    refs = _refs(place, problems)
    if refs is not None:
        status.refs, status.v2_refs, status.session = refs.total, refs.v2, refs.session
        problems += v2_warnings(refs.v2)
        if refs.digest and found:
            why = _unresolved(found[-1][1].options, refs.digest)
            status.resolves = not why
            problems += [f"the ref {refs.digest} of session {refs.session} does not resolve: {why}"] if why else []


_MISSING, _WANTED = Packages.MISSING.value, Packages.WANTED.value


def _installation(site: Site, entry: Installed, ours: bytes, problems: list[str]) -> Installation:
    try:
        data = entry.script.read_bytes()
    except OSError as error:
        data = b""
        problems.append(f"{entry.script}: {error.strerror}; `ocblob plugin install` writes it")
    if data and data != ours:
        other, own = version_of(data) or "something else", version_of(ours)
        is_not = "was changed since" if other == own else f"is {other}, not"
        problems.append(f"{entry.script} {is_not} {own} of this ocblob; `ocblob plugin install` writes it")
    command = entry.options.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else [str(command or "ocblob")]
    version, why = _run_version(words, entry.options)
    if why:
        problems.append(f"the plugin's command {' '.join(words)} does not run: {why}; `ocblob plugin install` here")
    options = {**entry.options}
    if isinstance(environment := options.get("environment"), dict):
        options["environment"] = {k: "..." if is_secret(k) else shown_url(str(v)) for k, v in environment.items()}
    options["store"] = shown_url(str(options.get("store", "")))
    return Installation(
        site.kind,
        entry.file,
        entry.script,
        version_of(data),
        data == ours,
        words,
        version,
        options["store"],
        str(options.get("db", "")),
        options,
    )


def _run_version(command: list[str], options: Mapping[str, Any]) -> tuple[str, str]:
    """What a command prints as its version, or why it does not."""
    more = options.get("environment")
    variables = {str(name): str(value) for name, value in more.items()} if isinstance(more, dict) else {}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own configuration names it
            [*command, "--version"],
            env=config.with_variables(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return "", str(getattr(error, "strerror", None) or error)
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return done.stdout.strip().rpartition(" ")[2], ""


def _differences(options: Mapping[str, Any], database: config.Place, store: config.StorePlace) -> list[str]:
    """Where the plugin works on other things than a command does."""
    found = []
    try:
        own = store_of(options)
        if not same_place(own.url, store.url):
            here = f"{shown_url(store.url)} ({store.source})"
            found.append(
                f"the plugin's store is {shown_url(own.url)}, a command here uses {here};"
                " `ocblob plugin install --store` or the config file makes them one"
            )
    except UsageError as error:
        found.append(str(error))
    try:
        own_database = database_of(options)
        if not same_place(own_database.url, database.url):
            found.append(
                f"the plugin's database is {own_database.shown}, a command here uses {database.shown}"
                f" ({database.source}); `ocblob plugin install --db` makes them one"
            )
    except UsageError as error:
        found.append(str(error))
    return found


def _own_database(options: Mapping[str, Any], fallback: config.Place) -> config.Place:
    try:
        return database_of(options)
    except UsageError:
        return fallback


def _refs(place: config.Place, problems: list[str]) -> RefsFound | None:
    try:
        return find_refs_of(place) if config.database_path(place).is_file() else None
    except (DatabaseError, UsageError) as error:
        problems.append(f"the database cannot be read: {error}")
        return None


def _unresolved(options: Mapping[str, Any], digest: str) -> str:
    """Why a blob cannot be had from the plugin's store; empty if it can. It is read to its end, in pieces."""
    try:
        with open_store(store_of(options), read_only=True) as store:
            for _chunk in store.chunks(digest):
                pass
    except (BlobError, StoreError, BackendError, UsageError) as error:
        return str(error)
    return ""
