"""Raw records at rest: lines of JSON in objects whose names say topic, period and shard.

A name is `raw/<topic>/YYYY/MM/DD/HH/<shard>-<first mark>-<last mark>.jsonl`, its hour that of the records' own times. A
batch that is delivered twice gives the same name, or, cut in another way, a name of its own with some of the same
records: who reads a period keeps one of each (shard, sequence number, place in the aggregate). Must not know S3.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

from sluiceway.errors import Rejected

__all__ = ["HOUR_MS", "RawRecord", "decode_lines", "encode_lines", "name_object", "prefix_of", "start_of"]

HOUR_MS: Final = 3_600_000
_HOUR: Final = "%Y/%m/%d/%H"
_DAY: Final = "%Y/%m/%d"


class RawRecord(NamedTuple):
    """A record as it was in the stream. `sub` is its place in an aggregate, -1 for a record that is in none."""

    shard: str
    sequence_number: str
    sub: int
    arrived_ms: int
    data: bytes

    @property
    def identity(self) -> tuple[str, str, int]:
        """What no two records of a stream share."""
        return self.shard, self.sequence_number, self.sub


def encode_lines(records: Iterable[RawRecord]) -> bytes:
    """The records, whose data are UTF-8 text, a line each."""
    lines = (
        json.dumps([each.shard, each.sequence_number, each.sub, each.arrived_ms, each.data.decode("utf-8")],
                   ensure_ascii=False, separators=(",", ":"))
        for each in records
    )  # fmt: skip
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def decode_lines(body: bytes) -> Iterator[RawRecord]:
    """What `encode_lines` was given. Raises Rejected (`malformed-raw-records`) for what it never writes."""
    try:
        # split at line feeds alone: data may have other separators that `splitlines` takes for ends of lines
        for line in body.decode("utf-8").split("\n"):
            if line:
                shard, sequence, sub, arrived_ms, data = cast("list[Any]", json.loads(line))
                yield RawRecord(str(shard), str(sequence), int(sub), int(arrived_ms), str(data).encode("utf-8"))
    except (OverflowError, ValueError, TypeError, RecursionError) as error:
        raise Rejected("an object has other lines than raw records", reason="malformed-raw-records") from error


def prefix_of(topic: str, start_ms: int, *, day: bool = False) -> str:
    """What the names of all objects of an hour, or of a day, begin with. `start_ms` is its start."""
    moment = datetime.fromtimestamp(start_ms / 1000, UTC)
    return f"raw/{topic}/{moment.strftime(_DAY if day else _HOUR)}/"


def name_object(topic: str, hour_ms: int, *, shard: str, first: str, last: str) -> str:
    """The name for records of an hour of event time that came from `shard`, of the marks `first` to `last`."""
    return f"{prefix_of(topic, hour_ms)}{shard}-{first}-{last}.jsonl"


def start_of(name: str) -> int:
    """The start of the hour that a name is of, epoch milliseconds. Raises Rejected (`malformed-raw-name`)."""
    parts = name.split("/")
    try:
        moment = datetime.strptime("/".join(parts[2:6]), _HOUR).replace(tzinfo=UTC)
    except ValueError as error:
        raise Rejected("an object's name has no hour", reason="malformed-raw-name", field=name) from error
    return int(moment.timestamp()) * 1000
