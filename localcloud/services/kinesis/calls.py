"""One request as the operations see it: its members, and the stream or consumer that it is about.

A stream is named by StreamARN, StreamName or both; streams of other accounts are refused by name.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.kinesis.consumers import Consumer
from localcloud.services.kinesis.errors import KinesisError, invalid, not_served, stream_missing, too_many_calls
from localcloud.services.kinesis.limits import CALLS
from localcloud.services.kinesis.members import Members
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.stream import Stream

__all__ = ["Call", "Result", "consumer_missing", "parse_arn"]

Result: TypeAlias = dict[str, Any]
_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:kinesis:([a-z0-9-]+):(\d{12}):stream/([a-zA-Z0-9_.-]+)(/consumer/[a-zA-Z0-9_.-]+:\d+)?"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One operation: what it works on, and its members."""

    streams: Streams
    region: str
    operation: str
    members: Members

    def stream(self) -> Stream:
        """The stream of StreamARN or StreamName, counted towards its call limit.

        Raises KinesisError: InvalidArgument, ResourceNotFound, LimitExceeded.
        """
        name, arn = self.members.named("StreamName"), self.members.text("StreamARN")
        if name is None and arn is None:
            raise invalid("Either StreamName or StreamARN should be provided.")
        if arn is not None:
            named = self.stream_name(arn)
            if name is not None and name != named:
                raise invalid(f"StreamARN {arn} and StreamName {name} do not name the same stream.")
            name = named
        return self.metered(self.streams.get(name or "", self.region))

    def stream_name(self, arn: str) -> str:
        """The name in a stream's ARN. Raises KinesisError: InvalidArgument."""
        return parse_arn(arn, self.region, "StreamARN", consumer=False)

    def consumer(self) -> tuple[Stream, Consumer]:
        """The consumer of ConsumerARN, or of StreamARN and ConsumerName.

        Raises KinesisError: InvalidArgument, ResourceNotFound, LimitExceeded.
        """
        arn, name = self.members.text("ConsumerARN"), self.members.named("ConsumerName")
        stream_arn = self.members.text("StreamARN")
        if arn is None and (name is None or stream_arn is None):
            raise invalid("Either ConsumerARN, or both StreamARN and ConsumerName should be provided.")
        if arn is not None:
            stream, consumer = self.consumer_at(arn)
            if (name or consumer.name) != consumer.name or (stream_arn or stream.arn) != stream.arn:
                raise invalid(f"ConsumerARN {arn} conflicts with the StreamARN or ConsumerName that was given.")
            return self.metered(stream), consumer
        stream = self.metered(self.streams.get(self.stream_name(stream_arn or ""), self.region))
        found = stream.consumers.get(name or "")
        if found is None:
            raise consumer_missing(name or "")
        return stream, found

    def consumer_at(self, arn: str) -> tuple[Stream, Consumer]:
        """The consumer of an ARN. Raises KinesisError: InvalidArgument, ResourceNotFound."""
        parse_arn(arn, self.region, "ConsumerARN", consumer=True)
        found = self.streams.find_consumer(arn)
        if found is None:
            raise consumer_missing(arn)
        return found

    def resource(self) -> Stream | Consumer:
        """The stream or consumer of ResourceARN. Raises KinesisError: InvalidArgument, ResourceNotFound."""
        arn = self.members.need("ResourceARN")
        name = parse_arn(arn, self.region, "ResourceARN", consumer=None)
        if "/consumer/" in arn:
            return self.consumer_at(arn)[1]
        stream = self.streams.find(arn)
        if stream is None:
            raise stream_missing(name)
        return stream

    def metered(self, stream: Stream) -> Stream:
        """`stream`, once its own limit of calls allows one more. Raises KinesisError: LimitExceeded."""
        most, each_stream = CALLS.get(self.operation, (0, False))
        if self.streams.limits.calls and each_stream and stream.meter(self.operation, most).take(_loop_s()):
            raise too_many_calls(stream.name)
        return stream

    def check_account_calls(self) -> None:
        """Count the call towards the account's limit, where it has one. Raises KinesisError: LimitExceeded."""
        _, each_stream = CALLS.get(self.operation, (0, True))
        if not each_stream and self.streams.limits.calls:
            meter = self.streams.account.meter(self.operation, self.region)
            if meter.take(_loop_s()):
                raise too_many_calls("")


def parse_arn(arn: str, region: str, member: str, *, consumer: bool | None) -> str:
    """The stream's name in an ARN of a stream (`consumer` False), of a consumer (True), or of either (None).

    Raises KinesisError: InvalidArgumentException.
    """
    found = _ARN.fullmatch(arn)
    if found is None or (consumer is not None and bool(found[4]) is not consumer):
        raise invalid(f"{member} {arn[:256]} is not a valid ARN.")
    if found[2] != ACCOUNT_ID:
        raise not_served(f"the streams of other accounts: {member} {arn}")
    if found[1] != region:
        raise invalid(f"{member} {arn} is of another Region than {region}, where the request was sent.")
    return found[3]


def consumer_missing(consumer: str) -> KinesisError:
    """There is no consumer of this name or ARN."""
    return KinesisError("ResourceNotFoundException", f"Consumer {consumer}, account {ACCOUNT_ID} not found.")


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
