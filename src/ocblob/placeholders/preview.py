"""Previews: thumbnails for placeholders, as far as Pillow is there and a picture lets one be made.

Pillow is loaded when the first picture is met. Without it, and for any picture that gives none, the answer is
None, and the placeholder is the plain one.
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Final

from ocblob.errors import UsageError

PREVIEW_BYTES_MAX: Final = 16 * 1024 * 1024
"""A larger file is not looked at: it is held in memory while its thumbnail is made."""
THUMBNAIL_BYTES_MIN: Final = 400
"""No picture fits in less."""
KEPT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Thumbnails that are kept: about 4000. What comes later is made again wherever it stands."""
TYPES: Final = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
"""Canonical media types of which there are previews."""


class Previews:
    """The thumbnails of one pass, each made once: the same bytes stand in several cells. For one thread."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, int], bytes | None] = {}
        self._kept_bytes = 0

    def thumbnail(self, mime: str, digest: str, size: int, *, room: int, read: Callable[[], bytes]) -> bytes | None:
        """A picture of at most `room` bytes of canonical type `mime`, or None.

        `digest` and `size` are those of what `read` gives; it is called only if that is worth it.
        """
        if mime not in TYPES or size > PREVIEW_BYTES_MAX or room < THUMBNAIL_BYTES_MIN:
            return None
        key = (mime, digest, room)
        if key in self._made:
            return self._made[key]
        pillow = _thumbnails()
        made: bytes | None = pillow.thumbnail(mime, read(), room=room) if pillow is not None else None
        taken = len(digest) + len(made or b"")
        if self._kept_bytes + taken <= KEPT_BYTES_MAX:
            self._made[key] = made
            self._kept_bytes += taken
        return made


def previews_for(wish: bool | None) -> Previews | None:  # noqa: FBT001 - as the option is passed on
    """Previews for a pass; None if they are not wished, or nobody said so and Pillow is not there.

    Raises `UsageError` if they are wished and cannot be made.
    """
    if wish is False:
        return None
    if importlib.util.find_spec("PIL") is None:
        if wish:
            raise UsageError("previews need Pillow, which is not installed", hint="pip install 'ocblob[preview]'")
        return None
    return Previews()


@cache
def _thumbnails() -> ModuleType | None:
    """What makes them; None if Pillow is broken."""
    try:
        from ocblob.placeholders import thumbnail  # noqa: PLC0415 - 50 ms that only a picture is worth
    except ImportError:
        return None
    return thumbnail
