"""Kinesis Data Streams on the wire: AWS JSON 1.1 in, an operation of the model, AWS JSON 1.1 or an event stream out.

Owns the protocol's envelope; knows no rule of the model. CBOR, which the SDK for Java 1.x prefers, is refused by name.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, read_json
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.kinesis.access import needed_permissions
from localcloud.services.kinesis.calls import Call
from localcloud.services.kinesis.errors import KinesisError, malformed, not_served
from localcloud.services.kinesis.fan_out import EVENT_STREAM, subscribe_to_shard
from localcloud.services.kinesis.members import Members
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.operations import NOT_SERVED, OPERATIONS, SUBSCRIBE

__all__ = ["KinesisService"]

TARGET: Final = "Kinesis_20131202."
CONTENT_TYPE: Final = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class _Decoded:
    operation: str
    body: dict[str, Any]


class KinesisService:
    """The Kinesis Data Streams API of every Region."""

    name = "kinesis"

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._last: tuple[WireRequest, _Decoded] | None = None  # IAM's check and the operation read the same request

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            decoded = self._decode(request)
            call = Call(self._streams, request.region, decoded.operation, Members(decoded.body))
            call.check_account_calls()
            if decoded.operation == SUBSCRIBE:
                return WireResponse(200, subscribe_to_shard(call), {"content-type": EVENT_STREAM})
            answer = OPERATIONS[decoded.operation](call)
        except KinesisError as error:
            return _respond(error.status, error.body())
        finally:
            self._last = None
        return _respond(200, answer) if answer else WireResponse(200, b"", {"content-type": CONTENT_TYPE})

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The operation on its stream or consumer; none where the request is malformed, for that is answered first."""
        try:
            decoded = self._decode(request)
        except KinesisError:
            return ()
        return needed_permissions(decoded.operation, decoded.body, self._streams, region=request.region)

    def _decode(self, request: WireRequest) -> _Decoded:
        if self._last is not None and self._last[0] is request:
            return self._last[1]
        operation = request.target.removeprefix(TARGET) if request.target.startswith(TARGET) else ""
        if operation in NOT_SERVED:
            raise not_served(f"the operation {operation}")
        if operation not in OPERATIONS and operation != SUBSCRIBE:
            raise KinesisError(
                "UnknownOperationException",
                f"The local cloud does not serve the Kinesis operation {operation[:128] or '(none named)'}",
            )
        if "cbor" in request.headers.get("content-type", ""):
            raise malformed("The local cloud reads JSON, not CBOR: turn CBOR off in the SDK (AWS_CBOR_DISABLE=true).")
        decoded = _Decoded(operation, _parse(request.body))
        self._last = (request, decoded)
        return decoded


def _parse(body: bytes) -> dict[str, Any]:
    try:
        raw = read_json(body or b"{}")
    except MalformedJson as error:
        raise malformed(f"The request body is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise malformed("The request body is not a JSON object.")
    return cast("dict[str, Any]", raw)


def _respond(status: int, answer: dict[str, Any] | dict[str, str]) -> WireResponse:
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    return WireResponse(status, body, {"content-type": CONTENT_TYPE})
