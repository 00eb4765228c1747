"""Where things are by default, and what the environment and the config files say. The only package that reads them.

An option wins over the environment, the environment over `config.toml`, that over OpenCode's own configuration, and
that over the default.
"""

from ocblob.config.directories import archive_directory, state_directory
from ocblob.config.effective import Effective, Setting, effective
from ocblob.config.file import ConfigFile, config_file, using_file
from ocblob.config.files import files_read
from ocblob.config.host import (
    host_databases,
    host_server,
    is_hosts_own,
    is_users_server,
    plugin_installed,
    plugin_site,
    plugins_are_off,
    prompt_files_of,
    prompt_history_files,
    prompt_history_places,
    stray_plugins,
)
from ocblob.config.keys import Vacuum
from ocblob.config.passwords import exposed_passwords
from ocblob.config.places import (
    Place,
    database_address,
    database_path,
    database_place,
    named_database,
    named_servers,
    plugin_database,
)
from ocblob.config.session_settings import Settings, settings
from ocblob.config.stores import StorePlace, passed_on, previews, store_place
from ocblob.config.variables import with_variables
from ocblob.config.workers import without_secrets, workers_address

__all__ = [
    "ConfigFile",
    "Effective",
    "Place",
    "Setting",
    "Settings",
    "StorePlace",
    "Vacuum",
    "archive_directory",
    "config_file",
    "database_address",
    "database_path",
    "database_place",
    "effective",
    "exposed_passwords",
    "files_read",
    "host_databases",
    "host_server",
    "is_hosts_own",
    "is_users_server",
    "named_database",
    "named_servers",
    "passed_on",
    "plugin_database",
    "plugin_installed",
    "plugin_site",
    "plugins_are_off",
    "previews",
    "prompt_files_of",
    "prompt_history_files",
    "prompt_history_places",
    "settings",
    "state_directory",
    "store_place",
    "stray_plugins",
    "using_file",
    "with_variables",
    "without_secrets",
    "workers_address",
]
