"""Streams, shards, consumers and records in the API's JSON. Pure: state in, JSON out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from localcloud.services.kinesis.consumers import Consumer
from localcloud.services.kinesis.shard import Record, Shard
from localcloud.services.kinesis.stream import ON_DEMAND, Stream

__all__ = [
    "METRICS",
    "describe_children",
    "describe_consumer",
    "describe_record",
    "describe_shard",
    "describe_stream",
    "describe_summary",
    "list_metrics",
]

METRICS: Final = (  # MetricsName
    "IncomingBytes",
    "IncomingRecords",
    "IteratorAgeMilliseconds",
    "OutgoingBytes",
    "OutgoingRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
)


def describe_stream(stream: Stream) -> dict[str, Any]:
    """What DescribeStream and DescribeStreamSummary have in common."""
    definition = stream.definition
    encryption = (
        {"EncryptionType": "KMS", "KeyId": definition.key_id} if definition.key_id else {"EncryptionType": "NONE"}
    )
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": stream.status,
        "StreamModeDetails": {"StreamMode": definition.mode},
        "RetentionPeriodHours": definition.retention_h,
        "StreamCreationTimestamp": round(stream.created_s, 3),
        "EnhancedMonitoring": [{"ShardLevelMetrics": list_metrics(definition.metrics)}],
        **encryption,
    }


def describe_summary(stream: Stream) -> dict[str, Any]:
    """DescribeStreamSummary's answer."""
    summary = {
        **describe_stream(stream),
        "OpenShardCount": 0 if stream.status == "CREATING" else stream.open_count,
        "ConsumerCount": len(stream.consumers),
        "MaxRecordSizeInKiB": stream.definition.max_record_kib,
    }
    if stream.definition.mode == ON_DEMAND:
        summary["RecordDistributionStrategy"] = "AUTO" if stream.definition.spreads else "USER_PARTITION_KEY"
    return summary


def list_metrics(metrics: Iterable[str]) -> list[str]:
    """Shard-level metrics as the API lists them."""
    return sorted(metrics)


def describe_shard(shard: Shard) -> dict[str, Any]:
    """A shard with its ranges and its lineage."""
    numbers = {"StartingSequenceNumber": str(shard.first_sequence)}
    if shard.last_sequence is not None:
        numbers["EndingSequenceNumber"] = str(shard.last_sequence)
    parents = dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parent_ids, strict=False))
    return {
        "ShardId": shard.shard_id,
        **parents,
        "HashKeyRange": _hashes(shard),
        "SequenceNumberRange": numbers,
    }


def describe_children(shard: Shard) -> list[dict[str, Any]]:
    """The children of a closed shard, as GetRecords and SubscribeToShard tell of them."""
    return [
        {"ShardId": child.shard_id, "ParentShards": list(child.parent_ids), "HashKeyRange": _hashes(child)}
        for child in shard.children
    ]


def describe_record(record: Record) -> dict[str, Any]:
    """A record as readers get it."""
    described: dict[str, Any] = {
        "SequenceNumber": str(record.sequence),
        "ApproximateArrivalTimestamp": record.arrived_s,
        "Data": record.content.data,
    }
    if record.content.key is not None:
        described["PartitionKey"] = record.content.key
    if record.encrypted:
        described["EncryptionType"] = "KMS"
    return described


def describe_consumer(consumer: Consumer) -> dict[str, Any]:
    """A consumer as it is listed."""
    return {
        "ConsumerName": consumer.name,
        "ConsumerARN": consumer.arn,
        "ConsumerStatus": consumer.status,
        "ConsumerCreationTimestamp": round(consumer.created_s, 3),
    }


def _hashes(shard: Shard) -> dict[str, str]:
    return {"StartingHashKey": str(shard.first_hash), "EndingHashKey": str(shard.last_hash)}
