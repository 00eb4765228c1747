"""What the workers of a fleet are told by who begins a pass, and what they know by themselves: the secrets."""

import os
from collections.abc import Mapping

from ocblob.config.passwords import with_password
from ocblob.databases.addresses import Address, server_address
from ocblob.store.places import Options
from ocblob.urls import is_secret


def workers_address(url: str, environment: Mapping[str, str] = os.environ) -> Address:
    """The database that a worker is told of; without a password it gets the one that is known there, as anywhere."""
    return with_password(server_address(url), environment)


def without_secrets(options: Options) -> Options:
    """The options of backends that may be seen."""
    return {
        scheme: {name: value for name, value in known.items() if not is_secret(name)}
        for scheme, known in options.items()
    }
