"""What goes into one PutRecords call: records on their own, or packed by the shard that each is predicted to go to.

Owns which of the waiting records go together. Everything of one key in a call is in one entry, which Kinesis takes or
declines whole; so a key's records cannot overtake each other. Must not know tasks or time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from sluiceway.codec.kpl import Aggregator, HashRange, PutEntry, hash_key
from sluiceway.flows.publish.records import Pending
from sluiceway.ports.producing import Entry
from sluiceway.rules.producing.lanes import Lanes
from sluiceway.rules.producing.records import DEFAULT_RECORD_BYTES, Room

__all__ = ["Packer", "Part"]

MAX_AGGREGATE_BYTES: Final = DEFAULT_RECORD_BYTES  # a larger one could not pass its shard within a second
# What a record adds to an aggregate at most beyond its key and data: tags, indexes, lengths; a hash key of 39 digits
_FRAME_BYTES: Final = 32
_HASH_KEY_BYTES: Final = 42
_AGGREGATE_BYTES: Final = 32  # of one without records: magic number, digest, partition key
_Wanted: TypeAlias = Callable[[Pending], bool]


class Part(NamedTuple):
    """One entry of a call and the records in it. `shard_id` is what was predicted, "" where nothing was."""

    entry: Entry
    records: list[Pending]
    shard_id: str = ""

    def is_outside(self, hash_range: HashRange) -> bool:
        """Whether a record of it does not belong to the shard of this range."""
        keys = {(record.key, record.explicit_hash_key) for record in self.records}
        return not all(hash_range.first <= hash_key(*key) <= hash_range.last for key in keys)


class Packer:
    """Makes calls. `max_record_bytes`: the largest entry that the stream takes."""

    def __init__(self, *, max_record_bytes: int) -> None:
        self._max_bytes = min(max_record_bytes, MAX_AGGREGATE_BYTES)
        self._aggregator: Aggregator | None = None

    def replace_shards(self, ranges: Mapping[str, HashRange]) -> None:
        """Predicts by these from now on; without any, records go on their own."""
        self._aggregator = Aggregator(ranges, max_bytes=self._max_bytes) if ranges else None

    def pack(self, lanes: Lanes[Pending], room: Room, *, is_wanted: _Wanted) -> list[Part]:
        """Takes what goes into one call from the lanes. A record that is not wanted is taken and left out."""
        if self._aggregator is None:
            return _pack_alone(lanes, room, is_wanted)
        return _Packing(self._aggregator, room, max_bytes=self._max_bytes, is_wanted=is_wanted).pack(lanes)


def _pack_alone(lanes: Lanes[Pending], room: Room, is_wanted: _Wanted) -> list[Part]:
    parts: list[Part] = []
    for key, waiting in lanes.ready():
        passed = next((at for at, record in enumerate(waiting) if is_wanted(record)), None)
        if passed is None:
            lanes.take(key, len(waiting))
            lanes.settle(key)
            continue
        record = waiting[passed]
        if not room.take(record.size_bytes):
            break
        lanes.take(key, passed + 1)
        parts.append(Part(Entry(key, record.data, record.explicit_hash_key), [record]))
    return parts


class _Packing:
    """One call in the making: one aggregate for each shard. One that is full takes no more, nor does its shard."""

    def __init__(self, aggregator: Aggregator, room: Room, *, max_bytes: int, is_wanted: _Wanted) -> None:
        self._aggregator = aggregator
        self._room = room
        self._max_bytes = max_bytes
        self._is_wanted = is_wanted
        self._parts: list[Part] = []
        self._held: dict[str, list[Pending]] = {}
        self._finished: dict[str, PutEntry] = {}
        self._is_full = False

    def pack(self, lanes: Lanes[Pending]) -> list[Part]:
        for key, waiting in lanes.ready():
            passed, held = self._fit(key, waiting)
            if passed:
                lanes.take(key, passed)
                if not held:
                    lanes.settle(key)
            if self._is_full:
                break
        full = frozenset(self._finished)
        self._finished |= {each.shard_id: each for each in self._aggregator.flush() if each.shard_id not in full}
        for shard_id, (key, data, explicit, *_) in self._finished.items():
            self._parts.append(Part(Entry(key, data, explicit), self._held[shard_id], shard_id))
        return self._parts

    def _fit(self, key: str, waiting: Sequence[Pending]) -> tuple[int, bool]:
        """How many of a key's records go, or are left out, and whether any goes: one entry's, so of one shard."""
        passed, home, own = 0, "", ""
        for record in waiting:
            if not self._is_wanted(record):
                passed += 1
                continue
            if record.explicit_hash_key is None:
                shard_id = own = own or self._aggregator.predict_shard(key)
            else:
                shard_id = self._aggregator.predict_shard(key, record.explicit_hash_key)
            if home not in {"", shard_id}:
                break
            if record.size_bytes > self._max_bytes:
                if not home and self._take(record.size_bytes, opens=True):
                    entry = Entry(key, record.data, record.explicit_hash_key)
                    self._parts.append(Part(entry, [record], shard_id))
                    return passed + 1, True
                break
            if not self._hold(record, shard_id):
                break
            home, passed = shard_id, passed + 1
        return passed, bool(home)

    def _hold(self, record: Pending, shard_id: str) -> bool:
        """Into the shard's aggregate; False where it is full, or the call."""
        opens = shard_id not in self._held
        size = record.size_bytes + _FRAME_BYTES + (_HASH_KEY_BYTES if record.explicit_hash_key else 0)
        if shard_id in self._finished or not self._take(size + _AGGREGATE_BYTES * opens, opens=opens):
            return False
        finished = self._aggregator.add(record.key, record.data, record.explicit_hash_key)
        if finished is not None:  # what was held before; the record itself begins another, which is not of this call
            self._finished[shard_id] = finished
            return False
        self._held.setdefault(shard_id, []).append(record)
        return True

    def _take(self, size_bytes: int, *, opens: bool) -> bool:
        self._is_full = not self._room.take(size_bytes, entries=int(opens))
        return not self._is_full
