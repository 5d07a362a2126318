"""codec.kpl: shards that are predicted, and aggregates made for them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import kpl
from sluiceway.errors import Rejected

TOP = 2**128 - 1
HALF = 2**127
WHOLE = {"shardId-000000000000": kpl.HashRange(0, TOP)}
HALVES = {"shardId-000000000002": kpl.HashRange(HALF, TOP), "shardId-000000000001": kpl.HashRange(0, HALF - 1)}
LOW, HIGH = "shardId-000000000001", "shardId-000000000002"
Record = tuple[str, bytes, str | None]
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
HASH_KEYS = st.none() | st.integers(0, TOP).map(str)
RECORDS = st.lists(st.tuples(KEYS, st.binary(max_size=60), HASH_KEYS), max_size=40)
CUTS = st.sets(st.integers(1, TOP), max_size=5)


def cut(cuts: set[int], first: int) -> dict[str, kpl.HashRange]:
    """The hash space in parts, one more than `cuts`; ids count from `first`."""
    starts = [0, *sorted(cuts)]
    ends = [*(start - 1 for start in starts[1:]), TOP]
    ranges = zip(starts, ends, strict=True)
    return {f"shardId-{first + number:012d}": kpl.HashRange(*each) for number, each in enumerate(ranges)}


def read(entry: kpl.PutEntry) -> list[Record]:
    """What is in an entry, alone or together."""
    opened = kpl.open_aggregate(entry.data)
    if opened is None:
        return [(entry.partition_key, entry.data, entry.explicit_hash_key)]
    return [record[:3] for record in opened.records]


def place(record: Record) -> int:
    """Where a record hashes to, by the documentation: the explicit hash key, else the key's MD5, big-endian."""
    return int(record[2]) if record[2] is not None else int(md5(record[0].encode()).hexdigest(), 16)


def check(entries: list[kpl.PutEntry], shards: Mapping[str, kpl.HashRange], max_bytes: int) -> None:
    """Each entry lands on its shard, with all that is in it; sizes and counts are true."""
    for entry in entries:
        first, last = shards[entry.shard_id]
        outer = place((entry.partition_key, b"", entry.explicit_hash_key))
        records = read(entry)
        assert all(first <= each <= last for each in [outer, *map(place, records)])
        assert len(entry.data) + len(entry.partition_key.encode()) == entry.size_bytes <= max_bytes
        assert entry.record_count == len(records)
        opened = kpl.open_aggregate(entry.data)
        assert opened is None or (entry.record_count > 1 and opened.outside(shards[entry.shard_id]) == ())


@given(records=RECORDS, cuts=CUTS, max_bytes=st.integers(230, 600), max_records=st.integers(1, 9))
def test_every_record_goes_to_its_shard_in_order(
    records: list[Record], cuts: set[int], max_bytes: int, max_records: int
) -> None:
    """The Kinesis Client Library would drop none; within a shard nothing overtakes, nothing is lost or doubled."""
    shards = cut(cuts, 0)
    aggregator = kpl.Aggregator(shards, max_bytes=max_bytes, max_records=max_records)
    made = [entry for entry in [aggregator.add(*record) for record in records] if entry is not None]
    waiting = len(aggregator)
    made += aggregator.flush()
    check(made, shards, max_bytes)
    assert max([entry.record_count for entry in made], default=0) <= max_records
    assert (len(aggregator), aggregator.flush()) == (0, ())
    assert waiting <= len(records) == sum(entry.record_count for entry in made)
    for shard_id, (first, last) in shards.items():
        sent = [record for entry in made if entry.shard_id == shard_id for record in read(entry)]
        assert sent == [record for record in records if first <= place(record) <= last]
        assert {aggregator.predict_shard(record[0], record[2]) for record in sent} <= {shard_id}


@given(records=RECORDS, later=RECORDS, before=CUTS, after=CUTS)
def test_another_map_of_shards_loses_nothing(
    records: list[Record], later: list[Record], before: set[int], after: set[int]
) -> None:
    """What is waiting at a split or merge goes to the shards that there are now, in order for every partition key."""
    old, new = cut(before, 0), cut(after, 100)
    aggregator = kpl.Aggregator(old, max_bytes=300)
    early = [entry for record in records if (entry := aggregator.add(*record)) is not None]
    late = list(aggregator.replace_shards(new))
    late += [entry for record in later if (entry := aggregator.add(*record)) is not None]
    late += aggregator.flush()
    check(early, old, 300)
    check(late, new, 300)
    sent = [record for entry in [*early, *late] for record in read(entry)]
    assert sorted(sent, key=str) == sorted([*records, *later], key=str)
    for key in {(record[0], record[2]) for record in sent}:
        assert [each for each in sent if (each[0], each[2]) == key] == [
            each for each in [*records, *later] if (each[0], each[2]) == key
        ]


def test_a_split_parts_what_was_waiting_together() -> None:
    """Of one aggregate two are made; the Kinesis Client Library would have dropped it on either child."""
    aggregator = kpl.Aggregator(WHOLE)
    for number, explicit in enumerate(["1", str(TOP), "2", str(HALF)]):
        assert aggregator.add("key", bytes([number]), explicit) is None
    assert aggregator.replace_shards(HALVES) == ()
    assert [(entry.shard_id, [row[1] for row in read(entry)]) for entry in aggregator.flush()] == [
        (LOW, [b"\0", b"\2"]),
        (HIGH, [b"\1", b"\3"]),
    ]


def test_a_map_that_is_refused_changes_nothing() -> None:
    """What was waiting is waiting still."""
    aggregator = kpl.Aggregator(WHOLE)
    aggregator.add("key", b"data")
    with pytest.raises(ValueError, match="gap"):
        aggregator.replace_shards({"shardId-000000000003": kpl.HashRange(1, TOP)})
    assert [entry.shard_id for entry in aggregator.flush()] == list(WHOLE)


@pytest.mark.parametrize("explicit", [None, "17"])
def test_a_record_alone_goes_as_it_is(explicit: str | None) -> None:
    """With its own partition key and explicit hash key, as the Kinesis Producer Library sends it."""
    aggregator = kpl.Aggregator(WHOLE)
    assert aggregator.add("key", b"data", explicit) is None
    assert aggregator.flush() == (kpl.PutEntry("key", b"data", explicit, "shardId-000000000000", 1),)


def test_an_aggregate_is_addressed_by_its_first_records_hash() -> None:
    """Partition key `a`, explicit hash key in decimals: as the Kinesis Producer Library does."""
    aggregator = kpl.Aggregator(WHOLE)
    aggregator.add("device", b"1")
    aggregator.add("other", b"2", "5")
    (entry,) = aggregator.flush()
    assert entry[:1] + entry[2:] == ("a", str(int(md5(b"device").hexdigest(), 16)), "shardId-000000000000", 2)


@pytest.mark.parametrize("keys", [["k"], ["k", "other", "straße"], [f"key {number}" for number in range(400)]])
@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 300])
def test_the_size_is_exact(keys: list[str], hashed: bool, size: int) -> None:
    """With so much room all of them fit; with one byte less the last does not."""
    records = [(keys[at % len(keys)], b"x" * size, str(at) if hashed else None) for at in range(500)]

    def pack(max_bytes: int) -> list[kpl.PutEntry]:
        aggregator = kpl.Aggregator(WHOLE, max_bytes=max_bytes)
        return [*filter(None, [aggregator.add(*record) for record in records]), *aggregator.flush()]

    (entry,) = pack(10 * 1024 * 1024)
    assert [each.record_count for each in pack(entry.size_bytes)] == [500]
    assert [each.record_count for each in pack(entry.size_bytes - 1)] == [499, 1]


def test_a_large_record_goes_alone_and_in_its_place() -> None:
    """It fits as it is and not as part of an aggregate: what was waiting goes first, what comes later after it."""
    aggregator = kpl.Aggregator(WHOLE, max_bytes=200)
    large = b"x" * 197
    entries = [aggregator.add("key", data) for data in (b"1", b"2", large, b"3", b"4")]
    entries += aggregator.flush()
    assert [[row[1] for row in read(entry)] for entry in entries if entry] == [[b"1", b"2"], [large], [b"3", b"4"]]
    assert entries[3] == kpl.PutEntry("key", large, None, "shardId-000000000000", 1)


def test_what_is_flushed_comes_by_range() -> None:
    """Whatever came first, and in whatever order the shards were named."""
    aggregator = kpl.Aggregator(HALVES)
    aggregator.add("key", b"1", str(TOP))
    aggregator.add("key", b"2", "0")
    assert [entry.shard_id for entry in aggregator.flush()] == [LOW, HIGH]


def test_a_full_aggregate_is_finished_at_once() -> None:
    """With `max_records` nothing waits for one record more."""
    aggregator = kpl.Aggregator(WHOLE, max_records=3)
    made = [aggregator.add("key", bytes([number])) for number in range(7)]
    assert [entry.record_count if entry else None for entry in made] == [None, None, 3, None, None, 3, None]
    assert len(aggregator) == 1
    single = kpl.Aggregator(WHOLE, max_records=1)
    assert [single.add("key", b"1"), len(single)] == [kpl.PutEntry("key", b"1", None, "shardId-000000000000", 1), 0]


@pytest.mark.parametrize(
    ("record", "reason", "field"),
    [
        (("", b"", None), "invalid-partition-key", "partition_key"),
        (("k" * 257, b"", None), "invalid-partition-key", "partition_key"),
        (("\ud800", b"", None), "invalid-partition-key", "partition_key"),
        (("\ud800", b"", "1"), "invalid-partition-key", "partition_key"),
        (("k", b"", ""), "invalid-explicit-hash-key", "explicit_hash_key"),
        (("k", b"", "undefined"), "invalid-explicit-hash-key", "explicit_hash_key"),
        (("k", b"", str(2**128)), "invalid-explicit-hash-key", "explicit_hash_key"),
        (("k", b"secret" * 34, None), "record-too-large", "data"),
        (("ß", b"x" * 199, None), "record-too-large", "data"),
    ],
)
def test_what_kinesis_would_refuse_is_refused_here(record: Record, reason: str, field: str) -> None:
    """Before anything is changed, and without a word of the data."""
    aggregator = kpl.Aggregator(WHOLE, max_bytes=200)
    aggregator.add("key", b"1")
    with pytest.raises(Rejected) as caught:
        aggregator.add(*record)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert "secret" not in str(caught.value)
    assert [read(entry) for entry in aggregator.flush()] == [[("key", b"1", None)]]


def test_the_largest_keys_and_data_are_taken() -> None:
    """256 characters, however many bytes; data that fills the record to the last byte; nothing at all."""
    aggregator = kpl.Aggregator(WHOLE)
    assert aggregator.add("ß" * 256, b"") is None
    (entry,) = aggregator.flush()
    assert entry.size_bytes == 512
    assert aggregator.add("k", b"x" * (1024 * 1024 - 1)) is None
    assert aggregator.flush()[0].size_bytes == 1024 * 1024


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_bytes": 10 * 1024 * 1024 + 1}, {"max_records": 0}])
def test_limits_out_of_range_are_refused(limits: dict[str, int]) -> None:
    """No stream takes more than 10 MiB in a record."""
    with pytest.raises(ValueError, match="max_bytes is 1 to 10485760"):
        kpl.Aggregator(WHOLE, **limits)


@pytest.mark.parametrize(
    ("key", "explicit", "expected"),
    [
        ("a", None, 0x0CC175B9C0F1B6A831C399E269772661),
        ("", None, 0xD41D8CD98F00B204E9800998ECF8427E),
        ("ü", None, 0xC03410A5204B21CD8229FF754688D743),
        ("a", "0", 0),
        ("a", str(TOP), TOP),
    ],
)
def test_hash_keys_are_md5_or_explicit(key: str, explicit: str | None, expected: int) -> None:
    """The digest as one big-endian number; an explicit hash key counts instead."""
    assert kpl.hash_key(key, explicit) == expected


@pytest.mark.parametrize(
    "explicit", ["", "01", "-1", "+1", "1.0", " 1", "1\n", "0x1", "٣", str(2**128), "9" * 39, "1" * 40]
)
def test_other_explicit_hash_keys_are_refused(explicit: str) -> None:
    """The API's pattern, and no more than 128 bits."""
    with pytest.raises(Rejected) as caught:
        kpl.hash_key("a", explicit)
    assert caught.value.reason == "invalid-explicit-hash-key"
    with pytest.raises(Rejected):
        kpl.HashRange.parse("0", explicit)


def test_both_ends_of_a_range_are_in_it() -> None:
    """Shards as ListShards names them, in any order."""
    shards = kpl.ShardMap(HALVES)
    assert list(shards.ranges) == [LOW, HIGH]
    assert [shards.find(key) for key in (0, HALF - 1, HALF, TOP)] == [LOW, LOW, HIGH, HIGH]
    assert shards.predict_shard("a") == LOW
    assert shards.predict_shard("a", str(TOP)) == HIGH
    assert kpl.HashRange.parse("0", "340282366920938463463374607431768211455") == kpl.HashRange(0, TOP)


@pytest.mark.parametrize(
    "shards",
    [
        {},
        {"a": kpl.HashRange(0, TOP - 1)},
        {"a": kpl.HashRange(1, TOP)},
        {"a": kpl.HashRange(0, HALF), "b": kpl.HashRange(HALF, TOP)},
        {"a": kpl.HashRange(0, HALF - 2), "b": kpl.HashRange(HALF, TOP)},
        {"closed": kpl.HashRange(0, TOP), **HALVES},
        {"a": kpl.HashRange(0, -1), "b": kpl.HashRange(0, TOP)},
        {"a": kpl.HashRange(0, TOP), "b": kpl.HashRange(TOP + 1, TOP + 1)},
    ],
    ids=["none", "short", "late", "overlap", "gap", "closed-parent", "empty", "beyond"],
)
def test_shards_make_up_the_hash_space(shards: dict[str, kpl.HashRange]) -> None:
    """Every key has one shard; a parent that a split has closed would take its children's."""
    with pytest.raises(ValueError, match=r"range"):
        kpl.ShardMap(shards)
