"""Making aggregates: one open for each shard that is predicted, finished when it is full or when the caller says so.

The pure part of a producer. Must not know how records are put, when to flush, or how shards are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import md5
from typing import Final, NamedTuple, TypeAlias

from sluiceway.codec.kpl.aggregate import DIGEST_BYTES, MAGIC, MAX_BYTES, MAX_KEY
from sluiceway.codec.kpl.shards import HashRange, ShardMap, encode_key, hash_encoded_key
from sluiceway.errors import Rejected

__all__ = ["Aggregator", "PutEntry"]

DEFAULT_BYTES: Final = 1024 * 1024  # what a stream takes in one record unless MaxRecordSizeInKiB says more
DEFAULT_RECORDS: Final = 4_294_967_295  # AggregationMaxCount of the Kinesis Producer Library, its default
# Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsRequestEntry.html

_PARTITION_KEY: Final = "a"  # the Kinesis Producer Library's: an aggregate goes where its explicit hash key says
_FIXED_BYTES: Final = len(MAGIC) + DIGEST_BYTES + len(_PARTITION_KEY)
_Record: TypeAlias = tuple[str, bytes, str | None]  # partition key, data, explicit hash key


class PutEntry(NamedTuple):
    """An entry for PutRecords, with the shard that it was made for.

    `record_count` user records are in it; one alone goes as it is, more as an aggregate. `shard_id` is a prediction:
    where the answer names another shard, see docs/kpl.md. Data and partition key together count against the limits of
    size: `size_bytes`.
    """

    partition_key: str
    data: bytes
    explicit_hash_key: str | None
    shard_id: str
    record_count: int

    @property
    def size_bytes(self) -> int:
        """What Kinesis counts for it."""
        return len(self.data) + len(self.partition_key.encode())


class _Open:
    """The open aggregate of one shard; `hash_key` is its first record's. Bytes are written as records are added."""

    __slots__ = ("_hash_keys", "_keys", "_table", "_written", "hash_key", "records", "size")

    def __init__(self, hash_key: int) -> None:
        self.hash_key = hash_key
        self.records: list[_Record] = []
        self.size = _FIXED_BYTES
        self._keys: dict[str, int] = {}
        self._hash_keys: dict[str, int] = {}
        self._table: tuple[list[bytes], list[bytes]] = ([], [])
        self._written: list[bytes] = []

    def take(self, record: _Record, *, max_bytes: int) -> bool:
        """Adds the record; False, and nothing is changed, where the whole would be more than `max_bytes`.

        The first is always taken: alone it will go as it is.
        """
        key, data, explicit = record
        index, new_key = self._keys.get(key, -1), b""
        if index < 0:
            index, new_key = len(self._keys), _write_entry(b"\x0a", key)
        hashed, new_hash_key = -1, b""
        if explicit is not None:
            hashed = self._hash_keys.get(explicit, -1)
            if hashed < 0:
                hashed, new_hash_key = len(self._hash_keys), _write_entry(b"\x12", explicit)
        head = _write_head(index, hashed, len(data))
        size = self.size + len(new_key) + len(new_hash_key) + len(head) + len(data)
        if self.records and size > max_bytes:
            return False
        if new_key:
            self._keys[key] = index
            self._table[0].append(new_key)
        if new_hash_key and explicit is not None:
            self._hash_keys[explicit] = hashed
            self._table[1].append(new_hash_key)
        self._written += (head, data)
        self.records.append(record)
        self.size = size
        return True

    def finish(self, shard_id: str) -> PutEntry:
        if len(self.records) == 1:
            return PutEntry(*self.records[0], shard_id, 1)
        message = b"".join((*self._table[0], *self._table[1], *self._written))
        data = b"".join((MAGIC, message, md5(message, usedforsecurity=False).digest()))
        return PutEntry(_PARTITION_KEY, data, str(self.hash_key), shard_id, len(self.records))


class Aggregator:
    """Packs user records into entries for PutRecords, by predicted shard, in the order of `add` within each shard.

    `shards`: the open shards of the stream, all of them. `max_bytes`: the largest entry, data and partition key, 1 to
    10 MiB; at most what the stream takes. `max_records`: the most records in one. For one task at a time; holds the
    records that are waiting, `len(aggregator)` of them.
    Raises: ValueError for shards that do not make up the hash space (`ShardMap`), or limits out of range.
    """

    __slots__ = ("_max_bytes", "_max_records", "_open", "_shards")

    def __init__(
        self, shards: Mapping[str, HashRange], *, max_bytes: int = DEFAULT_BYTES, max_records: int = DEFAULT_RECORDS
    ) -> None:
        if not 1 <= max_bytes <= MAX_BYTES or max_records < 1:
            raise ValueError(f"max_bytes is 1 to {MAX_BYTES}, max_records 1 at least")
        self._shards = ShardMap(shards)
        self._max_bytes = max_bytes
        self._max_records = max_records
        self._open: dict[str, _Open] = {}

    def __len__(self) -> int:
        return sum(len(opened.records) for opened in self._open.values())

    def predict_shard(self, partition_key: str, explicit_hash_key: str | None = None) -> str:
        """The id of the shard that such a record goes to. Raises: Rejected, as `hash_key`."""
        return self._shards.predict_shard(partition_key, explicit_hash_key)

    def add(self, partition_key: str, data: bytes, explicit_hash_key: str | None = None) -> PutEntry | None:
        """Takes a user record; returns the entry that is finished by it, to be put before any later one of its shard.

        Raises: Rejected, and nothing is changed: `invalid-partition-key` (1 to 256 characters), `invalid-explicit-hash-
        key`, `record-too-large` where even alone it would be more than `max_bytes`.
        """
        if not 1 <= len(partition_key) <= MAX_KEY:
            raise Rejected(
                f"a partition key has 1 to {MAX_KEY} characters", reason="invalid-partition-key", field="partition_key"
            )
        encoded = encode_key(partition_key)
        key = hash_encoded_key(encoded, explicit_hash_key)
        if len(encoded) + len(data) > self._max_bytes:
            raise Rejected(
                f"data and partition key are more than {self._max_bytes} bytes", reason="record-too-large", field="data"
            )
        shard_id = self._shards.find(key)
        return self._put(shard_id, key, (partition_key, data, explicit_hash_key))

    def flush(self) -> tuple[PutEntry, ...]:
        """Finishes every open aggregate, in the order of the shards' ranges. Nothing is waiting afterwards."""
        entries = tuple(opened.finish(shard_id) for shard_id, opened in self._waiting())
        self._open.clear()
        return entries

    def replace_shards(self, shards: Mapping[str, HashRange]) -> tuple[PutEntry, ...]:
        """Goes on with another map, after a split or a merge; returns the entries that are finished by it.

        What is waiting is packed anew for the shards that it goes to now, in order within every partition key.
        Raises: ValueError, as the constructor; then nothing is changed.
        """
        replaced = ShardMap(shards)
        waiting = self._waiting()
        self._shards, self._open = replaced, {}
        entries = [self.add(*record) for _, opened in waiting for record in opened.records]
        return tuple(entry for entry in entries if entry is not None)

    def _waiting(self) -> list[tuple[str, _Open]]:
        return [(shard_id, self._open[shard_id]) for shard_id in self._shards.ranges if shard_id in self._open]

    def _put(self, shard_id: str, key: int, record: _Record) -> PutEntry | None:
        opened = self._open.get(shard_id)
        finished = None
        if opened is None or not opened.take(record, max_bytes=self._max_bytes):
            finished = opened.finish(shard_id) if opened else None
            opened = self._open[shard_id] = _Open(key)
            opened.take(record, max_bytes=self._max_bytes)
        if len(opened.records) >= self._max_records:
            # Never with `finished`: an aggregate that was left behind had a record at least, and this one has one.
            del self._open[shard_id]
            return opened.finish(shard_id)
        return finished


def _write_entry(tag: bytes, text: str) -> bytes:
    encoded = text.encode()
    return b"".join((tag, _write_varint(len(encoded)), encoded))


def _write_head(index: int, hashed: int, size: int) -> bytes:
    """What stands before the data of a record, of `size` bytes; `hashed` is -1 without an explicit hash key."""
    if hashed < 0 and index < 128 and size < 16_000:
        if size < 124:
            return bytes((0x1A, size + 4, 0x08, index, 0x1A, size))
        if size > 127:
            inner = size + 5
            return bytes((0x1A, inner & 127 | 128, inner >> 7, 0x08, index, 0x1A, size & 127 | 128, size >> 7))
    fields = b"\x08" + _write_varint(index)
    if hashed >= 0:
        fields += b"\x10" + _write_varint(hashed)
    fields += b"\x1a" + _write_varint(size)
    return b"\x1a" + _write_varint(len(fields) + size) + fields


def _write_varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)
