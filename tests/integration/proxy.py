"""A TCP proxy in front of a server on loopback, which cuts, stalls or delays connections where a test says so.

What it was not told to break goes through as it came.
"""

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, TypeVar

READ_BYTES: Final = 16 * 1024
TIMEOUT_S: Final = 10.0

Way = Literal["up", "down"]
"""To the server, or from it."""
_Result = TypeVar("_Result")


@dataclass
class Fault:
    """What befalls the connections on which so many bytes, or a word, come through in one direction."""

    do: Literal["cut", "stall", "hold"]
    way: Way = "down"
    after: int = 0
    """Bytes of one connection that still come through, counted from when the fault was set."""
    word: bytes = b""
    """If there is one, bytes are not counted: it happens before the piece with this word is passed on, if it is."""
    answered: bool = False
    """With a word on the way up: the server still gets it; it happens instead of passing on its answer."""
    following: bytes = b""
    """Only on connections on which this went to the server before."""
    times: int = 1
    """Connections that it befalls."""
    happened: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class _Link:
    """One connection of a client's, with its twin to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    seen: dict[int, int] = field(default_factory=dict)
    """Bytes that came through since each fault was set, by its number."""
    followed: set[int] = field(default_factory=set)
    """Faults whose `following` was seen."""
    at_answer: Fault | None = None
    healed: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        """End it in both directions, without a goodbye."""
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """Between clients and the server at a port. `port` is where it listens itself."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._faults: list[Fault] = []
        self._links: set[_Link] = set()
        self.port = 0
        self.connections = 0
        """How many there were."""

    def cut(self, **when: Any) -> Fault:
        """Reset connections at some point; `when` are fields of `Fault`."""
        return self._set(Fault("cut", **when))

    def stall(self, **when: Any) -> Fault:
        """Pass nothing on any more, in both directions, from some point on; the connection stays open."""
        return self._set(Fault("stall", **when))

    def hold(self, **when: Any) -> Fault:
        """Keep back what goes one way, from some point on, until `heal`; then it arrives as if nothing had been."""
        return self._set(Fault("hold", **when))

    def heal(self) -> None:
        """No further faults; connections that stall are reset, and those that were held go on."""
        self._faults.clear()
        self._run(self._heal())

    def __enter__(self) -> Self:
        self._thread.start()
        self._listener = self._run(asyncio.start_server(self._accepted, "127.0.0.1", 0))
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_error: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()

    def _set(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)

    async def _heal(self) -> None:
        for link in self._links:
            link.healed.set()

    async def _end(self) -> None:
        self._listener.close()
        for link in self._links:
            link.reset()
            link.healed.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=TIMEOUT_S)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:  # the server is not there, and so nobody is here
            writer.transport.abort()
            return
        link = _Link(writer, to_server)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(link, "up", reader, to_server), self._pump(link, "down", from_server, writer)
            )
        finally:
            link.reset()
            self._links.discard(link)

    async def _pump(self, link: _Link, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(READ_BYTES):
                fault, passed = self._befallen(link, way, piece)
                writer.write(piece[:passed])
                await writer.drain()
                if fault is not None:
                    await self._happens(fault, link)
                    writer.write(piece[passed:])  # to nobody, if it was not held
        except OSError:
            pass
        finally:
            link.reset()

    def _befallen(self, link: _Link, way: Way, piece: bytes) -> tuple[Fault | None, int]:
        """The fault that happens now, if one does, and how much of the piece comes through before."""
        if way == "down" and link.at_answer is not None:
            return link.at_answer, 0
        for fault in self._faults:
            if way == "up" and fault.following in piece:
                link.followed.add(id(fault))
            if fault.way != way or not fault.times or (fault.following and id(fault) not in link.followed):
                continue
            if fault.word:
                if fault.word not in piece:
                    continue
                fault.times -= 1
                if not fault.answered:
                    return fault, 0
                link.at_answer = fault
                continue
            seen = link.seen.get(id(fault), 0)
            link.seen[id(fault)] = seen + len(piece)
            if seen + len(piece) > fault.after:
                fault.times -= 1
                return fault, max(fault.after - seen, 0)
        return None, len(piece)

    async def _happens(self, fault: Fault, link: _Link) -> None:
        fault.happened.set()
        if fault.do != "cut":
            await link.healed.wait()
        if fault.do != "hold":
            link.reset()
