"""SVG: the marker in a comment; it has no `--`, which would end the comment."""

from typing import Final

_ROOT: Final = b'<svg xmlns="http://www.w3.org/2000/svg" width="144" height="80" viewBox="0 0 144 80">'
_HEAD: Final = _ROOT + b"\n<!--" + b" " * (-(len(_ROOT) + 5) % 3)
_TAIL: Final = (
    b"-->\n"
    b'<rect width="144" height="80" fill="#fff"/>\n'
    b'<g font-family="monospace" font-size="16" text-anchor="middle">\n'
    b'<text x="72" y="22">attachment</text>\n'
    b'<text x="72" y="44">moved to</text>\n'
    b'<text x="72" y="66">ocblob</text>\n'
    b"</g>\n</svg>\n"
)


def build(marker: bytes) -> bytes:
    """An SVG that carries `marker`."""
    return b"".join((_HEAD, marker, _TAIL))
