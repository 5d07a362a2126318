"""Kinesis event source mapping with a tumbling window: records and state of one shard in, the new state out.

Without `state` in the answer the invocation has failed, so it is always there. What failed is named as in a mapping
without a window, and only read with ReportBatchItemFailures.
Source: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sluiceway.codec.kinesis import decode_entries, read_entries
from sluiceway.codec.shape import malformed, mapping, optional_mapping, text
from sluiceway.errors import Misconfigured
from sluiceway.events.kinesis_window import KinesisWindow, WindowReply

__all__ = ["correlation_id", "decode", "encode"]

MAX_WINDOW_MS: Final = 900_000
# Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html


def decode(raw: object) -> KinesisWindow:
    """The invocation: at most 10,000 records, with what their aggregates hold.

    Raises: Rejected (`malformed-event`); Misconfigured where the mapping has no tumbling window.
    """
    root = mapping(raw, "root")
    if "window" not in root and "Records" in root:
        raise Misconfigured("the mapping of this function needs a tumbling window", what="TumblingWindowInSeconds")
    window = mapping(root.get("window"), "window")
    start_ms, end_ms = _read_date_ms(window, "start"), _read_date_ms(window, "end")
    if not start_ms < end_ms <= start_ms + MAX_WINDOW_MS:
        raise malformed("window", "up to 900 seconds long")
    records = decode_entries(read_entries({"Records": [], **root}, "aws:kinesis"))
    shard_id = text(root.get("shardId"), "shardId")
    if records and records[0].shard_id != shard_id:
        raise malformed("Records", "of the window's shard")
    return KinesisWindow(
        records=records,
        state=optional_mapping(root.get("state"), "state"),
        shard_id=shard_id,
        stream_arn=text(root.get("eventSourceARN"), "eventSourceARN"),
        start_ms=start_ms,
        end_ms=end_ms,
        is_final=_read_flag(root, "isFinalInvokeForWindow"),
        is_cut=_read_flag(root, "isWindowTerminatedEarly"),
    )


def encode(reply: WindowReply) -> dict[str, object]:
    """The state, and the partial batch response.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
    """
    failures = [{"itemIdentifier": sequence_number} for sequence_number in reply.failed]
    return {"state": reply.state, "batchItemFailures": failures}


def correlation_id(event: KinesisWindow) -> str:
    """Always "": a window has none."""
    del event
    return ""


def _read_flag(root: Mapping[str, object], member: str) -> bool:
    value = root.get(member)
    if not isinstance(value, bool):
        raise malformed(member, "true or false")
    return value


def _read_date_ms(window: Mapping[str, object], member: str) -> int:
    """`2026-11-27T07:04:00Z` as epoch milliseconds. Raises: Rejected."""
    value = text(window.get(member), f"window.{member}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise malformed(f"window.{member}", "a time") from error
    if moment.tzinfo is None:
        raise malformed(f"window.{member}", "a time in UTC")
    return round(moment.timestamp() * 1000)
