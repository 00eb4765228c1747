"""WAV: the marker in the comment of a `LIST` `INFO` chunk behind 0.1 s of silence.

It stands behind the samples because simple readers expect them at byte 44.
"""

from typing import Final

_RATE: Final = 8000
_SAMPLES: Final = 800
"""One byte each; with the headers around them they put the marker at 864, a multiple of 3."""

_FORMAT: Final = b"".join(
    (
        b"fmt ",
        (16).to_bytes(4, "little"),
        (1).to_bytes(2, "little"),  # PCM
        (1).to_bytes(2, "little"),  # channels
        _RATE.to_bytes(4, "little"),
        _RATE.to_bytes(4, "little"),  # bytes per second
        (1).to_bytes(2, "little"),  # bytes per sample of all channels
        (8).to_bytes(2, "little"),  # bits per sample, unsigned: silence is 128
    )
)
_BODY: Final = b"WAVE" + _FORMAT + b"data" + _SAMPLES.to_bytes(4, "little") + b"\x80" * _SAMPLES + b"LIST"


def build(marker: bytes) -> bytes:
    """A mono 8 kHz WAV that carries `marker`."""
    size = len(marker) + 1  # a text of INFO ends with a zero byte
    end = b"\0" * (1 + size % 2)
    list_size = len(b"INFOICMT") + 4 + len(marker) + len(end)
    riff_size = len(_BODY) + 4 + list_size
    return b"".join(
        (
            b"RIFF",
            riff_size.to_bytes(4, "little"),
            _BODY,
            list_size.to_bytes(4, "little"),
            b"INFOICMT",
            size.to_bytes(4, "little"),
            marker,
            end,
        )
    )
