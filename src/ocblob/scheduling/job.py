"""The job that is scheduled: `ocblob maintain`, all by absolute paths, since a scheduler has another environment."""

import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from ocblob import config
from ocblob.backends import local_path
from ocblob.config.said import LIMIT_VARIABLES
from ocblob.config.variables import (
    CACHE_VARIABLE,
    CONFIG_VARIABLE,
    DATABASE_VARIABLE,
    MIRROR_VARIABLE,
    S3_VARIABLES,
)
from ocblob.errors import UsageError
from ocblob.scheduling.base import NAME, Job
from ocblob.scheduling.every import Every
from ocblob.urls import is_secret, refuse_secrets

_PLACES: Final = (
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "PGPASSFILE",
    "OPENCODE_CONFIG",
    "OPENCODE_CONFIG_DIR",
    "OPENCODE_DB",
)
"""By these the host's configuration is found, and the lock that two passes share."""
_S3_PLACES: Final = (
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SHARED_CREDENTIALS_FILE",
)
_S3_SECRETS: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_PASSWORDS: Final = {"postgresql": "PGPASSWORD", "mysql": "MYSQL_PWD"}
"""Variables by the kind of server whose drivers read them."""


def maintain_job(
    database: config.Place,
    store: config.StorePlace,
    every: Every,
    *,
    command: tuple[str, ...],
    environment: Mapping[str, str] = os.environ,
) -> Job:
    """The pass over this database, by the configuration that counts here now.

    Raises `UsageError` for a URL with a secret in it, which would be kept.
    """
    address = config.database_address(database)
    if address.path is None:
        _check_password(database, environment)
    named = address.name if address.path is None else str(address.path.absolute())
    local = local_path(store.url)
    if local is None:
        refuse_secrets(store.url)
    variables = config.passed_on(store, environment)
    words = [*command, "maintain", "--scheduled", "--quiet", "--db", named]
    words += ["--store", store.url if local is None else str(local.absolute())]
    for option, variable in (("--config", CONFIG_VARIABLE), ("--cache-size", CACHE_VARIABLE)):
        if value := variables.pop(variable, None):
            words += [option, value]
    names = (*_PLACES, *(_S3_PLACES if local is None else ()))
    variables |= {name: environment[name] for name in names if environment.get(name)}
    return Job(
        job_name(database), tuple(words), dict(sorted(variables.items())), every, f"ocblob: maintenance of {named}"
    )


def job_name(database: config.Place) -> str:
    """Of a database that is found by itself the plain name, of one that is named its own."""
    if database.source in {"found", "default"}:
        return NAME
    return f"{NAME}-{sha256(os.fsencode(config.database_address(database).name)).hexdigest()[:8]}"


def _check_password(database: config.Place, environment: Mapping[str, str]) -> None:
    """Raise `UsageError` for a password that only this command line or this shell knows."""
    bare = {name: value for name, value in environment.items() if name not in {DATABASE_VARIABLE, MIRROR_VARIABLE}}
    named = config.Place(database.shown, database.source)
    if database.shown != database.url and not config.database_address(named, bare).has_password:
        raise UsageError(
            f"{database.shown}: a scheduled pass must find the password by itself; what is installed keeps none",
            hint='write databases = ["<the URL with its password>"] into config.toml (mode 600), or use ~/.pgpass or'
            " ~/.my.cnf and name the URL without it",
        )


def lost_passwords(*databases: config.Place, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables with the passwords of these databases' servers that a scheduled pass does not get."""
    kinds = {config.database_address(place).name.partition("://")[0] for place in databases}
    return [name for kind, name in _PASSWORDS.items() if kind in kinds and environment.get(name)]


def lost_secrets(store: config.StorePlace, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables with credentials that the store may need and a scheduled pass does not get."""
    if not store.url.startswith("s3://"):
        return []
    ours = sorted(name for name in environment if name.startswith(S3_VARIABLES) and is_secret(name))
    return [name for name in (*_S3_SECRETS, *ours) if environment.get(name)]


def lost_limits(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables about sessions: they hold here, and a scheduled pass does not get them. A URL may hold a password."""
    return [name for name in (*LIMIT_VARIABLES, MIRROR_VARIABLE) if environment.get(name)]
