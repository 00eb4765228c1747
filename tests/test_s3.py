import io
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts import DATA, OTHER, BackendContract, BrokenSource, SourceError, listed, put, read
from fault_server import Do
from ocblob.backends import connect
from ocblob.backends.base import Backend
from ocblob.backends.s3 import S3Backend
from ocblob.errors import BackendError, ObjectNotFoundError, StoreUnavailableError
from s3_places import STALLED_SECONDS, Place, make_place
from samples import payload
from strict_s3 import Held

KEY = "objects/00/one"
LARGE = payload(1_500_000, "large")
"""Sent from the file, not from memory."""
BREAKS: list[Do] = ["cut", "stall"]
LOST: list[Do] = ["commit_cut", "commit_stall"]
READERS: dict[str, Callable[[Backend], object]] = {
    "open": lambda backend: backend.open(KEY),
    "stat": lambda backend: backend.stat(KEY),
    "move": lambda backend: backend.move(KEY, "trash/one"),
    "scan": lambda backend: list(backend.scan("objects/")),
    "children": lambda backend: backend.children("objects/"),
}
WRITERS: dict[str, Callable[[Backend], object]] = {
    "put": lambda backend: backend.put(KEY, io.BytesIO(DATA), size=len(DATA)),
    "put_new": lambda backend: backend.put_new(KEY, io.BytesIO(DATA), size=len(DATA)),
    "delete": lambda backend: backend.delete(KEY),
    "delete of a version": lambda backend: backend.delete(KEY, version="0" * 32),
}
CALLS = READERS | WRITERS


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    """A fault server of the test's own."""
    yield from make_place(monkeypatch, tmp_path)


def put_new(backend: Backend, data: bytes = DATA) -> str | None:
    """Put an object that is in memory, unless there is one."""
    return backend.put_new(KEY, io.BytesIO(data), size=len(data))


class TestStrictServer(BackendContract):
    """A server that keeps all conditions and lists few keys at a time."""

    MANY_OBJECTS = 40

    @pytest.fixture
    def backend(self, place: Place) -> Backend:
        """With a prefix, as most are."""
        place.server.page = 7
        return place.connect(remembered={}, timeout=60)


class TestServerThatIgnoresConditions(BackendContract):
    """A server that takes If-None-Match and If-Match, and replaces and deletes all the same."""

    MANY_OBJECTS = 40

    @pytest.fixture
    def backend(self, place: Place) -> Backend:
        """In the bucket itself, without a prefix."""
        place.server.conditions = "ignored"
        return place.connect(remembered={}, prefix="", timeout=60)


class TestServerThatRefusesConditions(BackendContract):
    """A server that answers 501 to If-None-Match and If-Match."""

    MANY_OBJECTS = 40

    @pytest.fixture
    def backend(self, place: Place) -> Backend:
        """Below a deep prefix."""
        place.server.conditions = "refused"
        return place.connect(remembered={}, prefix="a/b c/d+e", timeout=60)


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("call", ["put", "put_new"])
def test_a_put_whose_answer_is_lost_is_known_again(place: Place, call: str, lost: Do) -> None:
    """A put that was carried out, and whose answer never came, is a success: a HEAD shows the put's own nonce."""
    backend = place.connect()
    place.server.fault("PUT", lost)

    version = WRITERS[call](backend)

    assert backend.stat(KEY).version == version
    assert DATA == read(backend, KEY)
    assert 1 == len(place.server.seen("PUT"))


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("call", ["put", "put_new"])
def test_a_put_that_did_not_arrive_is_an_error(place: Place, call: str, broken: Do) -> None:
    """A put that broke off before the server did anything is no success, and leaves no object."""
    backend = place.connect()
    place.server.fault("PUT", broken)

    with pytest.raises(StoreUnavailableError):
        WRITERS[call](backend)

    assert {} == place.server.objects


@pytest.mark.parametrize("lost", LOST)
def test_a_put_that_meets_itself_has_won(place: Place, lost: Do) -> None:
    """When boto3 sends a put again whose first attempt was carried out, the 412 is our own object's."""
    backend = place.connect(retries=2)
    place.server.fault("PUT", lost)

    version = put_new(backend)

    assert 2 == len(place.server.seen("PUT"))
    assert backend.stat(KEY).version == version


def test_a_put_whose_answer_is_lost_does_not_take_anothers_object_for_its_own(place: Place) -> None:
    """If the HEAD shows another's nonce, put-if-absent says that there is an object, and a plain put that it failed."""
    backend = place.connect()
    put(backend, KEY, OTHER)
    place.server.fault("PUT", "cut", times=2)

    assert put_new(backend) is None
    with pytest.raises(StoreUnavailableError):
        put(backend, KEY)

    assert OTHER == read(backend, KEY)


@pytest.mark.parametrize("status", [412, 304])
def test_a_refused_put_says_that_there_is_an_object(place: Place, status: int) -> None:
    """Servers say 412 or 304 when there is such an object."""
    backend = place.connect()
    put(backend, KEY, OTHER)
    place.server.fault("PUT", "answer", status=status, code="PreconditionFailed")

    assert put_new(backend) is None
    assert OTHER == read(backend, KEY)


def test_a_put_that_is_refused_by_an_object_that_went_away_is_tried_again(place: Place) -> None:
    """A 412 with nothing there any more is no answer to give."""
    backend = place.connect()
    place.server.fault("PUT", "answer", status=412, code="PreconditionFailed")

    assert put_new(backend) is not None
    assert DATA == read(backend, KEY)


def test_a_conflict_is_tried_again(place: Place) -> None:
    """A 409 says that another request is under way: the put waits a little and succeeds."""
    backend = place.connect()
    place.server.fault("PUT", "answer", status=409, code="ConditionalRequestConflict", times=2)

    assert put_new(backend, LARGE) is not None
    assert 3 == len(place.server.seen("PUT"))
    assert LARGE == read(backend, KEY)


def test_a_conflict_without_end_is_an_error(place: Place) -> None:
    """A put is given up after a few conflicts."""
    backend = place.connect()
    place.server.fault("PUT", "answer", status=409, code="ConditionalRequestConflict", times=100)

    with pytest.raises(StoreUnavailableError, match="409"):
        put_new(backend)

    assert {} == place.server.objects


def test_a_body_is_sent_again_from_its_beginning(place: Place) -> None:
    """When boto3 tries again, a source that was read in part starts where it stood when it was given."""
    backend = place.connect(retries=3)
    source = io.BytesIO(b"before" + LARGE)
    source.seek(6)
    place.server.fault("PUT", "answer", status=503, code="SlowDown", times=2)

    backend.put(KEY, source, size=len(LARGE))

    assert 3 == len(place.server.seen("PUT"))
    assert LARGE == place.server.objects[f"p/{KEY}"].data


def test_a_body_that_changes_on_its_way_is_refused(place: Place) -> None:
    """The server compares the body with the SHA-256 that is signed: a flipped bit is an error, and no object."""
    backend = place.connect()
    place.server.fault("PUT", "flip_request", at=1000)

    with pytest.raises(StoreUnavailableError, match="400"):
        put(backend, KEY)

    assert {} == place.server.objects


def test_bytes_that_change_on_their_way_back_are_the_stores_to_find(place: Place) -> None:
    """A backend knows no digests: a flipped bit in an answer comes out as it came."""
    backend = place.connect()
    put(backend, KEY)
    place.server.fault("GET", "flip_body", at=1000)

    assert DATA[:1000] + bytes([DATA[1000] ^ 1]) + DATA[1001:] == read(backend, KEY)


def test_a_source_that_shrinks_under_a_put_is_an_error(place: Place) -> None:
    """A file that is cut while it is being sent makes no object, and the error says what was found."""

    class Shrinking(io.BytesIO):
        """It has its whole size when it is asked for it, and less when it is read."""

        def read(self, size: int | None = -1, /) -> bytes:
            self.truncate(1_200_000)
            return super().read(size)

    with pytest.raises(BackendError, match="got 1200000 bytes instead of 1500000"):
        place.connect().put(KEY, Shrinking(LARGE), size=len(LARGE))

    assert {} == place.server.objects


def test_no_checksum_is_sent_that_other_servers_choke_on(place: Place) -> None:
    """A put has no CRC, no trailer and no chunked encoding, only the signed SHA-256 of its body."""
    put(place.connect(), KEY)

    (request,) = place.server.seen("PUT")
    assert [] == [name for name in request.headers if "checksum" in name or "trailer" in name or name == "content-md5"]
    assert re.fullmatch("[0-9a-f]{64}", request.headers["x-amz-content-sha256"])


def test_the_server_is_probed_once_and_only_for_a_condition(place: Place) -> None:
    """Plain puts and reads cost no probe; the first conditional put does, and it leaves nothing."""
    remembered: dict[str, str] = {}
    backend = place.connect(remembered=remembered)
    put(backend, "objects/00/two")
    read(backend, "objects/00/two")
    assert backend.capabilities is None
    before = len(place.server.requests)

    put_new(backend)
    first = len(place.server.requests) - before
    backend.delete(KEY, version=backend.stat(KEY).version)
    put_new(backend)

    assert (5, 8) == (first, len(place.server.requests) - before)
    assert {f"{place.server.endpoint}/blobs": "put_if_absent delete_if_match"} == remembered
    assert ["p/objects/00/one", "p/objects/00/two"] == sorted(place.server.objects)


def test_what_a_probe_found_is_remembered(place: Place) -> None:
    """A backend that is told what another one found does not look again."""
    remembered: dict[str, str] = {}
    place.server.conditions = "ignored"
    put_new(place.connect(remembered=remembered))
    before = len(place.server.requests)

    assert put_new(place.connect(remembered=remembered)) is None

    assert ["HEAD"] == [request.method for request in place.server.requests[before:]]


def test_a_process_remembers_by_itself(place: Place) -> None:
    """Two backends of one bucket in one process probe it once, and another bucket again."""
    url = f"s3://blobs/p?endpoint_url={place.server.endpoint}"
    for number in range(2):
        backend = S3Backend(url)
        place.closing.callback(backend.close)
        backend.put_new(f"objects/{number}", io.BytesIO(DATA), size=len(DATA))

    assert 4 == len([request for request in place.server.requests if "/probe/" in request.target])


def test_a_condition_that_is_refused_after_all_is_given_up(place: Place) -> None:
    """A server that was believed to keep conditions and answers 501 gets a HEAD and a put, from then on."""
    backend = place.connect()
    place.server.conditions = "refused"

    assert put_new(backend) is not None
    assert put_new(backend) is None

    capabilities = backend.capabilities
    assert capabilities is not None
    assert not capabilities.put_if_absent
    assert DATA == read(backend, KEY)


def test_a_probe_that_gets_no_answer_is_not_remembered(place: Place) -> None:
    """A server that is away has no capabilities, not even missing ones."""
    remembered: dict[str, str] = {}
    for method in ("PUT", "DELETE"):
        place.server.fault(method, "answer", status=503, code="SlowDown", match="probe/", after=0)
        with pytest.raises(StoreUnavailableError):
            put_new(place.connect(remembered=remembered))

    assert {} == remembered
    assert put_new(place.connect(remembered=remembered)) is not None


def test_who_may_not_delete_can_still_put(place: Place) -> None:
    """A probe that may not delete goes on without, and no versioned delete relies on the server."""
    backend = place.connect(remembered={})
    place.server.fault("DELETE", "answer", status=403, code="AccessDenied", times=2)

    assert put_new(backend) is not None
    capabilities = backend.capabilities
    assert capabilities is not None
    assert (True, False) == (capabilities.put_if_absent, capabilities.delete_if_match)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (500, "InternalError"), (503, "SlowDown"), (400, "BadRequest"), (404, "NoSuchBucket")],
)
def test_no_answer_but_no_such_key_means_missing(place: Place, call: str, status: int, code: str) -> None:
    """Refusals and failures of a server mean that nobody can say; and what we say of them holds no secret."""
    backend = place.connect()
    put(backend, KEY)
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        place.server.fault(method, "answer", status=status, code=code, times=100)

    with pytest.raises(StoreUnavailableError) as caught:
        CALLS[call](backend)

    assert_no_secret(caught.value)
    assert "s3://blobs" in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("broken", BREAKS)
def test_a_connection_that_breaks_does_not_mean_missing(place: Place, call: str, broken: Do) -> None:
    """A cut or a silence means that nobody can say."""
    backend = place.connect(timeout=0.1)
    put(backend, KEY)
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        place.server.fault(method, broken, times=100)

    with pytest.raises(StoreUnavailableError, match=r"the connection broke|no answer in time"):
        CALLS[call](backend)


@pytest.mark.parametrize("call", CALLS)
def test_a_bucket_that_is_not_there_does_not_mean_missing(place: Place, call: str) -> None:
    """Where there is no such bucket, nobody can say of an object that it is absent: not even a HEAD."""
    backend = place.connect(bucket="other")

    with pytest.raises(StoreUnavailableError, match=r"s3://other.*no such bucket"):
        CALLS[call](backend)


@pytest.mark.parametrize("call", ["open", "stat", "move"])
def test_a_web_server_that_knows_nothing_does_not_mean_missing(place: Place, call: str) -> None:
    """A 404 with no word about a key is no answer of an S3 server."""
    for method in ("GET", "HEAD", "PUT"):
        place.server.fault(method, "answer", status=404, code="", times=100)

    with pytest.raises(StoreUnavailableError):
        CALLS[call](place.connect())


@pytest.mark.parametrize("status", [403, 500])
def test_a_bare_404_is_believed_as_far_as_the_bucket_is_known(place: Place, status: int) -> None:
    """A HEAD's 404 is about the key if the bucket may only not be asked for, and not if that fails."""
    place.server.fault("HEAD", "answer", status=status, code="AccessDenied", after=1)
    expected = ObjectNotFoundError if status == 403 else StoreUnavailableError

    with pytest.raises(expected):
        place.connect().stat(KEY)


@pytest.mark.parametrize("call", CALLS)
def test_no_server_does_not_mean_missing(place: Place, call: str) -> None:
    """A port where nobody listens means that nobody can say."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        backend = place.connect(endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}")

        with pytest.raises(StoreUnavailableError, match="cannot connect"):
            CALLS[call](backend)


def test_a_name_that_does_not_resolve_does_not_mean_missing(place: Place) -> None:
    """A host that is unknown means that nobody can say."""
    with pytest.raises(StoreUnavailableError, match="cannot connect"):
        place.connect(endpoint_url="http://nowhere.invalid").stat(KEY)


def test_no_credentials_do_not_mean_missing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials nobody can say, and the error tells where they are looked for."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    # A region of its own: the tests' common session has found the credentials long ago.
    with pytest.raises(StoreUnavailableError, match="no usable credentials") as caught:
        place.connect(region="eu-test-1").open(KEY)

    assert "environment" in caught.value.hint


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "PermanentRedirect"])
def test_an_error_says_what_to_do(place: Place, code: str) -> None:
    """Errors that the user can mend have a hint."""
    place.server.fault("GET", "answer", status=403, code=code)

    with pytest.raises(StoreUnavailableError) as caught:
        place.connect().open(KEY)

    assert caught.value.hint
    assert_no_secret(caught.value)


def test_reading_forward_is_one_request(place: Place) -> None:
    """A whole object read in pieces is one GET, even with a short look ahead in between."""
    backend = place.connect()
    put(backend, KEY)

    with backend.open(KEY) as file:
        head = file.read(100)
        file.seek(400, io.SEEK_CUR)
        rest = b"".join(iter(lambda: file.read(700), b""))

    assert DATA[:100] + DATA[500:] == head + rest
    assert 1 == len(place.server.seen("GET"))


def test_seeking_costs_nothing_until_bytes_are_read(place: Place) -> None:
    """Seeking to the end tells the size without a request; reading from elsewhere is one request for a range."""
    backend = place.connect()
    put(backend, KEY, LARGE)

    with backend.open(KEY) as file:
        sizes = (file.seek(0, io.SEEK_END), file.tell(), file.read(1))
        before = len(place.server.requests)
        file.seek(1_000_000)
        middle = file.read(50)
        file.seek(-10, io.SEEK_END)
        end = file.read()

    assert (len(LARGE), len(LARGE), b"") == sizes
    assert (LARGE[1_000_000:1_000_050], LARGE[-10:]) == (middle, end)
    ranges = [request.headers["range"] for request in place.server.requests[before:]]
    assert ["bytes=1000000-", f"bytes={len(LARGE) - 10}-"] == ranges


@pytest.mark.parametrize("broken", ["cut_body", "stall_body"])
@pytest.mark.parametrize("piece", [700, 5000])
def test_a_body_that_breaks_off_is_read_on(place: Place, broken: Do, piece: int) -> None:
    """A cut or stalled answer is resumed where it broke, of the same version, and nothing is lost or doubled."""
    backend = place.connect()
    put(backend, KEY)
    place.server.fault("GET", broken, at=1000)
    place.server.fault("GET", broken, at=500)

    with backend.open(KEY) as file:
        data = b"".join(iter(lambda: file.read(piece), b""))

    assert DATA == data
    requests = place.server.seen("GET")
    assert 3 == len(requests)
    assert {f'"{backend.stat(KEY).version}"'} == {request.headers["if-match"] for request in requests[1:]}


@pytest.mark.parametrize("broken", ["cut_body", "stall_body"])
def test_a_body_that_always_breaks_off_is_an_error(place: Place, broken: Do) -> None:
    """An object whose bytes do not come is unavailable; a short read is never its end."""
    backend = place.connect(timeout=0.1)
    put(backend, KEY)
    place.server.fault("GET", broken, at=0, times=100)

    with backend.open(KEY) as file, pytest.raises(StoreUnavailableError, match="broke off after 0 of 3000 bytes"):
        file.read(1000)


def test_a_server_that_is_lost_while_reading_is_an_error(place: Place) -> None:
    """When a broken stream cannot be resumed, that is the error, not an end."""
    backend = place.connect()
    put(backend, KEY)
    place.server.fault("GET", "cut_body", at=1000)
    place.server.fault("GET", "answer", status=503, code="SlowDown", times=100)

    with backend.open(KEY) as file, pytest.raises(StoreUnavailableError, match="503"):
        read_all(file)


def test_a_replaced_object_is_not_read_on(place: Place) -> None:
    """A reader that needs another request finds that the object is not the one it opened, and says so."""
    backend = place.connect()
    put(backend, KEY)
    with backend.open(KEY) as file:
        file.read(100)
        put(backend, KEY, OTHER)
        file.seek(0)

        with pytest.raises(StoreUnavailableError, match="was replaced while it was read"):
            file.read(100)


def test_a_replaced_object_is_noticed_without_conditions(place: Place) -> None:
    """A server that ignores If-Match on a range gives another ETag, and that is noticed."""
    backend = place.connect()
    put(backend, KEY, LARGE)
    with backend.open(KEY) as file:
        place.server.objects[f"p/{KEY}"].etag = "another"
        place.server.ignores_match = True
        file.seek(-1, io.SEEK_END)

        with pytest.raises(StoreUnavailableError, match="was replaced while it was read"):
            file.read(100)


def test_a_deleted_object_is_missing_to_its_reader(place: Place) -> None:
    """A reader that needs another request finds that the object is gone."""
    backend = place.connect()
    put(backend, KEY)
    with backend.open(KEY) as file:
        file.read(100)
        backend.delete(KEY)
        file.seek(0)

        with pytest.raises(ObjectNotFoundError):
            file.read(100)


def test_a_server_without_ranges_is_not_believed(place: Place) -> None:
    """The whole object in answer to a range is not taken for the range."""
    backend = place.connect()
    put(backend, KEY, LARGE)
    place.server.ranges = False

    with backend.open(KEY) as file:
        file.seek(1_000_000)
        with pytest.raises(StoreUnavailableError, match="gives no ranges"):
            file.read(100)


def test_a_closed_reader_reads_no_more(place: Place) -> None:
    """Reading after closing is a mistake of the caller's, not the object's end."""
    backend = place.connect()
    put(backend, KEY)
    file = backend.open(KEY)
    file.close()

    with pytest.raises(ValueError, match="closed"):
        file.read(1)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts of more than 1000 bytes go in parts of 256."""
    monkeypatch.setattr("ocblob.backends.s3_multipart.MULTIPART_BYTES", 1000)
    monkeypatch.setattr("ocblob.backends.s3_multipart.PART_BYTES", 256)


def forward(data: bytes) -> io.BufferedReader:
    """A source that cannot seek and then ends well, or badly if it is asked for more."""
    reader, writer = socket.socketpair()
    with writer, reader:
        writer.sendall(data)
        writer.shutdown(socket.SHUT_WR)
        return reader.makefile("rb")


def read_all(file: io.BufferedReader | object) -> bytes:
    """Everything, in pieces."""
    reader: io.BufferedReader = file  # type: ignore[assignment]
    return b"".join(iter(lambda: reader.read(700), b""))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("call", ["put", "put_new"])
def test_a_large_object_goes_in_parts(place: Place, call: str, *, seekable: bool) -> None:
    """An object of many parts reads back whole, from any source."""
    backend = place.connect()
    with io.BytesIO(DATA) if seekable else forward(DATA) as source:
        version = getattr(backend, call)(KEY, source, size=len(DATA))

    assert backend.stat(KEY).version == version
    assert version.endswith("-12")
    assert DATA == read(backend, KEY)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("do", ["answer", "cut", "commit_cut", "stall"])
@pytest.mark.parametrize(("method", "match"), [("PUT", "partNumber=7"), ("POST", "uploadId="), ("POST", "uploads")])
def test_a_part_that_fails_leaves_no_upload(place: Place, do: Do, method: str, match: str) -> None:
    """Whatever fails, the upload is aborted: no object, and no part that is paid for; or it was carried out."""
    backend = place.connect()
    place.server.fault(method, do, match=match, times=100)
    done = (method, match, do) == ("POST", "uploadId=", "commit_cut")

    if done:
        put(backend, KEY)
    else:
        with pytest.raises(StoreUnavailableError):
            put(backend, KEY)

    assert ([f"p/{KEY}"] if done else []) == list(place.server.objects)
    # An upload that was begun and whose id never came can be aborted by nobody but the bucket's own rules.
    assert ([] if match != "uploads" or do != "commit_cut" else ["upload-0"]) == list(place.server.uploads)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
@pytest.mark.parametrize("seekable", [True, False])
def test_a_large_source_of_another_size_leaves_no_upload(place: Place, size: int, *, seekable: bool) -> None:
    """More or fewer bytes than announced make no object and leave no part."""
    with io.BytesIO(DATA) if seekable else forward(DATA) as source, pytest.raises(BackendError, match="instead of"):
        place.connect().put(KEY, source, size=size)

    assert ({}, {}) == (place.server.objects, place.server.uploads)


@pytest.mark.usefixtures("small_parts")
def test_a_large_source_that_breaks_off_leaves_no_upload(place: Place) -> None:
    """When the source raises after some parts were sent, they are given up."""
    with pytest.raises(SourceError):
        place.connect().put(KEY, io.BufferedReader(BrokenSource(DATA)), size=2 * len(DATA))

    assert ({}, {}) == (place.server.objects, place.server.uploads)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("call", ["put", "put_new"])
def test_an_upload_that_is_completed_twice_is_known_again(place: Place, call: str) -> None:
    """When boto3 completes an upload again that is complete, "no such upload" is our own success."""
    backend = place.connect(retries=2)
    place.server.fault("POST", "commit_cut", match="uploadId=")

    version = WRITERS[call](backend)

    assert backend.stat(KEY).version == version
    assert DATA == read(backend, KEY)


@pytest.mark.usefixtures("small_parts")
def test_no_part_is_sent_where_there_is_an_object(place: Place) -> None:
    """A large put-if-absent looks first."""
    backend = place.connect()
    put(backend, KEY, b"small")

    assert put_new(backend) is None
    assert [] == place.server.seen("POST")


@pytest.mark.usefixtures("small_parts")
def test_a_large_put_loses_a_race_at_its_end(place: Place) -> None:
    """An object that appears while the parts are sent stays, and the upload goes."""
    backend = place.connect()
    source = io.BytesIO(DATA)
    real_read = source.read

    def read_late(size: int | None = -1) -> bytes:
        place.server.objects[f"p/{KEY}"] = Held(b"another's", "another")
        return real_read(size)

    source.read = read_late  # type: ignore[method-assign]

    assert backend.put_new(KEY, source, size=len(DATA)) is None
    assert b"another's" == read(backend, KEY)
    assert {} == place.server.uploads


@pytest.mark.usefixtures("small_parts")
def test_a_conflict_at_the_end_of_an_upload_is_tried_again(place: Place) -> None:
    """A 409 to the completion is not the end of the parts."""
    backend = place.connect()
    place.server.fault("POST", "answer", status=409, code="ConditionalRequestConflict", match="uploadId=", times=2)

    assert put_new(backend) is not None
    assert 12 == len([request for request in place.server.seen("PUT") if "partNumber" in request.target])


@pytest.mark.usefixtures("small_parts")
def test_few_parts_are_in_memory_at_a_time(place: Place) -> None:
    """The source is not read far ahead of what has arrived."""
    backend = place.connect()
    ahead: list[int] = []
    source = io.BytesIO(DATA)
    real_read = source.read

    def counting_read(size: int | None = -1) -> bytes:
        arrived = sum(len(parts) for _, _, parts in place.server.uploads.values())
        ahead.append(source.tell() // 256 - arrived)
        return real_read(size)

    source.read = counting_read  # type: ignore[method-assign]
    backend.put(KEY, source, size=len(DATA))

    assert 4 >= max(ahead)


def test_objects_are_kept_as_the_options_say(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encryption and storage class go with every request that makes an object: put, parts and copies."""
    backend = place.connect(sse="aws:kms", kms_key_id="alias/blobs", storage_class="STANDARD_IA")
    put(backend, KEY)
    put_new(backend)
    backend.move(KEY, "trash/one")
    for name in ("MULTIPART_BYTES", "PART_BYTES", "COPY_BYTES", "COPY_PART_BYTES"):
        monkeypatch.setattr(f"ocblob.backends.s3_multipart.{name}", 1000)
    put(backend, KEY)
    backend.move(KEY, "trash/two")

    made = [
        r for r in place.server.requests if "uploads" in r.query or (r.method == "PUT" and "uploadId" not in r.query)
    ]
    assert 5 == len(made)
    assert {("aws:kms", "alias/blobs", "STANDARD_IA")} == {
        (
            request.headers["x-amz-server-side-encryption"],
            request.headers["x-amz-server-side-encryption-aws-kms-key-id"],
            request.headers["x-amz-storage-class"],
        )
        for request in made
    }


@pytest.mark.parametrize("parts", [False, True])
def test_a_copy_is_of_one_version_and_keeps_its_nonce(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, parts: bool
) -> None:
    """A move copies what was looked at, by one request or by ranges, with its metadata."""
    if parts:
        monkeypatch.setattr("ocblob.backends.s3_multipart.COPY_BYTES", 1000)
        monkeypatch.setattr("ocblob.backends.s3_multipart.COPY_PART_BYTES", 700)
    backend = place.connect()
    version = backend.put(KEY, io.BytesIO(DATA), size=len(DATA))
    nonce = place.server.objects[f"p/{KEY}"].headers["x-amz-meta-ocblob-put"]

    assert backend.move(KEY, "trash/one", version=version)

    held = place.server.objects["p/trash/one"]
    assert (DATA, nonce) == (held.data, held.headers["x-amz-meta-ocblob-put"])
    copies = [request for request in place.server.seen("PUT") if "x-amz-copy-source" in request.headers]
    assert (5 if parts else 1) == len(copies)
    assert {f'"{version}"'} == {request.headers["x-amz-copy-source-if-match"] for request in copies}


def test_an_object_that_is_replaced_before_its_copy_is_looked_at_again(place: Place) -> None:
    """A copy that is refused begins again; it is not moved if a version was named and is gone."""
    backend = place.connect()
    put(backend, KEY)
    version = backend.stat(KEY).version
    place.server.fault("PUT", "answer", status=412, code="PreconditionFailed")
    assert backend.move(KEY, "trash/one", version=version)
    put(backend, KEY, OTHER)

    assert not backend.move(KEY, "trash/two", version=version)

    assert DATA == read(backend, "trash/one")
    assert OTHER == read(backend, KEY)


def test_an_object_that_is_replaced_without_end_is_not_moved(place: Place) -> None:
    """A move that never meets a resting object gives up."""
    backend = place.connect()
    put(backend, KEY)
    place.server.fault("PUT", "answer", status=412, code="PreconditionFailed", times=100)

    with pytest.raises(StoreUnavailableError, match="faster than it can be moved"):
        backend.move(KEY, "trash/one")

    assert DATA == read(backend, KEY)


def test_what_is_put_between_copy_and_delete_stays(place: Place) -> None:
    """A move whose old name was taken again meanwhile has moved, and leaves the later object."""
    backend = place.connect()
    put(backend, KEY)
    place.server.fault("DELETE", "answer", status=412, code="PreconditionFailed")

    assert backend.move(KEY, "trash/one")

    assert DATA == read(backend, "trash/one")
    assert DATA == read(backend, KEY)


def test_a_delete_that_meets_itself_has_deleted(place: Place) -> None:
    """When boto3 sends a delete again that was carried out, the refusal is no other version's."""
    backend = place.connect(retries=2)
    put(backend, KEY)
    place.server.fault("DELETE", "commit_cut")

    assert backend.delete(KEY, version=backend.stat(KEY).version)
    assert {} == place.server.objects


@pytest.mark.parametrize(
    ("headers", "readable"),
    [
        ({}, True),
        ({"x-amz-storage-class": "STANDARD_IA"}, True),
        ({"x-amz-storage-class": "GLACIER_IR"}, True),
        ({"x-amz-storage-class": "GLACIER"}, False),
        ({"x-amz-storage-class": "DEEP_ARCHIVE", "x-amz-restore": 'ongoing-request="true"'}, False),
        ({"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="false", expiry-date="x"'}, True),
        ({"x-amz-storage-class": "INTELLIGENT_TIERING"}, True),
        ({"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"}, False),
    ],
)
def test_stat_tells_whether_an_object_can_be_read_at_once(
    place: Place, headers: dict[str, str], *, readable: bool
) -> None:
    """An object in an archive class must be restored first, and then it can be read for a while."""
    backend = place.connect()
    put(backend, KEY)
    place.server.objects[f"p/{KEY}"].headers |= headers

    assert readable == backend.stat(KEY).readable


def test_an_archived_object_is_there_and_cannot_be_read(place: Place) -> None:
    """Reading from an archive class is not possible, which is not the same as missing."""
    place.server.fault("GET", "answer", status=403, code="InvalidObjectState")

    with pytest.raises(StoreUnavailableError, match="must be restored"):
        place.connect().open(KEY)


def test_scan_tells_storage_classes_and_passes_directories_over(place: Place) -> None:
    """A listed object of an archive class is not readable, and what a console calls a directory is no object."""
    backend = place.connect()
    put(backend, KEY)
    put(backend, "objects/00/two")
    put(backend, "objects/00/", b"")
    place.server.objects[f"p/{KEY}"].headers["x-amz-storage-class"] = "DEEP_ARCHIVE"

    assert {KEY: False, "objects/00/two": True} == {stat.key: stat.readable for stat in backend.scan("objects/")}
    assert ["one", "two"] == backend.children("objects/00/")


def test_a_prefix_keeps_stores_apart(place: Place) -> None:
    """Two prefixes of one bucket see nothing of each other, even if one's name begins like the other's."""
    one, two = place.connect(prefix="team"), place.connect(prefix="team2")
    put(one, KEY)

    assert [KEY] == listed(one, "objects/")
    assert [] == listed(two, "objects/")
    with pytest.raises(ObjectNotFoundError):
        two.stat(KEY)


def test_connect_gives_s3_for_its_scheme(place: Place) -> None:
    """An S3 URL leads to this backend, and what a probe finds goes where it is asked to."""
    remembered: dict[str, str] = {}
    backend = connect(f"S3://blobs/p?endpoint_url={place.server.endpoint}", {"retries": "1"}, remembered=remembered)
    assert isinstance(backend, S3Backend)
    place.closing.callback(backend.close)

    put_new(backend)

    assert ["put_if_absent delete_if_match"] == list(remembered.values())
    assert f"s3://blobs/p?endpoint_url={place.server.endpoint}" == backend.url


def test_a_stall_is_noticed_in_the_time_that_the_options_say(place: Place) -> None:
    """The tests' own short timeout is the one that counts."""
    place.server.fault("GET", "stall")

    with pytest.raises(StoreUnavailableError, match="no answer in time"):
        place.connect(timeout=STALLED_SECONDS).open(KEY)


def assert_no_secret(error: BackendError) -> None:
    """Neither the key nor a signature is in what people see."""
    for secret in ("fault-server-secret", "AKIA", "Signature", "AWS4"):
        assert secret not in f"{error} {error.hint}"


def test_a_source_that_cannot_be_read_is_not_the_servers_fault(place: Place) -> None:
    """An error of the file that is put says so, and leaves no object."""

    class Unreadable(io.BytesIO):
        """On a disk that fails."""

        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(BackendError, match="the source cannot be read: Input/output error") as caught:
        place.connect().put(KEY, Unreadable(DATA), size=len(DATA))

    assert not isinstance(caught.value, StoreUnavailableError)
    assert {} == place.server.objects


def test_a_look_ahead_survives_a_break(place: Place) -> None:
    """When the stream breaks in what a short seek leaves out, reading goes on at the right place."""
    backend = place.connect()
    put(backend, KEY)
    place.server.fault("GET", "cut_body", at=1000)

    with backend.open(KEY) as file:
        file.read(10)
        file.seek(2000)
        data = read_all(file)

    assert DATA[2000:] == data


def test_a_reader_fills_buffers_and_knows_its_place(place: Place) -> None:
    """Readers can be wrapped, and have no place before their beginning."""
    backend = place.connect()
    put(backend, KEY)

    with backend.open(KEY) as file, io.BufferedReader(file) as buffered:  # type: ignore[type-var]
        assert DATA[:5] == buffered.read(5)
        assert DATA[5:] == buffered.read()
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
