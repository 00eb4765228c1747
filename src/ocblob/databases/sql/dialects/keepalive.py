"""How soon a server is noticed to be gone with its machine, or with the network before it. TCP asks for it.

A server that is there, and takes its time for an answer, is waited for: nobody knows how long a statement takes.
"""

import socket
from typing import Any, Final

IDLE_S: Final = 15
"""A connection without traffic is asked after so long."""
INTERVAL_S: Final = 5
COUNT: Final = 3
"""And it is given up after so many questions without an answer."""
UNANSWERED_S: Final = 30
"""What was sent, and not even received, is given up after so long."""

PSYCOPG: Final[dict[str, Any]] = {
    "keepalives_idle": IDLE_S,
    "keepalives_interval": INTERVAL_S,
    "keepalives_count": COUNT,
    "tcp_user_timeout": UNANSWERED_S * 1000,
}
"""Arguments of its `connect`."""
POSTGRESQL: Final = (
    f"SET tcp_keepalives_idle = {IDLE_S}",
    f"SET tcp_keepalives_interval = {INTERVAL_S}",
    f"SET tcp_keepalives_count = {COUNT}",
)
"""The server notices in the same way that we are gone: until then it keeps the locks of a transaction."""

_OPTIONS: Final = {
    "TCP_KEEPIDLE": IDLE_S,
    "TCP_KEEPINTVL": INTERVAL_S,
    "TCP_KEEPCNT": COUNT,
    "TCP_USER_TIMEOUT": UNANSWERED_S * 1000,
}


def keep_alive(connection: socket.socket) -> None:
    """Ask by TCP, as far as this system can; no other kind of socket is touched."""
    if connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
