"""codec.kpl: opening aggregates of the Kinesis Producer Library."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import time
from array import array
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import kpl
from sluiceway.codec.kpl import message as message_module
from sluiceway.codec.kpl.aggregate import MAGIC, MAX_BYTES
from sluiceway.errors import Rejected

LAYER = Path(__file__).resolve().parents[2] / "layers" / "sluiceway"
PAGE = LAYER.parents[1] / "docs" / "kpl.md"
WHOLE = kpl.HashRange(0, 2**128 - 1)
SECRET = b"secret payload"
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
HASH_KEYS = st.none() | st.integers(0, 2**128 - 1).map(str)
RECORDS = st.lists(st.tuples(KEYS, st.binary(max_size=300), HASH_KEYS), min_size=2, max_size=12)
GOOD = b"\x0a\x01a" + b"\x0a\x01b" + b"\x12\x017" + b"\x1a\x06\x08\x00\x1a\x02hi" + b"\x1a\x07\x08\x01\x10\x00\x1a\x01!"


def seal(message: bytes) -> bytes:
    """`message` as an aggregate, with the right digest."""
    return MAGIC + message + md5(message).digest()


def open_message(message: bytes) -> list[tuple[str, bytes, str | None, int]]:
    opened = kpl.open_aggregate(seal(message))
    assert opened is not None
    return [tuple(record) for record in opened.records]


def refuse(message: bytes) -> kpl.CorruptAggregate:
    with pytest.raises(kpl.CorruptAggregate) as caught:
        kpl.open_aggregate(seal(message))
    return caught.value


def aggregate(records: list[tuple[str, bytes, str | None]]) -> bytes:
    """The records in one aggregate."""
    aggregator = kpl.Aggregator({"shard": WHOLE}, max_bytes=MAX_BYTES)
    assert [aggregator.add(*record) for record in records] == [None] * len(records)
    (entry,) = aggregator.flush()
    return entry.data


def write_number(number: int) -> bytes:
    """As short as it goes."""
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + write_number(number >> 7)


def write_message(records: list[tuple[str, bytes, str | None]]) -> bytes:
    """The message of records of which each has a key, and maybe a hash key, of its own."""

    def block(tag: bytes, content: bytes) -> bytes:
        return tag + write_number(len(content)) + content

    message = b"".join(block(b"\x0a", key.encode()) for key, _, _ in records)
    message += b"".join(block(b"\x12", explicit.encode()) for _, _, explicit in records if explicit is not None)
    for at, (_, data, explicit) in enumerate(records):
        hashed = b"" if explicit is None else b"\x10" + write_number(at)
        message += block(b"\x1a", b"\x08" + write_number(at) + hashed + block(b"\x1a", data))
    return message


@given(records=RECORDS)
def test_what_was_aggregated_is_what_comes_out(records: list[tuple[str, bytes, str | None]]) -> None:
    """Keys, data and explicit hash keys, in their order, numbered from 0."""
    opened = kpl.open_aggregate(aggregate(records))
    assert opened is not None
    assert [tuple(record) for record in opened.records] == [(*record, at) for at, record in enumerate(records)]


def test_a_record_has_names() -> None:
    """As the documentation shows them."""
    first, second = kpl.open_aggregate(seal(GOOD)).records  # type: ignore[union-attr]
    assert first == kpl.UserRecord("a", b"hi", None, 0)
    assert (second.partition_key, second.data, second.explicit_hash_key, second.subsequence_number) == (
        "b",
        b"!",
        "7",
        1,
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"\xf3\x89\x9a", MAGIC, MAGIC + md5(b"").digest(), b'{"a":1}' * 9, b"\x00" + seal(GOOD), seal(GOOD)[1:]],
    ids=["empty", "short", "magic", "no-message", "json", "before", "behind"],
)
def test_other_data_is_no_aggregate(data: bytes) -> None:
    """No magic number, or nothing between it and the digest: a record of its own, as to the Kinesis Client Library."""
    assert kpl.open_aggregate(data) is None


@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_goes_unnoticed(bit: int) -> None:
    """In the magic number it makes a record of its own, anywhere else a digest that is wrong."""
    data = aggregate([("a", b"1", None), ("b", b"2", "17"), ("a", b"", None)])
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << bit
        if place < len(MAGIC):
            assert kpl.open_aggregate(bytes(flipped)) is None
        else:
            with pytest.raises(kpl.CorruptAggregate) as caught:
                kpl.open_aggregate(bytes(flipped))
            assert (caught.value.reason, caught.value.field) == ("aggregate-digest", "digest")


def test_no_truncation_goes_unnoticed() -> None:
    """What is too short for an aggregate is none; all between that and the whole is corrupt."""
    data = aggregate([("a", b"1", None), ("b", b"2", "17"), ("a", b"", None)])
    for length in range(len(data)):
        if length <= 20:
            assert kpl.open_aggregate(data[:length]) is None
        else:
            with pytest.raises(kpl.CorruptAggregate):
                kpl.open_aggregate(data[:length])


@given(records=RECORDS, edits=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), min_size=1, max_size=3))
def test_whatever_is_sealed_is_opened_or_refused(
    records: list[tuple[str, bytes, str | None]], edits: list[tuple[int, bytes]]
) -> None:
    """A message changed anywhere, with its digest mended, leads to the one error or to records, and to nothing else."""
    message = bytearray(aggregate(records)[4:-16])
    for place, bytes_ in edits:
        message[place % len(message) : place % len(message) + len(bytes_) + 1] = bytes_ or b"\x1a"
    reason, rows = "", []
    try:
        opened = kpl.open_aggregate(seal(bytes(message)))
        rows = list(opened.records) if opened else []
    except kpl.CorruptAggregate as error:
        reason = error.reason
    assert reason in {"", "aggregate-protobuf", "aggregate-index"}
    assert [row[3] for row in rows] == list(range(len(rows)))


def read_columns(message: bytes) -> object:
    """What the reader of messages makes of one, up to eleven records."""
    try:
        columns = message_module.read_message(message, max_records=11)
    except kpl.CorruptAggregate as error:
        return error.reason, error.field, str(error)
    return [getattr(columns, name) for name in columns.__slots__]


def read_slowly(message: bytes) -> object:
    """The same, field by field."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message_module, "_read_usual_keys", lambda *_: None)
        patch.setattr(message_module, "_read_usual_records", lambda *_: None)
        return read_columns(message)


@given(records=RECORDS, edits=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=2)), max_size=2))
def test_the_tight_loops_read_what_the_field_reader_reads(
    records: list[tuple[str, bytes, str | None]], edits: list[tuple[int, bytes]]
) -> None:
    """The same records, or the same refusal, with the tight loops left out."""
    message = bytearray(aggregate(records)[4:-16])
    for place, bytes_ in edits:
        message[place % len(message) : place % len(message) + 1] = bytes_

    assert read_columns(bytes(message)) == read_slowly(bytes(message))


@pytest.mark.parametrize(
    "record",
    [
        b"\x1a\x80\x80\x08\x00\x1a\xfb\x7f" + b"x" * 16_379,
        b"\x1a\x06\x08\x81\x80\x1a\x01x",
        b"\x1a\x08\x08\x00\x10\x81\x80\x1a\x01x",
        b"\x1a\x8a\x80\x01\x08\x00\x1a\x83\x80\x01" + b"x" * 16_387,
        b"\x1a\x06\x10\x00\x1a\x02hi",
        b"\x1a\x06\x08\x00\x12\x02hi",
        b"\x12\x06\x08\x00\x1a\x02hi",
        b"\x1a\x07\x08\x00\x1a\x02hi!",
        b"\x1a\x05\x08\x00\x1a\x02hi",
    ],
    ids=["size", "index", "hash-index", "length", "no-index", "no-data", "no-record", "too-long", "too-short"],
)
def test_what_only_looks_usual_is_left_to_the_field_reader(record: bytes) -> None:
    """Numbers of three bytes of which two make sense, and other fields in the places of the usual ones."""
    message = GOOD + record + GOOD
    assert read_columns(message) == read_slowly(message)


@pytest.mark.parametrize("size", [0, 1, *range(119, 131), 15_999, *range(16_373, 16_386), 70_000, 2_200_000])
@pytest.mark.parametrize("count", [2, 129])
@pytest.mark.parametrize("hashed", [False, True])
def test_every_length_of_a_number_is_written_and_read(size: int, count: int, hashed: bool) -> None:
    """Where a length or an index needs one byte more, no sooner, and where a record is too long for the tight loop."""
    data = [b"x" * (size if number > count - 3 else 1) for number in range(count)]
    records = [(f"key {number}", each, str(number) if hashed else None) for number, each in enumerate(data)]
    made = aggregate(records)
    opened = kpl.open_aggregate(made)
    assert opened is not None
    assert [record[:3] for record in opened.records] == records
    assert made == seal(write_message(records))


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        (GOOD + b"\x1a\x04\x08\x02\x1a\x00", "aggregate-index", "records[2].partition_key_index"),
        (GOOD + b"\x1a\x06\x08\x00\x10\x01\x1a\x00", "aggregate-index", "records[2].explicit_hash_key_index"),
        (
            GOOD + b"\x1a\x0d\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x00",
            "aggregate-index",
            "records[2].partition_key_index",
        ),
        (b"\x1a\x04\x08\x00\x1a\x00", "aggregate-index", "records[0].partition_key_index"),
        (GOOD[:-1], "aggregate-protobuf", "message"),
        (GOOD + b"\x1a", "aggregate-protobuf", "message"),
        (GOOD + b"\x1a\x80", "aggregate-protobuf", "message"),
        (GOOD + b"\x0a\xff\xff\xff\xff\x0f", "aggregate-protobuf", "message"),
        (GOOD + b"\x1a\x04\x08\x00\x1a\x01", "aggregate-protobuf", "records[2]"),
        (GOOD + b"\x1a\x02\x1a\x00", "aggregate-protobuf", "records[2].partition_key_index"),
        (GOOD + b"\x1a\x02\x08\x00", "aggregate-protobuf", "records[2].data"),
        (GOOD + b"\x1a\x00", "aggregate-protobuf", "records[2].data"),
        (GOOD + b"\x1a\x05\x0a\x01\x00\x1a\x00", "aggregate-protobuf", "records[2].partition_key_index"),
        (GOOD + b"\x1a\x0f\x08" + b"\x80" * 11 + b"\x00\x1a\x00", "aggregate-protobuf", "records[2]"),
        (GOOD + b"\x1a\x0d\x08" + b"\xff" * 9 + b"\x02\x1a\x00", "aggregate-protobuf", "records[2]"),
        (GOOD + b"\x1a\x06\x08\x00\x1a\x00\x22\x00", "aggregate-protobuf", "records[2].tags.key"),
        (GOOD + b"\x1a\x08\x08\x00\x1a\x00\x22\x02\x12\x00", "aggregate-protobuf", "records[2].tags.key"),
        (GOOD + b"\x0a\x01\xff", "aggregate-protobuf", "partition_key_table[2]"),
        (GOOD + b"\x0a\x81\x02" + b"k" * 257, "aggregate-key", "partition_key_table[2]"),
        (GOOD + b"\x12\x01\xff", "aggregate-protobuf", "explicit_hash_key_table[1]"),
        (GOOD + b"\x00\x01", "aggregate-protobuf", "message"),
        (GOOD + b"\x4e", "aggregate-protobuf", "message"),
        (GOOD + b"\x4c", "aggregate-protobuf", "message"),
        (GOOD + b"\x4b\x54", "aggregate-protobuf", "message"),
        (GOOD + b"\x4b", "aggregate-protobuf", "message"),
        (GOOD + b"\x49" + b"\x00" * 7, "aggregate-protobuf", "message"),
        (GOOD + b"\x4b" * 101 + b"\x4c" * 101, "aggregate-protobuf", "message"),
        (GOOD + b"\x88\x80\x80\x80\x10\x00", "aggregate-protobuf", "message"),
    ],
)
def test_a_corrupt_message_is_refused_whole(message: bytes, reason: str, field: str) -> None:
    """The error names what is wrong, and where; the good records before it do not come out."""
    error = refuse(message)
    assert (error.reason, error.field) == (reason, field)
    assert isinstance(error, Rejected)
    assert str(error).startswith(f"the aggregate is corrupt: {field} ")


def test_errors_hold_nothing_of_the_payload() -> None:
    """Neither in their text nor in what they were raised from."""
    broken = b"\x0a\x0e" + SECRET + b"\x12\x0f" + SECRET + b"\xff" + b"\x1a\x12\x08\x05\x1a\x0e" + SECRET
    for message in (broken, broken[:-1], broken.replace(b"\xff", b"x")):
        error = refuse(message)
        assert "secret" not in f"{error!r} {error.field} {error.reason}"
        assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize(
    "added",
    [
        b"\x78\x01",
        b"\x49" + b"8" * 8,
        b"\x4a\x03abc",
        b"\x4d" + b"4" * 4,
        b"\x4b\x40\x01\x4b\x4c\x4a\x01x\x4c",
        b"\x08\x07",
    ],
    ids=["number", "fixed64", "bytes", "fixed32", "groups", "known-number-other-type"],
)
@pytest.mark.parametrize("place", [0, 3, len(GOOD)])
def test_unknown_fields_are_skipped(added: bytes, place: int) -> None:
    """Between the fields of the message, and in a record; a known number with another type is unknown."""
    expected = open_message(GOOD)
    assert open_message(GOOD[:place] + added + GOOD[place:]) == expected
    if added != b"\x08\x07":
        inside = added + b"\x08\x00\x1a\x02hi"
        assert open_message(b"\x0a\x01a\x1a" + bytes([len(inside)]) + inside) == [("a", b"hi", None, 0)]


@pytest.mark.parametrize(
    "record",
    [
        b"\x1a\x02hi\x08\x00",
        b"\x08\x05\x08\x00\x1a\x02hi",
        b"\x1a\x01x\x08\x00\x1a\x02hi",
        b"\x88\x00\x80\x80\x00\x9a\x00\x82\x00hi",
        b"\x08\x00\x1a\x02hi\x22\x06\x0a\x01k\x12\x01v",
        b"\x08\x00\x0a\x01\x05\x1a\x02hi",
    ],
    ids=["order", "last-index", "last-data", "long-numbers", "tags", "packed-is-unknown"],
)
def test_a_record_is_read_as_protobuf_reads_it(record: bytes) -> None:
    """Fields in any order, the last of several, numbers longer than they need be, tags left out."""
    assert open_message(b"\x1a" + bytes([len(record)]) + record + b"\x0a\x01a") == [("a", b"hi", None, 0)]


def test_an_aggregate_may_hold_nothing() -> None:
    """Tables alone: it is an aggregate, and no record is in it."""
    assert open_message(b"\x0a\x01a") == []


def test_other_kinds_of_bytes_are_taken() -> None:
    """Views of any format, and of part of a buffer."""
    data = seal(GOOD)
    for view in (memoryview(data), memoryview(b"xx" + data)[2:], memoryview(array("b", memoryview(data).cast("b")))):
        opened = kpl.open_aggregate(view)
        assert opened is not None
        assert opened.records == kpl.open_aggregate(data).records  # type: ignore[union-attr]
        assert all(type(record.data) is bytes for record in opened.records)


def test_more_than_a_record_can_hold_is_refused() -> None:
    """Ten MiB are opened, a byte more is not; without the magic number it is nobody's business."""
    room = MAX_BYTES - len(seal(GOOD)) - 5  # what an unknown field can hold, behind its tag and a length of four bytes

    def fill(size: int) -> bytes:
        length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
        return seal(GOOD + b"\x4a" + length + bytes(size))

    assert len(fill(room)) == MAX_BYTES
    assert kpl.open_aggregate(fill(room)).records == kpl.open_aggregate(seal(GOOD)).records  # type: ignore[union-attr]
    with pytest.raises(kpl.CorruptAggregate) as caught:
        kpl.open_aggregate(fill(room + 1))
    assert (caught.value.reason, caught.value.field) == ("aggregate-size", "data")
    assert kpl.open_aggregate(bytes(MAX_BYTES + 1)) is None


@pytest.mark.parametrize("record", [b"\x1a\x04\x08\x00\x1a\x00", b"\x1a\x05\x1a\x01x\x08\x00"], ids=["usual", "other"])
def test_the_number_of_records_is_bounded(record: bytes) -> None:
    """As many as were asked for are opened, one more is refused."""
    message = b"\x0a\x01a" + record * 5 + b"\x78\x00" + record * 4
    assert len(kpl.open_aggregate(seal(message), max_records=9).records) == 9  # type: ignore[union-attr]
    with pytest.raises(kpl.CorruptAggregate) as caught:
        kpl.open_aggregate(seal(message), max_records=8)
    assert (caught.value.reason, caught.value.field) == ("aggregate-size", "records")


@pytest.mark.parametrize(
    "part",
    [
        b"\x1a\x04\x08\x00\x1a\x00",
        b"\x0a\x00",
        b"\x78\x00",
        b"\x4b\x4c",
        b"\x1a\x05\x1a\x00\x88\x00\x00",
        b"\x12\x01\x37",
    ],
    ids=["records", "keys", "unknown", "groups", "other-records", "hash-keys"],
)
def test_the_work_is_linear(part: bytes) -> None:
    """Eight times the message takes about eight times as long, whatever fills it."""

    def measure(size: int) -> float:
        data = seal(b"\x0a\x01a" + part * (size // len(part)))
        best = float("inf")
        for _ in range(5):
            begun = time.process_time()
            kpl.open_aggregate(data)
            best = min(best, time.process_time() - begun)
        return best

    assert measure(64_000) < 8 * 3 * measure(8_000)


def test_a_bad_index_loses_no_record_silently() -> None:
    """aws-kinesis-agg yields five of ten here, prints, and drops the rest."""
    records = [b"\x1a\x05\x08" + bytes([9 if number == 5 else 0]) + b"\x1a\x01x" for number in range(10)]
    error = refuse(b"\x0a\x01a" + b"".join(records))
    assert (error.reason, error.field) == ("aggregate-index", "records[5].partition_key_index")
    assert str(error) == "the aggregate is corrupt: records[5].partition_key_index is 9, in a table of 1"


def test_a_record_without_an_explicit_hash_key_has_none() -> None:
    """aws-kinesis-agg gives it the first of the table, here 111."""
    found = open_message(b"\x0a\x01a\x12\x03111" + b"\x1a\x06\x08\x00\x10\x00\x1a\x00" + b"\x1a\x04\x08\x00\x1a\x00")
    assert [record[2] for record in found] == ["111", None]


def test_data_is_all_that_is_needed() -> None:
    """aws-kinesis-agg fails with a KeyError where the Kinesis record has no partition key, as on AUTO streams."""
    parameters = inspect.signature(kpl.open_aggregate).parameters
    assert [name for name, each in parameters.items() if each.default is each.empty] == ["data"]


def test_the_import_is_cheap_and_changes_nothing() -> None:
    """aws-kinesis-agg puts itself in front of sys.path; its messages cannot be imported before it has."""
    script = (
        "import bisect, collections.abc, functools, hashlib, itertools, re, typing; import sluiceway.errors; "
        "path, loaded = list(sys.path), set(sys.modules); "
        "import sluiceway.codec.kpl; assert sys.path == path; print(*sorted(set(sys.modules) - loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(LAYER)!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = ["", ".kpl", *(f".kpl.{name}" for name in ("aggregate", "aggregator", "fields", "message", "shards"))]
    assert done.stdout.split() == [f"sluiceway.codec{name}" for name in names]


BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_of_the_page_run(number: int) -> None:
    """As they stand, with what they claim."""
    exec(compile(BLOCKS[number], f"{PAGE.name}:{number}", "exec"), {})


def test_the_page_shows_how_a_wrong_shard_is_settled() -> None:
    """Records of an entry that no longer belongs together are added again, for the shards that there are now."""
    names: dict[str, Any] = {}
    exec(compile(next(block for block in BLOCKS if "def settle" in block), PAGE.name, "exec"), names)
    aggregator = kpl.Aggregator({"shard": WHOLE})
    for explicit in ("0", str(2**127)):
        aggregator.add("key", explicit.encode(), explicit)
    (entry,) = aggregator.flush()
    low, high = kpl.HashRange(0, 2**127 - 1), kpl.HashRange(2**127, 2**128 - 1)
    aggregator.replace_shards({"low": low, "high": high})
    assert names["settle"](aggregator, entry, WHOLE) == []
    assert len(aggregator) == 0
    assert names["settle"](aggregator, entry, low) == []
    assert [(each.shard_id, each.data) for each in aggregator.flush()] == [
        ("low", b"0"),
        ("high", str(2**127).encode()),
    ]


def test_records_have_ids_in_the_order_of_reading() -> None:
    """Sequence numbers are numbers, not texts; a record that was not aggregated is its own first."""
    texts = ["9.1", "9.10", "10", "10.1", "49570502000777654984918921872299215055880073276903391234.0"]
    ids = [kpl.RecordId.parse(text) for text in texts]
    assert sorted({*ids}) == ids
    assert [kpl.RecordId.parse(str(record_id)) for record_id in ids] == ids
    assert kpl.RecordId.parse("10") == kpl.RecordId(10, 0) == kpl.RecordId.parse("10.0")


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".1", "01", "1.01", "-1", "1.-1", "1.2.3", "x", " 1", "1\n", "9" * 130, "٣"]
)
def test_other_texts_name_no_record(text: str) -> None:
    """Only what `str` makes, or a sequence number of Kinesis."""
    with pytest.raises(Rejected) as caught:
        kpl.RecordId.parse(text)
    assert (caught.value.reason, caught.value.field) == ("invalid-record-id", "record_id")


def test_an_aggregate_knows_which_records_are_of_another_shard() -> None:
    """By explicit hash key, else by the key's MD5; what is no hash key belongs to no shard."""
    data = aggregate([("a", b"", None), ("a", b"", "0"), ("a", b"", str(2**128 - 1)), ("a", b"", None)])
    opened = kpl.open_aggregate(data)
    assert opened is not None
    md5_of_a = 0x0CC175B9C0F1B6A831C399E269772661
    assert opened.outside(WHOLE) == ()
    assert opened.outside(kpl.HashRange(md5_of_a, md5_of_a)) == (1, 2)
    assert opened.outside(kpl.HashRange(0, 0)) == (0, 2, 3)
    assert opened.outside(kpl.HashRange(1, md5_of_a - 1)) == (0, 1, 2, 3)
    undefined = kpl.open_aggregate(seal(GOOD.replace(b"\x12\x017", b"\x12\x09undefined")))
    assert undefined is not None
    assert undefined.outside(WHOLE) == (1,)
