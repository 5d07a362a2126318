"""The producer over a stream in memory, on virtual time: order by key, at least once, back-pressure, reshards."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Misconfigured, Rejected, ServiceRefused
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.producer import Producer
from sluiceway.flows.publish.records import NotPut, Receipt
from sluiceway.flows.publish.shards import HEAT_RECORDS, Outlet
from sluiceway.ports.producing import OpenShard
from sluiceway.steps.metrics import _gathered
from tests.producing_world import LAST, MemoryStream, has_strangers, make_producer

SEEDS = range(25)
MIB = 1024 * 1024
BOTH = pytest.mark.parametrize("aggregate", [False, True])


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene on virtual time."""

    async def run() -> None:
        await scene()

    run_virtual(run)


def now() -> float:
    return asyncio.get_running_loop().time()


def orders_of(stream: MemoryStream) -> dict[str, list[int]]:
    """The numbers that each key has in the stream, by sequence and subsequence number over all shards."""
    found: dict[str, list[int]] = {}
    for _, sequence, record in sorted(stream.stored(), key=lambda each: (each[1], each[2].sub or 0)):
        found.setdefault(record.key, []).append(int(record.data))
        assert sequence
    return found


def first_times(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


# ---------------------------------------------------------------- order, and nothing lost


@BOTH
@pytest.mark.parametrize("seed", SEEDS)
def test_order_by_key_is_kept_through_partial_failures(seed: int, aggregate: bool) -> None:
    """A third of the entries is declined, calls end in any order: each key's records are once there, in order."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(seed), shards=3)
        stream.decline, stream.latency_s = 0.33, 0.05
        async with make_producer(stream, aggregate=aggregate, give_up_s=600, linger_s=0.01) as producer:
            futures = []
            for number in range(300):
                futures.append(await producer.submit(f"k{stream.rng.randrange(9)}", b"%d" % number))
                if stream.rng.random() < 0.1:
                    await asyncio.sleep(stream.rng.random() * 0.1)
        found = orders_of(stream)
        assert sorted(number for numbers in found.values() for number in numbers) == list(range(300))
        assert all(numbers == sorted(numbers) for numbers in found.values())
        receipts = [future.result() for future in futures]
        places = {(r.shard_id, r.sequence_number, r.sub_sequence): at for at, r in enumerate(receipts)}
        told = {(shard, str(sequence), each.sub): int(each.data) for shard, sequence, each in stream.stored()}
        assert places == told

    play(scene)


@BOTH
@pytest.mark.parametrize("seed", SEEDS)
def test_lost_answers_repeat_records_and_lose_none(seed: int, aggregate: bool) -> None:
    """Where answers are lost, records come again, never out of order the first time, and none is missing."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(seed), shards=2)
        stream.decline, stream.latency_s, stream.lose, stream.break_off = 0.2, 0.05, 0.1, 0.1
        async with make_producer(stream, aggregate=aggregate, give_up_s=600) as producer:
            for number in range(200):
                await producer.submit(f"k{number % 7}", b"%d" % number)
        found = orders_of(stream)
        for at in range(7):
            assert first_times(found[f"k{at}"]) == list(range(at, 200, 7))

    play(scene)


@BOTH
@pytest.mark.parametrize("seed", SEEDS)
def test_splits_and_merges_lose_nothing_for_a_kcl_reader(seed: int, aggregate: bool) -> None:
    """Shards split and merge all the time: whoever drops aggregates with strangers reads everything all the same."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(seed), shards=2)
        stream.decline, stream.latency_s, stream.lose = 0.1, 0.05, 0.05
        async with make_producer(stream, aggregate=aggregate, give_up_s=600, linger_s=0.01) as producer:
            for number in range(300):
                key, explicit = f"k{number % 11}", None
                if number % 11 == 3:
                    explicit = str(stream.rng.randint(0, LAST))
                await producer.submit(key, b"%d" % number, explicit)
                if stream.rng.random() < 0.15:
                    await asyncio.sleep(stream.rng.random() * 0.2)
                if stream.rng.random() < 0.05:
                    reshard(stream)
        assert {int(each.data) for each in stream.read_as_kcl()} == set(range(300))
        for key, numbers in orders_of(stream).items():
            if key != "k3":  # its records go to the shards that they say, and there is no order between shards
                assert first_times(numbers) == sorted(set(numbers)), key

    play(scene)


def reshard(stream: MemoryStream) -> None:
    """A split, or a merge of neighbours."""
    found = sorted(stream.truth(), key=lambda each: each.first)
    if len(found) > 1 and stream.rng.random() < 0.5:
        one, other = stream.rng.choice(list(pairwise(found)))
        stream.merge(one.shard_id, other.shard_id)
    else:
        stream.split(stream.rng.choice(found).shard_id)


def test_an_aggregate_of_a_split_shard_is_put_again() -> None:
    """Right after a split the first aggregate lands in a child with strangers in it; its records come again, apart."""

    async def scene() -> None:
        stream = MemoryStream()
        outlet = Outlet(stream)
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        async with make_producer(stream, aggregate=True, outlet=outlet) as producer:
            children = stream.split("shardId-000000000000")
            futures = [await producer.submit(f"k{number}", b"%d" % number) for number in range(20)]
            await producer.flush()
            assert {future.result().shard_id for future in futures} == set(children)
            again = [await producer.submit(f"k{number}", b"%d" % number) for number in range(20)]
        _gathered.reset(token)
        entries = [(shard, entry) for shard in stream.shards.values() for entry in shard.records.values()]
        assert [has_strangers(entry, shard.hash_range) for shard, entry in entries].count(True) == 1
        assert {int(each.data) for each in stream.read_as_kcl()} == set(range(20))
        assert (stream.listings, len(stream.calls)) == (2, 3)
        assert {future.result().sub_sequence is not None for future in again} == {True}
        assert gathered == [("RecordsPutAgain", 20, "Count")]

    play(scene)


def test_a_record_on_its_own_tells_of_a_split_too() -> None:
    """It is where it belongs, and the shards are listed: what is packed next has no stranger."""

    async def scene() -> None:
        stream = MemoryStream()
        async with make_producer(stream, aggregate=True, linger_s=0.01) as producer:
            stream.split("shardId-000000000000")
            await producer.put("k0", b"0")
            await asyncio.sleep(0.01)
            for number in range(1, 20):
                await producer.submit(f"k{number}", b"%d" % number)
        assert sorted(int(each.data) for each in stream.read_as_kcl()) == list(range(20))
        assert (stream.listings, len(stream.stored())) == (2, 20)

    play(scene)


def test_an_aggregate_of_a_merged_shard_is_where_it_belongs() -> None:
    """The child takes all that its parents took: nothing is put again, and the map is new."""

    async def scene() -> None:
        stream = MemoryStream(shards=2)
        async with make_producer(stream, aggregate=True) as producer:
            child = stream.merge("shardId-000000000000", "shardId-000000000001")
            futures = [await producer.submit(f"k{number}", b"%d" % number) for number in range(20)]
            await producer.flush()
            await producer.put("k", b"21")
        assert {future.result().shard_id for future in futures} == {child}
        assert len(stream.stored()) == 21
        assert stream.listings == 2

    play(scene)


@pytest.mark.parametrize("hole", [True, False])
def test_without_a_true_map_records_go_on_their_own(hole: bool) -> None:
    """While ListShards tells what is not true, in the middle of a split, nothing is packed and nothing lost."""

    async def scene() -> None:
        stream = MemoryStream(shards=2)
        async with make_producer(stream, aggregate=True) as producer:
            stale = stream.truth()
            stream.split("shardId-000000000000")
            stream.stale = stale[1:] if hole else stale
            for number in range(50):
                await producer.submit(f"k{number}", b"%d" % number)
            await producer.flush()
            for number in range(50, 60):
                await producer.submit(f"k{number}", b"%d" % number)
            await producer.flush()
            alone = [entry for entry in stream.calls[-1] if entry.partition_key != "a"]
            assert len(alone) == 10
            stream.stale = None
            await asyncio.sleep(2)
            await producer.put("k", b"60")  # whose call lists the shards afterwards
            await asyncio.sleep(1)
            futures = [await producer.submit(f"k{number}", b"%d" % number) for number in range(61, 90)]
        assert {int(each.data) for each in stream.read_as_kcl()} == set(range(90))
        assert {future.result().sub_sequence is not None for future in futures} == {True}

    play(scene)


def test_no_listing_at_all_packs_nothing_and_goes_on() -> None:
    """ListShards is away: records go on their own. Where it may not be asked, the deployment is wrong at once."""

    async def scene() -> None:
        stream = MemoryStream()
        stream.listing = NotPut("away", perhaps_put=False, throttled=False)
        async with make_producer(stream, aggregate=True) as producer:
            assert (await producer.put("k", b"1")).sub_sequence is None
        stream.listing = Misconfigured("no", what="kinesis:ListShards")
        with pytest.raises(Misconfigured):
            await make_producer(stream, aggregate=True).__aenter__()
        async with make_producer(stream) as producer:
            assert await producer.put("k", b"1") == Receipt("shardId-000000000000", "102")

    play(scene)


# ---------------------------------------------------------------- calls


def test_records_of_a_turn_go_together_after_their_linger() -> None:
    """Five hundred keys are one call; one record waits for others as long as it was told."""

    async def scene() -> None:
        stream = MemoryStream()
        async with make_producer(stream, linger_s=0.25) as producer:
            for number in range(1100):
                await producer.submit(f"k{number}", b"x")
            await producer.flush()
            assert sorted(map(len, stream.calls)) == [100, 500, 500]
            began = now()
            await producer.put("k", b"x")
            assert now() - began == pytest.approx(0.25)
        async with make_producer(stream, linger_s=0) as producer:
            began = now()
            futures = [await producer.submit(f"k{number}", b"x") for number in range(20)]
            assert await futures[0]
            assert (now(), len(stream.calls)) == (began, 5)

    play(scene)


def test_a_call_has_ten_mebibytes() -> None:
    """Large records are spread over calls; one of ten mebibytes goes where the stream takes it."""

    async def scene() -> None:
        stream = MemoryStream()
        async with make_producer(stream, calls_at_once=1, linger_s=0.01) as producer:
            for number in range(25):
                await producer.submit(f"k{number}", b"x" * (MIB - 3))
        assert [len(call) for call in stream.calls] == [10, 10, 5]
        async with make_producer(stream, max_record_bytes=10 * MIB, aggregate=True) as producer:
            await producer.submit("k", b"x" * (10 * MIB - 1))
            await producer.submit("k", b"y")
        assert [[len(entry.data) for entry in call] for call in stream.calls[-2:]] == [[10 * MIB - 1], [1]]

    play(scene)


def test_what_did_not_fit_goes_by_another_call_at_once() -> None:
    """It has waited already, and does not wait for the first call's answer."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(1))
        stream.latency_s = 5.0
        async with make_producer(stream, linger_s=60) as producer:
            for number in range(11):
                await producer.submit(f"k{number}", b"x" * (MIB - 3))
            await asyncio.sleep(0.001)
            assert [len(call) for call in stream.calls] == [10, 1]

    play(scene)


def test_a_key_of_an_aggregate_that_is_full_waits_for_its_end() -> None:
    """More than one aggregate takes is put one after the other, in order; other keys go by another call meanwhile."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(1))
        stream.latency_s = 1.0
        async with make_producer(stream, aggregate=True, linger_s=0.01) as producer:
            for number in range(30):
                await producer.submit("hot", b"%d" % number + b" " * 100_000)
                await producer.submit("cold", b"%d" % number)
        found = orders_of(stream)
        assert found == {"hot": list(range(30)), "cold": list(range(30))}
        assert len(stream.calls) == 4
        assert max(len(entry.data) for call in stream.calls for entry in call) <= MIB

    play(scene)


def test_no_more_calls_are_under_way_than_may_be() -> None:
    """The rest waits for an answer."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(1))
        stream.latency_s = 0.5
        async with make_producer(stream, calls_at_once=3) as producer:
            for number in range(5_000):
                await producer.submit(f"k{number}", b"x")
        assert (stream.most_under_way, len(stream.calls)) == (3, 10)

    play(scene)


def test_put_waits_where_too_much_is_held() -> None:
    """Bytes under way are bounded; who came first goes first, and who is cancelled holds nothing."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(1))
        stream.latency_s = 1.0
        async with (
            make_producer(stream, max_bytes_held=10_000, linger_s=0.01) as producer,
            asyncio.TaskGroup() as tasks,
        ):
            waiting = [tasks.create_task(producer.put("k", b"%d" % at + b" " * 3_000)) for at in range(12)]
            await asyncio.sleep(0.005)
            assert producer._admission.held <= 10_000
            assert len(producer._open) == 2
            waiting[5].cancel()
            waiting[1].cancel()  # let in, and not under way: it is taken back
        assert producer._admission.held == 0
        assert orders_of(stream)["k"] == [0, 2, 3, 4, 6, 7, 8, 9, 10, 11]

    play(scene)


def test_a_record_larger_than_what_may_be_held_goes_alone() -> None:
    """It waits until nothing else is held, and then goes."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(1))
        async with make_producer(stream, max_bytes_held=1024) as producer:
            for number in range(3):
                await producer.submit("k", b"%d" % number + b" " * 5_000)
        assert orders_of(stream)["k"] == [0, 1, 2]

    play(scene)


# ---------------------------------------------------------------- failures


def test_what_is_declined_is_given_up_in_time() -> None:
    """Throttled to the end: NotPut says so, and that nothing is stored; its key is held back, another is not."""

    async def scene() -> None:
        stream = MemoryStream()
        stream.declined_keys = {"hot"}
        async with make_producer(stream, give_up_s=3, linger_s=0) as producer:
            first, second = await producer.submit("hot", b"1"), await producer.submit("hot", b"2")
            assert await producer.put("cold", b"3")
            assert now() < 0.01
            for future, throttled in ((first, True), (second, False)):  # the second was never sent
                with pytest.raises(NotPut) as caught:
                    await future
                assert (caught.value.perhaps_put, caught.value.throttled) == (False, throttled)
                last = "; the last call: ProvisionedThroughputExceededException" if throttled else ""
                assert str(caught.value) == f"the time is over{last}"
                assert caught.value.after_s is not None
            assert now() == pytest.approx(3.0)
            stream.declined_keys = set()
            assert await producer.put("hot", b"4")
        assert [int(each.data) for _, _, each in stream.stored()] == [3, 4]

    play(scene)


def test_pauses_between_attempts_grow() -> None:
    """0.1 s, then twice as long each time, up to five seconds."""

    async def scene() -> None:
        stream = MemoryStream()
        stream.declined_keys = {"hot"}
        times: list[float] = []
        put = stream.put

        async def note(*args: object, **more: object) -> object:
            times.append(now())
            return await put(*args, **more)

        stream.put = note
        async with make_producer(stream, give_up_s=20, linger_s=0) as producer:
            await producer.submit("hot", b"1")
        assert [round(b - a, 3) for a, b in pairwise(times)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]

    play(scene)


def test_a_stream_that_is_behind_is_asked_for_less() -> None:
    """Where most of a call is declined, the next one has half of its room; what goes well opens it again."""

    async def scene() -> None:
        stream = MemoryStream()
        stream.declined_keys = {f"k{number}" for number in range(500)}
        async with make_producer(stream, calls_at_once=1) as producer:
            for number in range(500):
                await producer.submit(f"k{number}", b"x")
            await asyncio.sleep(0.05)
            assert [len(call) for call in stream.calls] == [500]
            stream.declined_keys = set()
            await producer.flush()
        assert [len(call) for call in stream.calls[1:]] == [250, 250]

    play(scene)


def test_one_deadline_ends_everything() -> None:
    """Of the producer, whatever is under way then: an answer that never comes leaves a record perhaps stored."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(5))
        stream.latency_s = 1_000.0
        async with make_producer(stream, deadline=4.0, give_up_s=900, linger_s=0) as producer:
            with pytest.raises(NotPut) as caught:
                await producer.put("k", b"1")
            assert now() == pytest.approx(4.0)
            assert caught.value.perhaps_put
            with pytest.raises(NotPut) as caught:
                await producer.put("k", b"2")
            assert not caught.value.perhaps_put

    play(scene)


def test_a_call_that_hangs_is_tried_again() -> None:
    """After ten seconds its records go again, before all that came later."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(5))
        stream.latency_s = 1_000.0
        async with make_producer(stream, linger_s=0) as producer:
            await producer.submit("k", b"1")
            await asyncio.sleep(1)
            await producer.submit("k", b"2")
            stream.latency_s = 0.0
        assert now() == pytest.approx(10.2, abs=0.2)
        assert orders_of(stream)["k"] == [1, 2]

    play(scene)


def test_a_refused_entry_takes_no_other_with_it() -> None:
    """The call is tried in halves until the bad entry is alone; the others are stored."""

    async def scene() -> None:
        stream = MemoryStream()
        refused = ServiceRefused("no", service="kinesis", operation="PutRecords", code="ValidationException")
        stream.refused_keys = {"k77": refused, "k300": refused}
        async with make_producer(stream) as producer:
            futures = {f"k{at}": await producer.submit(f"k{at}", b"x") for at in range(400)}
            await producer.flush()
        assert {key for key, future in futures.items() if future.exception()} == {"k77", "k300"}
        with pytest.raises(Rejected):
            futures["k77"].result()
        assert len(stream.stored()) == 398
        stream.refusal = refused
        stream.calls.clear()
        async with make_producer(stream) as producer:
            futures = {f"k{at}": await producer.submit(f"k{at}", b"x") for at in range(500)}
            await producer.flush()
        assert all(future.exception() for future in futures.values())
        assert len(stream.calls) < 80

    play(scene)


def test_what_is_given_up_says_what_its_last_call_came_to() -> None:
    """Whoever reads the error learns why the time was not enough."""

    async def scene() -> None:
        stream = MemoryStream()
        stream.lose = 1.0
        async with make_producer(stream, give_up_s=3, linger_s=0) as producer:
            with pytest.raises(NotPut, match=r"^the time is over; the last call: lost$") as caught:
                await producer.put("k", b"1")
        assert caught.value.perhaps_put

    play(scene)


def test_a_wrong_deployment_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """No permission, no stream: every record of the call raises it; log and metrics tell it once."""

    async def scene() -> None:
        stream = MemoryStream()
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        stream.refusal = Misconfigured("no", what="kinesis:PutRecords")
        async with make_producer(stream, linger_s=0) as producer:
            futures = [await producer.submit(f"k{at}", b"x") for at in range(3)]
            await producer.flush()
            assert {str(future.exception()) for future in futures} == {"no"}
            assert now() < 0.01
            stream.refusal = None
            assert await producer.put("k0", b"x")
        _gathered.reset(token)
        assert gathered == [("Misconfigured", 1, "Count")]

    play(scene)
    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (line["message"], line["what"], line["error"]) == ("publish.call_refused", "kinesis:PutRecords", "no")


@pytest.mark.parametrize(
    ("key", "data", "explicit", "field"),
    [
        ("", b"x", None, "key"),
        ("k", b"", None, "data"),
        ("k", b"x" * MIB, None, "data"),
        ("k", b"x", "01", "explicit_hash_key"),
    ],
)
def test_what_no_stream_takes_is_refused_before_it_waits(
    key: str, data: bytes, explicit: str | None, field: str
) -> None:
    """By its field; nothing is held for it."""

    async def scene() -> None:
        stream = MemoryStream()
        async with make_producer(stream) as producer:
            with pytest.raises(Rejected) as caught:
                await producer.put(key, data, explicit)
            assert (caught.value.field, len(producer._open), producer._admission.held) == (field, 0, 0)
        assert stream.calls == []

    play(scene)


# ---------------------------------------------------------------- the end


def test_leaving_flushes_and_an_error_gives_up() -> None:
    """A clean end puts everything; an error ends at once, and tells who waits what is known."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(1))
        async with make_producer(stream, linger_s=60) as producer:
            future = await producer.submit("k", b"1")
        assert future.result()
        assert now() < 1
        stream.latency_s = 100.0
        futures: list[asyncio.Future[Receipt]] = []
        with pytest.raises(KeyError):  # noqa: PT012 - leaving is what is tested
            async with make_producer(stream, linger_s=0) as producer:
                futures.append(await producer.submit("k", b"2"))
                await asyncio.sleep(0.1)
                futures.append(await producer.submit("k", b"3"))
                raise KeyError
        assert now() < 2
        errors = [future.exception() for future in futures]
        assert [isinstance(error, NotPut) and error.perhaps_put for error in errors] == [True, False]
        with pytest.raises(RuntimeError):
            await producer.submit("k", b"4")

    play(scene)


def test_whoever_waits_is_told_when_the_producer_is_left_with_an_error() -> None:
    """Those under way, those who wait for room, and those who wait for a flush: nobody hangs."""

    async def scene() -> None:
        stream = MemoryStream(random.Random(1))
        stream.latency_s = 100.0
        async with asyncio.TaskGroup() as tasks:
            with pytest.raises(KeyError):  # noqa: PT012 - leaving is what is tested
                async with make_producer(stream, linger_s=0, max_bytes_held=1024) as producer:
                    puts = [tasks.create_task(failure_of(producer.put("k", b" " * 700))) for _ in range(3)]
                    flush = tasks.create_task(producer.flush())
                    await asyncio.sleep(0.1)
                    flush = tasks.create_task(producer.flush())
                    await asyncio.sleep(0.1)
                    raise KeyError
        assert now() < 1
        assert flush.done()
        errors = [put.result() for put in puts]
        assert [isinstance(error, NotPut) and error.perhaps_put for error in errors] == [True, False, False]

    play(scene)


async def failure_of(work: Awaitable[object]) -> Exception | None:
    try:
        await work
    except NotPut as error:
        return error
    return None


def test_what_is_cancelled_before_its_call_is_not_put() -> None:
    """Nobody waits for it any more; what is under way stays."""

    async def scene() -> None:
        stream = MemoryStream()
        async with make_producer(stream, linger_s=1) as producer:
            futures = [await producer.submit("k", b"%d" % at) for at in range(3)]
            futures[0].cancel()
        assert orders_of(stream)["k"] == [1, 2]

    play(scene)


def test_a_hot_key_is_told_by_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    """One line and one metric for ten thousand records; the key itself may be somebody's name."""

    async def scene() -> None:
        stream = MemoryStream()
        outlet = Outlet(stream, name="orders")
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        async with make_producer(stream, outlet=outlet, aggregate=True) as producer:
            for number in range(HEAT_RECORDS):
                await producer.submit("Ann" if number % 2 else f"k{number}", b"x")
        _gathered.reset(token)
        assert gathered == [("HottestKeyShare", 50.0, "Percent")]
        assert outlet.hot_keys.total == 0

    play(scene)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "hot_keys" in line)
    assert "Ann" not in line
    assert '"stream":"orders"' in line


def test_options_have_bounds() -> None:
    """Each is named."""
    for name, value in {"linger_s": -1, "give_up_s": 0, "max_record_bytes": 11 * MIB, "calls_at_once": 0}.items():
        with pytest.raises(ValueError, match=name):
            ProducerOptions(**{name: value})  # pyright: ignore[reportArgumentType]
    assert isinstance(Producer(Outlet(MemoryStream())), Producer)
    assert OpenShard("s", 0, LAST).last == LAST
