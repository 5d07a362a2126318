"""Which records a stream takes, and how many go into one call.

Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html and
https://docs.aws.amazon.com/streams/latest/dev/large-records.html
"""

from __future__ import annotations

from typing import Final

from sluiceway.errors import Rejected

__all__ = [
    "DEFAULT_RECORD_BYTES",
    "MAX_CALL_BYTES",
    "MAX_CALL_ENTRIES",
    "MAX_KEY",
    "MAX_RECORD_BYTES",
    "Room",
    "measure_record",
]

MAX_CALL_ENTRIES: Final = 500  # of PutRecords
MAX_CALL_BYTES: Final = 10 * 1024 * 1024  # of PutRecords, data and partition keys
DEFAULT_RECORD_BYTES: Final = 1024 * 1024  # data and partition key, unless the stream's MaxRecordSizeInKiB says more
MAX_RECORD_BYTES: Final = 10 * 1024 * 1024  # the most that it can say
MAX_KEY: Final = 256  # characters of a partition key


def measure_record(partition_key: str, data: bytes, *, max_bytes: int = DEFAULT_RECORD_BYTES) -> int:
    """What Kinesis counts for a record, in bytes: its data and its partition key in UTF-8.

    Raises Rejected that names the field and its limit: `invalid-partition-key` (1 to 256 characters of UTF-8),
    `empty-record` (Kinesis would take it, and no consumer could tell it from a fault), `record-too-large`.
    """
    if not 1 <= len(partition_key) <= MAX_KEY:
        raise Rejected(f"a partition key has 1 to {MAX_KEY} characters", reason="invalid-partition-key", field="key")
    if not data:
        raise Rejected("a record has 1 byte of data at least", reason="empty-record", field="data")
    try:
        size = len(data) + (len(partition_key) if partition_key.isascii() else len(partition_key.encode()))
    except UnicodeEncodeError:
        raise Rejected(
            "a partition key has characters that UTF-8 has not", reason="invalid-partition-key", field="key"
        ) from None
    if size > max_bytes:
        raise Rejected(
            f"data and partition key have {max_bytes} bytes at most", reason="record-too-large", field="data"
        )
    return size


class Room:
    """What is left of one call. `share` (0 to 1) of the limits is used; one record always has its place."""

    __slots__ = ("_bytes", "_entries", "_taken")

    def __init__(self, share: float = 1.0) -> None:
        self._entries = max(1, int(MAX_CALL_ENTRIES * share))
        self._bytes = int(MAX_CALL_BYTES * share)
        self._taken = False

    def take(self, size_bytes: int, *, entries: int = 1) -> bool:
        """Takes the place of so many bytes and entries; False, and nothing is taken, where there is none."""
        if self._taken and (size_bytes > self._bytes or entries > self._entries):
            return False
        self._taken = True
        self._bytes -= size_bytes
        self._entries -= entries
        return True
