"""An event as it travels: what PutEvents makes of an entry, and what it refuses of one. Pure.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, cast

from localcloud.json_text import MalformedJson
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.events.json_values import decode, encode
from sluiceway.rules.patterns.decoding import decode_json

__all__ = ["Entry", "Event", "RefusedEntry", "entry_bytes", "make_event", "write_time"]

RESERVED_SOURCE: Final = "aws."  # PutEvents: sources of AWS's own services
TIME_BYTES: Final = 14  # eb-putevent-size: a Time counts so much


class RefusedEntry(Exception):
    """An entry of PutEvents is not taken; the others are. `code` and `message` are its ErrorCode and ErrorMessage."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a producer says. None for what it leaves out; `time_s` in epoch seconds; `trace` is an X-Ray header."""

    source: str | None = None
    detail_type: str | None = None
    detail: str | None = None
    resources: tuple[str, ...] = ()
    time_s: float | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event on a bus. `text` is its JSON, compact; `time_s` its time, as the JSON has it, in epoch seconds.

    `hops` are the ARNs of the buses that sent it on.

    Held as text, for many may wait for their targets at a time; what is decoded of it is not kept.
    """

    event_id: str
    text: str
    time_s: int
    ingested_s: float
    trace: str = ""
    hops: tuple[str, ...] = ()

    def read_fields(self) -> Mapping[str, object]:
        """Its JSON, numbers as Numerals."""
        return cast("dict[str, object]", decode(self.text))

    def read_for_patterns(self) -> Mapping[str, object]:
        """Its JSON as patterns read it."""
        return cast("dict[str, object]", decode_json(self.text))

    def sent_on(self, bus_arn: str) -> Event:
        """The same event, on its way from one bus to another."""
        return replace(self, hops=(*self.hops, bus_arn))

    def replayed(self, name: str, *, event_id: str, now_s: float) -> Event:
        """The event as a replay sends it again: with its own time, another id, and the replay's name."""
        fields: dict[str, object] = {}
        for member, value in self.read_fields().items():
            fields[member] = event_id if member == "id" else value
            if member == "region":  # where AWS writes it
                fields["replay-name"] = name
        return replace(self, event_id=event_id, text=encode(fields), ingested_s=now_s, trace="")


def make_event(entry: Entry, region: str, *, event_id: str, now_s: float, reserved: bool = False) -> Event:
    """The event of an entry. `reserved`: a service of AWS sends it, whose source may begin with `aws.`.

    Raises RefusedEntry: InvalidArgument, NotAuthorizedForSourceException, MalformedDetail.
    """
    source, detail_type = _given(entry.source, "Source"), _given(entry.detail_type, "DetailType")
    detail = _given(entry.detail, "Detail")
    if source.startswith(RESERVED_SOURCE) and not reserved:
        raise RefusedEntry("NotAuthorizedForSourceException", "Not authorized for the source.")
    time_s = math.floor(now_s if entry.time_s is None else entry.time_s)
    fields: dict[str, object] = {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT_ID,
        "time": write_time(time_s),
        "region": region,
        "resources": list(entry.resources),
        "detail": _read_detail(detail),
    }
    return Event(event_id=event_id, text=encode(fields), time_s=time_s, ingested_s=now_s, trace=entry.trace)


def entry_bytes(entry: Entry) -> int:
    """What an entry counts against the size of its request.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
    """
    texts = (entry.source, entry.detail_type, entry.detail, *entry.resources)
    size = sum(len(text.encode(errors="surrogatepass")) for text in texts if text is not None)
    return size + (TIME_BYTES if entry.time_s is not None else 0)


def write_time(time_s: float) -> str:
    """A date as events have it: to the second, in UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _given(value: str | None, name: str) -> str:
    if not value:
        raise RefusedEntry("InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument.")
    return value


def _read_detail(text: str) -> Mapping[str, object]:
    try:
        detail = decode(text)
    except MalformedJson as error:
        raise RefusedEntry("MalformedDetail", "Detail is malformed.") from error
    if not isinstance(detail, dict):
        raise RefusedEntry("MalformedDetail", "Detail is malformed.")
    return cast("dict[str, object]", detail)
