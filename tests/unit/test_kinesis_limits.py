"""The meters of a shard and of control calls, told the time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.kinesis.limits import (
    MAX_ANSWER_BYTES,
    MIB,
    CallMeter,
    ReadMeter,
    WriteMeter,
    shard_quota,
)


def test_five_calls_fit_any_second() -> None:
    """The sixth is told when the first is a second old, and that is enough."""
    meter = CallMeter(5)
    assert [meter.take(10 + tenth / 10) for tenth in range(5)] == [0.0] * 5
    wait_s = meter.take(10.5)
    assert round(wait_s, 6) == 0.5
    assert meter.take(10.5 + wait_s) == 0.0


def test_reads_wait_for_what_the_last_second_took() -> None:
    """Below 2 MiB in a second another call is allowed, at 2 MiB it is not."""
    meter = ReadMeter()
    assert meter.take(0.0) == 0.0
    meter.note(0.0, 2 * MIB - 1, full=False)
    assert meter.take(0.1) == 0.0
    meter.note(0.1, 1, full=False)
    assert round(meter.take(0.2), 6) == 0.8
    assert meter.take(1.0) == 0.0


def test_a_full_answer_closes_the_shard_for_five_seconds() -> None:
    """GetRecords: after 10 MiB, calls within the next five seconds throw."""
    meter = ReadMeter()
    meter.take(0.0)
    meter.note(0.0, MAX_ANSWER_BYTES - 10, full=True)
    assert [round(meter.take(at), 6) for at in (0.1, 4.9, 5.0)] == [4.9, 0.1, 0.0]


def test_a_larger_answer_is_paid_off_at_two_mebibytes_a_second() -> None:
    """6 MiB, not cut: three seconds."""
    meter = ReadMeter()
    meter.take(0.0)
    meter.note(0.0, 6 * MIB, full=False)
    assert [round(meter.take(at), 6) for at in (1.0, 3.0)] == [2.0, 0.0]


def test_a_shard_takes_a_thousand_records_a_second() -> None:
    """The next one waits a thousandth of a second."""
    meter = WriteMeter()
    assert {meter.take(1.0, 10) for _ in range(1_000)} == {0.0}
    wait_s = meter.take(1.0, 10)
    assert round(wait_s, 6) == 0.001
    assert meter.take(1.0 + wait_s, 10) == 0.0


def test_a_shard_takes_a_mebibyte_a_second() -> None:
    """What was left over of the last second may be used, not more."""
    meter = WriteMeter()
    assert meter.take(1.0, MIB // 2) == 0.0
    assert meter.take(1.0, MIB // 2) == 0.0
    assert round(meter.take(1.0, MIB // 2), 6) == 0.5
    assert meter.take(1.5, MIB // 2) == 0.0
    assert meter.take(9.0, MIB) == 0.0
    assert meter.take(9.0, 1) > 0


def test_a_large_record_is_paid_off_by_those_after_it() -> None:
    """10 MiB go in where the second's share is there, and then nothing for ten seconds' worth of bytes."""
    meter = WriteMeter()
    assert meter.take(1.0, 10 * MIB) == 0.0
    assert round(meter.take(1.0, 1), 3) == 9.0
    assert meter.take(10.1, 1) == 0.0


@given(st.lists(st.tuples(st.floats(0, 0.4), st.integers(1, MIB)), min_size=1, max_size=60))
def test_no_second_takes_more_than_its_share_and_one_seconds_savings(steps: list[tuple[float, int]]) -> None:
    """In any run, what was allowed is at most a mebibyte a second and one to begin with."""
    meter, at, taken = WriteMeter(), 1.0, 0
    for pause_s, size in steps:
        at += pause_s
        wait_s = meter.take(at, size)
        if not wait_s:
            taken += size
        assert taken <= MIB * (at - 1.0 + 1.0) + 10


def test_quotas_by_region() -> None:
    """Three Regions have 20,000 shards, the others 1,000."""
    assert [shard_quota(region) for region in ("us-east-1", "eu-west-1", "eu-central-1")] == [20_000, 20_000, 1_000]
