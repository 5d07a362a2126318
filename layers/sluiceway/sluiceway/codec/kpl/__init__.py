"""Aggregated Kinesis records, the format of the Kinesis Producer Library: open them, and make them.

    aggregate = kpl.open_aggregate(data)
    if aggregate is None:
        ...  # a record of its own
    else:
        for record in aggregate.records:
            ...

An aggregate is opened whole or refused whole (`CorruptAggregate`), nothing is cut off. Producers aggregate by the shard
that they predict (`Aggregator`), for a consumer on the Kinesis Client Library drops an aggregate that holds a record of
another shard. docs/kpl.md says where this differs from the Kinesis Client Library, and why. No dependency, no I/O.
Source: https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
"""

from __future__ import annotations

from sluiceway.codec.kpl.aggregate import Aggregate, RecordId, UserRecord, open_aggregate
from sluiceway.codec.kpl.aggregator import Aggregator, PutEntry
from sluiceway.codec.kpl.fields import CorruptAggregate
from sluiceway.codec.kpl.shards import HashRange, ShardMap, hash_key

__all__ = [
    "Aggregate",
    "Aggregator",
    "CorruptAggregate",
    "HashRange",
    "PutEntry",
    "RecordId",
    "ShardMap",
    "UserRecord",
    "hash_key",
    "open_aggregate",
]
