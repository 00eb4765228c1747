"""How long a verified `Resolver.read` of a 1 MiB blob takes, beside reading and decompressing a plain file.

Both run in this process, in turn, over content that compresses and content that does not. Prints JSON.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

from ocblob import Resolver

BLOB_SIZE = 1 << 20
PAIRS = 200
WARM_UP_PAIRS = 10
MARK = "b2NibG9iLzEg"  # base64 of "ocblob/1 "
REF_CHARS = 116
"""Base64 from the mark on that holds the digest and the size."""


def contents() -> dict[str, bytes]:
    """Return 1 MiB of noise, and 1 MiB of words."""
    rng = random.Random(1)
    words = [bytes(rng.choices(b"etaoinshrdlucmfwypvbgkjqxz", k=rng.randint(1, 9))) for _ in range(2000)]
    text = b" ".join(rng.choices(words, k=BLOB_SIZE // 3))
    return {"incompressible": rng.randbytes(BLOB_SIZE), "compressible": text[:BLOB_SIZE]}


def put(store: Path, path: Path) -> str:
    """Put a file into the store in another process; return its digest."""
    command = [sys.executable, "-m", "ocblob", "put", "--store", str(store)]
    command += ["--mime", "application/octet-stream", str(path)]
    url = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    marker = base64.b64decode(url[url.index(MARK) :][:REF_CHARS])
    return marker.split()[1].decode("ascii")


def measure(resolver: Resolver, digest: str, plain: Path, expected: bytes) -> dict[str, float]:
    """Time both ways in turn; return medians in microseconds."""
    decompressor = zstandard.ZstdDecompressor()

    def read_plain() -> bytes:
        return decompressor.decompress(plain.read_bytes())

    def read_resolver() -> bytes:
        return resolver.read(digest)

    times: dict[Callable[[], bytes], list[float]] = {read_resolver: [], read_plain: []}
    for pair in range(WARM_UP_PAIRS + PAIRS):
        for read, taken in times.items():
            started = time.perf_counter()
            content = read()
            elapsed = time.perf_counter() - started
            if content != expected:
                message = "another content came back"
                raise ValueError(message)
            if pair >= WARM_UP_PAIRS:
                taken.append(elapsed * 1e6)
    medians = {read: statistics.median(taken) for read, taken in times.items()}
    return {
        "resolver_us": medians[read_resolver],
        "plain_us": medians[read_plain],
        "ratio": medians[read_resolver] / medians[read_plain],
    }


def main(argv: list[str] | None = None) -> int:
    """Fill a store in a directory and read from it."""
    parser = argparse.ArgumentParser(description="Measure the resolver's latency.")
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args(argv).directory
    result: dict[str, dict[str, float]] = {}
    for name, content in contents().items():
        source, plain = directory / name, directory / f"{name}.zst"
        source.write_bytes(content)
        plain.write_bytes(zstandard.ZstdCompressor(level=3).compress(content))
        digest = put(directory / "store", source)
        os.sync()
        result[name] = measure(Resolver(str(directory / "store")), digest, plain, content)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
