"""The plugin of the host app: installed, removed, looked at."""

from importlib.resources import files

PACKAGE = "ocblob.hosts.opencode"


def script() -> bytes:
    """The plugin, as this version brings it."""
    return (files(PACKAGE) / "ocblob.js").read_bytes()


def version_of(data: bytes) -> str:
    """What a script says in its first line that it is: `// ocblob plugin 0.1.0`; empty if that is something else."""
    words = data.partition(b"\n")[0].decode("utf-8", "replace").split()
    return words[3] if words[:3] == ["//", "ocblob", "plugin"] and len(words) > 3 else ""  # noqa: PLR2004
