"""The operations on streams as such: create, delete, describe, list, and their settings.

Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.kinesis.calls import Call, Result
from localcloud.services.kinesis.describing import (
    METRICS,
    describe_shard,
    describe_stream,
    describe_summary,
    list_metrics,
)
from localcloud.services.kinesis.errors import KinesisError, invalid, member_violation
from localcloud.services.kinesis.limits import shard_quota
from localcloud.services.kinesis.model import MAX_ON_DEMAND, MAX_SCALED
from localcloud.services.kinesis.stream import MIN_RETENTION_H, ON_DEMAND, PROVISIONED, Definition, Stream
from localcloud.services.kinesis.tags import MAX_TAGS_IN_CALL, add_tags
from localcloud.services.kinesis.tokens import open_token, seal_token

__all__ = ["CONTROL", "check_retention", "make_definition"]

MAX_RETENTION_H: Final = 8_760  # IncreaseStreamRetentionPeriod
MAX_LISTED: Final = 100  # ListStreams, DescribeStream
MIN_RECORD_KIB: Final = 1_024  # MaxRecordSizeInKiB
MAX_RECORD_KIB: Final = 10_240
MAX_ASKED: Final = 10_000  # Limit of most operations
_MODES: Final = (PROVISIONED, ON_DEMAND)
_STRATEGIES: Final = ("AUTO", "USER_PARTITION_KEY")


def _create_stream(call: Call) -> Result:
    members = call.members.only(
        "StreamName", "ShardCount", "StreamModeDetails", "Tags", "MaxRecordSizeInKiB", "RecordDistributionStrategy"
    )
    name = members.need_named("StreamName")
    details = members.structure("StreamModeDetails")
    mode = PROVISIONED if details is None else details.only("StreamMode").need_choice("StreamMode", _MODES)
    definition = make_definition(mode, members.count("ShardCount"))
    definition.max_record_kib = (
        members.count("MaxRecordSizeInKiB", low=MIN_RECORD_KIB, high=MAX_RECORD_KIB) or MIN_RECORD_KIB
    )
    definition.spreads = members.choice("RecordDistributionStrategy", _STRATEGIES) == "AUTO"
    _check_strategy(definition)
    add_tags(definition.tags, members.text_map("Tags", low=1, high=MAX_TAGS_IN_CALL), name=f"stream {name}")
    call.streams.create(name, call.region, definition)
    return {}


def make_definition(mode: str, count: int | None) -> Definition:
    """A stream of a mode with that many shards. Raises KinesisError where the two do not go together."""
    if mode == ON_DEMAND and count is not None:
        raise invalid("ShardCount must not be specified for a stream in ON_DEMAND mode.")
    if mode == PROVISIONED and count is None:
        raise invalid("ShardCount must be specified for a stream in PROVISIONED mode.")
    if (count or 1) > MAX_SCALED:
        raise KinesisError("LimitExceededException", f"A stream can have at most {MAX_SCALED} shards.")
    return Definition(mode=mode, shard_count=count or 1)


def _delete_stream(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "EnforceConsumerDeletion")
    call.streams.delete(call.stream(), with_consumers=members.flag("EnforceConsumerDeletion"))
    return {}


def _describe_stream(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "Limit", "ExclusiveStartShardId")
    limit = min(members.count("Limit", high=MAX_ASKED) or MAX_LISTED, MAX_LISTED)
    after = members.named("ExclusiveStartShardId") or ""
    stream = call.stream()
    stream.trim()
    shards = [] if stream.status == "CREATING" else [each for each in stream.shards if each.shard_id > after]
    description = {
        **describe_stream(stream),
        "Shards": [describe_shard(shard) for shard in shards[:limit]],
        "HasMoreShards": len(shards) > limit,
    }
    return {"StreamDescription": description}


def _describe_summary(call: Call) -> Result:
    call.members.only("StreamName", "StreamARN")
    return {"StreamDescriptionSummary": describe_summary(call.stream())}


def _list_streams(call: Call) -> Result:
    members = call.members.only("Limit", "ExclusiveStartStreamName", "NextToken")
    limit = min(members.count("Limit", high=MAX_ASKED) or MAX_LISTED, MAX_LISTED)
    after, token = members.named("ExclusiveStartStreamName") or "", members.text("NextToken")
    if token is not None:
        try:
            (after,) = open_token(call.streams.secret, "streams", token)
        except ValueError as error:
            raise invalid("Invalid NextToken.") from error
    streams = [each for each in call.streams.list(call.region) if each.name > after]
    listed, more = streams[:limit], len(streams) > limit
    result: Result = {
        "StreamNames": [each.name for each in listed],
        "HasMoreStreams": more,
        "StreamSummaries": [_summarise(each) for each in listed],
    }
    return result | ({"NextToken": seal_token(call.streams.secret, "streams", [listed[-1].name])} if more else {})


def _summarise(stream: Stream) -> Result:
    names = ("StreamName", "StreamARN", "StreamStatus", "StreamModeDetails", "StreamCreationTimestamp")
    described = describe_stream(stream)
    return {name: described[name] for name in names}


def _describe_limits(call: Call) -> Result:
    call.members.only()
    return {
        "ShardLimit": shard_quota(call.region),
        "OpenShardCount": call.streams.open_shards(call.region),
        "OnDemandStreamCount": call.streams.on_demand_count(call.region),
        "OnDemandStreamCountLimit": MAX_ON_DEMAND,
    }


def _increase_retention(call: Call) -> Result:
    stream, hours = _retention(call)
    existing = stream.definition.retention_h
    if hours < existing:
        raise invalid(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be shorter than existing "
            f"retention period ({existing} hours). Use DecreaseRetentionPeriod API."
        )
    stream.set_retention(hours)
    return {}


def _decrease_retention(call: Call) -> Result:
    stream, hours = _retention(call)
    existing = stream.definition.retention_h
    if hours > existing:
        raise invalid(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be longer than existing "
            f"retention period ({existing} hours). Use IncreaseRetentionPeriod API."
        )
    stream.set_retention(hours)
    return {}


def _retention(call: Call) -> tuple[Stream, int]:
    members = call.members.only("StreamName", "StreamARN", "RetentionPeriodHours")
    hours = members.need_count("RetentionPeriodHours", low=None)
    stream = call.stream()
    check_retention(hours)
    stream.check_active()
    return stream, hours


def check_retention(hours: int) -> None:
    """Raises KinesisError: InvalidArgumentException outside of 24 to 8760 hours."""
    if hours < MIN_RETENTION_H:
        raise invalid(
            f"Minimum allowed retention period is {MIN_RETENTION_H} hours. Requested retention period "
            f"({hours} hours) is too short."
        )
    if hours > MAX_RETENTION_H:
        raise invalid(
            f"Maximum allowed retention period is {MAX_RETENTION_H} hours. Requested retention period "
            f"({hours} hours) is too long."
        )


def _update_max_record_size(call: Call) -> Result:
    members = call.members.only("StreamARN", "MaxRecordSizeInKiB")
    if "StreamARN" not in members:
        raise member_violation(None, "streamARN", "Member must not be null")
    size = members.need_count("MaxRecordSizeInKiB", low=MIN_RECORD_KIB, high=MAX_RECORD_KIB)
    stream = call.stream()
    stream.change(lambda: setattr(stream.definition, "max_record_kib", size))
    return {}


def _update_mode(call: Call) -> Result:
    members = call.members.only("StreamARN", "StreamModeDetails")
    members.need("StreamARN")
    mode = members.need_structure("StreamModeDetails").only("StreamMode").need_choice("StreamMode", _MODES)
    call.streams.set_mode(call.stream(), mode)
    return {}


def _update_strategy(call: Call) -> Result:
    members = call.members.only("StreamARN", "RecordDistributionStrategy")
    members.need("StreamARN")
    spreads = members.need_choice("RecordDistributionStrategy", _STRATEGIES) == "AUTO"
    stream = call.stream()
    stream.check_active()
    if spreads and stream.definition.mode != ON_DEMAND:
        _check_strategy(Definition(mode=stream.definition.mode, spreads=True))
    stream.definition.spreads = spreads
    return {}


def _check_strategy(definition: Definition) -> None:
    if definition.spreads and definition.mode != ON_DEMAND:
        raise invalid("The AUTO record distribution strategy is for streams in ON_DEMAND mode.")


def _enable_monitoring(call: Call) -> Result:
    return _set_metrics(call, lambda current, asked: current | asked)


def _disable_monitoring(call: Call) -> Result:
    return _set_metrics(call, lambda current, asked: current - asked)


def _set_metrics(call: Call, merge: Callable[[frozenset[str], frozenset[str]], frozenset[str]]) -> Result:
    members = call.members.only("StreamName", "StreamARN", "ShardLevelMetrics")
    asked = members.texts("ShardLevelMetrics", low=1, high=7)
    unknown = [name for name in asked if name not in (*METRICS, "ALL")]
    if unknown:
        allowed = f"Member must satisfy enum value set: [{', '.join((*METRICS, 'ALL'))}]"
        raise member_violation(unknown[0][:256], "shardLevelMetrics", allowed)
    stream = call.stream()
    stream.check_active()
    current = stream.definition.metrics
    stream.definition.metrics = merge(current, frozenset(METRICS) if "ALL" in asked else frozenset(asked))
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardLevelMetrics": list_metrics(current),
        "DesiredShardLevelMetrics": list_metrics(stream.definition.metrics),
    }


def _start_encryption(call: Call) -> Result:
    stream, key_id = _encryption(call)
    stream.change(lambda: stream.set_key(key_id))
    return {}


def _stop_encryption(call: Call) -> Result:
    stream, _ = _encryption(call)
    if not stream.definition.key_id:
        raise invalid(f"Stream {stream.name} under account {ACCOUNT_ID} is not encrypted.")
    stream.change(lambda: stream.set_key(""))
    return {}


def _encryption(call: Call) -> tuple[Stream, str]:
    members = call.members.only("StreamName", "StreamARN", "EncryptionType", "KeyId")
    kind, key_id = members.need_choice("EncryptionType", ("NONE", "KMS")), members.need("KeyId")
    if kind != "KMS":
        raise invalid("The only valid EncryptionType is KMS.")
    return call.stream(), key_id


def _describe_account(call: Call) -> Result:
    call.members.only()
    return {"MinimumThroughputBillingCommitment": call.streams.account.describe()}


def _update_account(call: Call) -> Result:
    commitment = call.members.only("MinimumThroughputBillingCommitment").need_structure(
        "MinimumThroughputBillingCommitment"
    )
    if commitment.only("Status").need_choice("Status", ("ENABLED", "DISABLED")) == "ENABLED":
        call.streams.account.commit()
    else:
        call.streams.account.release()
    return {"MinimumThroughputBillingCommitment": call.streams.account.describe()}


CONTROL: Final[Mapping[str, Callable[[Call], Result]]] = {
    "CreateStream": _create_stream,
    "DecreaseStreamRetentionPeriod": _decrease_retention,
    "DeleteStream": _delete_stream,
    "DescribeAccountSettings": _describe_account,
    "DescribeLimits": _describe_limits,
    "DescribeStream": _describe_stream,
    "DescribeStreamSummary": _describe_summary,
    "DisableEnhancedMonitoring": _disable_monitoring,
    "EnableEnhancedMonitoring": _enable_monitoring,
    "IncreaseStreamRetentionPeriod": _increase_retention,
    "ListStreams": _list_streams,
    "StartStreamEncryption": _start_encryption,
    "StopStreamEncryption": _stop_encryption,
    "UpdateAccountSettings": _update_account,
    "UpdateMaxRecordSize": _update_max_record_size,
    "UpdateStreamMode": _update_mode,
    "UpdateStreamRecordDistributionStrategy": _update_strategy,
}
