"""An archive in S3 as a source: its lines, each raw record once, in bounds, and on from any line."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.replay.items import Item
from localcloud.replay.sources import objects
from localcloud.replay.sources.objects import ObjectPlan, ObjectSource
from sluiceway.aws.reply import Reply
from sluiceway.codec.raw_records import RawRecord, encode_lines, name_object
from sluiceway.errors import Misconfigured, Rejected, ServiceRefused
from tests.unit.replay_setup import FixedChance, ListTarget, Notes, make_run

HOUR_MS = 1_795_824_000_000
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"


class Bucket:
    """Lists in pages of `page`, gives ranges."""

    def __init__(self, kept: Mapping[str, bytes], *, page: int = 2) -> None:
        self.kept = dict(sorted(kept.items()))
        self.page = page
        self.ranges: list[str] = []

    async def call(self, service: Any, operation: str, body: Any = b"", **more: Any) -> Reply:
        if operation == "ListObjectsV2":
            return Reply(200, {}, self._list(more["query"]))
        name = unquote(more["path"]).partition("/b/")[2]
        first, last = map(int, more["headers"]["range"].removeprefix("bytes=").split("-"))
        self.ranges.append(f"{name} {first}")
        found = self.kept.get(name)
        if found is None or first >= len(found):
            code = "NoSuchKey" if found is None else "InvalidRange"
            raise ServiceRefused("no", service="s3", operation="GetObject", code=code)
        assert (first == 0) is ("if-match" not in more["headers"])
        part = found[first : last + 1]
        headers = {"etag": '"e"', "content-range": f"bytes {first}-{first + len(part) - 1}/{len(found)}"}
        return Reply(206, headers, part)

    def _list(self, query: Mapping[str, str]) -> bytes:
        names = [each for each in self.kept if each.startswith(query["prefix"]) and each > query.get("start-after", "")]
        contents = "".join(f"<Contents><Key>{escape(quote(each))}</Key></Contents>" for each in names[: self.page])
        more = "true" if len(names) > self.page else "false"
        space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        return f"<R {space}><IsTruncated>{more}</IsTruncated>{contents}</R>".encode()


def open_source(bucket: Bucket, done: Mapping[str, Any] | None = None, **plan: Any) -> ObjectSource:
    chosen = ObjectPlan(**({"bucket": "b", "prefix": ""} | plan))
    return ObjectSource(bucket, chosen, chance=FixedChance(), done=done or {})  # type: ignore[arg-type]


def read(kept: Mapping[str, bytes], **plan: Any) -> list[Item]:
    async def main() -> list[Item]:
        source = open_source(Bucket(kept), **plan)
        found: list[Item] = []
        while (item := await source.next()) is not None:
            found.append(item)
        return found

    return run_virtual(main)


def raw(*numbers: int, shard: str = "shard-0", hour_ms: int = HOUR_MS) -> list[RawRecord]:
    return [RawRecord(shard, str(n), -1, hour_ms + n, b'{"n":%d}' % n) for n in numbers]


def test_a_raw_record_is_a_record_of_its_shard_again() -> None:
    """With the stream that the archive is said to be of."""
    (item,) = read({"raw/t/x.jsonl": encode_lines(raw(5))}, origin=STREAM)
    assert (item.kind, item.content, item.mark, item.lane) == ("kinesis", b'{"n":5}', "5", "shard-0")
    assert (item.origin, item.arrived_ms, item.key) == (STREAM, HOUR_MS + 5, "raw/t/x.jsonl:1")


def test_what_stands_twice_in_an_hour_is_given_once() -> None:
    """As batches that were delivered twice leave it; the next hour's are its own."""
    kept = {
        name_object("t", HOUR_MS, shard="s", first="0", last="4"): encode_lines(raw(0, 1, 2, 3)),
        name_object("t", HOUR_MS, shard="s", first="2", last="6"): encode_lines(raw(2, 3, 4, 5)),
        name_object("t", HOUR_MS + 3_600_000, shard="s", first="5", last="6"): encode_lines(raw(5, 6)),
    }
    assert [item.mark for item in read(kept)] == ["0", "1", "2", "3", "4", "5", "5", "6"]


def test_lines_of_json_plain_and_gzipped_in_members() -> None:
    """Empty lines are nothing; the last line needs no end; what is neither JSON nor a record is refused."""
    zipped = gzip.compress(b'{"n": 1}\n\n{"n"') + gzip.compress(b": 2}\n3\n")
    found = read({"a.gz": zipped, "b": b'{"n": 4}\nno JSON\n[1]\n{"n": 5}'})
    assert [(item.content, item.fault[:14]) for item in found] == [
        (b'{"n": 1}', ""),
        (b'{"n": 2}', ""),
        (b"3", "malformed-line"),
        (b'{"n": 4}', ""),
        (b"no JSON", "malformed-line"),
        (b"[1]", "malformed-line"),
        (b'{"n": 5}', ""),
    ]
    assert read({"empty": b""}) == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"eventSource":"aws:kinesis","kinesis":{"data":"","sequenceNumber":"1","approximateArrivalTimestamp":1e400}}',
        b'{"eventSource":"aws:sqs","messageId":"1","body":"x","attributes":{"SentTimestamp":1e400}}',
        b'{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"1","ApproximateCreationDateTime":1e400}}',
        b'["s","1",-1,1e400,"x"]',
    ],
)
def test_a_date_that_is_none_ends_no_run(line: bytes) -> None:
    """A raw record is refused; a record of an event is an event of its own kind."""
    first, second = read({"a": line + b'\n{"n": 1}\n'})
    assert (first.kind, first.arrived_ms, second.content) == ("event", 0, b'{"n": 1}')


def test_a_span_chooses_by_arrival() -> None:
    """Both ends included; a line without a date is refused, not guessed at."""
    kept = {"a": encode_lines(raw(1, 2, 3, 4)) + b'{"n": 9}\n'}
    found = read(kept, at_ms=HOUR_MS + 2, until_ms=HOUR_MS + 3)
    assert [(item.mark, item.fault[:7]) for item in found] == [("2", ""), ("3", ""), ("a:5", "no-date")]


def test_an_object_is_read_in_pieces_of_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large it is; lines go across pieces."""
    monkeypatch.setattr(objects, "PIECE_BYTES", 7)
    bucket = Bucket({"a": b'{"n": 1}\n{"n": 22}\n', "b": gzip.compress(b'{"n": 3}\n' * 5)})

    async def main() -> list[bytes]:
        source, found = open_source(bucket), list[bytes]()
        while (item := await source.next()) is not None:
            found.append(item.content)
        return found

    assert run_virtual(main) == [b'{"n": 1}', b'{"n": 22}', *[b'{"n": 3}'] * 5]
    assert [each for each in bucket.ranges if each.startswith("a")] == ["a 0", "a 7", "a 14"]


def test_gzip_of_very_many_members_is_read_in_its_length() -> None:
    """What lies behind a member is not copied for each of them: that took the square of their number."""
    spent: list[float] = []
    for count in (20_000, 80_000):
        unpacking = objects._Unpacking("a")
        zipped = gzip.compress(b"") * count
        begun = time.process_time()
        assert b"".join(unpacking.feed(zipped)) == b""
        spent.append(time.process_time() - begun)
    assert spent[1] < 8 * spent[0]


def test_what_is_too_large_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end, a gzip bomb, broken gzip, more records of an hour than can be told apart."""
    monkeypatch.setattr(objects, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(objects, "MAX_UNPACKED_BYTES", 5000)
    monkeypatch.setattr(objects, "MAX_KNOWN", 3)
    cases = {
        "line": b"x" * 1001,
        "bomb": gzip.compress(b"{}\n" * 9000),
        "torn": gzip.compress(b"{}\n")[:9] + b"\xff" * 30,
        "short": gzip.compress(b'{"a": "%d"}' % 10**40)[:-4],
        "many": encode_lines(raw(1, 2, 3, 4)),
    }
    for name, content in cases.items():
        with pytest.raises(Rejected) as caught:
            read({name: content})
        assert caught.value.reason in {"malformed-object", "archive-too-large"}, name


@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 9),
    stops=st.lists(st.integers(0, 25), max_size=4),
    page=st.integers(1, 4),
)
@settings(max_examples=80, deadline=None)
def test_it_goes_on_behind_any_line(seed: int, batch: int, stops: list[int], page: int) -> None:
    """Stopped at any batch and gone on with: every record once, though an hour's objects share records."""
    rng = random.Random(seed)
    kept: dict[str, bytes] = {}
    wanted: list[tuple[str, str]] = []
    for hour in range(rng.randrange(1, 4)):
        known: set[str] = set()
        for part in range(rng.randrange(1, 4)):
            numbers = [rng.randrange(12) for _ in range(rng.randrange(6))]
            name = f"raw/t/2026/11/28/{hour:02}/s-{part}.jsonl"
            kept[name] = encode_lines(raw(*numbers))
            for number in map(str, numbers):
                if number not in known:
                    wanted.append((name.rpartition("/")[0], number))
                    known.add(number)

    async def main() -> None:
        taken: list[tuple[str, str]] = []
        notes = Notes()
        for stop in (*stops, 10_000):
            target = ListTarget()
            source = open_source(Bucket(kept, page=page), json.loads(json.dumps(notes.cursor)))
            run = make_run(source, target, notes=notes, batch=batch)
            plain = source.next
            places: dict[str, tuple[str, str]] = {}

            async def next_item(
                left: list[int] = [stop],  # noqa: B006
                plain: Any = plain,
                run: Any = run,
                places: dict[str, tuple[str, str]] = places,
            ) -> Item | None:
                if not left[0]:
                    run.stop()
                left[0] -= 1
                item = await plain()
                if item is not None:
                    places[item.key] = (item.key.rpartition("/")[0], item.mark)
                return item

            source.next = next_item  # type: ignore[method-assign]
            await run.run()
            taken += [places[key] for key in target.taken]
        assert taken == wanted

    run_virtual(main)


@pytest.mark.parametrize("done", [{"line": "x"}, {"line": None}, ["x"]])
def test_a_cursor_of_another_kind_is_called_that(done: Any) -> None:
    """Not a traceback."""
    with pytest.raises(Misconfigured, match="resume file"):
        open_source(Bucket({}), done)
