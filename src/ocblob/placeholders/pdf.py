"""PDF: the marker in a comment between the header and the first object.

The marker's length moves every object, so the cross-reference table is made for each file.
"""

from itertools import accumulate
from typing import Final

_HEAD: Final = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\xe2\xe3\n%"
"""The second line says that the file is binary; four bytes would do, six put the marker at 18."""

_PAGE: Final = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 324 108]/Resources<</Font<</F1 4 0 R>>>>/Contents 5 0 R>>"
_WORDS: Final = (
    b"BT /F1 14 Tf 24 66 Td 20 TL (This attachment was moved out by ocblob.) Tj T* (Run: ocblob restore) Tj ET"
)
_OBJECTS: Final = tuple(
    b"%d 0 obj\n%b\nendobj\n" % (number, content)
    for number, content in enumerate(
        (
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            _PAGE,
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
            b"<</Length %d>>\nstream\n%b\nendstream" % (len(_WORDS), _WORDS),
        ),
        start=1,
    )
)
_BODY: Final = b"".join(_OBJECTS)
_STARTS: Final = tuple(accumulate((len(item) for item in _OBJECTS), initial=len(_HEAD)))
"""Where each object and then the table would start if the marker were empty."""

_TABLE: Final = b"xref\n0 6\n0000000000 65535 f \n" + b"%010d 00000 n \n" * 5
_TRAILER: Final = b"trailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
_END: Final = _TABLE + _TRAILER


def build(marker: bytes) -> bytes:
    """A PDF of one page that carries `marker`, whose own line end closes the comment."""
    shift = len(marker)
    return b"".join((_HEAD, marker, _BODY, _END % tuple(start + shift for start in _STARTS)))
