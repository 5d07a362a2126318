"""Kinesis streams as a destination: records put in one request, and which of them were not taken.

Owns what a refusal within an answer of PutRecords means. Must not know in which order records are to be sent. Source:
https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sluiceway.aws.batch_entries import Failures, refuse_entry
from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.wire import Caller
from sluiceway.errors import ServiceUnavailable

__all__ = ["put_records"]


async def put_records(
    caller: Caller, stream: str, records: Sequence[tuple[str, bytes]], *, deadline: float | None = None
) -> Failures:
    """Put up to 500 records (partition key, data), 10 MiB together; those that the stream did not take.

    Records of one request are in no order. Raises what `Caller.call` raises, and then nobody knows of any.
    """
    request = {
        "StreamName": stream,
        "Records": [
            {"PartitionKey": key, "Data": b2a_base64(data, newline=False).decode("ascii")} for key, data in records
        ],
    }
    reply = (await caller.call(KINESIS, "PutRecords", request, deadline=deadline)).json()
    answers = cast("Sequence[Mapping[str, Any]]", reply.get("Records") or ())
    if len(answers) != len(records):
        why = "the answer has another number of records than the request"
        raise ServiceUnavailable(why, service="kinesis", operation="PutRecords", code="MalformedReply", status=200)
    return {
        at: refuse_entry(
            service="kinesis",
            operation="PutRecords",
            code=str(answer["ErrorCode"]),
            message=str(answer.get("ErrorMessage", "")),
        )
        for at, answer in enumerate(answers)
        if answer.get("ErrorCode")
    }
