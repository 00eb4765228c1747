"""The environment variables that ocblob reads, and those of OpenCode by which it is found."""

import os
from collections.abc import Mapping
from typing import Final

DATABASE_VARIABLE: Final = "OCBLOB_DB"
STORE_VARIABLE: Final = "OCBLOB_STORE"
MIRROR_VARIABLE: Final = "OCBLOB_MIRROR"
CACHE_VARIABLE: Final = "OCBLOB_CACHE_SIZE"
CONFIG_VARIABLE: Final = "OCBLOB_CONFIG"
PLUGIN_VARIABLE: Final = "OCBLOB_PLUGIN_OPTIONS"
"""What the entry says whose plugin starts a pass: a project's counts for that project's OpenCode."""
STATE_VARIABLE: Final = "XDG_STATE_HOME"
DATA_VARIABLE: Final = "XDG_DATA_HOME"
S3_VARIABLES: Final = "OCBLOB_S3_"
"""`OCBLOB_S3_ENDPOINT_URL` is the option `endpoint_url` of `s3://` URLs."""


def with_variables(more: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The environment of a command that the plugin starts."""
    return {**environment, **more}
