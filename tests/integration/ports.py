"""Ports on loopback for servers of the tests' own: no port is given twice, and no outgoing connection takes one."""

import contextlib
import os
import socket
from collections.abc import Iterator


def free_ports(count: int, *, twin: int = 0) -> list[int]:
    """Ports that nobody listens on now; with `twin`, those so much higher are free as well."""
    found: list[int] = []
    for port in _CANDIDATES:
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for number in {port, port + twin}:
                listener = held.enter_context(socket.socket())
                listener.bind(("127.0.0.1", number))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def _candidates() -> Iterator[int]:
    """Below the range that outgoing connections take, twins too, from a place that differs between processes."""
    first, last = 12_000, 21_000
    number = os.getpid() * 37
    while True:
        yield first + number % (last - first)
        number += 7


_CANDIDATES = _candidates()
"""A server that was killed wants its port again: so the next one asks further on."""
