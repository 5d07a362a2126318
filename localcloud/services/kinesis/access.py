"""Which IAM actions a Kinesis request needs, and on which ARNs.

Reads the request leniently: a malformed one needs nothing here and fails in the operation.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonkinesisdatastreams.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.contract import Permission
from localcloud.services.iam.tags import (
    ContextPairs,
    read_keys,
    read_tag_map,
    request_tags,
    tag_keys,
    with_resource_tags,
)
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.records import iterator_arn
from localcloud.services.kinesis.tokens import open_token

__all__ = ["needed_permissions", "tags_of"]

_ACCOUNT_WIDE: Final = ("DescribeAccountSettings", "DescribeLimits", "ListStreams", "UpdateAccountSettings")
_WITHOUT_TAGS: Final = frozenset(  # the reference names no resource, and so no tags of one, for these
    f"kinesis:{operation}"
    for operation in ("DisableEnhancedMonitoring", "EnableEnhancedMonitoring", "UpdateShardCount", "UpdateStreamMode")
)
_GIVES_TAGS: Final = ("AddTagsToStream", "CreateStream", "RegisterStreamConsumer", "TagResource")
_TAKES_TAGS: Final = ("RemoveTagsFromStream", "UntagResource")
_OF_CONSUMERS: Final = ("DeregisterStreamConsumer", "DescribeStreamConsumer", "SubscribeToShard")


def needed_permissions(
    operation: str, request: Mapping[str, Any], streams: Streams, *, region: str
) -> tuple[Permission, ...]:
    """The permissions of `operation`; none where the request names nothing that it could be about."""
    arn = "*" if operation in _ACCOUNT_WIDE else _arn(operation, request, streams, region=region)
    if not arn:
        return ()
    context = _tags_in(operation, request)
    needed = [Permission(f"kinesis:{operation}", arn, context)]
    if request.get("Tags") and operation == "CreateStream":
        needed.append(Permission("kinesis:AddTagsToStream", arn, context))
    if request.get("Tags") and operation == "RegisterStreamConsumer":
        needed.append(Permission("kinesis:TagResource", f"{arn}/consumer/{request.get('ConsumerName')}:*", context))
    return with_resource_tags(needed, lambda action, resource: tags_of(streams, action, resource))


def tags_of(streams: Streams, action: str, arn: str) -> Mapping[str, str] | None:
    """The tags of a stream or consumer that count for an action, None where there are none."""
    if action in _WITHOUT_TAGS:
        return None
    stream, consumer = streams.find(arn), streams.find_consumer(arn)
    if stream is not None:
        return stream.definition.tags
    return consumer[1].tags if consumer is not None else None


def _tags_in(operation: str, request: Mapping[str, Any]) -> ContextPairs:
    if operation in _GIVES_TAGS:
        return request_tags(read_tag_map(request.get("Tags")))
    return tag_keys(read_keys(request.get("TagKeys"))) if operation in _TAKES_TAGS else ()


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
