"""Which shard a record goes to: the hash of its partition key, and the ranges of a stream's open shards.

Must not know how shards are listed. Source: https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html#partition-key
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from hashlib import md5
from typing import Final, NamedTuple

from sluiceway.errors import Rejected

__all__ = ["MAX_HASH_KEY", "HashRange", "ShardMap", "encode_key", "hash_encoded_key", "hash_key"]

MAX_HASH_KEY: Final = (1 << 128) - 1
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,38}")  # the API's pattern of a HashKey


def hash_key(partition_key: str, explicit_hash_key: str | None = None) -> int:
    """Where a record stands in the hash space, 0 to 2**128-1: its explicit hash key, else its partition key's MD5.

    Raises: Rejected (`invalid-explicit-hash-key`, `invalid-partition-key`).
    """
    return hash_encoded_key(b"" if explicit_hash_key is not None else encode_key(partition_key), explicit_hash_key)


def encode_key(partition_key: str) -> bytes:
    """A partition key as it is hashed and counted. Raises: Rejected (`invalid-partition-key`)."""
    try:
        return partition_key.encode()
    except UnicodeEncodeError:
        raise Rejected(
            "a partition key has characters that UTF-8 has not", reason="invalid-partition-key", field="partition_key"
        ) from None


def hash_encoded_key(encoded: bytes, explicit_hash_key: str | None) -> int:
    """`hash_key` of a partition key that is encoded. Raises: Rejected (`invalid-explicit-hash-key`)."""
    if explicit_hash_key is None:
        return int.from_bytes(md5(encoded, usedforsecurity=False).digest())
    if not _DECIMAL.fullmatch(explicit_hash_key) or int(explicit_hash_key) > MAX_HASH_KEY:
        raise Rejected(
            "an explicit hash key is a decimal number below 2**128, without leading zeros",
            reason="invalid-explicit-hash-key",
            field="explicit_hash_key",
        )
    return int(explicit_hash_key)


class HashRange(NamedTuple):
    """The part of the hash space that a shard takes, both ends included."""

    first: int
    last: int

    @classmethod
    def parse(cls, starting: str, ending: str) -> HashRange:
        """From `StartingHashKey` and `EndingHashKey` of ListShards. Raises: Rejected (`invalid-explicit-hash-key`)."""
        return cls(hash_key("", starting), hash_key("", ending))


class ShardMap:
    """A stream's open shards, by id. Together they take the whole hash space, and none takes part of another's.

    Raises: ValueError where they do not; a shard that a split or merge has closed must be left out.
    """

    __slots__ = ("_ids", "_lasts", "ranges")

    def __init__(self, shards: Mapping[str, HashRange]) -> None:
        self.ranges = dict(sorted(shards.items(), key=lambda item: item[1]))
        expected = 0
        for shard_id, (first, last) in self.ranges.items():
            if first != expected or last < first:
                raise ValueError(f"the range of {shard_id} leaves a gap or takes part of another's: only open shards")
            expected = last + 1
        if expected != MAX_HASH_KEY + 1:
            raise ValueError("the ranges of the shards end before the hash space does")
        self._ids = tuple(self.ranges)
        self._lasts = [last for _, last in self.ranges.values()]

    def find(self, key: int) -> str:
        """The id of the shard that takes the hash key `key`, 0 to 2**128-1."""
        return self._ids[bisect_left(self._lasts, key)]

    def predict_shard(self, partition_key: str, explicit_hash_key: str | None = None) -> str:
        """The id of the shard that a record goes to, while the map is true. Raises: Rejected, as `hash_key`."""
        return self.find(hash_key(partition_key, explicit_hash_key))
