"""Objects too large for one request: made of parts that are sent side by side, all of them or none."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from ocblob.backends.s3_errors import CONFLICT, REMOTE_ERRORS, status_of
from ocblob.backends.s3_reader import version_of
from ocblob.backends.source import Source

MULTIPART_BYTES: Final = 64 << 20
"""From here on a put goes in parts, so that an attempt that fails costs one part."""
PART_BYTES: Final = 16 << 20
IN_FLIGHT: Final = 4
"""Parts in memory at a time."""
MOST_PARTS: Final = 10_000
"""By the protocol."""
COPY_BYTES: Final = 5 * 10**9
"""The most that a server copies in one request (by the protocol 5 GiB)."""
COPY_PART_BYTES: Final = 1 << 30
CONFLICT_TRIES: Final = 6
CONFLICT_SECONDS: Final = 0.05
"""The first pause after a conflict; each further one is twice as long."""

Part = Callable[[str, int], str]
"""Makes one part of an upload, given the upload's id and the part's number; returns its ETag."""


def send_parts(client: Any, target: Mapping[str, str], source: Source) -> Iterator[Part]:
    """The parts of a source; the next one is read when one that is under way is done."""
    piece_bytes = max(PART_BYTES, -(-source.size // MOST_PARTS))

    def send(piece: bytes, upload: str, number: int) -> str:
        answer = client.upload_part(**target, UploadId=upload, PartNumber=number, Body=piece)
        return str(answer["ETag"])

    for piece in source.pieces(piece_bytes):
        yield partial(send, piece)


def copy_parts(client: Any, target: Mapping[str, str], size: int, copied: Mapping[str, Any]) -> Iterator[Part]:
    """The ranges of an object that is there. `copied` says which one, and which version."""
    piece_bytes = max(COPY_PART_BYTES, -(-size // MOST_PARTS))

    def copy(first: int, upload: str, number: int) -> str:
        last = min(first + piece_bytes, size) - 1
        named = {**target, "UploadId": upload, "PartNumber": number}
        answer = client.upload_part_copy(**named, **copied, CopySourceRange=f"bytes={first}-{last}")
        return str(answer["CopyPartResult"]["ETag"])

    for first in range(0, size, piece_bytes):
        yield partial(copy, first)


def upload(
    client: Any,
    target: Mapping[str, str],
    parts: Iterable[Part],
    *,
    create: Mapping[str, Any],
    condition: Mapping[str, str],
) -> str:
    """Make an object of parts; returns its version.

    Whatever goes wrong, the upload is aborted before the error goes on: parts are stored, and paid for, unseen.
    """
    named = {**target, "UploadId": str(client.create_multipart_upload(**target, **create)["UploadId"])}
    try:
        made = [{"PartNumber": number, "ETag": etag} for number, etag in _side_by_side(named["UploadId"], parts)]
        answer = _complete(client, {**named, "MultipartUpload": {"Parts": made}, **condition})
    except BaseException:
        with contextlib.suppress(*REMOTE_ERRORS):
            client.abort_multipart_upload(**named)
        raise
    return version_of(answer)


def tries() -> Iterator[float | None]:
    """How long to wait after a conflict; None: this was the last try."""
    yield from (CONFLICT_SECONDS * 2**number for number in range(CONFLICT_TRIES - 1))
    yield None


def _side_by_side(upload_id: str, parts: Iterable[Part]) -> Iterator[tuple[int, str]]:
    # Leaving the pool waits for what is under way: a part that arrives after the abort would stay.
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        running: deque[tuple[int, Future[str]]] = deque()
        try:
            for number, part in enumerate(parts, start=1):
                running.append((number, pool.submit(part, upload_id, number)))
                del part
                if len(running) == IN_FLIGHT:
                    done, future = running.popleft()
                    yield done, future.result()
            while running:
                done, future = running.popleft()
                yield done, future.result()
        finally:
            for _, future in running:
                future.cancel()


def _complete(client: Any, request: Mapping[str, Any]) -> Mapping[str, Any]:
    for pause in tries():
        try:
            answer: Mapping[str, Any] = client.complete_multipart_upload(**request)
        except REMOTE_ERRORS as error:
            if status_of(error) != CONFLICT or pause is None:
                raise
            time.sleep(pause)
        else:
            return answer
    raise AssertionError
