"""The files that a pass by the configuration reads."""

import os
from collections.abc import Mapping
from pathlib import Path

from ocblob.config.directories import config_path
from ocblob.config.host import plugin_site


def files_read(environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Ours and OpenCode's; some may not be there. Whoever waits for a change looks at them."""
    return (config_path(environment), *plugin_site(None, environment).files)
