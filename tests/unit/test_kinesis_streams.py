"""Streams as such: their states, their settings, their lists and quotas, second by second."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localcloud.services.kinesis.limits import Limits
from tests.unit.kinesis_setup import LAST_HASH, OPEN, REGION, Api, b64, shard_id, with_api

ON_DEMAND = {"StreamMode": "ON_DEMAND"}
PROVISIONED = {"StreamMode": "PROVISIONED"}
DAY_S = 86_400


async def summary(api: Api, name: str = "s") -> dict[str, Any]:
    return (await api.call("DescribeStreamSummary", StreamName=name))["StreamDescriptionSummary"]


def test_a_stream_is_created_and_then_active() -> None:
    """CREATING without shards for a while, then ACTIVE with equal shards that cover every hash key."""

    async def test(api: Api) -> None:
        await api.call("CreateStream", StreamName="s", ShardCount=3, Tags={"a": "b"})
        told = (await api.call("DescribeStream", StreamName="s"))["StreamDescription"]
        assert (told["StreamStatus"], told["Shards"], told["HasMoreShards"]) == ("CREATING", [], False)
        assert (await summary(api))["OpenShardCount"] == 0
        await asyncio.sleep(0.29)
        assert (await summary(api))["StreamStatus"] == "CREATING"
        await asyncio.sleep(0.02)
        told = (await api.call("DescribeStream", StreamName="s"))["StreamDescription"]
        ranges = [tuple(map(int, shard["HashKeyRange"].values())) for shard in told["Shards"]]
        third = 113427455640312821154458202477256070485
        assert ranges == [(0, third - 1), (third, 2 * third - 1), (2 * third, LAST_HASH)]
        assert [shard["ShardId"] for shard in told["Shards"]] == [shard_id(number) for number in range(3)]
        assert await summary(api) == {
            "StreamName": "s",
            "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": PROVISIONED,
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": 1_800_000_000.0,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
            "OpenShardCount": 3,
            "ConsumerCount": 0,
            "MaxRecordSizeInKiB": 1024,
        }
        assert (await api.call("ListTagsForStream", StreamName="s"))["Tags"] == [{"Key": "a", "Value": "b"}]

    with_api(test)


def test_a_stream_that_is_being_created_takes_and_gives_nothing() -> None:
    """Records and iterators find no stream; changes find it in use."""

    async def test(api: Api) -> None:
        await api.call("CreateStream", StreamName="s", ShardCount=1)
        put = {"StreamName": "s", "Data": "", "PartitionKey": "k"}
        shard = {"StreamName": "s", "ShardId": shard_id(0)}
        missing, in_use = "ResourceNotFoundException", "ResourceInUseException"
        assert await api.code("PutRecord", **put) == missing
        assert await api.code("PutRecords", StreamName="s", Records=[{"Data": "", "PartitionKey": "k"}]) == missing
        assert await api.code("GetShardIterator", **shard, ShardIteratorType="LATEST") == missing
        assert await api.code("SplitShard", StreamName="s", ShardToSplit=shard_id(0), NewStartingHashKey="9") == missing
        assert await api.code("ListShards", StreamName="s") == in_use
        assert await api.code("DeleteStream", StreamName="s") == in_use
        assert await api.code("AddTagsToStream", StreamName="s", Tags={"a": "b"}) == in_use
        assert await api.code("IncreaseStreamRetentionPeriod", StreamName="s", RetentionPeriodHours=48) == in_use
        assert (
            await api.code("UpdateShardCount", StreamName="s", TargetShardCount=2, ScalingType="UNIFORM_SCALING")
            == in_use
        )
        assert await api.code("CreateStream", StreamName="s", ShardCount=1) == in_use
        assert (
            await api.code("RegisterStreamConsumer", StreamARN=api.streams.arn_of("s", REGION), ConsumerName="c")
            == in_use
        )

    with_api(test)


def test_without_a_delay_there_are_no_states_between() -> None:
    """`delay_s` 0: a stream is there, and gone, at once."""

    async def test(api: Api) -> None:
        await api.call("CreateStream", StreamName="s", ShardCount=1)
        await api.put(b"x")
        await api.call("SplitShard", StreamName="s", ShardToSplit=shard_id(0), NewStartingHashKey="99")
        assert (await summary(api))["OpenShardCount"] == 2
        await api.call("DeleteStream", StreamName="s")
        assert await api.code("DescribeStreamSummary", StreamName="s") == "ResourceNotFoundException"

    with_api(test, delay_s=0.0)


def test_a_deleted_stream_goes_with_its_records() -> None:
    """DELETING, in which reads go on, then gone; its iterators and sequence numbers are no other stream's."""

    async def test(api: Api) -> None:
        arn = await api.make()
        put = await api.put(b"x")
        iterator = await api.iterator()
        await api.call("DeleteStream", StreamARN=arn)
        assert (await summary(api))["StreamStatus"] == "DELETING"
        assert await api.read() == [b"x"]
        assert await api.code("DeleteStream", StreamName="s") == "ResourceInUseException"
        assert await api.code("CreateStream", StreamName="s", ShardCount=1) == "ResourceInUseException"
        await asyncio.sleep(1)
        assert api.streams.find(arn) is None
        assert await api.code("GetRecords", ShardIterator=iterator) == "ResourceNotFoundException"
        await asyncio.sleep(1)
        await api.make()
        assert await api.read() == []
        assert await api.code("GetRecords", ShardIterator=iterator) == "ResourceNotFoundException"
        told = await api.refusal(
            "GetShardIterator",
            StreamName="s",
            ShardId=shard_id(0),
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=put["SequenceNumber"],
        )
        assert (told.code, "did not come from this stream" in told.message) == ("InvalidArgumentException", True)

    with_api(test)


def test_a_stream_with_consumers_is_deleted_only_with_them() -> None:
    """ResourceInUseException, unless EnforceConsumerDeletion."""

    async def test(api: Api) -> None:
        arn = await api.make()
        await api.consumer(arn)
        assert await api.code("DeleteStream", StreamARN=arn) == "ResourceInUseException"
        await api.call("DeleteStream", StreamARN=arn, EnforceConsumerDeletion=True)
        await asyncio.sleep(1)
        assert await api.code("DescribeStream", StreamARN=arn) == "ResourceNotFoundException"

    with_api(test)


def test_on_demand_streams_have_four_shards_and_cannot_be_resharded() -> None:
    """Their shards are not the caller's business: ValidationException for split, merge and scaling."""

    async def test(api: Api) -> None:
        told = await api.refusal("CreateStream", StreamName="s", StreamModeDetails=ON_DEMAND, ShardCount=2)
        assert told.code == "InvalidArgumentException"
        await api.call("CreateStream", StreamName="s", StreamModeDetails=ON_DEMAND)
        await api.settle()
        told = await summary(api)
        assert (told["OpenShardCount"], told["StreamModeDetails"]) == (4, ON_DEMAND)
        assert told["RecordDistributionStrategy"] == "USER_PARTITION_KEY"
        split = {"StreamName": "s", "ShardToSplit": shard_id(0), "NewStartingHashKey": "99"}
        merge = {"StreamName": "s", "ShardToMerge": shard_id(0), "AdjacentShardToMerge": shard_id(1)}
        scale = {"StreamName": "s", "TargetShardCount": 8, "ScalingType": "UNIFORM_SCALING"}
        assert await api.code("SplitShard", **split) == "ValidationException"
        assert await api.code("MergeShards", **merge) == "ValidationException"
        assert (await api.refusal("UpdateShardCount", **scale)).message == (
            "Request is invalid. Stream s under account 123456789012 is in On-Demand mode."
        )

    with_api(test)


def test_the_mode_changes_twice_a_day() -> None:
    """UPDATING, then the other mode with the same shards; the third change in 24 hours is refused."""

    async def test(api: Api) -> None:
        arn = await api.make(shards=2)
        await api.call("UpdateStreamMode", StreamARN=arn, StreamModeDetails=ON_DEMAND)
        assert ((await summary(api))["StreamStatus"], (await summary(api))["StreamModeDetails"]) == (
            "UPDATING",
            PROVISIONED,
        )
        assert (
            await api.code("UpdateStreamMode", StreamARN=arn, StreamModeDetails=PROVISIONED) == "ResourceInUseException"
        )
        await api.put(b"while it is updating")
        await api.settle()
        assert ((await summary(api))["OpenShardCount"], (await summary(api))["StreamModeDetails"]) == (2, ON_DEMAND)
        await api.call("UpdateStreamMode", StreamARN=arn, StreamModeDetails=PROVISIONED)
        await api.settle()
        assert (
            await api.code("UpdateStreamMode", StreamARN=arn, StreamModeDetails=ON_DEMAND) == "LimitExceededException"
        )
        await asyncio.sleep(DAY_S)
        await api.call("UpdateStreamMode", StreamARN=arn, StreamModeDetails=ON_DEMAND)

    with_api(test)


def test_at_most_five_streams_are_being_created() -> None:
    """The sixth is a LimitExceededException until one is ACTIVE."""

    async def test(api: Api) -> None:
        for number in range(5):
            await api.call("CreateStream", StreamName=f"s{number}", ShardCount=1)
        assert await api.code("CreateStream", StreamName="s5", ShardCount=1) == "LimitExceededException"
        await asyncio.sleep(1)
        await api.call("CreateStream", StreamName="s5", ShardCount=1)

    with_api(test, limits=Limits(calls=False))


def test_shard_and_stream_quotas() -> None:
    """Shards are counted over the Region's provisioned streams, on-demand streams by themselves."""

    async def test(api: Api) -> None:
        told = await api.refusal("CreateStream", StreamName="s", ShardCount=10_001)
        assert told.code == "LimitExceededException"
        await api.make("a", shards=10_000)
        await api.make("b", shards=9_999)
        told = await api.refusal("CreateStream", StreamName="s", ShardCount=2)
        assert (told.code, "Current shard count for the account: 19999" in told.message) == (
            "LimitExceededException",
            True,
        )
        await api.make("c")
        split = {"StreamName": "c", "ShardToSplit": shard_id(0), "NewStartingHashKey": "99"}
        assert await api.code("SplitShard", **split) == "LimitExceededException"
        for number in range(50):
            await api.call("CreateStream", StreamName=f"d{number}", StreamModeDetails=ON_DEMAND)
            await api.settle(f"d{number}")
        assert await api.code("CreateStream", StreamName="e", StreamModeDetails=ON_DEMAND) == "LimitExceededException"
        assert await api.call("DescribeLimits") == {
            "ShardLimit": 20_000,
            "OpenShardCount": 20_000,
            "OnDemandStreamCount": 50,
            "OnDemandStreamCountLimit": 50,
        }

    with_api(test, limits=Limits(calls=False))


def test_control_calls_are_counted() -> None:
    """Five ListStreams a second for the account, five consumer lists for each stream; a second later again."""

    async def test(api: Api) -> None:
        arns = [await api.make("a"), await api.make("b")]
        for _ in range(5):
            await api.call("ListStreams")
            for arn in arns:
                await api.call("ListStreamConsumers", StreamARN=arn)
        assert await api.code("ListStreams") == "LimitExceededException"
        assert await api.code("ListStreamConsumers", StreamARN=arns[0]) == "LimitExceededException"
        await asyncio.sleep(1)
        await api.call("ListStreams")
        await api.call("ListStreamConsumers", StreamARN=arns[0])

    with_api(test)


def test_streams_are_listed_page_by_page() -> None:
    """By name, with a token or with the last name; streams of other Regions are not there."""

    async def test(api: Api) -> None:
        for name in ("c", "a", "d", "b"):
            await api.make(name)
        first = await api.call("ListStreams", Limit=3)
        assert (first["StreamNames"], first["HasMoreStreams"]) == (["a", "b", "c"], True)
        assert first["StreamSummaries"][0] == {
            "StreamName": "a",
            "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/a",
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": PROVISIONED,
            "StreamCreationTimestamp": 1_800_000_000.3,
        }
        rest = await api.call("ListStreams", NextToken=first["NextToken"])
        assert (rest["StreamNames"], rest["HasMoreStreams"], "NextToken" in rest) == (["d"], False, False)
        assert (await api.call("ListStreams", ExclusiveStartStreamName="b"))["StreamNames"] == ["c", "d"]
        assert await api.code("ListStreams", NextToken="AAAA") == "InvalidArgumentException"
        assert await api.code("ListStreams", Limit=0) == "ValidationException"
        assert api.streams.list("us-east-1") == []

    with_api(test, limits=OPEN)


def test_describe_stream_pages_its_shards() -> None:
    """At most 100 at a time, from after a shard id."""

    async def test(api: Api) -> None:
        await api.make(shards=150)
        first = (await api.call("DescribeStream", StreamName="s", Limit=10_000))["StreamDescription"]
        assert (len(first["Shards"]), first["HasMoreShards"]) == (100, True)
        after = {"ExclusiveStartShardId": first["Shards"][-1]["ShardId"]}
        rest = (await api.call("DescribeStream", StreamName="s", **after))["StreamDescription"]
        assert (len(rest["Shards"]), rest["HasMoreShards"]) == (50, False)
        assert await api.code("DescribeStream", StreamName="s", Limit=10_001) == "ValidationException"

    with_api(test)


def test_retention_is_24_to_8760_hours() -> None:
    """Up with the one operation, down with the other; the same is no error."""

    async def test(api: Api) -> None:
        await api.make()

        async def change(way: str, hours: int) -> None:
            await api.call(f"{way}StreamRetentionPeriod", StreamName="s", RetentionPeriodHours=hours)
            assert (await summary(api))["RetentionPeriodHours"] == hours

        async def refused(way: str, hours: int) -> str:
            members = {"StreamName": "s", "RetentionPeriodHours": hours}
            told = await api.refusal(f"{way}StreamRetentionPeriod", **members)
            assert told.code == "InvalidArgumentException"
            return told.message

        await change("Increase", 8_760)
        assert "Maximum allowed retention period is 8760 hours" in await refused("Increase", 8_761)
        assert "can not be shorter than existing" in await refused("Increase", 48)
        await change("Decrease", 48)
        await change("Decrease", 48)
        assert "can not be longer than existing" in await refused("Decrease", 49)
        assert "Minimum allowed retention period is 24 hours" in await refused("Decrease", 23)

    with_api(test, limits=OPEN)


def test_records_go_when_their_time_is_over() -> None:
    """After 24 hours to the second; a longer retention from then on brings none of them back."""

    async def test(api: Api) -> None:
        await api.make()
        await api.put(b"old")
        await asyncio.sleep(10)
        await api.put(b"new")
        await asyncio.sleep(DAY_S - 10)
        assert await api.read() == [b"old", b"new"]
        await asyncio.sleep(0.5)
        await api.call("IncreaseStreamRetentionPeriod", StreamName="s", RetentionPeriodHours=48)
        assert await api.read() == [b"new"]
        await asyncio.sleep(DAY_S)
        assert await api.read() == [b"new"]
        await api.call("DecreaseStreamRetentionPeriod", StreamName="s", RetentionPeriodHours=24)
        assert await api.read() == []
        assert api.streams.get("s", REGION).shard(shard_id(0)).held == 0

    with_api(test)


def test_a_stream_that_nobody_reads_forgets_as_well() -> None:
    """What has expired goes with the next record, so memory does not grow beyond the retention period."""

    async def test(api: Api) -> None:
        await api.make()
        for _ in range(3):
            await api.put(b"old")
        await asyncio.sleep(DAY_S + 1)
        await api.put(b"new")
        (shard,) = api.streams.get("s", REGION).shards.open
        assert shard.held == 1

    with_api(test)


def test_the_largest_record_can_be_made_larger() -> None:
    """1 MiB with its key to begin with; up to 10 MiB by UpdateMaxRecordSize."""

    async def test(api: Api) -> None:
        arn = await api.make()
        mib = 1024 * 1024
        await api.put(bytes(mib - 1), "k")
        assert (
            await api.code("PutRecord", StreamName="s", Data=b64(bytes(mib)), PartitionKey="k") == "ValidationException"
        )
        for size in (1_023, 10_241):
            assert (
                await api.code("UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=size) == "ValidationException"
            )
        await api.call("UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=10_240)
        await api.settle()
        assert (await summary(api))["MaxRecordSizeInKiB"] == 10_240
        await api.put(bytes(10 * mib - 1), "k")
        told = await api.refusal("PutRecord", StreamName="s", Data=b64(bytes(10 * mib)), PartitionKey="k")
        assert "less than or equal to 10485760" in told.message

    with_api(test, limits=OPEN)


def test_shard_level_metrics_are_recorded() -> None:
    """Enabling and disabling tell what was and what will be; ALL means all seven."""

    async def test(api: Api) -> None:
        arn = await api.make()
        told = await api.call("EnableEnhancedMonitoring", StreamName="s", ShardLevelMetrics=["OutgoingBytes"])
        assert (told["CurrentShardLevelMetrics"], told["DesiredShardLevelMetrics"]) == ([], ["OutgoingBytes"])
        assert (told["StreamName"], told["StreamARN"]) == ("s", arn)
        told = await api.call("EnableEnhancedMonitoring", StreamName="s", ShardLevelMetrics=["ALL"])
        assert len(told["DesiredShardLevelMetrics"]) == 7
        told = await api.call("DisableEnhancedMonitoring", StreamName="s", ShardLevelMetrics=["IncomingBytes"])
        assert len(told["DesiredShardLevelMetrics"]) == 6
        assert len((await summary(api))["EnhancedMonitoring"][0]["ShardLevelMetrics"]) == 6
        assert (
            await api.code("EnableEnhancedMonitoring", StreamName="s", ShardLevelMetrics=["X"]) == "ValidationException"
        )
        assert await api.code("EnableEnhancedMonitoring", StreamName="s", ShardLevelMetrics=[]) == "ValidationException"

    with_api(test)


def test_encryption_is_recorded_and_told() -> None:
    """UPDATING, then answers and records say KMS; and NONE again after the stop."""

    async def test(api: Api) -> None:
        await api.make()
        assert "EncryptionType" not in await api.put(b"plain")
        key = {"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
        assert await api.code("StopStreamEncryption", **key) == "InvalidArgumentException"
        assert (
            await api.code("StartStreamEncryption", **(key | {"EncryptionType": "NONE"})) == "InvalidArgumentException"
        )
        await api.call("StartStreamEncryption", **key)
        assert (await summary(api))["StreamStatus"] == "UPDATING"
        await api.settle()
        assert [(await summary(api))[name] for name in ("EncryptionType", "KeyId")] == ["KMS", "alias/aws/kinesis"]
        assert (await api.put(b"secret"))["EncryptionType"] == "KMS"
        records = (await api.call("GetRecords", ShardIterator=await api.iterator()))["Records"]
        assert [record.get("EncryptionType") for record in records] == [None, "KMS"]
        await api.call("StopStreamEncryption", **key)
        await api.settle()
        assert "EncryptionType" not in await api.put(b"plain")

    with_api(test)


def test_automatic_distribution_ignores_keys() -> None:
    """AUTO is for on-demand streams: the same key goes to several shards, and none is needed."""

    async def test(api: Api) -> None:
        arn = await api.make("p")
        auto = {"RecordDistributionStrategy": "AUTO"}
        assert (
            await api.code("UpdateStreamRecordDistributionStrategy", StreamARN=arn, **auto)
            == "InvalidArgumentException"
        )
        assert await api.code("CreateStream", StreamName="x", ShardCount=1, **auto) == "InvalidArgumentException"
        await api.call("CreateStream", StreamName="s", StreamModeDetails=ON_DEMAND, **auto)
        await api.settle()
        assert (await summary(api))["RecordDistributionStrategy"] == "AUTO"
        shards = {(await api.put(b"x", "k"))["ShardId"] for _ in range(50)}
        assert len(shards) == 4
        await api.call("PutRecord", StreamName="s", Data=b64(b"keyless"))
        records = [
            record
            for number in range(4)
            for record in (await api.call("GetRecords", ShardIterator=await api.iterator(shard=number)))["Records"]
        ]
        assert [record.get("PartitionKey") for record in records].count(None) == 1
        arn = api.streams.arn_of("s", REGION)
        assert (
            await api.code("UpdateStreamMode", StreamARN=arn, StreamModeDetails=PROVISIONED)
            == "InvalidArgumentException"
        )
        by_key = {"RecordDistributionStrategy": "USER_PARTITION_KEY"}
        await api.call("UpdateStreamRecordDistributionStrategy", StreamARN=arn, **by_key)
        assert await api.code("PutRecord", StreamName="s", Data="") == "ValidationException"
        assert len({(await api.put(b"x", "k"))["ShardId"] for _ in range(20)}) == 1

    with_api(test)


def test_the_accounts_commitment_lasts_a_day() -> None:
    """DISABLED, ENABLED, and after DISABLED was asked for until the day is over."""

    async def test(api: Api) -> None:
        def status(told: Any) -> Any:
            return told["MinimumThroughputBillingCommitment"]["Status"]

        async def update(wanted: str) -> Any:
            return status(
                await api.call("UpdateAccountSettings", MinimumThroughputBillingCommitment={"Status": wanted})
            )

        assert await api.call("DescribeAccountSettings") == {
            "MinimumThroughputBillingCommitment": {"Status": "DISABLED"}
        }
        commitment = {"Status": "DISABLED"}
        assert (
            await api.code("UpdateAccountSettings", MinimumThroughputBillingCommitment=commitment)
            == "InvalidArgumentException"
        )
        assert await update("ENABLED") == "ENABLED"
        assert await update("DISABLED") == "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
        assert api.streams.account.has_advantage
        await asyncio.sleep(DAY_S)
        assert status(await api.call("DescribeAccountSettings")) == "DISABLED"
        assert not api.streams.account.has_advantage
        assert await update("ENABLED") == "ENABLED"

    with_api(test)


BAD: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("CreateStream", {"ShardCount": 1}, "ValidationException"),
    ("CreateStream", {"StreamName": "a b", "ShardCount": 1}, "ValidationException"),
    ("CreateStream", {"StreamName": "x" * 129, "ShardCount": 1}, "ValidationException"),
    ("CreateStream", {"StreamName": "x", "ShardCount": 0}, "ValidationException"),
    ("CreateStream", {"StreamName": "x", "ShardCount": "1"}, "SerializationException"),
    ("CreateStream", {"StreamName": "x", "ShardCount": True}, "SerializationException"),
    ("CreateStream", {"StreamName": "x"}, "InvalidArgumentException"),
    ("CreateStream", {"StreamName": "x", "StreamModeDetails": {"StreamMode": "FAST"}}, "ValidationException"),
    ("CreateStream", {"StreamName": "x", "StreamModeDetails": {}}, "ValidationException"),
    ("CreateStream", {"StreamName": "x", "StreamModeDetails": []}, "SerializationException"),
    ("CreateStream", {"StreamName": "x", "ShardCount": 1, "WarmThroughputMiBps": 4}, "InvalidArgumentException"),
    ("CreateStream", {"StreamName": 5, "ShardCount": 1}, "SerializationException"),
    ("DescribeStream", {}, "InvalidArgumentException"),
    ("DescribeStream", {"StreamName": "nope"}, "ResourceNotFoundException"),
    ("DescribeStream", {"StreamARN": "arn:aws:sqs:eu-west-1:123456789012:s"}, "InvalidArgumentException"),
    (
        "DescribeStream",
        {"StreamName": "t", "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"},
        "InvalidArgumentException",
    ),
    (
        "DescribeStream",
        {"StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/s"},
        "InvalidArgumentException",
    ),
    ("DescribeStreamSummary", {"StreamName": "s", "StreamId": "x"}, "InvalidArgumentException"),
    ("UpdateMaxRecordSize", {"MaxRecordSizeInKiB": 2048}, "ValidationException"),
    ("UpdateStreamMode", {"StreamModeDetails": ON_DEMAND}, "ValidationException"),
    ("UpdateAccountSettings", {}, "ValidationException"),
    ("IncreaseStreamRetentionPeriod", {"StreamName": "s"}, "ValidationException"),
    ("IncreaseStreamRetentionPeriod", {"StreamName": "s", "RetentionPeriodHours": 1.5}, "SerializationException"),
)


@pytest.mark.parametrize(("operation", "members", "code"), BAD)
def test_bad_requests(operation: str, members: dict[str, Any], code: str) -> None:
    """Each is answered with AWS's own kind of error, and a 400."""

    async def test(api: Api) -> None:
        await api.make()
        told = await api.refusal(operation, **members)
        assert (told.code, told.status, bool(told.message)) == (code, 400, True)

    with_api(test)


def test_other_accounts_are_refused_by_name() -> None:
    """A stream's ARN of another account says that such are not served."""

    async def test(api: Api) -> None:
        told = await api.refusal("DescribeStream", StreamARN="arn:aws:kinesis:eu-west-1:999999999999:stream/s")
        assert (told.code, "other accounts" in told.message) == ("InvalidArgumentException", True)

    with_api(test)
