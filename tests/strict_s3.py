"""The rules of S3, as far as ocblob needs them, strictly kept and in memory. `fault_server` puts them on a socket."""

import base64
import hashlib
import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

BUCKET = "blobs"
ACCESS_KEY = "AKIAFAULTSERVER"
SIGNED = re.compile(rf"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/.*Signature=[0-9a-f]{{64}}$")
LEAST_PART_BYTES = 64
"""Of each part but the last."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    @property
    def key(self) -> str:
        """The object's key; empty for the bucket itself."""
        return unquote(urlsplit(self.target).path).removeprefix(f"/{BUCKET}").removeprefix("/")

    @property
    def query(self) -> dict[str, str]:
        """The parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass
class Held:
    """An object, or an upload's beginning."""

    data: bytes
    etag: str
    headers: dict[str, str] = field(default_factory=dict)
    """Metadata and storage class, given back with it."""
    modified: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    length: int | None = None
    """Of a body that is not sent: HEAD."""


class StrictS3:
    """One bucket. Every request must be signed and its body must have the digests that its headers name."""

    def __init__(self) -> None:
        self.objects: dict[str, Held] = {}
        self.uploads: dict[str, tuple[str, Held, dict[int, Held]]] = {}
        self.conditions: Literal["kept", "ignored", "refused"] = "kept"
        self.ranges = True
        self.ignores_match = False
        """If-Match of a GET means nothing."""
        self.page = 1000
        self._ids = itertools.count()

    def answer(self, request: Request) -> Answer:
        """Do what was asked."""
        return self._refusal(request) or self._route(request)

    def _refusal(self, request: Request) -> Answer | None:
        if not SIGNED.match(request.headers.get("authorization", "")):
            return Answer(403, code="AccessDenied")
        if request.headers.get("x-amz-content-sha256") != hashlib.sha256(request.body).hexdigest():
            return Answer(400, code="XAmzContentSHA256Mismatch")
        md5 = request.headers.get("content-md5")
        if md5 and base64.b64decode(md5) != hashlib.md5(request.body).digest():
            return Answer(400, code="BadDigest")
        if not urlsplit(request.target).path.startswith(f"/{BUCKET}"):
            return Answer(404, code="NoSuchBucket")
        conditional = {"if-none-match", "if-match"} & request.headers.keys() and request.method != "GET"
        return Answer(501, code="NotImplemented") if conditional and self.conditions == "refused" else None

    def _route(self, request: Request) -> Answer:
        query = request.query
        if not request.key:
            return self._list(query) if request.method == "GET" else Answer()
        routes: dict[str, Callable[[Request], Answer]] = {
            "GET": self._get,
            "HEAD": self._get,
            "PUT": self._part if "uploadId" in query else self._put,
            "DELETE": self._abort if "uploadId" in query else self._delete,
            "POST": self._begin if "uploads" in query else self._complete,
        }
        return routes[request.method](request)

    def _holds(self, request: Request) -> bool:
        """Whether the conditions of a change hold."""
        if self.conditions == "ignored":
            return True
        held = self.objects.get(request.key)
        match = request.headers.get("if-match")
        if match and (held is None or match.strip('"') != held.etag):
            return False
        return not (held and "if-none-match" in request.headers)

    def _get(self, request: Request) -> Answer:
        held = self.objects.get(request.key)
        if held is None:
            return Answer(404, code="NoSuchKey")
        match = request.headers.get("if-match")
        if match and match.strip('"') != held.etag and not self.ignores_match:
            return Answer(412, code="PreconditionFailed")
        headers = {"ETag": f'"{held.etag}"', "Last-Modified": formatdate(held.modified, usegmt=True), **held.headers}
        if request.method == "HEAD":
            return Answer(200, headers=headers, length=len(held.data))
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if span is None or not self.ranges:
            return Answer(200, held.data, headers)
        first, last = int(span[1]), min(int(span[2] or len(held.data) - 1), len(held.data) - 1)
        if first >= len(held.data):
            return Answer(416, code="InvalidRange")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(held.data)}"
        return Answer(206, held.data[first : last + 1], headers)

    def _put(self, request: Request) -> Answer:
        if not self._holds(request):
            return Answer(412, code="PreconditionFailed")
        headers = _kept(request)
        if "x-amz-copy-source" in request.headers:
            copied = self._copied(request)
            if isinstance(copied, Answer):
                return copied
            headers = {**{name: value for name, value in copied.headers.items() if "-meta-" in name}, **headers}
            held = self.objects[request.key] = Held(copied.data, copied.etag, headers)
            return _xml(f"<CopyObjectResult><ETag>&quot;{held.etag}&quot;</ETag></CopyObjectResult>")
        held = self.objects[request.key] = Held(request.body, hashlib.md5(request.body).hexdigest(), headers)
        return Answer(headers={"ETag": f'"{held.etag}"'})

    def _copied(self, request: Request) -> Held | Answer:
        source = unquote(request.headers["x-amz-copy-source"]).lstrip("/").removeprefix(f"{BUCKET}/")
        held = self.objects.get(source)
        if held is None:
            return Answer(404, code="NoSuchKey")
        match = request.headers.get("x-amz-copy-source-if-match")
        if match and match.strip('"') != held.etag:
            return Answer(412, code="PreconditionFailed")
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("x-amz-copy-source-range", ""))
        if span is None:
            return held
        data = held.data[int(span[1]) : int(span[2]) + 1]
        return Held(data, hashlib.md5(data).hexdigest())

    def _delete(self, request: Request) -> Answer:
        if request.key not in self.objects and "if-match" not in request.headers:
            return Answer(204)
        if not self._holds(request):
            return Answer(412, code="PreconditionFailed")
        self.objects.pop(request.key, None)
        return Answer(204)

    def _begin(self, request: Request) -> Answer:
        upload = f"upload-{next(self._ids)}"
        self.uploads[upload] = (request.key, Held(b"", "", _kept(request)), {})
        return _xml(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")

    def _part(self, request: Request) -> Answer:
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None:
            return Answer(404, code="NoSuchUpload")
        data, copies = request.body, "x-amz-copy-source" in request.headers
        if copies:
            copied = self._copied(request)
            if isinstance(copied, Answer):
                return copied
            data = copied.data
        part = upload[2][int(request.query["partNumber"])] = Held(data, hashlib.md5(data).hexdigest())
        if copies:
            return _xml(f"<CopyPartResult><ETag>&quot;{part.etag}&quot;</ETag></CopyPartResult>")
        return Answer(headers={"ETag": f'"{part.etag}"'})

    def _complete(self, request: Request) -> Answer:
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None:
            return Answer(404, code="NoSuchUpload")
        if not self._holds(request):
            return Answer(412, code="PreconditionFailed")
        key, begun, held = upload
        named = [[child.text or "" for child in part] for part in ET.fromstring(request.body)]
        values = [sorted(part, key=len) for part in named]
        parts = [held[int(number)] for number, _ in values]
        if [part.etag for part in parts] != [etag.strip('"') for _, etag in values]:
            return Answer(400, code="InvalidPart")
        if any(len(part.data) < LEAST_PART_BYTES for part in parts[:-1]):
            return Answer(400, code="EntityTooSmall")
        digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts)).hexdigest()
        etag = f"{digest}-{len(parts)}"
        self.objects[key] = Held(b"".join(part.data for part in parts), etag, begun.headers)
        del self.uploads[request.query["uploadId"]]
        return _xml(f"<CompleteMultipartUploadResult><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>")

    def _abort(self, request: Request) -> Answer:
        return Answer(204) if self.uploads.pop(request.query["uploadId"], None) else Answer(404, code="NoSuchUpload")

    def _list(self, query: Mapping[str, str]) -> Answer:
        prefix, delimiter, start = (
            query.get("prefix", ""),
            query.get("delimiter", ""),
            query.get("continuation-token", ""),
        )
        found: dict[str, str] = {}
        for key in sorted(self.objects):
            if not key.startswith(prefix):
                continue
            below, slash, _ = key.removeprefix(prefix).partition("/")
            name = prefix + below + "/" if delimiter and slash else key
            shown = escape(quote(name, safe="/") if query.get("encoding-type") == "url" else name)
            if name == key:
                held = self.objects[key]
                storage = held.headers.get("x-amz-storage-class", "STANDARD")
                when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(held.modified))
                found[name] = (
                    f"<Contents><Key>{shown}</Key><Size>{len(held.data)}</Size><ETag>&quot;{held.etag}&quot;</ETag>"
                    f"<LastModified>{when}</LastModified><StorageClass>{storage}</StorageClass></Contents>"
                )
            else:
                found[name] = f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>"
        names = [name for name in found if name > start]
        page, rest = names[: self.page], names[self.page :]
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if rest else ""
        encoding = "<EncodingType>url</EncodingType>" if query.get("encoding-type") else ""
        truncated = f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>"
        body = "".join(found[name] for name in page)
        return _xml(f"<ListBucketResult>{truncated}{encoding}{token}{body}</ListBucketResult>")


def _kept(request: Request) -> dict[str, str]:
    kept = ("x-amz-meta-", "x-amz-storage-class", "x-amz-server-side-encryption")
    return {name: value for name, value in request.headers.items() if name.startswith(kept)}


def _xml(body: str) -> Answer:
    return Answer(200, f'<?xml version="1.0" encoding="UTF-8"?>{body}'.encode())
