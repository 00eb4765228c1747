"""Reading one version of one S3 object: as one stream, resumed where it breaks, sought by ranges.

What was opened is what is read: every request after the first one names the ETag, and an end that comes before the
object's size is never handed out as the end.
"""

from collections.abc import Mapping
from typing import Any, Final

from ocblob.backends.s3_errors import REMOTE_ERRORS, is_refused, translate
from ocblob.errors import StoreUnavailableError
from ocblob.positioned import Positioned

RESUMES: Final = 4
"""Times in a row that a stream may break without having given a byte."""
SKIP_BYTES: Final = 256 * 1024
"""A seek this far ahead reads on: cheaper than another request."""


def version_of(answer: Mapping[str, Any]) -> str:
    """The ETag in an answer, which some servers quote and some do not."""
    return str(answer.get("ETag", "")).strip('"')


class S3Reader(Positioned):
    """The bytes of an object. Forward reading is one request; a seek to another place costs one at the next read.

    Raises `StoreUnavailableError` if the object was replaced meanwhile, `ObjectNotFoundError` if it was deleted.
    Not for several threads at once.
    """

    def __init__(self, client: Any, place: str, request: Mapping[str, str], answer: Mapping[str, Any]) -> None:
        super().__init__(int(answer["ContentLength"]))
        self.version = version_of(answer)
        self._client = client
        self._place = place
        self._request = request
        self._body: Any = answer["Body"]
        self._body_at = 0

    def read_at(self, at: int, size: int) -> bytes:
        """From the stream, if it is there or a little before; else from a new one."""
        broken: Exception | None = None
        for _ in range(RESUMES + 1):
            stream = self._stream(at)
            try:
                data = bytes(stream.read(size)) if self._skip(stream, at) else b""
            except REMOTE_ERRORS as error:
                data, broken = b"", error
            self._body_at += len(data)
            if not data or self._body_at == self.size:
                self._drop()
            if data:
                return data
        words = f"{self._place}: broke off after {at} of {self.size} bytes, again and again"
        raise StoreUnavailableError(words) from broken

    def close(self) -> None:
        """Give up what was not read."""
        self._drop()
        super().close()

    def _stream(self, at: int) -> Any:
        if self._body is not None and not self._body_at <= at <= self._body_at + SKIP_BYTES:
            self._drop()
        if self._body is None:
            self._body = self._range(at)
            self._body_at = at
        return self._body

    def _skip(self, stream: Any, at: int) -> bool:
        while self._body_at < at:
            data = stream.read(at - self._body_at)
            if not data:
                return False
            self._body_at += len(data)
        return True

    def _range(self, at: int) -> Any:
        same = {"IfMatch": f'"{self.version}"'} if self.version else {}
        try:
            answer = self._client.get_object(**self._request, **same, Range=f"bytes={at}-")
        except REMOTE_ERRORS as error:
            if is_refused(error):
                raise StoreUnavailableError(f"{self._place}: was replaced while it was read") from error
            raise translate(error, self._place) from error
        body = answer["Body"]
        problem = ""
        if version_of(answer) != self.version:
            problem = "was replaced while it was read"
        elif at and not str(answer.get("ContentRange", "")).startswith(f"bytes {at}-"):
            problem = "the server gives no ranges"
        if problem:
            body.close()
            raise StoreUnavailableError(f"{self._place}: {problem}")
        return body

    def _drop(self) -> None:
        body, self._body = getattr(self, "_body", None), None
        if body is not None:
            body.close()
