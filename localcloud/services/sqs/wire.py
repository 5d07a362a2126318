"""SQS on the wire: AWS JSON 1.0 and the Query protocol, told apart by what the request carries.

Owns the two protocols' envelopes and which IAM action a request needs; the actions themselves are `operations`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.iam.tags import ContextPairs, request_tags, tag_keys, with_resource_tags
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.move_operations import MOVE_ACTIONS, source_arn
from localcloud.services.sqs.operations import ACTIONS, Call, queue_name
from localcloud.services.sqs.parameters import Parameters
from localcloud.services.sqs.permission_operations import PERMISSION_ACTIONS
from localcloud.services.sqs.query import read_form, write_error, write_result

__all__ = ["SqsService"]

_TARGET: Final = "AmazonSQS."
_VERSIONS: Final = ("2012-11-05", "2011-10-01", "2009-02-01", "2008-01-01")
_SERVED: Final = {**ACTIONS, **MOVE_ACTIONS, **PERMISSION_ACTIONS}
_MOVING: Final = ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage")  # what a task does to its source, besides
_BATCHES: Final = {  # a batch needs the permission of its single action
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "SendMessageBatch": "SendMessage",
}


@dataclass(frozen=True, slots=True)
class _Decoded:
    action: str
    parameters: Parameters
    query: bool


class SqsService:
    """The SQS API. `sender_of` gives the SenderId of an access key."""

    name = "sqs"

    def __init__(self, queues: Queues, *, sender_of: Callable[[str], str] = lambda _: ACCOUNT_ID) -> None:
        self._queues = queues
        self._sender_of = sender_of
        self._last: tuple[WireRequest, _Decoded] | None = None  # IAM's check and the action read the same request

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer `request` in its own protocol."""
        query = not request.target
        try:
            decoded = self._decode(request)
            call = Call(
                self._queues,
                request.region,
                decoded.parameters,
                trace=request.headers.get("x-amzn-trace-id", ""),
                sender_id=self._sender_of(request.access_key),
            )
            result = await _SERVED[decoded.action](call)
        except SqsError as error:
            return _refuse(error, request, query=query)
        if decoded.query:
            as_json = _wants_json(request)
            return WireResponse(
                200,
                write_result(decoded.action, result, request.request_id, as_json=as_json),
                {"content-type": "application/json" if as_json else "text/xml"},
            )
        body = json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return WireResponse(200, body, {"content-type": "application/x-amz-json-1.0"})

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The action on its queue's ARN; none where the request is malformed, for that is answered first.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
        """
        try:
            decoded = self._decode(request)
            arn = self._arn(decoded, request.region)
            context = _tags_in(decoded)
        except SqsError:
            return ()
        needed = [Permission(f"sqs:{_BATCHES.get(decoded.action, decoded.action)}", arn, context)]
        if decoded.action == "CreateQueue" and context:  # API_CreateQueue: tags need both permissions
            needed.append(Permission("sqs:TagQueue", arn, context))
        if decoded.action == "StartMessageMoveTask":  # sqs-configure-dead-letter-queue-redrive, permissions
            needed += [Permission(f"sqs:{action}", arn) for action in _MOVING]
            destination = decoded.parameters.text("DestinationArn")
            needed += [Permission("sqs:SendMessage", destination)] if destination else []
        return with_resource_tags(needed, self.tags_of)

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:  # noqa: ARG002 - they count for every action
        """The tags of a queue, None where there is none."""
        queue = self._queues.find(arn)
        return queue.tags if queue is not None else None

    def _arn(self, decoded: _Decoded, region: str) -> str:
        if decoded.action == "ListQueues":
            return "*"
        if decoded.action in MOVE_ACTIONS:
            return source_arn(decoded.parameters)
        named = decoded.parameters.text("QueueName")
        return self._queues.arn_of(named or queue_name(decoded.parameters.required("QueueUrl")), region)

    def _decode(self, request: WireRequest) -> _Decoded:
        if self._last is not None and self._last[0] is request:
            return self._last[1]
        decoded = _decode_json(request) if request.target else _decode_query(request)
        if decoded.action not in _SERVED:
            if decoded.query:
                raise SqsError("InvalidAction", f"The action {decoded.action} is not valid for this endpoint.")
            raise SqsError("UnknownOperationException", f"The action {decoded.action} is not valid for this endpoint.")
        self._last = (request, decoded)
        return decoded


def _tags_in(decoded: _Decoded) -> ContextPairs:
    """The tags that a request gives, or the keys of those that it takes. Raises SqsError: SerializationException."""
    parameters = decoded.parameters
    if decoded.action == "CreateQueue":
        return request_tags(parameters.text_map("tags") or parameters.text_map("Tags"))
    if decoded.action == "TagQueue":
        return request_tags(parameters.text_map("Tags"))
    return tag_keys(parameters.texts("TagKeys")) if decoded.action == "UntagQueue" else ()


def _decode_json(request: WireRequest) -> _Decoded:
    if not request.target.startswith(_TARGET):
        raise SqsError("UnknownOperationException", f"The target {request.target} is not an action of SQS.")
    try:
        body = parse_json(request.body or b"{}")
    except MalformedJson as error:
        raise SqsError("SerializationException", "The request's body is not JSON.") from error
    if not isinstance(body, dict):
        raise SqsError("SerializationException", "The request's body is not a JSON object.")
    return _Decoded(request.target.removeprefix(_TARGET), Parameters(cast("dict[str, object]", body)), query=False)


def _decode_query(request: WireRequest) -> _Decoded:
    try:
        body = request.body.decode()
    except UnicodeDecodeError as error:
        raise SqsError("MalformedQueryString", "The request's body is not UTF-8.") from error
    values: Mapping[str, object] = read_form("&".join(part for part in (request.query, body) if part))
    action = values.get("Action")
    if not isinstance(action, str) or not action:
        raise SqsError("MissingAction", "The request must contain the parameter Action.")
    version = values.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise SqsError("NoSuchVersion", f"The requested version ( {version} ) is not valid.")
    if "QueueUrl" not in values and request.path.strip("/"):
        values = {**values, "QueueUrl": request.path}
    return _Decoded(action, Parameters(values), query=True)


def _wants_json(request: WireRequest) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _refuse(error: SqsError, request: WireRequest, *, query: bool) -> WireResponse:
    if query:
        as_json = _wants_json(request)
        body = write_error(error, request.request_id, as_json=as_json)
        return WireResponse(error.status, body, {"content-type": "application/json" if as_json else "text/xml"})
    text = json.dumps({"__type": f"com.amazonaws.sqs#{error.code}", "message": error.message})
    headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-query-error": f"{error.query_code};Sender"}
    return WireResponse(error.status, text.encode(), headers)
