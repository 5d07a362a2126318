"""The Query protocol of SNS: forms in, XML out, or JSON where the caller asks for it (as API Gateway does). Pure.

Forms say by their names what is a list (`Tags.member.1.Key`) and what a map (`Attributes.entry.1.key`, `.value`).
Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, cast

from localcloud.services.query_form import FormTree, MalformedForm, read_tree
from localcloud.services.query_xml import write_element
from localcloud.services.sns.errors import SnsError

__all__ = ["read_form", "write_error", "write_result"]

_XMLNS: Final = "http://sns.amazonaws.com/doc/2010-03-31/"
_MAX_FIELDS: Final = 10_000  # of a form; ten messages with every attribute that fits are far less
_MAX_DEPTH: Final = 8  # PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.DataType
_INDEX: Final = re.compile(r"[1-9]\d{0,4}")
_KEYS: Final = (("key", "value"), ("Name", "Value"))
_NO_RESULT: Final = frozenset(
    (
        "AddPermission",
        "DeleteTopic",
        "RemovePermission",
        "SetSubscriptionAttributes",
        "SetTopicAttributes",
        "Unsubscribe",
    )
)


def read_form(text: str) -> dict[str, object]:
    """Parameters of a form: texts, lists and maps; `Action` and `Version` are among them.

    Raises SnsError: MalformedQueryString, MalformedInput.
    """
    try:
        tree = read_tree(text, max_fields=_MAX_FIELDS, max_depth=_MAX_DEPTH)
    except MalformedForm as error:
        raise SnsError(error.code, str(error)) from error
    return {name: _shape(branch) for name, branch in tree.items()}


def _shape(branch: FormTree | str) -> object:
    if isinstance(branch, str):
        return branch
    if branch.keys() == {"member"}:
        return _members(branch["member"])
    if branch.keys() == {"entry"}:
        return _entries(_members(branch["entry"]))
    return {name: _shape(inner) for name, inner in branch.items()}


def _members(branch: FormTree | str) -> list[object]:
    if isinstance(branch, str) or not all(map(_INDEX.fullmatch, branch)):
        raise SnsError("MalformedInput", "A list must be numbered, from 1 to 99999.")
    return [_shape(branch[name]) for name in sorted(branch, key=int)]


def _entries(members: list[object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for member in members:
        pair = cast("dict[str, object]", member) if isinstance(member, dict) else {}
        for key, value in _KEYS:
            name = pair.get(key)
            if isinstance(name, str):
                found[name] = pair.get(value)
                break
        else:
            raise SnsError("MalformedInput", "A map must have keys and values.")
    return found


def write_result(action: str, result: Mapping[str, object], request_id: str, *, as_json: bool) -> bytes:
    """The body of an answer."""
    if as_json:
        outer: dict[str, object] = {"ResponseMetadata": {"RequestId": request_id}}
        if action not in _NO_RESULT:
            outer[f"{action}Result"] = {"SequenceNumber": None, **result} if action == "Publish" else result
        return json.dumps({f"{action}Response": outer}, ensure_ascii=False, separators=(",", ":")).encode()
    inner = "" if action in _NO_RESULT else write_element(f"{action}Result", result)
    metadata = write_element("ResponseMetadata", {"RequestId": request_id})
    return f'<{action}Response xmlns="{_XMLNS}">{inner}{metadata}</{action}Response>'.encode()


def write_error(error: SnsError, request_id: str, *, as_json: bool) -> bytes:
    """The body of an error."""
    if as_json:
        body = {"Error": {"Code": error.code, "Message": error.message, "Type": "Sender"}, "RequestId": request_id}
        return json.dumps(body, separators=(",", ":")).encode()
    inner = write_element("Error", {"Type": "Sender", "Code": error.code, "Message": error.message})
    request = write_element("RequestId", request_id)
    return f'<ErrorResponse xmlns="{_XMLNS}">{inner}{request}</ErrorResponse>'.encode(errors="backslashreplace")
