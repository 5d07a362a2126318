"""The operations on shards: list, split, merge, scale.

Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html, API_SplitShard.html,
API_MergeShards.html, API_UpdateShardCount.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from localcloud.services.kinesis.calls import Call, Result
from localcloud.services.kinesis.describing import describe_shard
from localcloud.services.kinesis.errors import KinesisError, in_use, invalid, member_violation, stream_missing
from localcloud.services.kinesis.members import Members
from localcloud.services.kinesis.shard import Shard
from localcloud.services.kinesis.stream import Stream
from localcloud.services.kinesis.tokens import open_token, seal_token

__all__ = ["RESHARDING", "TOKEN_S"]

TOKEN_S: Final = 300.0  # ListShards: tokens expire after 300 seconds
MAX_LISTED: Final = 1_000  # ListShards
_TIMED: Final = ("AT_TIMESTAMP", "FROM_TIMESTAMP")
_FILTERS: Final = ("AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", *_TIMED)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which shards of a stream, from which on. `timestamp_s` belongs to the two timed filters."""

    stream: Stream
    after: str
    filter: str
    timestamp_s: float


def _list_shards(call: Call) -> Result:
    members = call.members.only(
        "StreamName",
        "StreamARN",
        "NextToken",
        "ExclusiveStartShardId",
        "MaxResults",
        "StreamCreationTimestamp",
        "ShardFilter",
    )
    most = min(members.count("MaxResults", high=10_000) or MAX_LISTED, MAX_LISTED)
    asked = _continue(call) if "NextToken" in members else _begin(call)
    stream = asked.stream
    if stream.status in ("CREATING", "DELETING"):
        raise in_use(f"Stream {stream.name} is {stream.status}; its shards cannot be listed.")
    stream.trim()
    shards = [each for each in stream.shards if each.shard_id > asked.after and _passes(each, asked)]
    result: Result = {"Shards": [describe_shard(each) for each in shards[:most]]}
    if len(shards) > most:
        fields = (
            stream.arn,
            repr(stream.created_s),
            shards[most - 1].shard_id,
            asked.filter,
            repr(asked.timestamp_s),
            repr(call.streams.now()),
        )
        result["NextToken"] = seal_token(call.streams.secret, "shards", fields)
    return result


def _begin(call: Call) -> _Asked:
    after = call.members.named("ExclusiveStartShardId") or ""
    created_s = call.members.timestamp("StreamCreationTimestamp")
    kind, timestamp_s = "FROM_TRIM_HORIZON", 0.0
    given = call.members.structure("ShardFilter")
    if given is not None:
        kind, shard_id, timestamp_s = _read_filter(given)
        after = max(after, shard_id)
    stream = call.stream()
    if created_s is not None and abs(created_s - stream.created_s) >= 1:
        raise stream_missing(stream.name)
    return _Asked(stream, after, kind, timestamp_s)


def _read_filter(given: Members) -> tuple[str, str, float]:
    given.only("Type", "ShardId", "Timestamp")
    kind = given.need_choice("Type", _FILTERS)
    shard_id, timestamp_s = given.named("ShardId"), given.timestamp("Timestamp")
    if (shard_id is not None) is not (kind == "AFTER_SHARD_ID"):
        raise invalid("A ShardFilter has a ShardId where its type is AFTER_SHARD_ID, and nowhere else.")
    if (timestamp_s is not None) is not (kind in _TIMED):
        raise invalid(
            "A ShardFilter has a Timestamp where its type is AT_TIMESTAMP or FROM_TIMESTAMP, and nowhere else."
        )
    return kind, shard_id or "", timestamp_s or 0.0


def _continue(call: Call) -> _Asked:
    for name in ("StreamName", "ExclusiveStartShardId", "StreamCreationTimestamp", "ShardFilter"):
        if name in call.members:
            raise invalid(f"NextToken and {name} cannot be provided together.")
    try:
        fields = open_token(call.streams.secret, "shards", call.members.need("NextToken", high=1_048_576))
        arn, created, after, kind, timestamp, issued = fields
    except ValueError as error:
        raise invalid("Invalid NextToken.") from error
    if call.streams.now() > float(issued) + TOKEN_S:
        raise KinesisError("ExpiredNextTokenException", "The NextToken has expired.")
    stream = call.streams.find(arn)
    if stream is None or repr(stream.created_s) != created:
        raise stream_missing(arn.partition("/")[2])
    if call.members.text("StreamARN") not in (None, arn):
        raise invalid("The NextToken is another stream's than StreamARN's.")
    return _Asked(call.metered(stream), after, kind, float(timestamp))


def _passes(shard: Shard, asked: _Asked) -> bool:
    if asked.filter == "AT_LATEST":
        return shard.closed_s is None
    horizon_s = max(asked.stream.horizon_s, asked.stream.created_s)
    at_s = max(asked.timestamp_s, horizon_s)
    if asked.filter in ("AT_TRIM_HORIZON", "AT_TIMESTAMP"):
        return shard.opened_s <= at_s and (shard.closed_s is None or shard.closed_s >= at_s)
    return asked.filter != "FROM_TIMESTAMP" or shard.closed_s is None or shard.closed_s >= at_s


def _split_shard(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "ShardToSplit", "NewStartingHashKey")
    shard_id, at = members.need_named("ShardToSplit"), members.hash_key("NewStartingHashKey")
    if at is None:
        raise member_violation(None, "newStartingHashKey", "Member must not be null")
    call.streams.split(call.stream(), shard_id, at)
    return {}


def _merge_shards(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "ShardToMerge", "AdjacentShardToMerge")
    shard_id, adjacent_id = members.need_named("ShardToMerge"), members.need_named("AdjacentShardToMerge")
    call.streams.merge(call.stream(), shard_id, adjacent_id)
    return {}


def _update_shard_count(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "TargetShardCount", "ScalingType")
    target = members.need_count("TargetShardCount")
    members.need_choice("ScalingType", ("UNIFORM_SCALING",))
    stream = call.stream()
    current = call.streams.scale(stream, target)
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardCount": current,
        "TargetShardCount": target,
    }


RESHARDING: Final[Mapping[str, Callable[[Call], Result]]] = {
    "ListShards": _list_shards,
    "MergeShards": _merge_shards,
    "SplitShard": _split_shard,
    "UpdateShardCount": _update_shard_count,
}
