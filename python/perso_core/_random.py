"""Random numbers that are a function of a seed and a request: no state, the same on every machine and NumPy.

SHA-256 in counter mode: block i is SHA-256(purpose, 0, seed as 8 little-endian bytes, request id, 0, i as 8
bytes), read as four 64-bit numbers. A purpose per use keeps draws for one thing apart from draws for another.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from itertools import islice


class Draws:
    """The numbers of one request."""

    def __init__(self, purpose: str, seed: int, request_id: str) -> None:
        start = (
            f"perso_core.{purpose}/1".encode() + b"\0" + struct.pack("<Q", seed) + request_id.encode() + b"\0"
        )
        self._numbers = _blocks(hashlib.sha256(start))

    def uniform(self) -> float:
        """A multiple of 2^-53 in [0, 1)."""
        return float((next(self._numbers) >> 11) * 2.0**-53)

    def bit(self) -> bool:
        """A fair coin."""
        return bool(next(self._numbers) >> 63)

    def raw(self, size: int) -> bytes:
        """So many bytes: the numbers as they come, each little-endian."""
        count = -(-size // 8)
        return struct.pack(f"<{count}Q", *islice(self._numbers, count))[:size]


def _blocks(start: hashlib._Hash) -> Iterator[int]:
    counter = 0
    while True:
        block = start.copy()
        block.update(struct.pack("<Q", counter))
        yield from struct.unpack("<4Q", block.digest())
        counter += 1
