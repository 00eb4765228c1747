"""OpenCode's session database: `opencode.db` (V1 sessions; V2 tables are counted and restored)."""

from ocblob.hosts.opencode.installation import Site, project_site, read_session_options, user_site
from ocblob.hosts.opencode.places import (
    auto_loaded,
    database_candidates,
    default_database,
    is_own_database,
    plugin_installed,
    prompt_history_files,
    prompt_history_places,
)
from ocblob.hosts.opencode.profile import detect
from ocblob.hosts.opencode.server import Server
from ocblob.hosts.opencode.session_options import SessionOptions, Written

__all__ = [
    "Server",
    "SessionOptions",
    "Site",
    "Written",
    "auto_loaded",
    "database_candidates",
    "default_database",
    "detect",
    "is_own_database",
    "plugin_installed",
    "project_site",
    "prompt_history_files",
    "prompt_history_places",
    "read_session_options",
    "user_site",
]
