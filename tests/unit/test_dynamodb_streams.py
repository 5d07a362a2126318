"""DynamoDB Streams as a caller sees them: what is recorded, how it is read, how shards roll over and records end."""

from __future__ import annotations

import base64
import itertools
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from localcloud.clock import VIRTUAL_EPOCH_S
from localcloud.services.contract import Permission
from localcloud.services.dynamodb.streams import RETENTION_S, SHARD_LIFE_S, StreamLimits
from tests.unit.dynamodb_streams_setup import TABLE_ARN, World, create_request, wire_request

HOUR_S = 3600.0
VIEWS: dict[str, set[str]] = {
    "KEYS_ONLY": set(),
    "NEW_IMAGE": {"NewImage"},
    "OLD_IMAGE": {"OldImage"},
    "NEW_AND_OLD_IMAGES": {"NewImage", "OldImage"},
}
INSIDE = {"ApproximateCreationDateTime", "Keys", "SequenceNumber", "SizeBytes", "StreamViewType"}


def names(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(record["eventName"], record["dynamodb"]["Keys"]["id"]["S"]) for record in records]


async def test_records_have_the_parts_and_sizes_of_the_pages_example() -> None:
    """INSERT, MODIFY and REMOVE carry their images; SizeBytes are those that Lambda's page shows for the same items."""
    world = World()
    table = create_request("things")
    table["AttributeDefinitions"] = [{"AttributeName": "Id", "AttributeType": "N"}]
    table["KeySchema"] = [{"AttributeName": "Id", "KeyType": "HASH"}]
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    await world.ok("CreateTable", **table, StreamSpecification=stream)
    key = {"Id": {"N": "101"}}
    first, second = {"Message": {"S": "New item!"}, **key}, {"Message": {"S": "This item has changed"}, **key}
    world.clock.now += 0.75
    await world.ok("PutItem", TableName="things", Item=first)
    await world.ok("PutItem", TableName="things", Item=second)
    await world.ok("DeleteItem", TableName="things", Key=key)
    records = await world.records()
    images = [({"NewImage": first}, 26), ({"NewImage": second, "OldImage": first}, 59), ({"OldImage": second}, 38)]
    expected = [
        {
            "ApproximateCreationDateTime": int(world.clock.now),
            "Keys": key,
            "SequenceNumber": record["dynamodb"]["SequenceNumber"],
            "SizeBytes": size,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            **image,
        }
        for record, (image, size) in zip(records, images, strict=True)
    ]
    assert [record["dynamodb"] for record in records] == expected
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    outside = {(r["eventVersion"], r["eventSource"], r["awsRegion"], "userIdentity" in r) for r in records}
    assert outside == {("1.1", "aws:dynamodb", "eu-west-1", False)}
    assert len({record["eventID"] for record in records}) == 3
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    assert numbers == sorted(numbers)
    assert {21 <= len(number) <= 40 for number in numbers} == {True}


@pytest.mark.parametrize("view_type", VIEWS)
async def test_the_view_type_decides_the_images(view_type: str) -> None:
    """Each of the four view types carries its images and no others, and its size counts only what it carries."""
    world = World()
    await world.create(view_type)
    await world.put("a", n={"N": "1"})
    await world.put("a", n={"N": "2"})
    changed = (await world.records())[1]["dynamodb"]
    assert set(changed) == INSIDE | VIEWS[view_type]
    assert changed["SizeBytes"] == 3 + (3 + 3) * len(VIEWS[view_type])
    assert changed["StreamViewType"] == view_type


async def test_a_write_that_changes_nothing_makes_no_record() -> None:
    """Putting the same item, updating to the same value and deleting what is not there are not in the stream."""
    world = World()
    await world.create()
    await world.put("a", n={"N": "1"}, s={"SS": ["x", "y"]})
    await world.put("a", n={"N": "1.0"}, s={"SS": ["y", "x"]})
    update = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "1"}}}
    await world.ok("UpdateItem", TableName="things", Key={"id": {"S": "a"}}, **update)
    await world.ok("DeleteItem", TableName="things", Key={"id": {"S": "b"}})
    assert names(await world.records()) == [("INSERT", "a")]


async def test_transactions_and_batches_make_one_record_an_item_in_order() -> None:
    """Each write of a transaction or batch is a record, in order; checks and a transaction that fails make none."""
    world = World()
    await world.create()
    put = [{"Put": {"TableName": "things", "Item": {"id": {"S": key}}}} for key in "cab"]
    missing = {
        "ConditionCheck": {
            "TableName": "things",
            "Key": {"id": {"S": "z"}},
            "ConditionExpression": "attribute_not_exists(id)",
        }
    }
    await world.ok("TransactWriteItems", TransactItems=[*put, missing])
    assert names(await world.records()) == [("INSERT", "c"), ("INSERT", "a"), ("INSERT", "b")]
    failing = {"Put": {"TableName": "things", "Item": {"id": {"S": "a"}}, "ConditionExpression": "attribute_exists(x)"}}
    other = {"Put": {"TableName": "things", "Item": {"id": {"S": "d"}}}}
    code, _ = await world.error("TransactWriteItems", TransactItems=[other, failing])
    assert code == "TransactionCanceledException"
    requests = [{"DeleteRequest": {"Key": {"id": {"S": "c"}}}}, {"PutRequest": {"Item": {"id": {"S": "e"}}}}]
    await world.ok("BatchWriteItem", RequestItems={"things": requests})
    assert names(await world.records())[3:] == [("REMOVE", "c"), ("INSERT", "e")]


async def test_what_the_time_to_live_deletes_names_the_service() -> None:
    """A deletion by the time to live carries userIdentity; one by a user does not."""
    world = World()
    await world.create()
    spec = {"AttributeName": "until", "Enabled": True}
    await world.ok("UpdateTimeToLive", TableName="things", TimeToLiveSpecification=spec)
    await world.put("a", until={"N": str(int(world.clock.now) + 10)})
    await world.put("b")
    await world.ok("DeleteItem", TableName="things", Key={"id": {"S": "b"}})
    world.clock.now += 60
    world.service.database("eu-west-1").sweep()
    removed = [record for record in await world.records() if record["eventName"] == "REMOVE"]
    assert [record.get("userIdentity") for record in removed] == [
        None,
        {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
    ]


async def test_the_four_iterator_types() -> None:
    """TRIM_HORIZON, LATEST, AT and AFTER a number start where AWS says; an iterator may be used again."""
    world = World()
    await world.create()
    for key in "abc":
        await world.put(key)
    latest = await world.iterator("LATEST")
    numbers = [record["dynamodb"]["SequenceNumber"] for record in await world.records()]
    await world.put("d")
    starts = {
        await world.iterator("TRIM_HORIZON"): "abcd",
        latest: "d",
        await world.iterator("AT_SEQUENCE_NUMBER", sequence=numbers[1]): "bcd",
        await world.iterator("AFTER_SEQUENCE_NUMBER", sequence=numbers[1]): "cd",
    }
    for place, expected in [*starts.items(), *starts.items()]:
        page = await world.ok("GetRecords", ShardIterator=place)
        assert "".join(key for _, key in names(page["Records"])) == expected
    first = (await world.describe())["Shards"][0]["SequenceNumberRange"]["StartingSequenceNumber"]
    page = await world.ok("GetRecords", ShardIterator=await world.iterator("AT_SEQUENCE_NUMBER", sequence=first))
    assert len(page["Records"]) == 4


async def test_pages_hold_the_limit_and_a_megabyte() -> None:
    """Limit bounds a page, 1,000 records and 1 MB do as well, and the next iterator goes on without gap or repeat."""
    world = World()
    await world.create()
    for number in range(1001):
        await world.put(str(number))
    page = await world.ok("GetRecords", ShardIterator=await world.iterator(), Limit=3)
    rest = await world.ok("GetRecords", ShardIterator=page["NextShardIterator"])
    assert [key for _, key in names([*page["Records"], *rest["Records"]])] == [str(number) for number in range(1001)]
    assert len((await world.ok("GetRecords", ShardIterator=await world.iterator()))["Records"]) == 1000
    latest = await world.iterator("LATEST")
    for number in range(5):
        await world.put(f"big{number}", data={"S": "x" * 300_000})
    page = await world.ok("GetRecords", ShardIterator=latest)
    assert [key for _, key in names(page["Records"])] == ["big0", "big1", "big2"]
    page = await world.ok("GetRecords", ShardIterator=page["NextShardIterator"])
    assert [key for _, key in names(page["Records"])] == ["big3", "big4"]
    page = await world.ok("GetRecords", ShardIterator=page["NextShardIterator"])
    assert (page["Records"], "NextShardIterator" in page) == ([], True)


async def test_an_iterator_expires_after_fifteen_minutes() -> None:
    """At 15 minutes it still reads; after that it is an ExpiredIteratorException, and a new one reads on."""
    world = World()
    await world.create()
    await world.put("a")
    place = await world.iterator()
    world.clock.now += 900
    assert len((await world.ok("GetRecords", ShardIterator=place))["Records"]) == 1
    world.clock.now += 0.1
    code, _ = await world.error("GetRecords", ShardIterator=place)
    assert code == "ExpiredIteratorException"
    assert len(await world.records()) == 1


async def test_a_shard_closes_after_four_hours_and_has_a_child() -> None:
    """The closed shard ends with a number, gives its records and then no iterator; its child names it as parent."""
    world = World()
    await world.create()
    await world.put("a")
    world.clock.now += SHARD_LIFE_S - 1
    open_place = await world.iterator("LATEST")
    assert len((await world.describe())["Shards"]) == 1
    world.clock.now += 1
    await world.put("b")
    old, new = (await world.describe())["Shards"]
    assert new["ParentShardId"] == old["ShardId"]
    assert "ParentShardId" not in old
    assert "EndingSequenceNumber" not in new["SequenceNumberRange"]
    assert old["SequenceNumberRange"]["EndingSequenceNumber"] < new["SequenceNumberRange"]["StartingSequenceNumber"]
    page = await world.ok("GetRecords", ShardIterator=await world.iterator(shard=0))
    assert (names(page["Records"]), "NextShardIterator" in page) == ([("INSERT", "a")], False)
    page = await world.ok("GetRecords", ShardIterator=open_place)
    assert (page["Records"], "NextShardIterator" in page) == ([], False)
    assert names(await world.records()) == [("INSERT", "a"), ("INSERT", "b")]


async def test_idle_streams_roll_over_on_the_clock_and_keep_a_day_of_shards() -> None:
    """However long nobody looked: one open shard, a child at each period's end, closed shards of the last 24 hours."""
    world = World()
    await world.create()
    for _ in range(3):
        world.clock.now += 40 * 24 * HOUR_S + 1
        shards = (await world.describe())["Shards"]
        assert len(shards) == 7
        assert ["EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in shards] == [True] * 6 + [False]
        assert [shard["ParentShardId"] for shard in shards[1:]] == [shard["ShardId"] for shard in shards[:-1]]
        opened = [int(shard["ShardId"].split("-")[1]) / 1000 for shard in shards]
        assert [later - earlier for earlier, later in itertools.pairwise(opened)] == [SHARD_LIFE_S] * 6
        assert 0 <= world.clock.now - opened[-1] < SHARD_LIFE_S


async def test_a_long_idle_stream_costs_no_more_than_a_day_of_it() -> None:
    """Shards that would be trimmed by now are not made: a thousand years of four hours are a handful of ids."""

    class Counting(Random):
        calls = 0

        def getrandbits(self, k: int, /) -> int:
            self.calls += 1
            return super().getrandbits(k)

    randomness = Counting(1)
    world = World(randomness=randomness)
    await world.create()
    world.clock.now += 1000 * 365 * 24 * HOUR_S
    assert len((await world.describe())["Shards"]) == 7
    assert randomness.calls < 12


async def test_the_shards_life_is_a_setting() -> None:
    """A shorter period rolls over sooner; less than a second is refused, for ids tell shards apart by their date."""
    world = World(limits=StreamLimits(shard_life_s=60))
    await world.create()
    world.clock.now += 150
    assert len((await world.describe())["Shards"]) == 3
    with pytest.raises(ValueError, match="at least"):
        StreamLimits(shard_life_s=0.5)


async def test_records_are_trimmed_after_a_day() -> None:
    """A record goes 24 hours after it was made; whoever would read it is told that it was trimmed."""
    world = World()
    await world.create()
    await world.put("a")
    world.clock.now += 600
    await world.put("b")
    numbers = [record["dynamodb"]["SequenceNumber"] for record in await world.records()]
    world.clock.now += RETENTION_S - 601
    place = await world.iterator(shard=0)
    assert len((await world.ok("GetRecords", ShardIterator=place))["Records"]) == 2
    world.clock.now += 1
    code, message = await world.error("GetRecords", ShardIterator=place)
    assert (code, message) == ("TrimmedDataAccessException", "The data you are trying to access has been trimmed")
    assert names(await world.records()) == [("INSERT", "b")]
    stream = await world.describe()
    where = {"StreamArn": stream["StreamArn"], "ShardId": stream["Shards"][0]["ShardId"]}
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        code, _ = await world.error("GetShardIterator", **where, ShardIteratorType=kind, SequenceNumber=numbers[0])
        assert code == "TrimmedDataAccessException"
    world.clock.now += SHARD_LIFE_S
    code, _ = await world.error("GetShardIterator", **where, ShardIteratorType="TRIM_HORIZON")
    assert code == "ResourceNotFoundException"


EVERY_TYPE: dict[str, Any] = {
    "text": {"S": "a\ud7ffä"},
    "number": {"N": "-12345678901234567890.12345678901234567"},
    "bytes": {"B": "AAH/"},
    "flag": {"BOOL": False},
    "nothing": {"NULL": True},
    "texts": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2.5"]},
    "blobs": {"BS": ["AA==", "AQ=="]},
    "list": {"L": [{"N": "1E-130"}, {"M": {"a": {"L": []}}}]},
    "map": {"M": {"a": {"NULL": True}}},
}


async def test_a_stream_keeps_a_day_of_records_in_a_memory_that_does_not_grow() -> None:
    """Whatever their number, 512 are in memory at most; on disk they are what they were, until they are a day old."""
    world = World()
    await world.create()
    for number in range(300):
        await world.put("same", at={"N": str(number)}, **EVERY_TYPE)
    world.clock.now += 1
    for number in range(300, 1_000):
        await world.put("same", at={"N": str(number)}, **EVERY_TYPE)
    kept = await world.records()
    assert [each["dynamodb"]["NewImage"]["at"]["N"] for each in kept] == [str(number) for number in range(1_000)]
    item = (await world.ok("GetItem", TableName="things", Key={"id": {"S": "same"}}))["Item"]
    for number, each in enumerate(kept):
        assert each["dynamodb"]["NewImage"] == {**item, "at": {"N": str(number)}}
        assert each["dynamodb"].get("OldImage") == ({**item, "at": {"N": str(number - 1)}} if number else None)
    shard = world.service.database("eu-west-1").streams.all()[0].shards[0]
    assert (len(shard), len(vars(shard)["_entries"]._tail) <= 512) == (1_000, True)
    shard.trim(VIRTUAL_EPOCH_S)
    assert (len(shard), shard.trimmed) == (700, int(kept[299]["dynamodb"]["SequenceNumber"]))
    assert [each.arrived_s for each in shard.read(shard.trimmed + 1, 1).entries] == [VIRTUAL_EPOCH_S + 1]


async def test_disabling_closes_the_shard_and_its_records_stay_a_day() -> None:
    """A disabled stream is DISABLED, takes nothing, reads to its end, and is gone after 24 hours."""
    world = World()
    await world.create()
    await world.put("a")
    arn = await world.stream_arn()
    answer = await world.ok("UpdateTable", TableName="things", StreamSpecification={"StreamEnabled": False})
    assert "StreamSpecification" not in answer["TableDescription"]
    assert answer["TableDescription"]["LatestStreamArn"] == arn
    await world.put("b")
    stream = await world.describe()
    assert (stream["StreamStatus"], "EndingSequenceNumber" in stream["Shards"][0]["SequenceNumberRange"]) == (
        "DISABLED",
        True,
    )
    world.clock.now += RETENTION_S - 1
    assert names(await world.records()) == [("INSERT", "a")]
    assert len((await world.describe())["Shards"]) == 1
    place = await world.iterator()
    world.clock.now += 1
    for operation, request in (("DescribeStream", {"StreamArn": arn}), ("GetRecords", {"ShardIterator": place})):
        code, message = await world.error(operation, **request)
        assert (code, message) == (
            "ResourceNotFoundException",
            f"Requested resource not found: Stream: {arn} not found",
        )
    assert (await world.ok("ListStreams"))["Streams"] == []


async def test_enabling_again_gives_a_new_label_and_both_streams_are_there() -> None:
    """The new stream has another label, also in the same instant, and none of the old records."""
    world = World()
    await world.create()
    await world.put("a")
    old = await world.stream_arn()
    await world.ok("UpdateTable", TableName="things", StreamSpecification={"StreamEnabled": False})
    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    answer = (await world.ok("UpdateTable", TableName="things", StreamSpecification=stream))["TableDescription"]
    assert answer["LatestStreamArn"] == f"{TABLE_ARN}/stream/{answer['LatestStreamLabel']}" != old
    assert answer["StreamSpecification"] == stream
    await world.put("b")
    assert names(await world.records()) == [("INSERT", "b")]
    listed = (await world.ok("ListStreams", TableName="things"))["Streams"]
    assert [entry["StreamArn"] for entry in listed] == sorted([old, answer["LatestStreamArn"]])
    assert (await world.describe(StreamArn=old))["StreamStatus"] == "DISABLED"


async def test_a_deleted_tables_stream_is_readable_for_a_day() -> None:
    """DeleteTable disables the stream; a new table of that name has a stream of its own."""
    world = World()
    await world.create()
    await world.put("a")
    arn = await world.stream_arn()
    place = await world.iterator()
    await world.ok("DeleteTable", TableName="things")
    await world.create()
    assert names((await world.ok("GetRecords", ShardIterator=place))["Records"]) == [("INSERT", "a")]
    assert (await world.describe(StreamArn=arn))["StreamStatus"] == "DISABLED"
    assert await world.stream_arn() != arn
    assert await world.records() == []


async def test_streams_are_listed_in_pages() -> None:
    """ListStreams gives ARN, table and label, filters by table, and pages with LastEvaluatedStreamArn."""
    world = World()
    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    for number in range(5):
        await world.ok("CreateTable", **create_request(f"table{number}"), StreamSpecification=stream)
    await world.ok("CreateTable", **create_request("without"))
    everything = (await world.ok("ListStreams"))["Streams"]
    assert [entry["TableName"] for entry in everything] == [f"table{number}" for number in range(5)]
    assert {set(entry) == {"StreamArn", "TableName", "StreamLabel"} for entry in everything} == {True}
    found: list[Any] = []
    page = await world.ok("ListStreams", Limit=2)
    sizes = [len(page["Streams"])]
    while "LastEvaluatedStreamArn" in page:
        found += page["Streams"]
        page = await world.ok("ListStreams", Limit=2, ExclusiveStartStreamArn=page["LastEvaluatedStreamArn"])
        sizes.append(len(page["Streams"]))
    assert [*found, *page["Streams"]] == everything
    assert sizes == [2, 2, 1]
    assert (await world.ok("ListStreams", TableName="table3"))["Streams"] == everything[3:4]
    assert (await world.ok("ListStreams", TableName="without"))["Streams"] == []


async def test_shards_are_described_in_pages_and_by_parent() -> None:
    """DescribeStream pages with LastEvaluatedShardId, and CHILD_SHARDS gives the children of a shard alone."""
    world = World()
    description = await world.create("OLD_IMAGE")
    world.clock.now += 3 * SHARD_LIFE_S
    stream = await world.describe()
    ids = [shard["ShardId"] for shard in stream.pop("Shards")]
    assert stream == {
        "StreamArn": description["LatestStreamArn"],
        "StreamLabel": description["LatestStreamLabel"],
        "StreamStatus": "ENABLED",
        "StreamViewType": "OLD_IMAGE",
        "CreationRequestDateTime": pytest.approx(description["CreationDateTime"]),
        "TableName": "things",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    assert len(ids) == 4
    assert {28 <= len(shard_id) <= 65 for shard_id in ids} == {True}
    first = await world.describe(Limit=3)
    rest = await world.describe(Limit=3, ExclusiveStartShardId=first["LastEvaluatedShardId"])
    assert [shard["ShardId"] for shard in [*first["Shards"], *rest["Shards"]]] == ids
    assert "LastEvaluatedShardId" not in rest
    children = await world.describe(ShardFilter={"Type": "CHILD_SHARDS", "ShardId": ids[1]})
    assert [shard["ShardId"] for shard in children["Shards"]] == ids[2:3]


async def test_bad_requests_get_errors_in_awss_form() -> None:
    """Every malformed or impossible request is a 4xx with a code of the model, never a failure of ours."""
    world = World()
    arn = (await world.create())["LatestStreamArn"]
    shard_id = (await world.describe())["Shards"][0]["ShardId"]
    where = {"StreamArn": arn, "ShardId": shard_id}
    iterator = await world.iterator()
    place = base64.b64encode(b"shardId-00000000000000000000-00000000/1").decode()
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("DescribeStream", {}, "ValidationException", "Value null at 'streamArn'"),
        ("DescribeStream", {"StreamArn": "x"}, "ValidationException", "greater than or equal to 37"),
        ("DescribeStream", {"StreamArn": "x" * 40}, "ValidationException", "Invalid StreamArn"),
        ("DescribeStream", {"StreamArn": arn[:-1] + "9"}, "ResourceNotFoundException", "not found"),
        ("DescribeStream", {"StreamArn": arn, "Limit": 101}, "ValidationException", "less than or equal to 100"),
        ("DescribeStream", {"StreamArn": arn, "ShardFilter": {"Type": "X"}}, "ValidationException", "CHILD_SHARDS"),
        ("DescribeStream", {"StreamArn": arn, "Who": 1}, "ValidationException", "does not serve the parameter Who"),
        ("GetShardIterator", where, "ValidationException", "Value null at 'shardIteratorType'"),
        ("GetShardIterator", {**where, "ShardIteratorType": "AT_TIMESTAMP"}, "ValidationException", "enum value set"),
        (
            "GetShardIterator",
            {**where, "ShardId": shard_id[:-8] + "00000000", "ShardIteratorType": "LATEST"},
            "ResourceNotFoundException",
            "Shard",
        ),
        (
            "GetShardIterator",
            {**where, "ShardIteratorType": "AT_SEQUENCE_NUMBER"},
            "ValidationException",
            "must be specified",
        ),
        (
            "GetShardIterator",
            {**where, "ShardIteratorType": "LATEST", "SequenceNumber": "1" * 22},
            "ValidationException",
            "must not be specified",
        ),
        (
            "GetShardIterator",
            {**where, "ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "12"},
            "ValidationException",
            "greater than or equal to 21",
        ),
        (
            "GetShardIterator",
            {**where, "ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "x" * 22},
            "ValidationException",
            "Invalid SequenceNumber",
        ),
        (
            "GetShardIterator",
            {**where, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "9" * 40},
            "ValidationException",
            "Invalid SequenceNumber",
        ),
        ("GetRecords", {}, "ValidationException", "Value null at 'shardIterator'"),
        ("GetRecords", {"ShardIterator": "é"}, "ValidationException", "Invalid ShardIterator"),
        ("GetRecords", {"ShardIterator": iterator[:-3]}, "ValidationException", "Invalid ShardIterator"),
        ("GetRecords", {"ShardIterator": f"{arn}|1|{place}"}, "ValidationException", "Invalid ShardIterator"),
        ("GetRecords", {"ShardIterator": "x" * 2049}, "ValidationException", "less than or equal to 2048"),
        ("GetRecords", {"ShardIterator": iterator, "Limit": 0}, "ValidationException", "greater than or equal to 1"),
        ("GetRecords", {"ShardIterator": iterator, "Limit": 1001}, "LimitExceededException", "1000"),
        ("GetRecords", {"ShardIterator": iterator, "Limit": "1"}, "SerializationException", "Integer"),
        ("ListStreams", {"TableName": "a b"}, "ValidationException", "tableName"),
        ("ListStreams", {"Limit": 101}, "ValidationException", "less than or equal to 100"),
    ]
    for operation, request, code, part in cases:
        found_code, message = await world.error(operation, **request)
        assert (found_code, part in message) == (code, True), (operation, request, message)


async def test_operations_belong_to_their_own_target() -> None:
    """A streams operation under the table API's target, and the other way round, is unknown."""
    world = World()
    for target in ("DynamoDB_20120810.ListStreams", "DynamoDBStreams_20120810.PutItem", "ListStreams", ""):
        request = replace(wire_request("ListStreams", {}), headers={"x-amz-target": target})
        answer = await world.service.handle(request)
        assert answer.status == 400
        assert isinstance(answer.body, bytes)
        assert b"UnknownOperationException" in answer.body
        assert world.service.permissions(request) == ()


async def test_permissions_name_the_stream() -> None:
    """Each operation needs its own action on the stream's ARN; ListStreams on the table's streams, or on anything."""
    world = World()
    arn = (await world.create())["LatestStreamArn"]
    iterator = await world.iterator()
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("DescribeStream", {"StreamArn": arn}, arn),
        ("GetShardIterator", {"StreamArn": arn}, arn),
        ("GetRecords", {"ShardIterator": iterator}, arn),
        ("ListStreams", {"TableName": "things"}, f"{TABLE_ARN}/stream/*"),
        ("ListStreams", {}, "*"),
        ("UpdateTable", {"TableName": "things"}, TABLE_ARN),
    ]
    for operation, request, resource in cases:
        found = world.service.permissions(wire_request(operation, request))
        assert found == (Permission(f"dynamodb:{operation}", resource),)
