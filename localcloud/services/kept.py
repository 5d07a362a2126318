"""Dated records in their order, the newest in memory, all others in blocks on disk.

What a stream keeps for a day and more would not fit into a laptop's memory. Reading is by position, wherever a record
lies; readers at the tip read memory alone. Blocks go to files without a name in the folder for temporary files
(`TMPDIR`), which end with the process; one block is open at a time, so whoever reads on reads each block once. Knows
neither a record's content (a `Form` does) nor readers, limits or the protocol.
"""

from __future__ import annotations

import logging
import tempfile
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import IO, Final, Generic, NamedTuple, Protocol, TypeVar

__all__ = ["BLOCK_BYTES", "BLOCK_RECORDS", "Dated", "Form", "Kept"]

BLOCK_RECORDS: Final = 1_024  # written together; twice as many are in memory at most
BLOCK_BYTES: Final = 2 * 1024 * 1024  # of what a form weighs, where records are large
FILE_BYTES: Final = 64 * 1024 * 1024  # then another file begins; one goes with the last of its blocks
_SEQUENCE: Final = attrgetter("sequence")
_ARRIVED: Final = attrgetter("arrived_s")
_LAST_SEQUENCE: Final = attrgetter("last_sequence")
_LAST_ARRIVED: Final = attrgetter("last_arrived_s")
_log: Final = logging.getLogger(__name__)


class Dated(Protocol):
    """What a record must tell of itself: a number, and when it arrived in epoch seconds."""

    @property
    def sequence(self) -> int: ...
    @property
    def arrived_s(self) -> float: ...


R = TypeVar("R", bound=Dated)


@dataclass(frozen=True, slots=True)
class Form(Generic[R]):
    """How records of one kind are kept.

    `weigh`: about how many bytes one takes in memory; `measure`: its size as a reader's limit counts it. `read` gives
    back what `write` made. `block_records`: how many are written together, in one go of the event loop.
    """

    weigh: Callable[[R], int]
    measure: Callable[[R], int]
    write: Callable[[list[R]], bytes]
    read: Callable[[bytes], list[R]]
    block_records: int = BLOCK_RECORDS


class _File:
    """One file; it is closed, and with that gone, when nobody has it any more."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as its blocks
        self.size_bytes = 0
        weakref.finalize(self, self._file.close)

    def write(self, data: bytes) -> int:
        """Append; where it begins. Raises OSError, and then the next one is written over what came of it."""
        begins = self._file.seek(self.size_bytes)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size_bytes += len(data)
        return begins

    def read(self, begins: int, size_bytes: int) -> bytes:
        self._file.seek(begins)
        found = bytearray()
        while len(found) < size_bytes and (piece := self._file.read(size_bytes - len(found))):
            found += piece
        return bytes(found)


class _Room(NamedTuple):
    """How much may be in memory before some of it goes to disk."""

    records: int
    size_bytes: int = 2 * BLOCK_BYTES

    def is_exceeded(self, records: int, size_bytes: int) -> bool:
        return records >= self.records or size_bytes >= self.size_bytes

    def double(self) -> _Room:
        return _Room(2 * self.records, 2 * self.size_bytes)


class _Block(NamedTuple):
    """Records that lie in `file`."""

    records: int
    last_sequence: int
    first_arrived_s: float
    last_arrived_s: float
    file: _File
    begins: int
    size_bytes: int


class Kept(Generic[R]):
    """The records of one shard. Ascending in number and arrival; appended behind, trimmed in front.

    `forgotten` is the number of the newest one that was trimmed, None before any.
    """

    def __init__(self, form: Form[R]) -> None:
        self.forgotten: int | None = None
        self._form = form
        self._front: list[R] = []  # of the oldest block, once some of it has expired
        self._blocks: list[_Block] = []
        self._tail: list[R] = []
        self._tail_bytes = 0
        self._most = _Room(2 * self._form.block_records)
        self._file: _File | None = None
        self._open: tuple[_Block, list[R]] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def last(self) -> R | None:
        """The newest one; None where there is none."""
        return self._tail[-1] if self._tail else None

    def append(self, record: R) -> None:
        """Keep one more."""
        self._tail.append(record)
        self._tail_bytes += self._form.weigh(record)
        self._count += 1
        while len(self._tail) > 1 and self._most.is_exceeded(len(self._tail), self._tail_bytes):
            self._seal()

    def trim(self, horizon_s: float) -> None:
        """Forget those that arrived before `horizon_s`."""
        self._cut(self._front, horizon_s)
        while not self._front and self._blocks and self._blocks[0].first_arrived_s < horizon_s:
            block = self._blocks[0]
            if block.last_arrived_s < horizon_s:
                self._count -= block.records
                self.forgotten = block.last_sequence
            else:
                self._front = self._read_block(block)
                self._cut(self._front, horizon_s)
            self._open = None
            del self._blocks[0]
        if not self._front and not self._blocks:
            self._tail_bytes -= self._cut(self._tail, horizon_s)

    # ------------------------------------------------------------------ reading

    def find_arrival(self, timestamp_s: float) -> R | None:
        """The first record that arrived at `timestamp_s` or later; None where there is none."""
        for records in self._parts(timestamp_s, _ARRIVED, _LAST_ARRIVED):
            return records[bisect_left(records, timestamp_s, key=_ARRIVED)]
        return None

    def read(self, position: int, *, most: int, max_bytes: int) -> tuple[list[R], int, bool]:
        """Up to `most` (1 or more) of `max_bytes` together from `position` on, one at least where there is one.

        Beside them their size, and whether the bytes have cut them short.
        """
        taken: list[R] = []
        size, measure = 0, self._form.measure
        for records in self._parts(position, _SEQUENCE, _LAST_SEQUENCE):
            start = bisect_left(records, position, key=_SEQUENCE)
            for record in islice(records, start, start + most - len(taken)):
                record_bytes = measure(record)
                if taken and size + record_bytes > max_bytes:
                    return taken, size, True
                size += record_bytes
                taken.append(record)
            if len(taken) == most:
                break
        return taken, size, False

    def _parts(self, least: float, key: Callable[[R], float], last_of: Callable[[_Block], float]) -> Iterator[list[R]]:
        """The records in lists, from the first on that has one whose `key` is not below `least`."""
        if self._front and key(self._front[-1]) >= least:
            yield self._front
        for at in range(bisect_left(self._blocks, least, key=last_of), len(self._blocks)):
            yield self._read_block(self._blocks[at])
        if self._tail and key(self._tail[-1]) >= least:
            yield self._tail

    # ------------------------------------------------------------------ blocks

    def _cut(self, records: list[R], horizon_s: float) -> int:
        """Take what has expired away from a list in memory; what that weighed."""
        if not records or records[0].arrived_s >= horizon_s:
            return 0
        at = bisect_left(records, horizon_s, key=_ARRIVED)
        gone = sum(self._form.weigh(record) for record in records[:at])
        self.forgotten = records[at - 1].sequence
        del records[:at]
        self._count -= at
        return gone

    def _seal(self) -> None:
        """Move the older part of the tail to disk; where that is full, it stays, and is tried at twice as much."""
        at = size = 0
        while at < min(self._form.block_records, len(self._tail) - 1) and size < BLOCK_BYTES:
            size += self._form.weigh(self._tail[at])
            at += 1
        records = self._tail[:at]
        try:
            self._blocks.append(self._write_block(records))
        except OSError as error:
            _log.warning("stream records stay in memory: %s", error)
            self._most = self._most.double()
            return
        self._most = _Room(2 * self._form.block_records)
        del self._tail[:at]
        self._tail_bytes -= size

    def _write_block(self, records: list[R]) -> _Block:
        data = self._form.write(records)
        if self._file is None or self._file.size_bytes + len(data) > FILE_BYTES:
            self._file = _File()
        begins = self._file.write(data)
        first, last = records[0], records[-1]
        return _Block(
            records=len(records),
            last_sequence=last.sequence,
            first_arrived_s=first.arrived_s,
            last_arrived_s=last.arrived_s,
            file=self._file,
            begins=begins,
            size_bytes=len(data),
        )

    def _read_block(self, block: _Block) -> list[R]:
        if self._open is None or self._open[0] is not block:
            self._open = block, self._form.read(block.file.read(block.begins, block.size_bytes))
        return self._open[1]
