"""The S3 backend on a real server, SeaweedFS."""

import io
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from seaweedfs import ACCESS_KEY, BUCKET, READER_ACCESS_KEY, SECRET_KEY, SeaweedFS

from contracts import DATA, OTHER, BackendContract, listed, put, read
from ocblob.backends.base import Backend
from ocblob.backends.s3 import S3Backend
from ocblob.backends.s3_probe import Capabilities
from ocblob.errors import ObjectNotFoundError, StoreUnavailableError
from s3_places import session, use_credentials, without_aws
from samples import payload

KEY = "objects/00/one"
LARGE_BYTES = 70_000_000
"""More than one request takes."""
PART_BYTES = 5 << 20
"""The least that S3 takes for a part which is not the last."""

Connect = Callable[..., S3Backend]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Connect]:
    """Makes backends with a prefix of the test's own."""
    without_aws(monkeypatch, tmp_path)
    use_credentials(monkeypatch, ACCESS_KEY, SECRET_KEY)
    monkeypatch.setattr("boto3.session.Session", session)
    prefix = uuid.uuid4().hex
    made: list[S3Backend] = []

    def make(server: SeaweedFS, *, bucket: str = BUCKET, **options: str) -> S3Backend:
        # The tests' common session keeps the credentials that it found first: a region's session is another one.
        given = {"endpoint_url": server.endpoint, "region": "us-east-2", "timeout": "15", **options}
        made.append(S3Backend(f"s3://{bucket}/{prefix}", given))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(seaweedfs: SeaweedFS, connect: Connect) -> S3Backend:
    """A place of the test's own."""
    return connect(seaweedfs)


class TestS3Contract(BackendContract):
    """What every backend does, done by a real server."""

    MANY_OBJECTS = 1100

    @pytest.fixture
    def backend(self, seaweedfs: SeaweedFS, connect: Connect) -> Backend:
        """A place of the test's own."""
        return connect(seaweedfs)


def test_the_server_keeps_conditions(backend: S3Backend) -> None:
    """The probe finds that SeaweedFS keeps If-None-Match and If-Match, and leaves nothing."""
    assert Capabilities(put_if_absent=True, delete_if_match=True) == backend.probe()
    assert [] == listed(backend, "probe/")


@pytest.mark.parametrize("call", ["put", "put_new"])
def test_a_large_object_goes_in_parts(backend: S3Backend, call: str) -> None:
    """An object above 64 MiB is sent in parts, and is one object, with the version that the put gave."""
    data = payload(LARGE_BYTES)

    version = getattr(backend, call)(KEY, io.BytesIO(data), size=len(data))

    assert version.endswith("-5")
    assert backend.stat(KEY).version == version
    assert data == read(backend, KEY)
    with backend.open(KEY) as file:
        file.seek(-1000, io.SEEK_END)
        assert data[-1000:] == file.read()
    assert backend.put_new(KEY, io.BytesIO(data), size=len(data)) is None
    assert backend.delete(KEY, version=version)


def test_parts_that_lose_a_race_leave_nothing(
    seaweedfs: SeaweedFS, backend: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several uploads in parts of one new object, one that was told so has won, and no upload is left.

    SeaweedFS 4.48 looks and then completes: two completions at the same moment may both be told that they won.
    """
    monkeypatch.setattr("ocblob.backends.s3_multipart.MULTIPART_BYTES", 1000)
    contents = [bytes([number]) * 100_000 for number in range(4)]

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda data: backend.put_new(KEY, io.BytesIO(data), size=len(data)), contents))

    stored = read(backend, KEY)
    assert stored in [data for data, version in zip(contents, versions, strict=True) if version]
    assert backend.put_new(KEY, io.BytesIO(contents[0]), size=100_000) is None
    client = seaweedfs.client()
    prefix = backend.url.partition("?")[0].removeprefix(f"s3://{BUCKET}/")
    assert [] == client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", [])
    client.close()


def test_a_large_object_is_copied_in_ranges(backend: S3Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move of an object that is too large for one copy gives the same bytes."""
    monkeypatch.setattr("ocblob.backends.s3_multipart.COPY_BYTES", PART_BYTES)
    monkeypatch.setattr("ocblob.backends.s3_multipart.COPY_PART_BYTES", PART_BYTES)
    data = payload(2 * PART_BYTES + 17)
    put(backend, KEY, data)

    assert backend.move(KEY, "trash/one", version=backend.stat(KEY).version)

    assert data == read(backend, "trash/one")
    assert [] == listed(backend, "objects/")


def test_a_replaced_object_is_not_read_on(backend: S3Backend) -> None:
    """A reader that needs another request notices the later object."""
    put(backend, KEY, payload(1_000_000))
    with backend.open(KEY) as file:
        file.read(100)
        put(backend, KEY, OTHER)
        file.seek(900_000)

        with pytest.raises(StoreUnavailableError, match="was replaced"):
            file.read(100)


def test_a_bucket_that_is_not_there_does_not_mean_missing(seaweedfs: SeaweedFS, connect: Connect) -> None:
    """A real server's answers for a missing bucket are told from those for a missing object."""
    backend = connect(seaweedfs, bucket="no-such-bucket")

    for call in (backend.open, backend.stat, backend.children, partial(backend.move, to="trash/one")):
        with pytest.raises(StoreUnavailableError, match="no such bucket"):
            call(KEY)


def test_wrong_credentials_do_not_mean_missing(
    seaweedfs: SeaweedFS, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the server does not know, or a wrong secret, means that nobody can say."""
    backend = connect(seaweedfs)
    put(backend, KEY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    wrong = connect(seaweedfs, region="us-wrong-1")

    for call in (wrong.open, wrong.stat, wrong.children, wrong.delete):
        with pytest.raises(StoreUnavailableError):
            call(KEY)

    assert DATA == read(backend, KEY)


def test_a_reader_without_the_right_to_write_says_so(
    seaweedfs: SeaweedFS, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that may only read can read, and their puts and deletes are refused as such."""
    put(connect(seaweedfs), KEY)
    use_credentials(monkeypatch, READER_ACCESS_KEY, SECRET_KEY)
    reader = connect(seaweedfs, region="us-reader-1")

    assert DATA == read(reader, KEY)
    with pytest.raises(StoreUnavailableError, match="access denied"):
        put(reader, "objects/00/two")
    with pytest.raises(StoreUnavailableError, match="access denied"):
        reader.delete(KEY)


def test_objects_outlive_a_killed_server(own_seaweedfs: SeaweedFS, connect: Connect) -> None:
    """What was acknowledged is there after the server was killed; while it is away nothing is missing."""
    backend = connect(own_seaweedfs, retries="2", timeout="20")
    big = payload(3_000_000)
    put(backend, "objects/00/big", big)
    version = backend.put_new(KEY, io.BytesIO(DATA), size=len(DATA))

    own_seaweedfs.kill()
    for call in (backend.open, backend.stat, backend.children, backend.delete):
        with pytest.raises(StoreUnavailableError, match="cannot connect"):
            call(KEY)
    with pytest.raises(StoreUnavailableError):
        put(backend, "objects/00/two")
    own_seaweedfs.start()

    assert big == read(backend, "objects/00/big")
    assert backend.stat(KEY).version == version
    assert backend.put_new(KEY, io.BytesIO(OTHER), size=len(OTHER)) is None
    with pytest.raises(ObjectNotFoundError):
        backend.stat("objects/00/two")


def test_a_server_that_is_silent_does_not_mean_missing(own_seaweedfs: SeaweedFS, connect: Connect) -> None:
    """A stopped server is unavailable after the timeout, and a put that it carries out later is not lost."""
    backend = connect(own_seaweedfs, retries="1", timeout="1")
    put(backend, KEY)

    own_seaweedfs.pause()
    try:
        with pytest.raises(StoreUnavailableError, match="no answer in time"):
            backend.stat(KEY)
    finally:
        own_seaweedfs.resume()

    assert DATA == read(backend, KEY)
