"""Which IAM actions a Kinesis request needs, and on which ARNs.

Reads the request leniently: a malformed one needs nothing here and fails in the operation.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonkinesisdatastreams.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.contract import Permission
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.records import iterator_arn
from localcloud.services.kinesis.tokens import open_token

__all__ = ["needed_permissions"]

_ACCOUNT_WIDE: Final = ("DescribeAccountSettings", "DescribeLimits", "ListStreams", "UpdateAccountSettings")
_OF_CONSUMERS: Final = ("DeregisterStreamConsumer", "DescribeStreamConsumer", "SubscribeToShard")


def needed_permissions(
    operation: str, request: Mapping[str, Any], streams: Streams, *, region: str
) -> tuple[Permission, ...]:
    """The permissions of `operation`; none where the request names nothing that it could be about."""
    arn = "*" if operation in _ACCOUNT_WIDE else _arn(operation, request, streams, region=region)
    if not arn:
        return ()
    needed = [Permission(f"kinesis:{operation}", arn)]
    if request.get("Tags") and operation == "CreateStream":
        needed.append(Permission("kinesis:AddTagsToStream", arn))
    if request.get("Tags") and operation == "RegisterStreamConsumer":
        needed.append(Permission("kinesis:TagResource", f"{arn}/consumer/{request.get('ConsumerName')}:*"))
    return tuple(needed)


def _arn(operation: str, request: Mapping[str, Any], streams: Streams, *, region: str) -> str:
    if operation in _OF_CONSUMERS:
        return _consumer_arn(request, streams)
    named = request.get("ResourceARN") or request.get("StreamARN")
    if named:
        return str(named)
    if request.get("StreamName"):
        return streams.arn_of(str(request["StreamName"]), region)
    return _token_arn(operation, request, streams)


def _token_arn(operation: str, request: Mapping[str, Any], streams: Streams) -> str:
    """The stream's ARN in the iterator or token that a request goes on with."""
    try:
        if operation == "GetRecords":
            return iterator_arn(streams.secret, str(request.get("ShardIterator")))
        return open_token(streams.secret, "shards", str(request.get("NextToken")))[0]
    except ValueError:
        return ""


def _consumer_arn(request: Mapping[str, Any], streams: Streams) -> str:
    if request.get("ConsumerARN"):
        return str(request["ConsumerARN"])
    stream_arn, name = str(request.get("StreamARN") or ""), str(request.get("ConsumerName") or "")
    if not stream_arn or not name:
        return ""
    stream = streams.find(stream_arn)
    consumer = stream.consumers.get(name) if stream is not None else None
    return consumer.arn if consumer is not None else f"{stream_arn}/consumer/{name}:0"
