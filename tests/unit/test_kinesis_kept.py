"""What a shard keeps: the same records as a list would, in a memory that does not grow with them."""

from __future__ import annotations

import tracemalloc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services import kept
from localcloud.services.kept import BLOCK_BYTES, BLOCK_RECORDS
from localcloud.services.kinesis.kept import Content, Kept, Record

ALL = 1 << 30


def record(number: int, arrived_s: float, size: int = 10) -> Record:
    return Record(number * 10, arrived_s, Content("x" * size, f"key-{number}", size), encrypted=number % 2 == 0)


def read_all(records: Kept) -> list[Record]:
    return records.read(0, most=ALL, max_bytes=ALL)[0]


def read_plain(records: list[Record], position: int, *, most: int, max_bytes: int) -> tuple[list[Record], int, bool]:
    taken: list[Record] = []
    size = 0
    for each in [each for each in records if each.sequence >= position][:most]:
        if taken and size + each.content.size_bytes > max_bytes:
            return taken, size, True
        size += each.content.size_bytes
        taken.append(each)
    return taken, size, False


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 5_000)),
        st.tuples(st.just("trim"), st.floats(0, 1.05)),
        st.tuples(st.just("read"), st.floats(0, 1.1), st.integers(1, 3_000), st.integers(1, 40_000)),
        st.tuples(st.just("find"), st.floats(0, 1.1)),
    ),
    min_size=3,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9_000), STEPS)
def test_it_is_a_list_of_records(first: int, steps: list[tuple[Any, ...]]) -> None:
    """Whatever is put, trimmed and asked for in whatever order, wherever the records lie."""
    ours, plain, number, forgotten = Kept(), list[Record](), 0, None
    for name, *values in [("put", first), *steps]:
        if name == "put":
            for _ in range(values[0]):
                number += 1
                plain.append(record(number, float(number // 7)))
                ours.append(plain[-1])
        elif name == "trim":
            horizon_s = values[0] * number / 7
            ours.trim(horizon_s)
            forgotten = max((each.sequence for each in plain if each.arrived_s < horizon_s), default=forgotten)
            plain = [each for each in plain if each.arrived_s >= horizon_s]
        elif name == "read":
            position = int(values[0] * number * 10)
            asked = {"most": values[1], "max_bytes": values[2]}
            assert ours.read(position, **asked) == read_plain(plain, position, **asked)
        else:
            wanted_s = values[0] * number / 7
            assert ours.find_arrival(wanted_s) == next((each for each in plain if each.arrived_s >= wanted_s), None)
        assert (len(ours), ours.forgotten) == (len(plain), forgotten)
        assert ours.last == (plain[-1] if plain else None)
    assert read_all(ours) == plain


@pytest.mark.parametrize(("count", "size"), [(40_000, 600), (120, 700_000)])
def test_memory_is_flat(count: int, size: int) -> None:
    """Of small records as of large ones, what is in memory is two blocks and the marks of the others."""
    records = Kept()
    tracemalloc.start()
    try:
        for number in range(count):
            records.append(record(number, 0.0, size))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * BLOCK_BYTES + 2 * 700_000
    assert held < count * size / 4
    assert [each.sequence for each in read_all(records)] == [number * 10 for number in range(count)]


def test_who_reads_at_the_tip_reads_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest block's worth of records is in memory."""
    records = Kept()
    for number in range(10 * BLOCK_RECORDS):
        records.append(record(number, 0.0))
    reads: list[int] = []
    monkeypatch.setattr(kept._File, "read", lambda _file, begins, _size: reads.append(begins))
    tip = (9 * BLOCK_RECORDS + 1) * 10
    assert len(records.read(tip, most=ALL, max_bytes=ALL)[0]) == BLOCK_RECORDS - 1
    assert reads == []


def test_a_full_disk_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records stay in memory while they cannot be written, and are written once they can be."""
    records, put = Kept(), [record(number, 0.0) for number in range(12 * BLOCK_RECORDS)]
    with monkeypatch.context() as patched:

        def refuse(*_: object) -> int:
            raise OSError(28, "No space left on device")

        patched.setattr(kept._File, "write", refuse)
        for each in put[: 5 * BLOCK_RECORDS]:
            records.append(each)
        assert len(records._tail) == 5 * BLOCK_RECORDS
        assert read_all(records) == put[: 5 * BLOCK_RECORDS]
    for each in put[5 * BLOCK_RECORDS :]:
        records.append(each)
    assert len(records._tail) <= 2 * BLOCK_RECORDS
    assert read_all(records) == put


def test_a_file_goes_with_its_last_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disk is given back as records expire, and all of it when the stream is gone."""
    monkeypatch.setattr(kept, "FILE_BYTES", 100_000)
    records = Kept()
    for number in range(20 * BLOCK_RECORDS):
        records.append(record(number, float(number)))
    files = [weakref.ref(file) for file in dict.fromkeys(block.file for block in records._blocks)]
    handles = [file()._file for file in files]
    assert len(files) > 5
    records.trim(10 * BLOCK_RECORDS)
    assert records.forgotten == (10 * BLOCK_RECORDS - 1) * 10
    gone = [file() is None for file in files]
    assert gone == sorted(gone, reverse=True)
    assert 0 < sum(gone) < len(gone)
    assert [handle.closed for handle in handles] == gone
    assert len(records) == 10 * BLOCK_RECORDS
    del records
    assert all(handle.closed for handle in handles)
