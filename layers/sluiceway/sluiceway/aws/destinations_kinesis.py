"""Kinesis streams as a destination: records put in one request, and which of them were not taken.

Owns what a refusal within an answer of PutRecords means. Must not know in which order records are to be sent. Source:
https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
"""

from __future__ import annotations

from collections.abc import Sequence

from sluiceway.aws.batch_entries import Failures, read_failures
from sluiceway.aws.kinesis import name_stream, put_entries
from sluiceway.aws.wire import Caller
from sluiceway.ports.producing import Entry

__all__ = ["put_records"]


async def put_records(
    caller: Caller, stream: str, records: Sequence[tuple[str, bytes]], *, deadline: float | None = None
) -> Failures:
    """Put up to 500 records (partition key, data), 10 MiB together; those that the stream did not take.

    Records of one request are in no order. Raises what `Caller.call` raises, and then nobody knows of any.
    """
    entries = [Entry(key, data) for key, data in records]
    answers = await put_entries(caller, name_stream(stream), entries, deadline=deadline)
    return read_failures("kinesis", "PutRecords", answers)
