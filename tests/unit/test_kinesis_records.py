"""Records: where they go, how they are read, and the limits of both, second by second."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from localcloud.services.kinesis.limits import MIB
from localcloud.services.kinesis.shard import Content, Shard
from tests.unit.kinesis_setup import LAST_HASH, OPEN, REGION, Api, b64, datas, shard_id, with_api


async def split(api: Api, at: int) -> None:
    await api.call("SplitShard", StreamName="s", ShardToSplit=shard_id(0), NewStartingHashKey=str(at))
    await api.settle()


async def put_many(api: Api, records: list[tuple[bytes, str]], **more: Any) -> dict[str, Any]:
    entries = [{"Data": b64(data), "PartitionKey": key, **more} for data, key in records]
    return await api.call("PutRecords", StreamName="s", Records=entries)


def test_a_key_goes_where_its_md5_falls() -> None:
    """For every key: the shard whose range has the MD5 of its UTF-8, as a number."""

    async def test(api: Api) -> None:
        await api.make(shards=5)
        size = (LAST_HASH + 1) // 5
        for key in ("a", "user-1", "é😀", "x" * 256, " "):
            number = min(4, int(hashlib.md5(key.encode()).hexdigest(), 16) // size)
            assert (await api.put(b"x", key))["ShardId"] == shard_id(number)

    with_api(test)


def test_an_explicit_hash_key_overrides_the_key() -> None:
    """In digits, from 0 to 2^128 - 1."""

    async def test(api: Api) -> None:
        await api.make(shards=2)
        assert (await api.put(b"x", "a", ExplicitHashKey="0"))["ShardId"] == shard_id(0)
        assert (await api.put(b"x", "a", ExplicitHashKey=str(LAST_HASH)))["ShardId"] == shard_id(1)
        put = {"StreamName": "s", "Data": "", "PartitionKey": "a"}
        told = await api.refusal("PutRecord", **put, ExplicitHashKey=str(LAST_HASH + 1))
        assert told.code == "InvalidArgumentException"
        assert told.message.startswith("Invalid ExplicitHashKey.")
        for bad in ("01", "-1", "1" * 40, "x"):
            assert await api.code("PutRecord", **put, ExplicitHashKey=bad) == "ValidationException"

    with_api(test)


def test_records_come_out_as_they_went_in() -> None:
    """Data, key, number and date; Data is base64 on the wire, and the date has milliseconds."""

    async def test(api: Api) -> None:
        await api.make()
        await asyncio.sleep(1.23456)
        put = await api.put(bytes(range(256)), "ключ")
        (record,) = (await api.call("GetRecords", ShardIterator=await api.iterator()))["Records"]
        assert record == {
            "SequenceNumber": put["SequenceNumber"],
            "ApproximateArrivalTimestamp": 1_800_000_001.535,
            "Data": b64(bytes(range(256))),
            "PartitionKey": "ключ",
        }

    with_api(test)


def test_sequence_numbers_grow_along_a_shard() -> None:
    """Also within one second, and with SequenceNumberForOrdering, which must be a number that was made by now."""

    async def test(api: Api) -> None:
        await api.make()
        last = "0"
        for number in range(20):
            more = {"SequenceNumberForOrdering": last} if number else {}
            put = await api.put(b"x", **more)
            assert int(put["SequenceNumber"]) > int(last)
            last = put["SequenceNumber"]
        ordered = {"StreamName": "s", "Data": "", "PartitionKey": "k"}
        for bad in ("0", "17", str(int(last) + (3600 << 36))):
            told = await api.refusal("PutRecord", **ordered, SequenceNumberForOrdering=bad)
            assert (told.code, "used in PutRecord" in told.message) == ("InvalidArgumentException", True)

    with_api(test)


def test_put_records_answers_entry_by_entry() -> None:
    """In the order of the request, with shard and number each."""

    async def test(api: Api) -> None:
        await api.make(shards=2)
        told = await put_many(api, [(str(number).encode(), f"k{number}") for number in range(30)])
        assert (told["FailedRecordCount"], len(told["Records"])) == (0, 30)
        found = {}
        for shard in range(2):
            for record in (await api.call("GetRecords", ShardIterator=await api.iterator(shard=shard)))["Records"]:
                found[record["SequenceNumber"]] = (record["PartitionKey"], shard_id(shard))
        assert [found[record["SequenceNumber"]] for record in told["Records"]] == [
            (f"k{number}", record["ShardId"]) for number, record in enumerate(told["Records"])
        ]

    with_api(test)


def test_put_records_has_limits() -> None:
    """500 records, 10 MiB with keys, and every record by itself; a bad one refuses the whole call."""

    async def test(api: Api) -> None:
        await api.make()
        entry = {"Data": "", "PartitionKey": "k"}
        call = {"StreamName": "s"}
        validation = "ValidationException"
        assert await api.code("PutRecords", **call, Records=[]) == validation
        assert await api.code("PutRecords", **call, Records=[entry] * 501) == validation
        assert await api.code("PutRecords", **call, Records=[entry, {"Data": ""}]) == validation
        assert await api.code("PutRecords", **call, Records=[entry, {"PartitionKey": "k"}]) == validation
        assert await api.code("PutRecords", **call, Records=[entry, {**entry, "PartitionKey": ""}]) == validation
        assert await api.code("PutRecords", **call, Records=[entry, {**entry, "PartitionKey": "k" * 257}]) == validation
        told = await api.refusal("PutRecords", **call, Records=[entry, {**entry, "Data": b64(bytes(MIB))}])
        assert (told.code, "records.2.member.data" in told.message) == (validation, True)
        million = {"Data": b64(bytes(MIB - 1)), "PartitionKey": "k"}
        assert await api.code("PutRecords", **call, Records=[million] * 10 + [entry]) == "InvalidArgumentException"
        for bad in ("a", "a===", "a b=", "é===", 5, {}):
            assert await api.code("PutRecords", **call, Records=[{**entry, "Data": bad}]) == "SerializationException"
        assert await api.read() == []
        assert (await api.call("PutRecords", **call, Records=[million] * 10))["FailedRecordCount"] == 0
        assert (await api.call("PutRecords", **call, Records=[entry] * 500))["FailedRecordCount"] == 0

    with_api(test, limits=OPEN)


def test_a_throttled_entry_fails_alone() -> None:
    """PutRecords goes on with the records of other shards, and says which shard had enough."""

    async def test(api: Api) -> None:
        await api.make(shards=2)
        half = {"Data": b64(bytes(MIB // 2)), "PartitionKey": "k"}
        first, second = {**half, "ExplicitHashKey": "0"}, {**half, "ExplicitHashKey": str(LAST_HASH)}
        told = await api.call("PutRecords", StreamName="s", Records=[first, first, second])
        codes = [entry.get("ErrorCode") for entry in told["Records"]]
        assert (told["FailedRecordCount"], codes) == (1, [None, "ProvisionedThroughputExceededException", None])
        assert told["Records"][1] == {
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.",
        }
        assert await api.code("PutRecord", StreamName="s", **first) == "ProvisionedThroughputExceededException"
        await asyncio.sleep(0.51)
        assert (await api.call("PutRecord", StreamName="s", **first))["ShardId"] == shard_id(0)

    with_api(test)


def test_a_shard_takes_a_thousand_records_a_second() -> None:
    """The rest of two calls of 500 and one more is throttled; a second later it fits."""

    async def test(api: Api) -> None:
        await api.make()
        batch = [(b"x", "k")] * 500
        assert [(await put_many(api, batch))["FailedRecordCount"] for _ in range(3)] == [0, 0, 500]
        await asyncio.sleep(0.25)
        assert (await put_many(api, batch))["FailedRecordCount"] == 250
        await asyncio.sleep(1)
        assert (await put_many(api, batch))["FailedRecordCount"] == 0
        assert len(await api.read()) == 1_750

    with_api(test)


def test_the_five_kinds_of_iterators() -> None:
    """From the oldest, behind the newest, at and after a number, and at a date."""

    async def test(api: Api) -> None:
        await api.make()
        puts = []
        for number in range(4):
            puts.append(await api.put(str(number).encode()))
            await asyncio.sleep(10)
        second = puts[1]["SequenceNumber"]
        latest = await api.iterator("LATEST")
        assert await api.read() == [b"0", b"1", b"2", b"3"]
        assert await api.read("AT_SEQUENCE_NUMBER", StartingSequenceNumber=second) == [b"1", b"2", b"3"]
        assert await api.read("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=second) == [b"2", b"3"]
        start_s = 1_800_000_000.3
        for after_s, left in ((0, 4), (10, 3), (10.001, 2), (30, 1), (39, 0)):
            assert len(await api.read("AT_TIMESTAMP", Timestamp=start_s + after_s)) == left
        assert len(await api.read("AT_TIMESTAMP", Timestamp=5)) == 4
        assert await api.read("LATEST") == []
        await api.put(b"4")
        assert datas(await api.call("GetRecords", ShardIterator=latest)) == [b"4"]

    with_api(test, limits=OPEN)


def test_what_no_iterator_can_be_made_of() -> None:
    """Kinds and their parameters go together, numbers are the shard's own, dates are past."""

    async def test(api: Api) -> None:
        await api.make(shards=2)
        number = (await api.put(b"x", ExplicitHashKey="0"))["SequenceNumber"]
        base = {"StreamName": "s", "ShardId": shard_id(0)}
        invalid = "InvalidArgumentException"

        async def message(kind: str, **more: Any) -> str:
            told = await api.refusal("GetShardIterator", **(base | more), ShardIteratorType=kind)
            assert told.code == invalid
            return told.message

        assert "Request specified LATEST and also a" in await message("LATEST", StartingSequenceNumber=number)
        assert "Request specified AT_SEQUENCE_NUMBER and no" in await message("AT_SEQUENCE_NUMBER")
        assert "goes with AT_TIMESTAMP" in await message("AT_TIMESTAMP")
        assert "goes with AT_TIMESTAMP" in await message("TRIM_HORIZON", Timestamp=5)
        assert "cannot be greater than the current" in await message("AT_TIMESTAMP", Timestamp=1_900_000_000)
        at = {"kind": "AT_SEQUENCE_NUMBER"}
        assert (await message(**at, StartingSequenceNumber="17")).endswith("is invalid.")
        assert await message(**at, StartingSequenceNumber=number, ShardId=shard_id(1)) == (
            "Invalid StartingSequenceNumber. It encodes shardId-000000000000, while it was used in a call to a shard "
            "with shardId-000000000001"
        )
        latest = {"ShardIteratorType": "LATEST"}
        assert (
            await api.code("GetShardIterator", StreamName="s", ShardId=shard_id(7), **latest)
            == "ResourceNotFoundException"
        )
        assert await api.code("GetShardIterator", StreamName="s", ShardId="a b", **latest) == "ValidationException"
        assert await api.code("GetShardIterator", **base, ShardIteratorType="FIRST") == "ValidationException"
        assert await api.code("GetShardIterator", **base) == "ValidationException"
        for bad in ("now", -1, 1e300, True):
            members = {**base, "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": bad}
            assert await api.code("GetShardIterator", **members) == "SerializationException"

    with_api(test, limits=OPEN)


def test_a_trimmed_number_gives_the_oldest_record() -> None:
    """AT and AFTER a record that has expired go on with the first that has not."""

    async def test(api: Api) -> None:
        await api.make()
        old = (await api.put(b"old"))["SequenceNumber"]
        await asyncio.sleep(86_000)
        await api.put(b"new")
        await asyncio.sleep(1_000)
        for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            assert await api.read(kind, StartingSequenceNumber=old) == [b"new"]

    with_api(test)


def test_reading_goes_on_page_by_page() -> None:
    """NextShardIterator continues; MillisBehindLatest counts down to 0; an open shard never ends."""

    async def test(api: Api) -> None:
        await api.make()
        for number in range(5):
            await api.put(str(number).encode())
            await asyncio.sleep(1)
        iterator, pages = await api.iterator(), []
        for _ in range(4):
            told = await api.call("GetRecords", ShardIterator=iterator, Limit=2)
            pages.append((datas(told), told["MillisBehindLatest"], "ChildShards" in told))
            iterator = told["NextShardIterator"]
        assert pages == [
            ([b"0", b"1"], 4_000, False),
            ([b"2", b"3"], 2_000, False),
            ([b"4"], 0, False),
            ([], 0, False),
        ]
        await api.put(b"5")
        assert datas(await api.call("GetRecords", ShardIterator=iterator)) == [b"5"]
        for bad, code in ((0, "ValidationException"), (10_001, "InvalidArgumentException")):
            assert await api.code("GetRecords", ShardIterator=iterator, Limit=bad) == code

    with_api(test)


def test_a_closed_shard_ends_with_its_children() -> None:
    """No NextShardIterator with the last records, and ChildShards with their ranges and parents."""

    async def test(api: Api) -> None:
        await api.make()
        for number in range(3):
            await api.put(str(number).encode())
        await split(api, 1 << 127)
        first = await api.call("GetRecords", ShardIterator=await api.iterator(), Limit=2)
        assert "ChildShards" not in first
        last = await api.call("GetRecords", ShardIterator=first["NextShardIterator"])
        assert last == {
            "Records": last["Records"],
            "MillisBehindLatest": 0,
            "ChildShards": [
                {
                    "ShardId": shard_id(1),
                    "ParentShards": [shard_id(0)],
                    "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str((1 << 127) - 1)},
                },
                {
                    "ShardId": shard_id(2),
                    "ParentShards": [shard_id(0)],
                    "HashKeyRange": {"StartingHashKey": str(1 << 127), "EndingHashKey": str(LAST_HASH)},
                },
            ],
        }
        assert datas(last) == [b"2"]
        empty = await api.call("GetRecords", ShardIterator=await api.iterator("LATEST"))
        assert (empty["Records"], "NextShardIterator" in empty, len(empty["ChildShards"])) == ([], False, 2)

    with_api(test)


def test_five_reads_a_second_are_shared_by_all() -> None:
    """The sixth call in a second is throttled, whoever makes it; calls for iterators count by themselves."""

    async def test(api: Api) -> None:
        await api.make()
        iterators = [await api.iterator() for _ in range(5)]
        told = await api.refusal("GetShardIterator", StreamName="s", ShardId=shard_id(0), ShardIteratorType="LATEST")
        assert told.code == "ProvisionedThroughputExceededException"
        for iterator in iterators:
            await api.call("GetRecords", ShardIterator=iterator)
        told = await api.refusal("GetRecords", ShardIterator=iterators[0])
        assert (told.code, told.message) == (
            "ProvisionedThroughputExceededException",
            "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.",
        )
        await asyncio.sleep(0.99)
        assert await api.code("GetRecords", ShardIterator=iterators[0]) == "ProvisionedThroughputExceededException"
        await asyncio.sleep(0.02)
        await api.call("GetRecords", ShardIterator=iterators[0])

    with_api(test)


def test_ten_mebibytes_close_a_shard_for_five_seconds() -> None:
    """An answer is cut at 10 MiB, and the next five seconds throw; two mebibytes cost one."""

    async def test(api: Api) -> None:
        await api.make()
        for number in range(14):
            await api.put(bytes([number]) * (800 * 1024))
            await asyncio.sleep(1)
        told = await api.call("GetRecords", ShardIterator=await api.iterator())
        assert len(told["Records"]) == 12  # 9.4 MiB: the next one would pass 10
        iterator = told["NextShardIterator"]
        for pause_s, refused in ((0.1, True), (4.8, True), (0.2, False)):
            await asyncio.sleep(pause_s)
            if refused:
                assert await api.code("GetRecords", ShardIterator=iterator) == "ProvisionedThroughputExceededException"
            else:
                assert len((await api.call("GetRecords", ShardIterator=iterator))["Records"]) == 2

    with_api(test)


def test_an_answer_has_at_most_ten_thousand_records() -> None:
    """Also where no Limit is given."""

    async def test(api: Api) -> None:
        await api.make()
        for _ in range(21):
            await put_many(api, [(b"x", "k")] * 500)
        assert len(await api.read()) == 10_000

    with_api(test, limits=OPEN)


def test_iterators_expire_after_five_minutes() -> None:
    """ExpiredIteratorException with both dates; a new one is good again."""

    async def test(api: Api) -> None:
        await api.make()
        iterator = await api.iterator()
        await asyncio.sleep(299)
        await api.call("GetRecords", ShardIterator=iterator)
        await asyncio.sleep(2)
        told = await api.refusal("GetRecords", ShardIterator=iterator)
        assert told.code == "ExpiredIteratorException"
        assert told.message == (
            "Iterator expired. The iterator was created at time Fri Jan 15 08:00:00 UTC 2027 while right now it is Fri "
            "Jan 15 08:05:01 UTC 2027 which is further in the future than the tolerated delay of 300000 milliseconds."
        )

    with_api(test)


def test_iterators_cannot_be_made_up() -> None:
    """Anything but what was handed out is an Invalid ShardIterator; the longest names still fit 512 characters."""

    async def test(api: Api) -> None:
        await api.make("n" * 128)
        iterator = await api.iterator(name="n" * 128)
        assert len(iterator) <= 512
        half = len(iterator) // 2
        for bad in ("x", "AAAAAAAAAAE=", iterator[:half], iterator[:half] + "A" + iterator[half + 1 :], "é" * 8):
            told = await api.refusal("GetRecords", ShardIterator=bad)
            assert (told.code, told.message) == ("InvalidArgumentException", "Invalid ShardIterator.")
        assert await api.code("GetRecords", ShardIterator="A" * 513) == "ValidationException"
        assert await api.code("GetRecords", ShardIterator="") == "ValidationException"
        other = {"StreamARN": api.streams.arn_of("other", REGION)}
        assert await api.code("GetRecords", ShardIterator=iterator, **other) == "InvalidArgumentException"
        await api.call("GetRecords", ShardIterator=iterator, StreamARN=api.streams.arn_of("n" * 128, REGION))

    with_api(test)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"StreamName": NaN}', b'"x"', b'{"StreamName":"\\ud800"}'])
def test_what_is_no_json_object(body: bytes) -> None:
    """SerializationException with its capital Message."""

    async def test(api: Api) -> None:
        answer = await api.service.handle(api.request("PutRecord", body))
        assert isinstance(answer.body, bytes)
        told = json.loads(answer.body)
        assert (answer.status, told["__type"], bool(told["Message"])) == (400, "SerializationException", True)

    with_api(test)


def test_cbor_is_refused_by_name() -> None:
    """The SDK for Java sends CBOR unless told otherwise; the answer says how."""

    async def test(api: Api) -> None:
        headers = {"content-type": "application/x-amz-cbor-1.1"}
        answer = await api.service.handle(api.request("PutRecord", b"\xbf\xff", **headers))
        assert isinstance(answer.body, bytes)
        assert (answer.status, b"AWS_CBOR_DISABLE" in answer.body) == (400, True)

    with_api(test)


def test_a_clock_that_goes_back_puts_no_record_before_another() -> None:
    """Dates of a shard never go back, so that a date finds its place."""
    shard = Shard(0, (0, LAST_HASH), created_s=1_000, opened_s=1_000.0)
    dates = [shard.put(Content("", "k", 1), at_s).arrived_s for at_s in (1_005.0, 1_003.0, 1_006.0)]
    assert dates == [1_005.0, 1_005.0, 1_006.0]
    assert len(shard.read(shard.at_time(1_005.0, 1_010.0), 1_010.0).records) == 3
