"""The operations on a stream or a consumer as a resource: tags and resource policies.

Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_TagResource.html, API_AddTagsToStream.html,
API_PutResourcePolicy.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import parse_document
from localcloud.services.kinesis.calls import Call, Result
from localcloud.services.kinesis.consumers import Consumer
from localcloud.services.kinesis.errors import KinesisError, in_use, invalid
from localcloud.services.kinesis.stream import Stream
from localcloud.services.kinesis.tags import MAX_TAGS, MAX_TAGS_IN_CALL, add_tags, remove_tags

__all__ = ["RESOURCES", "check_policy"]

MAX_POLICY_CHARS: Final = 20 * 1_024  # what resource policies of AWS's services may have; Kinesis tells no number


def _add_tags_to_stream(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "Tags")
    tags = members.text_map("Tags", low=1, high=MAX_TAGS_IN_CALL)
    if not tags:
        members.need_structure("Tags")
    stream = call.stream()
    stream.check_active()
    add_tags(stream.definition.tags, tags, name=f"stream {stream.name}")
    return {}


def _remove_tags_from_stream(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "TagKeys")
    keys = members.texts("TagKeys", low=1, high=MAX_TAGS)
    stream = call.stream()
    stream.check_active()
    remove_tags(stream.definition.tags, keys)
    return {}


def _list_tags_for_stream(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "ExclusiveStartTagKey", "Limit")
    limit = members.count("Limit", high=MAX_TAGS) or MAX_TAGS
    after = members.text("ExclusiveStartTagKey", high=128) or ""
    tags = call.stream().definition.tags
    keys = sorted(key for key in tags if key > after)
    return {"Tags": [{"Key": key, "Value": tags[key]} for key in keys[:limit]], "HasMoreTags": len(keys) > limit}


def _tag_resource(call: Call) -> Result:
    members = call.members.only("ResourceARN", "Tags")
    tags = members.text_map("Tags", low=1, high=MAX_TAGS_IN_CALL)
    if not tags:
        members.need_structure("Tags")
    resource = _changeable(call)
    add_tags(_tags_of(resource), tags, name=resource.name)
    return {}


def _untag_resource(call: Call) -> Result:
    keys = call.members.only("ResourceARN", "TagKeys").texts("TagKeys", low=1, high=MAX_TAGS)
    remove_tags(_tags_of(_changeable(call)), keys)
    return {}


def _list_tags_for_resource(call: Call) -> Result:
    call.members.only("ResourceARN")
    tags = _tags_of(call.resource())
    return {"Tags": [{"Key": key, "Value": tags[key]} for key in sorted(tags)]}


def _put_policy(call: Call) -> Result:
    policy = call.members.only("ResourceARN", "Policy").need("Policy", high=MAX_POLICY_CHARS)
    check_policy(policy)
    _changeable(call).policy = policy
    return {}


def check_policy(policy: str) -> None:
    """Raises KinesisError: InvalidArgumentException where the text is no resource policy."""
    try:
        parse_document(policy, name="Policy", resource_policy=True)
    except MalformedPolicy as error:
        raise invalid(f"The resource policy is not valid: {error}") from error


def _get_policy(call: Call) -> Result:
    call.members.only("ResourceARN")
    resource = call.resource()
    return {"Policy": _policy_of(resource)}


def _delete_policy(call: Call) -> Result:
    call.members.only("ResourceARN")
    resource = _changeable(call)
    _policy_of(resource)
    resource.policy = ""
    return {}


def _policy_of(resource: Stream | Consumer) -> str:
    if not resource.policy:
        raise KinesisError("ResourceNotFoundException", f"{resource.arn} has no resource policy.")
    return resource.policy


def _changeable(call: Call) -> Stream | Consumer:
    resource = call.resource()
    if isinstance(resource, Stream):
        resource.check_active()
    elif resource.status != "ACTIVE":
        raise in_use(f"Consumer {resource.name} is not ACTIVE, instead in state {resource.status}.")
    return resource


def _tags_of(resource: Stream | Consumer) -> dict[str, str]:
    return resource.definition.tags if isinstance(resource, Stream) else resource.tags


RESOURCES: Final[Mapping[str, Callable[[Call], Result]]] = {
    "AddTagsToStream": _add_tags_to_stream,
    "DeleteResourcePolicy": _delete_policy,
    "GetResourcePolicy": _get_policy,
    "ListTagsForResource": _list_tags_for_resource,
    "ListTagsForStream": _list_tags_for_stream,
    "PutResourcePolicy": _put_policy,
    "RemoveTagsFromStream": _remove_tags_from_stream,
    "TagResource": _tag_resource,
    "UntagResource": _untag_resource,
}
