"""Aggregated Kinesis records to open: good ones in every spelling that protobuf allows, and broken ones.

Written without the code under test and without protobuf: magic number, fields by hand, digest. The digest is right
unless a case is about it.
"""

from __future__ import annotations

import random
from hashlib import md5

MAGIC = b"\xf3\x89\x9a\xc2"
WORDS = ["", "a", "device-1", "device-2", "straße", "k" * 130]
NUMBERS = ["0", "1", "17", "111", "undefined", str(2**127), str(2**128 - 1)]
Record = tuple[str, bytes, str | None]


def seal(message: bytes) -> bytes:
    """`message` as an aggregate."""
    return MAGIC + message + md5(message).digest()


def varint(number: int, padding: int = 0) -> bytes:
    """`number`, with so many bytes more than it needs."""
    written = bytearray()
    while number > 127 or padding:
        written.append(number & 127 | 128)
        if number <= 127:
            padding -= 1
        number >>= 7
    return bytes([*written, number])


def block(tag: int, content: bytes) -> bytes:
    """A field with a length."""
    return varint(tag) + varint(len(content)) + content


class Generator:
    """Cases of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def records(self) -> list[Record]:
        """User records, some with an explicit hash key."""
        hashed = self.random.choice([0.0, 0.5, 1.0])
        return [self.record(hashed) for _ in range(self.random.choice([2, 2, 3, 5, 9]))]

    def record(self, hashed: float) -> Record:
        explicit = self.random.choice(NUMBERS[:4] + NUMBERS[5:]) if self.random.random() < hashed else None
        size = self.random.choice([0, 1, 5, 20, 20, 130])
        return self.random.choice(WORDS[1:]), self.random.randbytes(size), explicit

    def unknown(self) -> bytes:
        """A field that no version has, of any wire type; or a known number with a wire type that it has not."""
        kind = self.random.randrange(6)
        if kind == 0:
            return varint(self.random.choice([15, 99, 2**29 - 1]) << 3) + varint(self.random.randrange(2**64))
        if kind == 1:
            return varint(9 << 3 | 1) + self.random.randbytes(8)
        if kind == 2:
            return block(9 << 3 | 2, self.random.randbytes(3))
        if kind == 3:
            return varint(9 << 3 | 5) + self.random.randbytes(4)
        if kind == 4:
            return varint(9 << 3 | 3) + varint(8 << 3) + varint(1) + varint(9 << 3 | 4)
        return varint(1 << 3 | 5) + self.random.randbytes(4)

    def message(self) -> bytes:
        """A good message, with liberties: order, repeated and unknown fields, long numbers, tags."""
        loose = self.random.random() < 0.6
        tables: list[bytes] = []
        keys = [self.random.choice(WORDS) for _ in range(self.random.randrange(1, 4))]
        numbers = [self.random.choice(NUMBERS) for _ in range(self.random.randrange(3))]
        tables += [block(0x0A, key.encode()) for key in keys] + [block(0x12, number.encode()) for number in numbers]
        records = [
            block(0x1A, self.fields(len(keys), len(numbers), loose)) for _ in range(self.random.choice([0, 1, 2, 4]))
        ]
        parts = tables + records
        if loose:
            parts += [self.unknown() for _ in range(self.random.randrange(3))]
            if self.random.random() < 0.5:
                self.random.shuffle(parts)
        return b"".join(parts)

    def fields(self, keys: int, numbers: int, loose: bool) -> bytes:
        padding = self.random.choice([0, 0, 1, 3]) if loose else 0
        parts = [b"\x08" + varint(self.random.randrange(keys), padding)]
        if numbers and self.random.random() < 0.5:
            parts.append(b"\x10" + varint(self.random.randrange(numbers), padding))
        parts.append(block(0x1A, self.random.randbytes(self.random.choice([0, 1, 8, 130]))))
        if loose and self.random.random() < 0.4:
            parts.append(self.unknown())
        if loose and self.random.random() < 0.3:
            parts.append(block(0x22, block(0x0A, b"name") + block(0x12, b"value")))
        if loose and self.random.random() < 0.2:
            parts.insert(0, b"\x08" + varint(self.random.randrange(9)))  # the last counts, wherever it lands below
        if loose and self.random.random() < 0.5:
            self.random.shuffle(parts)
        return b"".join(parts)

    def broken(self) -> bytes:
        """A message that may be none: bytes changed, cut or added, or an index outside its table."""
        message = bytearray(self.message() or b"\x0a")
        for _ in range(self.random.choice([1, 1, 2])):
            place, kind = self.random.randrange(len(message) + 1), self.random.randrange(5)
            if kind == 0:
                del message[place:]
            elif kind == 1:
                message[place:place] = self.random.randbytes(self.random.choice([1, 2]))
            elif kind == 2:
                message[place : place + 1] = bytes([self.random.choice([0, 7, 8, 0x0A, 0x1A, 0x22, 0x7F, 0x80, 0xFF])])
            elif kind == 3 and place < len(message):
                message[place] ^= 1 << self.random.randrange(8)
            else:
                message += block(0x1A, b"\x08" + varint(self.random.choice([3, 300, 2**63])) + b"\x1a\x00")
        return bytes(message)
