"""Streams, their shards and their consumers, as the console's page is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from localcloud.console.mesh.cloud import Cloud, Json
from localcloud.console.mesh.rates import Rate
from sluiceway.aws.kinesis import KINESIS

__all__ = ["CONSUMER", "MAX_SHARDS", "describe_shards", "read_stream", "read_stream_names"]

MAX_STREAMS: Final = 100
MAX_SHARDS: Final = 1_000  # one page of ListShards
CONSUMER: Final = "sluiceway-console"  # with this consumer the page's tail reads
FULL: Final = 0.8  # of what a shard takes a second: hot as well
HOT_SHARE: Final = 2.0  # a shard is hot that takes so many times what it would if all took the same
_HASHES: Final = 1 << 128


async def read_stream_names(cloud: Cloud) -> list[str]:
    """The first hundred. Raises SluicewayError."""
    told = await cloud.ask(KINESIS, "ListStreams", {"Limit": MAX_STREAMS})
    return cast("list[str]", told["StreamNames"])


async def read_stream(cloud: Cloud, name: str, rates: Mapping[str, Rate] | None) -> Json:
    """STREAM of the API's docstring; `rates` by shard, None where nobody counts. Raises SluicewayError."""
    named = {"StreamName": name}
    summary = cast("Json", (await cloud.ask(KINESIS, "DescribeStreamSummary", named))["StreamDescriptionSummary"])
    shards = await cloud.ask(KINESIS, "ListShards", {**named, "MaxResults": MAX_SHARDS})
    consumers = await cloud.ask(KINESIS, "ListStreamConsumers", {"StreamARN": summary["StreamARN"], "MaxResults": 100})
    total = None if rates is None else sum(rates.values(), Rate())
    return {
        "name": name,
        "arn": summary["StreamARN"],
        "status": summary["StreamStatus"],
        "mode": cast("Json", summary.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED"),
        "retention_h": summary["RetentionPeriodHours"],
        "records_s": None if total is None else total.records_s,
        "bytes_s": None if total is None else total.bytes_s,
        "shards": describe_shards(cast("list[Json]", shards["Shards"]), rates),
        "is_whole": not shards.get("NextToken"),
        "consumers": [
            {"name": each["ConsumerName"], "status": each["ConsumerStatus"], "own": each["ConsumerName"] == CONSUMER}
            for each in cast("list[Json]", consumers["Consumers"])
        ],
    }


def describe_shards(shards: Sequence[Mapping[str, Any]], rates: Mapping[str, Rate] | None) -> list[Json]:
    """SHARD of the API's docstring, for each."""
    found: list[Json] = []
    hot = _find_hot([str(each["ShardId"]) for each in shards if not _is_closed(each)], rates or {})
    for each in shards:
        shard_id = str(each["ShardId"])
        span = cast("Mapping[str, str]", each["HashKeyRange"])
        rate = None if rates is None else rates.get(shard_id, Rate())
        parents = (each.get("ParentShardId"), each.get("AdjacentParentShardId"))
        found.append(
            {
                "id": shard_id,
                "from": int(span["StartingHashKey"]) / _HASHES,
                "to": (int(span["EndingHashKey"]) + 1) / _HASHES,
                "parents": [parent for parent in parents if parent],
                "open": not _is_closed(each),
                "records_s": None if rate is None else rate.records_s,
                "bytes_s": None if rate is None else rate.bytes_s,
                "load": None if rate is None else rate.load,
                "hot": shard_id == hot,
            }
        )
    return found


def _is_closed(shard: Mapping[str, Any]) -> bool:
    return "EndingSequenceNumber" in cast("Mapping[str, str]", shard["SequenceNumberRange"])


def _find_hot(open_shards: Sequence[str], rates: Mapping[str, Rate]) -> str:
    """The open shard that takes far more than its share, "" for none. One shard alone is never hot."""
    loads = {shard_id: rates.get(shard_id, Rate()).load for shard_id in open_shards}
    hottest = max(loads, key=lambda each: loads[each], default="")
    total = sum(loads.values())
    is_hot = len(loads) > 1 and total > 0 and loads[hottest] > HOT_SHARE * total / len(loads)
    is_full = bool(hottest) and loads[hottest] >= FULL
    return hottest if is_hot or is_full else ""
