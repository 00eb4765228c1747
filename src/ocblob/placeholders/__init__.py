"""Small valid files that carry a marker line, one carrier per media type.

Whatever the type, the marker stands once, in plain bytes, and starts at a multiple of 3, so the file's base64
contains the base64 of the marker's first words. The same type and marker always give the same bytes.
"""

from collections.abc import Callable
from typing import Final

from ocblob.placeholders import gif, jpeg, mp4, pdf, png, svg, wav, webp

__all__ = [
    "ALIASES",
    "CARRIERS",
    "CARRIER_BYTES_MAX",
    "MARKER_BYTES_MAX",
    "accepts",
    "build",
    "carry",
    "media_type",
    "type_of",
]

MARKER_BYTES_MAX: Final = 240
"""A marker must fit in one sub-block of a GIF comment (255), and may be carried by any type."""

CARRIER_BYTES_MAX: Final = 32
"""A picture that carries a marker is larger by the marker and no more than this."""

CARRIERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "application/pdf": pdf.build,
    "audio/wav": wav.build,
    "image/gif": gif.build,
    "image/jpeg": jpeg.build,
    "image/png": png.build,
    "image/svg+xml": svg.build,
    "image/webp": webp.build,
    "video/mp4": mp4.build_mp4,
    "video/quicktime": mp4.build_quicktime,
}
"""Canonical media type to carrier. A carrier takes a marker that `build` has checked."""

_PICTURES: Final[dict[str, Callable[[bytes, bytes], bytes]]] = {
    "image/gif": gif.carry,
    "image/jpeg": jpeg.carry,
    "image/png": png.carry,
    "image/webp": webp.carry,
}
"""Types of which any picture can carry a marker."""

# Other names of the very same formats only. Not image/apng: a PNG that does not move is none. Not audio/mp4
# and video/x-m4v: the one must have no picture, the other has brands of its own.
ALIASES: Final[dict[str, str]] = {
    "application/x-pdf": "application/pdf",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-pn-wav": "audio/wav",
    "audio/x-wav": "audio/wav",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/svg": "image/svg+xml",
    "image/x-png": "image/png",
}


_MAGIC: Final[dict[str, tuple[int, bytes]]] = {
    "application/pdf": (0, b"%PDF-"),
    "audio/wav": (0, b"RIFF"),
    "image/gif": (0, b"GIF8"),
    "image/jpeg": (0, b"\xff\xd8\xff"),
    "image/png": (0, b"\x89PNG"),
    "image/svg+xml": (0, b"<"),
    "image/webp": (0, b"RIFF"),
    "video/mp4": (4, b"ftyp"),
    "video/quicktime": (4, b"ftyp"),
}
"""Where and how a file of each type begins, whichever version of ours made it."""
_FORMS: Final = {"audio/wav": b"WAVE", "image/webp": b"WEBP", "video/quicktime": b"qt  "}
"""What tells types apart that begin alike."""


def accepts(mime: str, data: bytes) -> bool:
    """Whether `data` can be a placeholder of this type: a file of the type, or nothing but one marker line."""
    essence = media_type(mime)
    if essence in _MAGIC:
        offset, magic = _MAGIC[essence]
        return data[offset : offset + len(magic)] == magic
    return not essence.startswith("image/") and data.startswith(b"ocblob/") and data.find(b"\n") == len(data) - 1


def type_of(data: bytes) -> str | None:
    """The type that a placeholder is of by its own bytes, text/plain for a bare marker line; None if it is none."""
    fitting = [kind for kind in _MAGIC if accepts(kind, data)]
    if fitting:
        return next((kind for kind in fitting if data[8:12] == _FORMS.get(kind)), fitting[0])
    return "text/plain" if accepts("text/plain", data) else None


def build(mime: str, marker: bytes) -> bytes | None:
    """A small valid file of type `mime` that carries `marker`.

    `mime` is the media type as a data URL declares it, in any case, with or without parameters; empty means
    text/plain. A type without a carrier gives the bare marker; an image type without one gives None, since a
    bare line is no valid image. Raises ValueError for a marker that is not one line of printable ASCII, ended
    by a newline, of at most `MARKER_BYTES_MAX` bytes and without `--`.
    """
    _check(marker)
    essence = media_type(mime)
    carrier = CARRIERS.get(essence)
    if carrier is not None:
        return carrier(marker)
    if essence.startswith("image/"):
        return None
    return marker


def carry(mime: str, picture: bytes, marker: bytes) -> bytes | None:
    """A placeholder of type `mime` that shows `picture`, a file of that type, and carries `marker`.

    None if no other picture than the built-in one can stand for this type, or if what marks a ref stands in the
    picture already. Raises ValueError as `build` does.
    """
    _check(marker)
    carrier = _PICTURES.get(media_type(mime))
    if carrier is None or marker.partition(b" ")[0] in picture:
        return None
    return carrier(picture, marker)


def _check(marker: bytes) -> None:
    if (
        len(marker) > MARKER_BYTES_MAX
        or not marker.endswith(b"\n")
        or b"--" in marker
        or not (marker.isascii() and marker[:-1].decode("ascii").isprintable())
    ):
        raise ValueError(f"not a marker that every type can carry: {marker!r}")


def media_type(mime: str) -> str:
    """The canonical name of `mime`: without parameters, in lower case, aliases resolved."""
    essence = mime.partition(";")[0].strip().lower() or "text/plain"
    return ALIASES.get(essence, essence)
