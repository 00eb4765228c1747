from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from ocblob.backends.memory import MemoryBackend
from ocblob.digest import digest_of
from ocblob.errors import DeletionRefusedError
from ocblob.marks import Marks
from ocblob.published import PREFIX, publish, read_published
from stores import Clock

NAME = "0123456789abcdef"
DIGESTS = sorted(bytes.fromhex(digest_of(str(number).encode())) for number in range(1000))


@pytest.fixture
def backend() -> MemoryBackend:
    """A store with the mark of one database."""
    backend = MemoryBackend()
    put(backend, DIGESTS)
    return backend


@pytest.fixture
def marks() -> Iterator[Marks]:
    """Where what is read goes to."""
    with closing(Marks()) as marks:
        yield marks


def put(backend: MemoryBackend, digests: list[bytes], *, taken_at: float = 1000.0) -> None:
    """Publish."""
    with closing(Marks()) as own:
        own.add_digests(digests)
        publish(backend, NAME, own, taken_at=taken_at)


def change(backend: MemoryBackend, how: Callable[[bytes], bytes]) -> None:
    """Let the published bytes be others."""
    data, stat = backend._objects[PREFIX + NAME]
    backend._objects[PREFIX + NAME] = (how(data), stat)


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_gives_back_what_was_published(marks: Marks, count: int) -> None:
    """All digests, their number and the time come back, for none of them as well."""
    backend = MemoryBackend()
    put(backend, DIGESTS[:count])

    found = read_published(backend, NAME, marks)

    assert found is not None
    assert (1000.0, count) == (found.taken_at, found.digests)
    assert DIGESTS[:count] == list(marks.digests())


def test_more_than_a_piece(marks: Marks) -> None:
    """More digests than are read at a time come back."""
    backend = MemoryBackend()
    many = sorted(number.to_bytes(32, "big") for number in range(70_000))
    put(backend, many)

    assert read_published(backend, NAME, marks) is not None
    assert many == list(marks.digests())


def test_adds_to_what_is_marked(backend: MemoryBackend, marks: Marks) -> None:
    """What was marked before stays marked."""
    other = bytes(32)
    marks.add_digests([other])
    read_published(backend, NAME, marks)

    assert [other, *DIGESTS] == list(marks.digests())


def test_the_last_mark_counts(backend: MemoryBackend, marks: Marks) -> None:
    """A later mark takes the place of the one before."""
    put(backend, DIGESTS[:3], taken_at=2000.0)

    found = read_published(backend, NAME, marks)

    assert found is not None
    assert (2000.0, 3) == (found.taken_at, found.digests)


def test_nothing_published_is_nothing(marks: Marks) -> None:
    """A machine that has said nothing has said nothing."""
    assert read_published(MemoryBackend(), NAME, marks) is None


def test_the_earlier_clock_counts(marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is ahead does not make its mark younger than the store says it is."""
    clock = Clock(monkeypatch)
    backend = MemoryBackend()
    put(backend, DIGESTS, taken_at=4e9)
    clock.wait(days=1)

    found = read_published(backend, NAME, marks)

    assert found is not None
    assert backend.stat(PREFIX + NAME).modified == found.taken_at


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no line": lambda data: data[:10],
    "no JSON": lambda data: b"hello\n" + data,
    "another JSON": lambda data: b"[]\n" + data.partition(b"\n")[2],
    "no time": lambda data: b'{"digests": 1000}\n' + data.partition(b"\n")[2],
    "no number": lambda data: b'{"taken_at": 5, "digests": "x"}\n' + data.partition(b"\n")[2],
    "another time": lambda data: data.replace(b'"taken_at": 1000', b'"taken_at": 9000'),
    "fewer digests": lambda data: data.replace(b'"digests": 1000', b'"digests": 999'),
    "more digests": lambda data: data.replace(b'"digests": 1000', b'"digests": 1001'),
    "a negative number": lambda data: data.replace(b'"digests": 1000', b'"digests": -1'),
    "cut in the middle": lambda data: data[:5000],
    "cut at the end": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "a flipped bit": lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
    "a flipped bit of the sum": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "an endless line": lambda data: b"x" * 10_000 + data,
}


@pytest.mark.parametrize("how", DAMAGE.values(), ids=DAMAGE)
def test_a_mark_that_is_not_whole_refuses(backend: MemoryBackend, marks: Marks, how: Callable[[bytes], bytes]) -> None:
    """Whatever is wrong with it, it is no mark; the refusal names it and says how to get a new one."""
    change(backend, how)

    with pytest.raises(DeletionRefusedError, match=f"{PREFIX}{NAME} is damaged") as caught:
        read_published(backend, NAME, marks)
    assert "`ocblob prune`" in caught.value.hint
