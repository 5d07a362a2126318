"""The operations of enhanced fan-out, and the event stream that SubscribeToShard answers with.

The body is `application/vnd.amazon.eventstream`: an `initial-response`, then one SubscribeToShardEvent whenever there
are records, or every five seconds without. AWS sends it over HTTP/2; botocore and aiobotocore read it over HTTP/1.1.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

from localcloud.services.kinesis.calls import Call, Result
from localcloud.services.kinesis.consumers import Subscription
from localcloud.services.kinesis.describing import describe_children, describe_consumer, describe_record
from localcloud.services.kinesis.errors import KinesisError, in_use, invalid, stream_missing
from localcloud.services.kinesis.records import POSITIONS, find_position
from localcloud.services.kinesis.resharding import TOKEN_S
from localcloud.services.kinesis.shard import Reading
from localcloud.services.kinesis.tags import MAX_TAGS_IN_CALL, add_tags
from localcloud.services.kinesis.tokens import open_token, seal_token
from sluiceway.aws.event_stream import encode_message

__all__ = ["EVENT_STREAM", "FAN_OUT", "IDLE_S", "PushedEvents", "subscribe_to_shard"]

EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
IDLE_S: Final = 5.0  # an event without records, so that the checkpoint moves on; AWS tells no number
MAX_LISTED: Final = 100  # ListStreamConsumers


def _register(call: Call) -> Result:
    members = call.members.only("StreamARN", "ConsumerName", "Tags")
    members.need("StreamARN")
    name = members.need_named("ConsumerName")
    tags: dict[str, str] = {}
    add_tags(tags, members.text_map("Tags", low=1, high=MAX_TAGS_IN_CALL), name=f"consumer {name}")
    consumer = call.streams.register(call.stream(), name)
    consumer.tags = tags
    return {"Consumer": {**describe_consumer(consumer), "ConsumerStatus": "CREATING"}}


def _deregister(call: Call) -> Result:
    call.members.only("StreamARN", "ConsumerName", "ConsumerARN")
    stream, consumer = call.consumer()
    if consumer.status == "DELETING":
        raise in_use(f"Consumer {consumer.name} is {consumer.status}.")
    stream.deregister(consumer)
    return {}


def _describe(call: Call) -> Result:
    call.members.only("StreamARN", "ConsumerName", "ConsumerARN")
    stream, consumer = call.consumer()
    return {"ConsumerDescription": {**describe_consumer(consumer), "StreamARN": stream.arn}}


def _list(call: Call) -> Result:
    members = call.members.only("StreamARN", "NextToken", "MaxResults", "StreamCreationTimestamp")
    members.need("StreamARN")
    most = min(members.count("MaxResults", high=10_000) or MAX_LISTED, MAX_LISTED)
    created_s, token = members.timestamp("StreamCreationTimestamp"), members.text("NextToken", high=1_048_576)
    if created_s is not None and token is not None:
        raise invalid("NextToken and StreamCreationTimestamp cannot be provided together.")
    stream = call.stream()
    if created_s is not None and abs(created_s - stream.created_s) >= 1:
        raise stream_missing(stream.name)
    after = "" if token is None else _open_page(call, token, stream.arn)
    found = [stream.consumers[name] for name in sorted(stream.consumers) if name > after]
    result: Result = {"Consumers": [describe_consumer(each) for each in found[:most]]}
    if len(found) > most:
        fields = (stream.arn, found[most - 1].name, repr(call.streams.now()))
        result["NextToken"] = seal_token(call.streams.secret, "consumers", fields)
    return result


def _open_page(call: Call, token: str, stream_arn: str) -> str:
    try:
        arn, after, issued = open_token(call.streams.secret, "consumers", token)
    except ValueError as error:
        raise invalid("Invalid NextToken.") from error
    if arn != stream_arn:
        raise invalid("The NextToken is another stream's than StreamARN's.")
    if call.streams.now() > float(issued) + TOKEN_S:
        raise KinesisError("ExpiredNextTokenException", "The NextToken has expired.")
    return after


def subscribe_to_shard(call: Call) -> PushedEvents:
    """Begin to push a shard's records to a consumer. Raises KinesisError; what goes wrong later is an event."""
    members = call.members.only("ConsumerARN", "ShardId", "StartingPosition")
    arn, shard_id = members.need("ConsumerARN"), members.need_named("ShardId")
    start = members.need_structure("StartingPosition").only("Type", "SequenceNumber", "Timestamp")
    kind = start.need_choice("Type", POSITIONS)
    sequence, timestamp_s = start.sequence("SequenceNumber"), start.timestamp("Timestamp")
    stream, consumer = call.consumer_at(arn)
    if consumer.status != "ACTIVE":
        raise in_use(f"Consumer {consumer.name} is not ACTIVE, instead in state {consumer.status}.")
    shard = stream.shard(shard_id)
    position = find_position(stream, shard, kind, sequence=sequence, timestamp_s=timestamp_s)
    return PushedEvents(consumer.subscribe(shard, position, stream.now, paced=call.streams.limits.reads))


class PushedEvents:
    """The events of one subscription, each as it happens. Whoever stops reading early closes it."""

    def __init__(self, subscription: Subscription) -> None:
        self._events = _make_events(subscription)

    def __aiter__(self) -> PushedEvents:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Nobody reads on."""
        await self._events.aclose()


async def _make_events(subscription: Subscription) -> AsyncGenerator[bytes]:
    yield _message("event", "initial-response", {})
    try:
        while (reading := await subscription.next(IDLE_S)) is not None:
            yield _message("event", "SubscribeToShardEvent", _describe_event(subscription, reading))
            if reading.next is None:
                return
    except KinesisError as error:
        yield _message("exception", error.code, {"message": error.message})


def _describe_event(subscription: Subscription, reading: Reading) -> dict[str, Any]:
    event: dict[str, Any] = {
        "Records": [describe_record(record) for record in reading.records],
        "MillisBehindLatest": reading.behind_ms,
    }
    if reading.next is None:
        return event | {"ChildShards": describe_children(subscription.shard)}
    return event | {"ContinuationSequenceNumber": str(subscription.checkpoint())}


def _message(kind: str, name: str, payload: dict[str, Any]) -> bytes:
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return encode_message(headers, json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


FAN_OUT: Final[Mapping[str, Callable[[Call], Result]]] = {
    "DeregisterStreamConsumer": _deregister,
    "DescribeStreamConsumer": _describe,
    "ListStreamConsumers": _list,
    "RegisterStreamConsumer": _register,
}
