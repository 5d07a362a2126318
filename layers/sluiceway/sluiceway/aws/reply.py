"""What a service answered: the reply, and how an error answer is read.

Knows the error shapes of the JSON, REST-JSON and REST-XML protocols; knows nothing of connections or retries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from sluiceway.errors import ConditionFailed, ServiceError, ServiceRefused, ServiceUnavailable

__all__ = ["Fault", "Reply", "read_fault"]

_XML_FIELD: Final = re.compile(rb"<(Code|Message|RequestId)>([^<]*)</\1>")
_XML_ENTITY: Final = re.compile(r"&(lt|gt|amp|quot|apos);")
_ENTITIES: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_REQUEST_IDS: Final = ("x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id")
MAX_TEXT: Final = 1000  # of a message that is no error document


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: `headers` by lower-case name, repeated ones joined with ", ". Callers see successes (2xx) only."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body decoded; an empty body is an empty object. Raises ValueError when it is no JSON object."""
        if not self.body:
            return {}
        decoded = json.loads(self.body)
        if not isinstance(decoded, dict):
            raise ValueError("the reply's body is not a JSON object")  # noqa: TRY004 - it is the data that is wrong
        return cast("dict[str, Any]", decoded)


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error answer says. `code` is without namespace; `item` is DynamoDB's, of a failed condition."""

    status: int
    code: str
    message: str
    request_id: str
    item: Mapping[str, object] | None = None

    def refusal(self, service: str, operation: str) -> ServiceRefused:
        """The error for a caller who must not try again."""
        refused = ConditionFailed if self.code == "ConditionalCheckFailedException" else ServiceRefused
        error = refused(
            self._describe(service, operation),
            service=service,
            operation=operation,
            code=self.code,
            status=self.status,
            request_id=self.request_id,
        )
        if isinstance(error, ConditionFailed) and self.item is not None:
            error.item = dict(self.item)
        return error

    def outage(self, service: str, operation: str, *, after_s: float | None) -> ServiceError:
        """The error for a caller who may try again, after `after_s` seconds at least."""
        return ServiceUnavailable(
            self._describe(service, operation),
            service=service,
            operation=operation,
            code=self.code,
            status=self.status,
            request_id=self.request_id,
            after_s=after_s,
        )

    def _describe(self, service: str, operation: str) -> str:
        said = f": {self.message}" if self.message else ""
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{service} {operation}: {self.code}{said}{request}"


def read_fault(reply: Reply) -> Fault:
    """Read an error answer, whatever its protocol; a body that is no error document becomes the message."""
    document = _read_json(reply.body)
    fields = _read_xml(reply.body) if document is None else {}
    if document is not None:
        code = reply.headers.get("x-amzn-errortype") or _text(document, "__type", "code", "Code")
        message = _text(document, "message", "Message", "errorMessage")
    else:
        code = reply.headers.get("x-amzn-errortype") or fields.get("Code", "")
        message = fields.get("Message") or reply.body[:MAX_TEXT].decode(errors="replace")
    item = document.get("Item") if document else None
    return Fault(
        status=reply.status,
        code=_bare(code) or str(reply.status),
        message=message,
        request_id=_request_id(reply.headers) or fields.get("RequestId", ""),
        item=cast("dict[str, object]", item) if isinstance(item, dict) else None,
    )


def _bare(code: str) -> str:
    """`aws.protocoltests#FooError:http://amazon.com/` is FooError (Smithy: operation error serialization)."""
    return code.partition(":")[0].rpartition("#")[2].strip()


def _read_json(body: bytes) -> dict[str, object] | None:
    if not body.lstrip().startswith(b"{"):
        return None if body else {}
    try:
        return cast("dict[str, object]", json.loads(body))
    except ValueError:
        return None


def _read_xml(body: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in _XML_FIELD.findall(body):
        text = _XML_ENTITY.sub(lambda entity: _ENTITIES[entity[1]], value.decode(errors="replace"))
        fields.setdefault(name.decode(), text)
    return fields


def _text(document: Mapping[str, object], *names: str) -> str:
    for name in names:
        value = document.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _request_id(headers: Mapping[str, str]) -> str:
    for name in _REQUEST_IDS:
        if headers.get(name):
            return headers[name]
    return ""
