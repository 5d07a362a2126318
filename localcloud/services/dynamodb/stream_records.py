"""Stream records: what a change of an item becomes in a table's stream.

Owns the record's parts, its size, its two written forms (the API's and Lambda's) and the one on disk; knows no shard.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final

from localcloud.services import kept
from localcloud.services.dynamodb.table import Change
from localcloud.services.dynamodb.values import Item, encode_item, item_size

__all__ = ["VIEW_TYPES", "KeptEntries", "StreamEntry", "encode_entry", "encode_event", "item_key", "make_entry"]

VIEW_TYPES: Final = ("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")
_WITH_NEW: Final = frozenset({"NEW_IMAGE", "NEW_AND_OLD_IMAGES"})
_WITH_OLD: Final = frozenset({"OLD_IMAGE", "NEW_AND_OLD_IMAGES"})
_EVENT_VERSION: Final = "1.1"
_BLOCK_ENTRIES: Final = 256  # written to disk in about 3 ms, in which nothing else happens
_ENTRY_BYTES: Final = 1024  # what a record takes in memory beside its size, measured
_TTL_PRINCIPAL: Final = "dynamodb.amazonaws.com"  # time-to-live-ttl-streams.html


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """A record of a stream. `arrived_s` in epoch seconds; images are None where the view type leaves them out.

    `size_bytes`: the keys and the images, by DynamoDB's count of items. `by_ttl`: the time to live deleted the item.
    """

    sequence: int
    event_id: str
    event_name: str
    arrived_s: float
    keys: Item
    new: Item | None
    old: Item | None
    size_bytes: int
    by_ttl: bool


def make_entry(change: Change, view_type: str, *, sequence: int, event_id: str, arrived_s: float) -> StreamEntry:
    """The record of `change`, which did change something."""
    record = change.new or change.old
    item = {} if record is None else record.item
    keys = {name: item[name] for name in change.table.definition.keys.names}
    new = change.new.item if change.new is not None and view_type in _WITH_NEW else None
    old = change.old.item if change.old is not None and view_type in _WITH_OLD else None
    return StreamEntry(
        sequence=sequence,
        event_id=event_id,
        event_name="INSERT" if change.old is None else "REMOVE" if change.new is None else "MODIFY",
        arrived_s=arrived_s,
        keys=keys,
        new=new,
        old=old,
        size_bytes=item_size(keys) + item_size(new or {}) + item_size(old or {}),
        by_ttl=change.cause == "ttl",
    )


def encode_entry(entry: StreamEntry, view_type: str, region: str) -> dict[str, Any]:
    """The record as GetRecords answers it. Its date is rounded down to the second, as AWS does."""
    inner: dict[str, Any] = {
        "ApproximateCreationDateTime": int(entry.arrived_s),
        "Keys": encode_item(entry.keys),
        "SequenceNumber": str(entry.sequence),
        "SizeBytes": entry.size_bytes,
        "StreamViewType": view_type,
    }
    if entry.new is not None:
        inner["NewImage"] = encode_item(entry.new)
    if entry.old is not None:
        inner["OldImage"] = encode_item(entry.old)
    record: dict[str, Any] = {
        "eventID": entry.event_id,
        "eventName": entry.event_name,
        "eventVersion": _EVENT_VERSION,
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": inner,
    }
    if entry.by_ttl:
        record["userIdentity"] = {"PrincipalId": _TTL_PRINCIPAL, "Type": "Service"}
    return record


def encode_event(entry: StreamEntry, view_type: str, arn: str) -> dict[str, Any]:
    """The record as Lambda delivers it: with the stream's ARN, and userIdentity in lower camel case.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
    """
    record = encode_entry(entry, view_type, arn.split(":")[3])
    if entry.by_ttl:
        record["userIdentity"] = {"type": "Service", "principalId": _TTL_PRINCIPAL}
    record["eventSourceARN"] = arn
    return record


def item_key(entry: StreamEntry) -> str:
    """The item's key in one way of writing it: records of one item have equal keys, and no two items share one."""
    return json.dumps(encode_item(entry.keys), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _write_entries(entries: list[StreamEntry]) -> bytes:
    return pickle.dumps(
        [tuple(getattr(entry, name) for name in _MEMBERS) for entry in entries], pickle.HIGHEST_PROTOCOL
    )


def _read_entries(data: bytes) -> list[StreamEntry]:
    return [StreamEntry(*members) for members in pickle.loads(data)]  # noqa: S301 - we wrote it


def _weigh(entry: StreamEntry) -> int:
    return entry.size_bytes + _ENTRY_BYTES


_MEMBERS: Final = tuple(each.name for each in fields(StreamEntry))
_FORM: Final[kept.Form[StreamEntry]] = kept.Form(
    weigh=_weigh,
    measure=attrgetter("size_bytes"),
    write=_write_entries,
    read=_read_entries,
    block_records=_BLOCK_ENTRIES,
)


class KeptEntries(kept.Kept[StreamEntry]):
    """The records of one shard, the newest in memory, the others on disk."""

    def __init__(self) -> None:
        super().__init__(_FORM)
