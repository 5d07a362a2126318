"""Kinesis streams for readers: their shards and records, polled or pushed, and the consumers that are pushed to.

Owns request shapes, and which error of the service is which of the port. Must not know leases or what records mean.
GetRecords and SubscribeToShard are tried once: whoever reads a shard paces itself.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import binascii
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Final, NamedTuple, cast

from sluiceway.aws.event_stream import Message, MessageParser, TornMessageError
from sluiceway.aws.kinesis import KINESIS, name_stream
from sluiceway.aws.reply import Fault
from sluiceway.aws.retry import classify
from sluiceway.aws.wire import Stream as Body
from sluiceway.aws.wire import StreamingCaller
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceError
from sluiceway.ports.consuming import IteratorExpired, Page, ShardGone, ShardRecord, SubscriptionTaken
from sluiceway.rules.consuming.shards import Shard
from sluiceway.rules.consuming.spans import Position, Span

__all__ = ["KinesisReader", "StreamConsumer", "StreamSummary"]

MAX_SHARDS: Final = 1_000  # of one page of ListShards
SILENCE_S: Final = 20.0  # a subscription has an event every five seconds where there is nothing to tell
TAKEOVER_S: Final = 5.0  # another SubscribeToShard for consumer and shard is refused for so long
_ONCE: Final = KINESIS._replace(max_attempts=1)
_SUBSCRIBE: Final = ("kinesis", "SubscribeToShard")
# The exceptions of SubscribeToShardEventStream that another attempt may help, with their statuses in the API model
_STATUS: Final = {"InternalFailureException": 500, "KMSThrottlingException": 429}


class StreamSummary(NamedTuple):
    """A stream in short. `status`: CREATING, ACTIVE, UPDATING or DELETING; `mode`: PROVISIONED or ON_DEMAND."""

    arn: str
    status: str
    mode: str
    open_shards: int
    retention_h: int
    created_s: float
    consumers: int


class StreamConsumer(NamedTuple):
    """A registered consumer. `status`: CREATING, ACTIVE or DELETING."""

    arn: str
    name: str
    status: str


class KinesisReader:
    """One stream, by ARN or by name, as a `ShardReader`. Holds no connection: those are the `Caller`'s.

    With `consumer_arn` its shards are pushed to that consumer, which nobody else may use. Every method raises what
    `Caller.call` raises, and `Rejected` (`unreadable-answer`) for an answer that is none of its operation.
    """

    def __init__(self, caller: StreamingCaller, stream: str, *, consumer_arn: str = "") -> None:
        self._caller = caller
        self._stream = name_stream(stream)
        self._consumer_arn = consumer_arn
        self.arn = stream

    @property
    def can_push(self) -> bool:
        """Whether there is a consumer for it."""
        return bool(self._consumer_arn)

    # ------------------------------------------------------------------ the port

    async def list_shards(self, span: Span) -> tuple[Shard, ...]:
        """As `ShardReader.list_shards`: what was closed before the span began is not listed."""
        request: dict[str, object] = {**self._stream, "MaxResults": MAX_SHARDS, "ShardFilter": _write_filter(span)}
        shards: list[Shard] = []
        while True:
            told = await self._call("ListShards", request)
            try:
                shards += [_read_shard(each) for each in told["Shards"]]
            except (KeyError, TypeError) as error:
                raise _unreadable("ListShards") from error
            token = told.get("NextToken")
            if not token:
                return tuple(sorted(shards, key=lambda shard: shard.shard_id))
            request = {"NextToken": token, "MaxResults": MAX_SHARDS}

    async def find_iterator(self, shard_id: str, position: Position) -> str:
        """As `ShardReader.find_iterator`."""
        request: dict[str, object] = {**self._stream, "ShardId": shard_id, "ShardIteratorType": position.kind}
        if position.sequence_number:
            request["StartingSequenceNumber"] = position.sequence_number
        if position.at_ms:
            request["Timestamp"] = position.at_ms / 1000
        try:
            told = await self._call("GetShardIterator", request)
        except ServiceError as error:
            raise await self._explain(error, shard_id) from error
        return str(told["ShardIterator"])

    async def get_records(self, iterator: str, *, limit: int) -> Page:
        """As `ShardReader.get_records`. What is not there any more is asked about with the next iterator."""
        request: dict[str, object] = {"ShardIterator": iterator, "Limit": limit}
        if "StreamARN" in self._stream:
            request["StreamARN"] = self.arn  # another account's stream is read by its ARN
        try:
            reply = await self._caller.call(_ONCE, "GetRecords", request)
        except ServiceError as error:
            if error.code in {"ExpiredIteratorException", "ResourceNotFoundException"}:
                raise IteratorExpired(str(error)) from error
            raise
        try:
            return _read_page(reply.json(), "NextShardIterator")
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable("GetRecords") from error

    @asynccontextmanager
    async def subscribe(self, shard_id: str, position: Position) -> AsyncGenerator[AsyncIterator[Page]]:
        """As `ShardReader.subscribe`."""
        start: dict[str, object] = {"Type": position.kind}
        if position.sequence_number:
            start["SequenceNumber"] = position.sequence_number
        if position.at_ms:
            start["Timestamp"] = position.at_ms / 1000
        request = {"ConsumerARN": self._consumer_arn, "ShardId": shard_id, "StartingPosition": start}
        async with AsyncExitStack() as stack:
            try:
                body = await stack.enter_async_context(
                    self._caller.stream(_ONCE, "SubscribeToShard", request, path="/", idle_s=SILENCE_S)
                )
            except ServiceError as error:
                raise await self._explain(error, shard_id) from error
            yield await stack.enter_async_context(aclosing(self._read_pages(body, shard_id)))

    async def _read_pages(self, body: Body, shard_id: str) -> AsyncGenerator[Page]:
        parser = MessageParser()
        request_id = body.headers.get("x-amzn-requestid", "")
        try:
            async for piece in body:
                for message in parser.feed(piece):
                    page = _read_event(message, request_id)
                    if isinstance(page, ServiceError):
                        raise await self._explain(page, shard_id)
                    if page is not None:
                        yield page
            parser.end()
        except TornMessageError as error:
            raise Fault(200, error.code, str(error), request_id).outage(*_SUBSCRIBE, after_s=None) from error

    async def _explain(self, error: ServiceError, shard_id: str) -> Exception:
        """The port's error for what the service said; the error itself where the port has none.

        A shard, a stream and a consumer that are not there have one code: the list of shards tells them apart.
        """
        if error.code == "ResourceInUseException":
            return SubscriptionTaken(str(error), after_s=TAKEOVER_S)
        if error.code == "InvalidArgumentException" and "currentTimestampInMillis" in str(error):
            return Retryable(str(error), after_s=1.0)  # our clock is ahead of the service's
        if error.code == "ResourceNotFoundException":
            listed = await self.list_shards(Span())
            if shard_id not in {shard.shard_id for shard in listed}:
                return ShardGone(str(error))
        return error

    # ------------------------------------------------------------------ about streams and consumers

    async def describe(self) -> StreamSummary:
        """DescribeStreamSummary."""
        told = await self._call("DescribeStreamSummary", dict(self._stream))
        summary = cast("Mapping[str, Any]", told["StreamDescriptionSummary"])
        return StreamSummary(
            arn=str(summary["StreamARN"]),
            status=str(summary["StreamStatus"]),
            mode=str(
                cast("Mapping[str, Any]", summary.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED")
            ),
            open_shards=int(summary["OpenShardCount"]),
            retention_h=int(summary["RetentionPeriodHours"]),
            created_s=float(summary["StreamCreationTimestamp"]),
            consumers=int(summary.get("ConsumerCount", 0)),
        )

    async def register_consumer(self, name: str) -> StreamConsumer:
        """RegisterStreamConsumer; it is CREATING. The reader must know the stream's ARN.

        Raises ServiceRefused (`ResourceInUseException`) where the name is taken, ServiceUnavailable
        (`LimitExceededException`) for too many.
        """
        told = await self._call("RegisterStreamConsumer", {"StreamARN": self._need_arn(), "ConsumerName": name})
        return _read_consumer(told["Consumer"])

    async def describe_consumer(self, name: str) -> StreamConsumer:
        """DescribeStreamConsumer, by its name. The reader must know the stream's ARN."""
        told = await self._call("DescribeStreamConsumer", {"StreamARN": self._need_arn(), "ConsumerName": name})
        return _read_consumer(told["ConsumerDescription"])

    def with_consumer(self, consumer_arn: str) -> KinesisReader:
        """The same stream, pushed to this consumer."""
        return KinesisReader(self._caller, self.arn, consumer_arn=consumer_arn)

    def _need_arn(self) -> str:
        if "StreamARN" not in self._stream:
            raise Misconfigured("consumers are registered by the ARN of their stream", what="StreamARN")
        return self.arn

    async def _call(self, operation: str, request: Mapping[str, object]) -> dict[str, Any]:
        reply = await self._caller.call(KINESIS, operation, request)
        return reply.json()


def _read_event(message: Message, request_id: str) -> Page | ServiceError | None:
    """The page in `message`, or what an exception in it says; None where it is neither."""
    headers = message.headers
    if headers.get(":message-type") != "event":
        return _read_exception(message, request_id)
    if headers.get(":event-type") != "SubscribeToShardEvent":
        return None
    try:
        return _read_page(json.loads(message.payload), "ContinuationSequenceNumber")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable("SubscribeToShard") from error


def _read_exception(message: Message, request_id: str) -> ServiceError:
    headers = message.headers
    code = str(headers.get(":exception-type") or headers.get(":error-code") or "UnknownError")
    try:
        told = cast("Mapping[str, object]", json.loads(message.payload or b"{}"))
        words = str(told.get("message") or told.get("Message") or headers.get(":error-message") or "")
    except (AttributeError, ValueError):
        words = str(headers.get(":error-message") or "")
    fault = Fault(_STATUS.get(code, 400 if ":exception-type" in headers else 500), code, words, request_id)
    if classify(fault.status, code) is not None:
        return fault.outage(*_SUBSCRIBE, after_s=None)
    return fault.refusal(*_SUBSCRIBE)


def _read_page(told: Mapping[str, Any], going_on: str) -> Page:
    records = tuple([_read_record(record) for record in told["Records"]])
    return Page(
        records,
        str(told.get(going_on) or ""),
        int(told.get("MillisBehindLatest") or 0),
    )


def _read_record(record: Mapping[str, Any]) -> ShardRecord:
    return ShardRecord(
        str(record["SequenceNumber"]),
        str(record.get("PartitionKey") or ""),
        binascii.a2b_base64(record["Data"], strict_mode=True),
        round(record.get("ApproximateArrivalTimestamp", 0) * 1000),
    )


def _read_shard(shard: Mapping[str, Any]) -> Shard:
    named = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    numbers = cast("Mapping[str, str]", shard["SequenceNumberRange"])
    return Shard(
        str(shard["ShardId"]),
        tuple(str(parent) for parent in named if parent),
        str(numbers["StartingSequenceNumber"]),
        str(numbers.get("EndingSequenceNumber") or ""),
    )


def _read_consumer(told: Mapping[str, Any]) -> StreamConsumer:
    return StreamConsumer(str(told["ConsumerARN"]), str(told["ConsumerName"]), str(told["ConsumerStatus"]))


def _write_filter(span: Span) -> dict[str, object]:
    if span.kind == "AT_TIMESTAMP":
        return {"Type": "FROM_TIMESTAMP", "Timestamp": span.at_ms / 1000}
    return {"Type": "FROM_TRIM_HORIZON"}


def _unreadable(operation: str) -> Rejected:
    return Rejected(f"this is no answer to {operation}", reason="unreadable-answer")
