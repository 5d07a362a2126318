"""Objects below a prefix of a bucket as a source: raw records and lines of JSON, plain or gzipped.

Raw records are what `roll_up_records` archives (`codec.raw_records`): a record that stands in several objects of one
hour, as redelivered batches leave it, is given once. Objects are read in the order of their names, in pieces, so that
no size of one fills the memory; a line has a bound, and so has what a gzipped object may become.
Must not know what is done with a line.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from localcloud.replay.items import Item, Outcome, item_of_line
from localcloud.replay.patience import keep_trying
from localcloud.replay.ports import Outlook
from sluiceway.aws.raw_objects import S3RawStore
from sluiceway.aws.s3 import S3
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller, Reply
from sluiceway.codec.raw_records import RawRecord, decode_lines
from sluiceway.errors import Misconfigured, Rejected, ServiceRefused
from sluiceway.ports import Chance

__all__ = ["ObjectPlan", "ObjectSource", "read_lines"]

PIECE_BYTES: Final = 8 * 1024 * 1024
STEP_BYTES: Final = 65_536  # of gzip at a time: what is left behind each member is copied
MAX_LINE_BYTES: Final = 64 * 1024 * 1024  # a record of 10 MiB, each byte of it escaped
MAX_UNPACKED_BYTES: Final = 8 * 1024 * 1024 * 1024  # of one gzipped object
MAX_KNOWN: Final = 2_000_000  # identities of one folder's records
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS  # zlib: a gzip header


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """What is read: objects of `bucket` below `prefix`; with dates, epoch milliseconds, only records from then to then.

    `origin` is the ARN of the stream that raw records are said to come from, "" for none.
    """

    bucket: str
    prefix: str
    at_ms: int = 0
    until_ms: int = 0
    origin: str = ""

    def has(self, arrived_ms: int) -> bool:
        """Whether a record of this date is to be given."""
        return arrived_ms >= self.at_ms and (not self.until_ms or arrived_ms <= self.until_ms)


@dataclass(slots=True)
class _Place:
    """The line given last: `line` lines of `name` are done. `before`: the last object of the folders before its own."""

    before: str = ""
    name: str = ""
    line: int = 0


@dataclass(slots=True)
class _Folder:
    """The records of a folder that were given, to give no one twice."""

    name: str = ""
    known: set[tuple[str, str, int]] = field(default_factory=set[tuple[str, str, int]])


class ObjectSource:
    """Lines of objects, as items. `done` is an earlier run's cursor."""

    def __init__(self, caller: Caller, plan: ObjectPlan, *, chance: Chance, done: Mapping[str, Any]) -> None:
        self._caller = caller
        self._plan = plan
        self._chance = chance
        self._done = _read_place(done)
        self._place = _read_place(done)
        self._folder = _Folder()
        self._items = self._read()

    @property
    def outlook(self) -> Outlook:
        """The span's end, where it has one."""
        return Outlook(end_ms=self._plan.until_ms)

    async def next(self) -> Item | None:
        """As the port says. A line that is no JSON is an item with a fault."""
        return await anext(self._items, None)

    def cursor(self) -> Mapping[str, Any]:
        """The line that was given last."""
        place = self._place
        return {"before": place.before, "name": place.name, "line": place.line}

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing: the archive keeps its objects."""

    async def _read(self) -> AsyncGenerator[Item]:
        store = S3RawStore(self._caller, self._plan.bucket)
        last = self._done.before
        more = True
        while more:
            after = last
            page = await keep_trying(lambda: store.names(self._plan.prefix, after=after), chance=self._chance)  # noqa: B023 - awaited here
            for name in page.names:
                self._enter(name, last)
                async for item in self._read_object(name):
                    yield item
                last = name
            more = page.more and bool(page.names)

    def _enter(self, name: str, before: str) -> None:
        """The records of a folder are known among themselves; a run that goes on reads its folder from the start."""
        folder = name.rpartition("/")[0]
        if folder != self._folder.name or not before:
            self._folder = _Folder(folder)
            self._place.before = before

    async def _read_object(self, name: str) -> AsyncGenerator[Item]:
        count = 0
        async for line in read_lines(self._caller, self._plan.bucket, name, chance=self._chance):
            count += 1
            item = self._make(line, name, count)
            if item is not None and (name, count) > (self._done.name, self._done.line):
                self._place.name, self._place.line = name, count
                yield item

    def _make(self, line: bytes, name: str, count: int) -> Item | None:
        """The item of a line; None where it is not to be given."""
        key = f"{name}:{count}"
        if not line.strip():
            return None
        try:
            read = next(decode_lines(line)) if line.startswith(b"[") else item_of_line(line, key=key)
        except (Rejected, RecursionError, ValueError):
            return Item(kind="event", key=key, content=line, fault="malformed-line: it is neither a record nor JSON")
        return self._make_raw(read, key) if isinstance(read, RawRecord) else self._make_line(read)

    def _make_line(self, item: Item) -> Item | None:
        if (self._plan.at_ms or self._plan.until_ms) and not item.arrived_ms:
            return replace(item, fault="no-date: --at and --until need records with dates")
        return item if self._plan.has(item.arrived_ms) else None

    def _make_raw(self, record: RawRecord, key: str) -> Item | None:
        known = self._folder.known
        if record.identity in known or not self._plan.has(record.arrived_ms):
            return None
        if len(known) >= MAX_KNOWN:
            raise Rejected(f"{self._folder.name} has more than {MAX_KNOWN} records", reason="archive-too-large")
        known.add(record.identity)
        return Item(
            kind="kinesis",
            key=key,
            content=record.data,
            mark=record.sequence_number,
            lane=record.shard,
            origin=self._plan.origin,
            partition_key=record.shard,  # raw records have no key: what was one shard's stays in order
            arrived_ms=record.arrived_ms,
        )


def _read_place(done: Mapping[str, Any]) -> _Place:
    try:
        return _Place(str(done.get("before", "")), str(done.get("name", "")), int(done.get("line", 0)))
    except (AttributeError, TypeError, ValueError) as error:
        raise Misconfigured("the resume file's cursor is not one of an archive", what="--resume") from error


async def read_lines(caller: Caller, bucket: str, name: str, *, chance: Chance) -> AsyncGenerator[bytes]:
    """The lines of an object, without their ends; gzip is told by its first bytes. Nothing of an object that is gone.

    Raises Rejected (`malformed-object`: broken gzip, a line or an object that is too long).
    """
    rest = bytearray()
    async for piece in _read_plain(caller, bucket, name, chance=chance):
        rest += piece
        *lines, tail = bytes(rest).split(b"\n")
        for line in lines:
            yield line
        rest = bytearray(tail)
        if len(rest) > MAX_LINE_BYTES:
            raise Rejected(f"{name} has a line of more than {MAX_LINE_BYTES} bytes", reason="malformed-object")
    if rest:
        yield bytes(rest)


async def _read_plain(caller: Caller, bucket: str, name: str, *, chance: Chance) -> AsyncGenerator[bytes]:
    unpacking: _Unpacking | None = None
    first = True
    async for piece in _read_pieces(caller, bucket, name, chance=chance):
        if first and piece.startswith(b"\x1f\x8b"):
            unpacking = _Unpacking(name)
        first = False
        if unpacking is None:
            yield piece
            continue
        for plain in unpacking.feed(piece):
            yield plain
    if unpacking is not None:
        unpacking.end()


class _Unpacking:
    """A gzip file, of one member or several, as its pieces come."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._size = 0
        self._is_begun = False
        self._member = zlib.decompressobj(_GZIP_BITS)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What a piece holds, in parts. Raises Rejected."""
        for start in range(0, len(piece), STEP_BYTES):
            yield from self._feed(piece[start : start + STEP_BYTES])

    def _feed(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            try:
                plain = self._member.decompress(piece, PIECE_BYTES)
            except zlib.error as error:
                raise Rejected(f"{self._name} is broken gzip", reason="malformed-object") from error
            self._size += len(plain)
            if self._size > MAX_UNPACKED_BYTES:
                said = f"{self._name} unpacks to more than {MAX_UNPACKED_BYTES} bytes"
                raise Rejected(said, reason="malformed-object")
            yield plain
            piece = self._member.unconsumed_tail
            self._is_begun = True
            if self._member.eof:
                piece = self._member.unused_data
                self._member, self._is_begun = zlib.decompressobj(_GZIP_BITS), False

    def end(self) -> None:
        """Nothing more comes. Raises Rejected where the file was not whole."""
        if self._is_begun:
            raise Rejected(f"{self._name} ends in the middle of its gzip", reason="malformed-object")


async def _read_pieces(caller: Caller, bucket: str, name: str, *, chance: Chance) -> AsyncGenerator[bytes]:
    """All of one version of an object, a range at a time."""
    path = f"/{bucket}/{encode_label(name, greedy=True)}"
    begin, etag = 0, ""
    while True:
        headers: dict[str, str] = {"range": f"bytes={begin}-{begin + PIECE_BYTES - 1}"}
        if etag:
            headers["if-match"] = etag

        async def ask(headers: Mapping[str, str] = headers) -> Reply:
            return await caller.call(S3, "GetObject", method="GET", path=path, headers=headers)

        try:
            reply = await keep_trying(ask, chance=chance)
        except ServiceRefused as error:
            if error.code in {"NoSuchKey", "InvalidRange"}:  # gone since it was listed; empty
                return
            raise
        yield reply.body
        etag, begin = reply.headers.get("etag", ""), begin + len(reply.body)
        if reply.status != 206 or begin >= int(reply.headers.get("content-range", "/0").rpartition("/")[2]):
            return
