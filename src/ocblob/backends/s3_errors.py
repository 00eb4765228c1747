"""What went wrong at an S3 server, in our words. Nothing a server says is repeated but its error code.

Only an answer that says "no such key" means that an object is absent; everything else means that nobody can say.
"""

import re
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from urllib3.exceptions import HTTPError

from ocblob.errors import BackendError, ObjectNotFoundError, StoreUnavailableError

REMOTE_ERRORS: Final = (BotoCoreError, ClientError, HTTPError, OSError)
"""All that boto3 and the streams under it raise for what a server or the way to it does."""

FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
REFUSED: Final = frozenset({304, 412})
"""A condition does not hold."""
NOT_IMPLEMENTED: Final = 501
SERVER_ERRORS: Final = 500

_CODES: Final = {
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "access denied",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "ExpiredToken": "the credentials have expired",
    "InvalidObjectState": "the object must be restored from its storage class before it can be read",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "SlowDown": "too many requests",
}
_REDIRECTS: Final = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_CREDENTIALS: Final = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_REASONS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]] = (
    (_CREDENTIALS, "no usable credentials"),
    (ConnectTimeoutError, "no connection in time"),
    ((EndpointConnectionError, ProxyConnectionError), "cannot connect"),
    (ReadTimeoutError, "no answer in time"),
    (SSLError, "no secure connection"),
    (
        (ConnectionClosedError, ResponseStreamingError, IncompleteReadError, HTTPClientError, HTTPError),
        "the connection broke",
    ),
)


def status_of(error: Exception) -> int:
    """The HTTP status of an answer; 0 if there was none."""
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: Exception) -> str:
    """The server's name for an error; empty if there is none."""
    if not isinstance(error, ClientError):
        return ""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if re.fullmatch(r"[A-Za-z][A-Za-z.]{1,60}", code) else ""


def says_missing(error: Exception) -> bool:
    """Whether the server says in so many words that the key is not there."""
    return code_of(error) == "NoSuchKey"


def may_be_missing(error: Exception) -> bool:
    """Whether it is a bare 404, which a HEAD gets for a missing bucket and from any web server, too."""
    return status_of(error) == NOT_FOUND and code_of(error) in {"", "NotFound"}


def is_refused(error: Exception) -> bool:
    """Whether a condition of the request did not hold."""
    return status_of(error) in REFUSED


def is_unsupported(error: Exception) -> bool:
    """Whether the server does not know the condition."""
    return status_of(error) == NOT_IMPLEMENTED or code_of(error) == "NotImplemented"


def is_ambiguous(error: Exception) -> bool:
    """Whether the request may have been carried out all the same."""
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError | SSLError | ProxyConnectionError):
        return False
    # An upload that was completed by an attempt whose answer was lost is gone for the next attempt.
    lost = code_of(error) == "NoSuchUpload"
    return lost or status_of(error) >= SERVER_ERRORS or isinstance(error, HTTPClientError | HTTPError | OSError)


def translate(error: Exception, place: str) -> BackendError:
    """The error to raise for one of `REMOTE_ERRORS` at a bucket or an object."""
    if isinstance(error, BackendError):
        return error
    if says_missing(error):
        return ObjectNotFoundError(f"{place}: no such object")
    code, status = code_of(error), status_of(error)
    hint = ""
    if code in _REDIRECTS:
        hint = "set the region of the bucket: ?region=..."
    if isinstance(error, _CREDENTIALS) or code in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}:
        hint = "boto3 looks in the environment, the AWS configuration (profile=...) and the machine's role"
    if code in {"AccessDenied", "Forbidden", "403"} or (not code and status == FORBIDDEN):
        hint = "ocblob needs s3:ListBucket, GetObject, PutObject, DeleteObject, AbortMultipartUpload: docs/stores.md"
    if code == "NoSuchBucket":
        hint = "make the bucket, or name another one with --store"
    if isinstance(error, ClientError):
        reason = _CODES.get(code, "the server answered") + f" ({' '.join(filter(None, (str(status), code)))})"
    else:
        reason = next((words for kinds, words in _REASONS if isinstance(error, kinds)), type(error).__name__)
    return StoreUnavailableError(f"{place}: {reason}", hint=hint)
