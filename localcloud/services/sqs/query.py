"""The Query protocol of SQS: forms in, XML out, or JSON where the caller asks for it (as API Gateway does).

Both ends meet the JSON protocol's shapes, so the actions are written once. Pure.
Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-xml.html
and https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, cast
from xml.sax.saxutils import escape

from localcloud.services.query_form import FormTree, MalformedForm, read_tree
from localcloud.services.sqs.errors import SqsError

__all__ = ["read_form", "write_error", "write_result"]

_XMLNS: Final = "http://queue.amazonaws.com/doc/2012-11-05/"
_MAX_FIELDS: Final = 1_000  # of a form; ten messages with ten attributes each are fewer
_MAX_DEPTH: Final = 7  # SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringListValue.1

# Names of the flattened lists and maps in forms and XML -> names in the JSON protocol.
_LISTS: Final = {
    "AWSAccountId": "AWSAccountIds",
    "ActionName": "Actions",
    "AttributeName": "AttributeNames",
    "BinaryListValue": "BinaryListValues",
    "ChangeMessageVisibilityBatchRequestEntry": "Entries",
    "DeleteMessageBatchRequestEntry": "Entries",
    "MessageAttributeName": "MessageAttributeNames",
    "MessageSystemAttributeName": "MessageSystemAttributeNames",
    "SendMessageBatchRequestEntry": "Entries",
    "StringListValue": "StringListValues",
    "TagKey": "TagKeys",
}
_MAPS: Final = {
    "Attribute": ("Attributes", "Name", "Value"),
    "MessageAttribute": ("MessageAttributes", "Name", "Value"),
    "MessageSystemAttribute": ("MessageSystemAttributes", "Name", "Value"),
    "Tag": ("Tags", "Key", "Value"),
}
_OUT_LISTS: Final = {
    "Failed": "BatchResultErrorEntry",
    "Messages": "Message",
    "QueueUrls": "QueueUrl",
    "Results": "ListMessageMoveTasksResultEntry",
    "queueUrls": "QueueUrl",
}
_OUT_MAPS: Final = {named: (flat, key, value) for flat, (named, key, value) in _MAPS.items()}

# What API Gateway's mapping templates see is null where there is nothing.
_SEND_NULLS: Final = (
    "MD5OfMessageAttributes",
    "MD5OfMessageBody",
    "MD5OfMessageSystemAttributes",
    "MessageId",
    "SequenceNumber",
)
_NO_RESULT: Final = frozenset(
    (
        "AddPermission",
        "ChangeMessageVisibility",
        "DeleteMessage",
        "DeleteQueue",
        "PurgeQueue",
        "RemovePermission",
        "SetQueueAttributes",
        "TagQueue",
        "UntagQueue",
    )
)


def read_form(text: str) -> dict[str, object]:
    """Parameters of a form, shaped as in the JSON protocol; `Action` and `Version` are among them.

    Raises SqsError: MalformedQueryString, MalformedInput.
    """
    try:
        return _shape(read_tree(text, max_fields=_MAX_FIELDS, max_depth=_MAX_DEPTH))
    except MalformedForm as error:
        raise SqsError(error.code, str(error)) from error


def _shape(tree: FormTree) -> dict[str, object]:
    shaped: dict[str, object] = {}
    for name, branch in tree.items():
        if isinstance(branch, str):
            shaped[name] = branch
        elif name in _LISTS:
            shaped[_LISTS[name]] = _members(branch)
        elif name in _MAPS:
            named, key, value = _MAPS[name]
            shaped[named] = {str(member.get(key, "")): member.get(value) for member in _structures(name, branch)}
        else:
            shaped[name] = _shape(branch)
    return shaped


def _members(branch: FormTree) -> list[object]:
    indexes = [name for name in branch if re.fullmatch(r"[1-9]\d{0,3}", name)]
    return [_value(branch[name]) for name in sorted(indexes, key=int)]


def _value(branch: FormTree | str) -> object:
    return branch if isinstance(branch, str) else _shape(branch)


def _structures(name: str, branch: FormTree) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for member in _members(branch):
        if not isinstance(member, dict):
            raise SqsError("MalformedInput", f"{name} must have a name and a value.")
        found.append(cast("dict[str, object]", member))
    return found


def write_result(action: str, result: Mapping[str, object], request_id: str, *, as_json: bool) -> bytes:
    """The body of an answer."""
    if as_json:
        return _json_result(action, result, request_id)
    inner = "" if action in _NO_RESULT else f"<{action}Result>{_members_xml(action, result)}</{action}Result>"
    metadata = f"<ResponseMetadata><RequestId>{escape(request_id)}</RequestId></ResponseMetadata>"
    text = f'<?xml version="1.0"?><{action}Response xmlns="{_XMLNS}">{inner}{metadata}</{action}Response>'
    return text.encode(errors="replace")


def write_error(error: SqsError, request_id: str, *, as_json: bool) -> bytes:
    """The body of an error."""
    if as_json:
        body = {
            "Error": {"Code": error.query_code, "Message": error.query_message, "Type": "Sender"},
            "RequestId": request_id,
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
    text = (
        f'<?xml version="1.0"?><ErrorResponse xmlns="{_XMLNS}"><Error><Type>Sender</Type>'
        f"<Code>{_text(error.query_code)}</Code><Message>{_text(error.query_message)}</Message><Detail/></Error>"
        f"<RequestId>{escape(request_id)}</RequestId></ErrorResponse>"
    )
    return text.encode(errors="backslashreplace")


def _json_result(action: str, result: Mapping[str, object], request_id: str) -> bytes:
    outer: dict[str, object] = {"ResponseMetadata": {"RequestId": request_id}}
    if action not in _NO_RESULT:
        shown = dict(result)
        if action == "SendMessage":
            shown = dict.fromkeys(_SEND_NULLS) | shown
        elif action == "ReceiveMessage":
            shown = {"messages": shown.get("Messages")}
        outer[f"{action}Result"] = shown
    text = json.dumps({f"{action}Response": outer}, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace")


def _members_xml(action: str, values: Mapping[str, object]) -> str:
    parts: list[str] = []
    for name, value in values.items():
        if name == "Successful":
            parts += [_xml(action, f"{action}ResultEntry", member) for member in cast("list[object]", value)]
        elif name in _OUT_LISTS:
            parts += [_xml(action, _OUT_LISTS[name], member) for member in cast("list[object]", value)]
        elif name in _OUT_MAPS:
            flat, key, held = _OUT_MAPS[name]
            members = cast("Mapping[str, object]", value).items()
            parts += [_xml(action, flat, {key: member, held: item}) for member, item in members]
        else:
            parts.append(_xml(action, name, value))
    return "".join(parts)


def _xml(action: str, name: str, value: object) -> str:
    if isinstance(value, Mapping):
        inner = _members_xml(action, cast("Mapping[str, object]", value))
    elif isinstance(value, bool):
        inner = "true" if value else "false"
    else:
        inner = _text(str(value))
    return f"<{name}>{inner}</{name}>"


def _text(value: str) -> str:
    return escape(value, {"\r": "&#xD;", '"': "&quot;"})
