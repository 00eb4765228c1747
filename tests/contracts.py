"""What every implementation of a seam must do: classes of tests that run once for each implementation."""

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import BinaryIO

import pytest

from ocblob.backends.base import Backend
from ocblob.errors import BackendError, ObjectNotFoundError
from samples import payload

DATA = payload(3000)
OTHER = payload(5000, "other")


class SourceError(Exception):
    """What a put's source raises when it breaks off."""


class BrokenSource(io.RawIOBase):
    """A stream that breaks off in its middle."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._rest = data

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Some bytes, and then an error instead of the end."""
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        if not data:
            raise SourceError
        buffer[: len(data)] = data
        return len(data)


def put(backend: Backend, key: str, data: bytes = DATA) -> None:
    """Put an object that is in memory."""
    backend.put(key, io.BytesIO(data), size=len(data))


def read(backend: Backend, key: str) -> bytes:
    """All bytes of an object."""
    with backend.open(key) as file:
        return b"".join(iter(lambda: file.read(1 << 20), b""))


def listed(backend: Backend, prefix: str) -> list[str]:
    """The keys below a prefix, ordered."""
    return sorted(stat.key for stat in backend.scan(prefix))


class BackendContract:
    """The tests of a backend. A subclass has a fixture `backend`: an empty one, its own for each test."""

    BIG_BYTES = 20_000_000
    """More than the backend moves in one piece."""
    MANY_OBJECTS = 300
    """More than one page of its listing, where that is cheap."""
    RACERS = 8

    def test_gives_back_what_was_put(self, backend: Backend) -> None:
        """An object reads as the bytes that were put."""
        put(backend, "objects/00/one")

        assert DATA == read(backend, "objects/00/one")

    def test_keeps_an_empty_object(self, backend: Backend) -> None:
        """An object of no bytes is there, and is empty."""
        put(backend, "objects/00/empty", b"")

        assert b"" == read(backend, "objects/00/empty")
        assert 0 == backend.stat("objects/00/empty").stored_size

    def test_a_put_replaces_the_whole_object(self, backend: Backend) -> None:
        """After a second, shorter put nothing of the first one is left."""
        put(backend, "objects/00/one", OTHER)

        put(backend, "objects/00/one", DATA)

        assert DATA == read(backend, "objects/00/one")
        assert len(DATA) == backend.stat("objects/00/one").stored_size

    def test_reads_in_pieces_of_any_size(self, backend: Backend) -> None:
        """A reader gives small pieces in their order, and then nothing."""
        put(backend, "objects/00/one")

        with backend.open("objects/00/one") as file:
            pieces = [file.read(700) for _ in range(6)]

        assert DATA == b"".join(pieces)
        assert b"" == pieces[-1]

    def test_big_objects_come_and_go_as_streams(self, backend: Backend) -> None:
        """An object larger than any buffer, from a source that cannot seek, reads back byte for byte."""
        data = payload(self.BIG_BYTES)
        source = io.BufferedReader(_Forward(data))

        backend.put("objects/00/big", source, size=len(data))

        assert data == read(backend, "objects/00/big")
        assert [("objects/00/big", len(data))] == [(s.key, s.stored_size) for s in backend.scan("objects/")]

    @pytest.mark.parametrize("size", [0, len(DATA) - 1, len(DATA) + 1, 2 * len(DATA)])
    def test_refuses_a_source_of_another_size(self, backend: Backend, size: int) -> None:
        """A source with more or fewer bytes than announced is an error, and no object appears."""
        with pytest.raises(BackendError):
            backend.put("objects/00/one", io.BytesIO(DATA), size=size)

        assert [] == listed(backend, "objects/")

    def test_a_refused_put_leaves_the_old_object(self, backend: Backend) -> None:
        """A put that fails does not touch the object that was there."""
        put(backend, "objects/00/one", OTHER)

        with pytest.raises(BackendError):
            backend.put("objects/00/one", io.BytesIO(DATA), size=len(DATA) + 1)

        assert OTHER == read(backend, "objects/00/one")

    def test_a_source_that_breaks_off_leaves_nothing(self, backend: Backend) -> None:
        """When the source raises, no object and no part of one is to be seen."""
        source: BinaryIO = io.BufferedReader(BrokenSource(DATA))

        with pytest.raises((SourceError, BackendError)):
            backend.put("objects/00/one", source, size=2 * len(DATA))

        assert [] == listed(backend, "objects/")
        with pytest.raises(ObjectNotFoundError):
            backend.stat("objects/00/one")

    @pytest.mark.parametrize(
        "touch",
        [
            pytest.param(lambda backend: backend.open("objects/00/none"), id="open"),
            pytest.param(lambda backend: backend.stat("objects/00/none"), id="stat"),
            pytest.param(lambda backend: backend.move("objects/00/none", "trash/none"), id="move"),
        ],
    )
    def test_says_that_an_object_is_not_there(self, backend: Backend, touch: Callable[[Backend], object]) -> None:
        """Opening, looking at or moving an absent object says just that."""
        put(backend, "objects/00/one")

        with pytest.raises(ObjectNotFoundError):
            touch(backend)

    def test_an_empty_place_has_no_objects(self, backend: Backend) -> None:
        """Before anything was put a scan is empty, and every object is absent."""
        assert [] == listed(backend, "objects/")
        with pytest.raises(ObjectNotFoundError):
            backend.open("objects/00/one")

    def test_a_prefix_is_no_object(self, backend: Backend) -> None:
        """Where other keys only begin with a name, no object of that name is there."""
        put(backend, "objects/00/one")

        for name in ("objects", "objects/00"):
            with pytest.raises(ObjectNotFoundError):
                backend.stat(name)
            with pytest.raises(ObjectNotFoundError):
                backend.open(name)

    def test_stat_tells_size_and_time(self, backend: Backend) -> None:
        """The time of an object is when it was put, within clocks' reach."""
        put(backend, "objects/00/one")

        stat = backend.stat("objects/00/one")

        assert ("objects/00/one", len(DATA)) == (stat.key, stat.stored_size)
        assert 600 > abs(time.time() - stat.modified)

    @pytest.mark.parametrize(
        "key",
        [
            "store.json",
            "databases/0f.json",
            "trash/20260105-x/ab/cd",
            f"quarantine/{'ab' * 32}.18f3",
            "a b/c+d/e%20f=g",
        ],
    )
    def test_keys_are_plain_text_with_slashes(self, backend: Backend, key: str) -> None:
        """A key comes back from the place as it was given."""
        put(backend, key)

        prefix = f"{key.rpartition('/')[0]}/"
        assert DATA == read(backend, key)
        assert [key] == listed(backend, prefix) or "/" not in key

    def test_a_moved_object_has_only_its_new_name(self, backend: Backend) -> None:
        """After a move the bytes are under the new key and the old one is absent."""
        put(backend, "objects/00/one")

        backend.move("objects/00/one", "trash/g1/00/one")
        backend.sync(["objects/00/one", "trash/g1/00/one"])

        assert DATA == read(backend, "trash/g1/00/one")
        assert [] == listed(backend, "objects/")
        with pytest.raises(ObjectNotFoundError):
            backend.stat("objects/00/one")

    def test_a_move_replaces_what_had_the_name(self, backend: Backend) -> None:
        """A move over an object leaves the moved one."""
        put(backend, "objects/00/one")
        put(backend, "trash/g1/00/one", OTHER)

        backend.move("trash/g1/00/one", "objects/00/one")

        assert OTHER == read(backend, "objects/00/one")

    def test_a_failed_move_leaves_the_target(self, backend: Backend) -> None:
        """Moving an absent object over one that is there changes nothing."""
        put(backend, "objects/00/one")

        with pytest.raises(ObjectNotFoundError):
            backend.move("objects/00/none", "objects/00/one")

        assert DATA == read(backend, "objects/00/one")

    def test_a_deleted_object_is_absent(self, backend: Backend) -> None:
        """Delete takes one object away, and only that one."""
        put(backend, "objects/00/one")
        put(backend, "objects/00/two")

        backend.delete("objects/00/one")
        backend.sync(["objects/00/one"])

        assert ["objects/00/two"] == listed(backend, "objects/")

    def test_delete_may_be_repeated(self, backend: Backend) -> None:
        """Deleting what is not there is no error."""
        put(backend, "objects/00/two")

        backend.delete("objects/00/one")
        backend.delete("elsewhere/one")

        assert ["objects/00/two"] == listed(backend, "objects/")

    def test_scan_lists_what_is_below_a_prefix_and_nothing_else(self, backend: Backend) -> None:
        """A prefix means that directory: every depth of it, no sibling whose name begins alike."""
        inside = ["objects/ab/1", "objects/ab/2", "objects/ab/deep/er/3"]
        outside = ["objects/abc/4", "objects/a/5", "objects/b/6", "objects.json", "object/7", "x/objects/ab/8"]
        for key in (*inside, *outside):
            put(backend, key, key.encode())

        found = sorted((stat.key, stat.stored_size) for stat in backend.scan("objects/ab/"))

        assert [(key, len(key)) for key in inside] == found

    def test_scan_lists_more_than_a_page(self, backend: Backend) -> None:
        """Many objects are all listed, each once."""
        keys = [f"objects/{number % 7:02d}/{number:04d}" for number in range(self.MANY_OBJECTS)]
        with ThreadPoolExecutor(self.RACERS) as pool:
            list(pool.map(lambda key: put(backend, key, b"x"), keys))

        assert sorted(keys) == listed(backend, "objects/")

    def test_scan_goes_on_when_objects_go_away(self, backend: Backend) -> None:
        """Objects that are deleted under a scan cost it none of the others."""
        keys = [f"objects/00/{number}" for number in range(8)]
        for key in keys:
            put(backend, key)

        scan = backend.scan("objects/")
        first = next(scan).key
        gone = [key for key in keys if key != first][::2]
        for key in gone:
            backend.delete(key)
        found = {first, *(stat.key for stat in scan)}

        assert set() == set(keys) - set(gone) - found

    def test_a_scan_may_be_given_up(self, backend: Backend) -> None:
        """Who has seen enough of a scan drops it without an error."""
        for number in range(5):
            put(backend, f"objects/00/{number}")

        scan = backend.scan("objects/")
        next(scan)
        del scan

        assert 5 == len(listed(backend, "objects/"))

    def test_sync_takes_keys_of_any_state(self, backend: Backend) -> None:
        """Keys that were put, deleted or never there can all be made durable, again and again."""
        put(backend, "objects/00/one")
        put(backend, "objects/00/two")
        backend.delete("objects/00/two")

        for _ in range(2):
            backend.sync(["objects/00/one", "objects/00/two", "never/there"])
        backend.sync([])

        assert DATA == read(backend, "objects/00/one")

    def test_a_new_object_is_put_once(self, backend: Backend) -> None:
        """Put-if-absent stores the first object and says so; a later one is refused and changes nothing."""
        first = backend.put_new("store.json", io.BytesIO(DATA), size=len(DATA))
        second = backend.put_new("store.json", io.BytesIO(OTHER), size=len(OTHER))

        assert (True, False) == (first is not None, second is not None)
        assert DATA == read(backend, "store.json")

    def test_a_new_object_of_another_size_is_refused(self, backend: Backend) -> None:
        """Put-if-absent of a source with another size than announced leaves no object, and the next one succeeds."""
        with pytest.raises(BackendError):
            backend.put_new("a/store.json", io.BytesIO(DATA), size=len(DATA) + 1)

        assert [] == listed(backend, "a/")
        assert backend.put_new("a/store.json", io.BytesIO(DATA), size=len(DATA)) is not None
        assert ["a/store.json"] == listed(backend, "a/")

    def test_of_racing_new_objects_one_wins(self, backend: Backend) -> None:
        """When several put the same new object at once, one is told that it did, and its object is there, whole."""
        contents = [bytes([number]) * 100_000 for number in range(self.RACERS)]

        with ThreadPoolExecutor(self.RACERS) as pool:
            put_new = partial(backend.put_new, "a/new")
            won = [
                version is not None
                for version in pool.map(lambda data: put_new(io.BytesIO(data), size=len(data)), contents)
            ]

        assert 1 == won.count(True)
        assert contents[won.index(True)] == read(backend, "a/new")
        assert ["a/new"] == listed(backend, "a/")

    def test_racing_puts_leave_one_whole_object(self, backend: Backend) -> None:
        """While several put one key, every reader finds one of the objects, whole, and so it ends."""
        contents = [bytes([number]) * 300_000 for number in range(self.RACERS)]
        put(backend, "objects/00/one", contents[0])

        def race(data: bytes) -> bytes:
            put(backend, "objects/00/one", data)
            return read(backend, "objects/00/one")

        with ThreadPoolExecutor(self.RACERS) as pool:
            seen = list(pool.map(race, contents))

        assert set() == {*seen, read(backend, "objects/00/one")} - set(contents)
        assert ["objects/00/one"] == listed(backend, "objects/")

    def test_every_put_has_a_version_of_its_own(self, backend: Backend) -> None:
        """Two puts of other bytes under one key differ in their versions, and reading tells which one was read."""
        first = backend.put("objects/00/one", io.BytesIO(DATA), size=len(DATA))
        assert first == backend.stat("objects/00/one").version
        with backend.open("objects/00/one") as file:
            file.read(10)
            opened = backend.version(file)
        second = backend.put("objects/00/one", io.BytesIO(OTHER), size=len(OTHER))

        assert first == opened
        if first:
            assert first != second
        assert second == backend.stat("objects/00/one").version
        assert [second] == [stat.version for stat in backend.scan("objects/")]

    def test_a_later_version_is_neither_deleted_nor_moved(self, backend: Backend) -> None:
        """Who names the version that it saw cannot hit a later put."""
        first = backend.put("objects/00/one", io.BytesIO(DATA), size=len(DATA))
        second = backend.put("objects/00/one", io.BytesIO(OTHER), size=len(OTHER))
        if not first:
            pytest.skip("this place knows no versions")

        assert not backend.delete("objects/00/one", version=first)
        assert not backend.move("objects/00/one", "trash/g/00/one", version=first)
        assert OTHER == read(backend, "objects/00/one")
        assert [] == listed(backend, "trash/")

        assert backend.move("objects/00/one", "trash/g/00/one", version=second)
        assert ["trash/g/00/one"] == [*listed(backend, "objects/"), *listed(backend, "trash/")]

    def test_reads_from_any_place(self, backend: Backend) -> None:
        """A reader can be sought in, from both ends."""
        put(backend, "objects/00/one")

        with backend.open("objects/00/one") as file:
            end = file.seek(-100, io.SEEK_END)
            tail = file.read()
            file.seek(1000)
            middle = file.read(50)

        assert len(DATA) - 100 == end
        assert (DATA[-100:], DATA[1000:1050]) == (tail, middle)

    def test_children_are_the_names_of_one_level(self, backend: Backend) -> None:
        """Only what is right below a prefix is named, each once, ordered; nothing below is no error."""
        for key in ("trash/g2/00/one", "trash/g1/00/one", "trash/g1/01/two", "trashed/x", "trash/file"):
            put(backend, key, b"x")

        assert ["file", "g1", "g2"] == backend.children("trash/")
        assert [] == backend.children("nothing/")

    def test_says_where_it_is(self, backend: Backend) -> None:
        """The URL for messages is not empty."""
        assert backend.url.strip()


class _Forward(io.RawIOBase):
    """A source that cannot seek."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = memoryview(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        piece, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
