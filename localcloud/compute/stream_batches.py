"""Records of a shard on their way into events: what of them a mapping keeps, how large they are, which go together.

A record that no filter keeps has no events. An event is JSON already when it is put into a batch, so its size is known
and a batch is put together once. Pure.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.compute.event_source import Criteria, is_kept
from localcloud.compute.stream_source import StreamRecord

__all__ = ["Item", "build_event", "encode_json", "read_items", "take_batch"]


@dataclass(slots=True, eq=False)
class Item:
    """A record in hand: no more of it than is needed, for many may wait behind one that is stuck.

    `events` are its entries of `Records` as JSON; `settled` once it needs no more work.
    """

    sequence: str
    order_key: str
    arrived_s: float
    events: tuple[bytes, ...] = ()
    settled: bool = False
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.size_bytes = sum(len(event) + 1 for event in self.events)


def read_items(records: Sequence[StreamRecord], criteria: Criteria | None) -> list[Item]:
    """Each record with those of its events that the criteria keep; all of them where there are none."""
    items: list[Item] = []
    for record in records:
        kept = [event for event in record.events if is_kept(criteria, event, record_id=record.sequence)]
        events = tuple(encode_json(event) for event in kept)
        items.append(Item(record.sequence, record.order_key, record.arrived_s, events))
    return items


def take_batch(queue: deque[Item], *, most: int, budget_bytes: int, until_s: float | None = None) -> list[Item]:
    """The next batch, taken from the queue's left: at most `most` records and `budget_bytes`, but at least one.

    `until_s`: only records that arrived before it (epoch seconds).
    """
    batch: list[Item] = []
    size = 0
    while queue and len(batch) < most:
        head = queue[0]
        if until_s is not None and head.arrived_s >= until_s:
            break
        size += head.size_bytes
        if batch and size > budget_bytes:
            break
        batch.append(queue.popleft())
    return batch


def build_event(items: Sequence[Item], frame: bytes = b"") -> bytes:
    """The event of a batch. `frame`: further members as JSON text, without braces."""
    records = b",".join(event for item in items for event in item.events)
    return b"".join((b'{"Records":[', records, b"]", b"," if frame else b"", frame, b"}"))


def encode_json(value: Mapping[str, Any] | Sequence[Any] | str) -> bytes:
    """Compact JSON as UTF-8; with escapes where the text holds half a surrogate pair, which UTF-8 cannot."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
