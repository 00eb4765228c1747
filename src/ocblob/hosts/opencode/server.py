"""A running OpenCode server: whose it is, what it has loaded, and how to make it load a project anew.

Measured with OpenCode 1.18.33: `POST /instance/dispose` makes it read a project's own configuration again. The user's
is read once in the life of a process, and so is a plugin's file.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from ocblob.errors import HostError, UsageError
from ocblob.hosts.opencode.places import config_directory

DEFAULT_URL: Final = "http://127.0.0.1:4096"
TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 8 << 20

_PASSWORD: Final = "OPENCODE_SERVER_PASSWORD"  # noqa: S105 - the variable's name
_USER: Final = "OPENCODE_SERVER_USERNAME"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Server:
    """One server. Raises `HostError` for whatever goes wrong."""

    url: str
    headers: Mapping[str, str]

    @classmethod
    def at(cls, url: str, environment: Mapping[str, str]) -> "Server":
        """The server at a URL, with the password that OpenCode's own variables hold."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            raise UsageError("--server: expected http://host:port, the password in OPENCODE_SERVER_PASSWORD")
        password = environment.get(_PASSWORD)
        if not password:
            return cls(url.rstrip("/"), {})
        credentials = f"{environment.get(_USER) or 'opencode'}:{password}".encode()
        return cls(url.rstrip("/"), {"Authorization": f"Basic {base64.b64encode(credentials).decode('ascii')}"})

    def is_of(self, environment: Mapping[str, str], home: Path) -> bool:
        """Whether it runs with this user's configuration directory."""
        paths = self._ask("GET", "/path")
        config = paths.get("config") if isinstance(paths, dict) else None
        expected = {config_directory(environment, home), Path(environment.get("OPENCODE_CONFIG_DIR") or "/nowhere")}
        return isinstance(config, str) and Path(config).resolve() in {path.resolve() for path in expected}

    def has_loaded(self, script: Path, options: Mapping[str, Any] | None, project: Path | None) -> bool:
        """Whether what it has read names this plugin with these options; with None, whether it names it at all."""
        settings = self._ask("GET", "/config", project)
        plugins = settings.get("plugin") if isinstance(settings, dict) else None
        for entry in plugins if isinstance(plugins, list) else []:
            spec, given = (entry[0], entry[-1]) if isinstance(entry, list) and entry else (entry, {})
            if spec == script.as_uri() and (options is None or given == options):
                return True
        return False

    def is_busy(self, project: Path | None) -> bool:
        """Whether a turn is running there, which a reload would end."""
        return bool(self._ask("GET", "/session/status", project))

    def reload(self, project: Path | None) -> None:
        """Let it forget what it has read of a project; the next request reads it anew."""
        self._ask("POST", "/instance/dispose", project)

    def _ask(self, method: str, path: str, project: Path | None = None) -> Any:
        # An HTTP client costs 40 ms, which only a command that talks to a server is worth.
        from http.client import HTTPException  # noqa: PLC0415
        from urllib.error import HTTPError  # noqa: PLC0415
        from urllib.request import ProxyHandler, Request, build_opener  # noqa: PLC0415

        query = f"?directory={quote(str(project), safe='')}" if project else ""
        request = Request(f"{self.url}{path}{query}", headers=dict(self.headers), method=method)  # noqa: S310 - http
        # What listens on this machine must not be asked through a proxy.
        local = urlsplit(self.url).hostname in _LOOPBACK
        opener = build_opener(*([ProxyHandler({})] if local else []))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                answer = response.read(ANSWER_BYTES_MAX)
            return json.loads(answer) if answer else None
        except HTTPError as error:
            hint = f"set {_PASSWORD}" if error.code == 401 else ""  # noqa: PLR2004 - unauthorized
            raise HostError(f"{self.url} answers {error.code}", hint=hint) from error
        except (OSError, HTTPException) as error:
            raise HostError(f"{self.url} does not answer: {getattr(error, 'reason', error)}") from error
        except ValueError as error:
            raise HostError(f"{self.url} is no OpenCode server") from error
