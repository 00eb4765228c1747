"""OpenCode's session database: `opencode.db` (V1 sessions; V2 tables are counted and restored)."""

from ocblob.hosts.opencode.places import (
    database_candidates,
    is_own_database,
    plugin_installed,
    prompt_history_files,
    prompt_history_places,
)
from ocblob.hosts.opencode.profile import detect

__all__ = [
    "database_candidates",
    "detect",
    "is_own_database",
    "plugin_installed",
    "prompt_history_files",
    "prompt_history_places",
]
