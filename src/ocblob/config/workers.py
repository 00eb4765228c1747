"""What the workers of a fleet are told by who begins a pass, and what they know by themselves: the secrets."""

import os
from collections.abc import Mapping

from ocblob.config.variables import DATABASE_VARIABLE
from ocblob.databases.addresses import Address, is_server, server_address
from ocblob.store.places import Options
from ocblob.urls import is_secret


def workers_address(url: str, environment: Mapping[str, str] = os.environ) -> Address:
    """The database that a worker is told of; with the password of OCBLOB_DB there, if it is the same but for that.

    What has none at all gets it from the driver's own places.
    """
    told, named = server_address(url), environment.get(DATABASE_VARIABLE, "")
    own = server_address(named) if is_server(named) else told
    return own if own.name == told.name else told


def without_secrets(options: Options) -> Options:
    """The options of backends that may be seen."""
    return {
        scheme: {name: value for name, value in known.items() if not is_secret(name)}
        for scheme, known in options.items()
    }
