"""API Gateway Lambda authorizers: REST APIs (TOKEN and REQUEST), HTTP APIs (payload 1.0 and 2.0), WebSocket APIs.

The event's shape tells which it is. A refusal is not a policy: the authorizer raises `Unauthorized`, whose text is the
one that makes the API answer 401. HTTP APIs with simple responses are the exception, and nothing in an event says
whether they are on: whoever replies is told by a setting.
Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html,
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html and
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from sluiceway.codec.headers import bearer_token, header_values, subprotocols
from sluiceway.codec.shape import malformed, mapping, text
from sluiceway.errors import Rejected
from sluiceway.events.authorizer import AuthorizerReply, AuthorizerRequest

__all__ = ["Unauthorized", "correlation_id", "decode", "encode", "stage_resource"]

_ARN_PARTS: Final = 6  # arn:partition:execute-api:region:account:api/stage/method/path
_BEARER: Final = "bearer."  # of a subprotocol: a browser's WebSocket can send nothing else of its own
_WILD: Final = frozenset("*?")  # of IAM policies: in what we copy, they would let a caller into other stages or APIs
_LAST_S: Final = 253_402_300_799  # the end of the year 9999, beyond which there is no date to write


class Unauthorized(Rejected):
    """The API answers 401 to exactly this text, and 500 to any other error of an authorizer. `reason` is for logs."""

    def __init__(self, *, reason: str) -> None:
        super().__init__("Unauthorized", reason=reason)


def decode(raw: object) -> AuthorizerRequest:
    """The request and its bearer token; a connection's has CONNECT as method and its route key as path.

    Raises: Rejected (`malformed-event`).
    """
    event = mapping(raw, "root")
    if event.get("type") == "TOKEN":
        return _decode_token(event)
    if event.get("type") != "REQUEST":
        raise malformed("type", "TOKEN or REQUEST")
    if event.get("version") == "2.0":
        return _decode_http(event)
    if event.get("version", "1.0") != "1.0":
        raise malformed("version", "1.0 or 2.0")
    context = mapping(event.get("requestContext"), "requestContext")
    method_arn = _arn(event, "methodArn")
    if "httpMethod" not in event and "connectionId" in context:
        method = text(context.get("eventType"), "requestContext.eventType")
        path = text(context.get("routeKey"), "requestContext.routeKey")
        token = _socket_token(event)
    else:
        method = text(event.get("httpMethod"), "httpMethod")
        path = text(event.get("path"), "path")
        token = _sent_token(header_values(event, "authorization"))
    request_id = text(context.get("requestId"), "requestContext.requestId")
    return AuthorizerRequest(method_arn=method_arn, method=method, path=path, request_id=request_id, token=token)


def _decode_token(event: Mapping[str, object]) -> AuthorizerRequest:
    """A TOKEN authorizer's event: the token, the method's ARN, and nothing else of the request."""
    method_arn = _arn(event, "methodArn")
    method, _, path = method_arn.split(":", _ARN_PARTS - 1)[-1].split("/", 2)[2].partition("/")
    token = bearer_token(text(event.get("authorizationToken"), "authorizationToken"))
    return AuthorizerRequest(method_arn=method_arn, method=method, path=f"/{path}", request_id="", token=token)


def _decode_http(event: Mapping[str, object]) -> AuthorizerRequest:
    """An HTTP API's event, payload 2.0: several headers of one name are one value, joined by commas."""
    context = mapping(event.get("requestContext"), "requestContext")
    http = mapping(context.get("http"), "requestContext.http")
    return AuthorizerRequest(
        method_arn=_arn(event, "routeArn"),
        method=text(http.get("method"), "requestContext.http.method"),
        path=text(http.get("path"), "requestContext.http.path"),
        request_id=text(context.get("requestId"), "requestContext.requestId"),
        token=_sent_token(header_values(event, "authorization")),
        takes_simple=True,
    )


def encode(reply: AuthorizerReply) -> dict[str, object]:
    """The policy that the API keeps for its cache's time and holds requests with the same identity against.

    The condition ends an allowance with its token, however long the answer is kept. A simple response has no place for
    one. Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
    and, for the keys that a condition may have,
    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-aws-condition-keys.html
    """
    if reply.simple:
        return {"isAuthorized": reply.allow, "context": dict(reply.context)}
    statement: dict[str, object] = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if reply.allow else "Deny",
        "Resource": [reply.resource],
    }
    if reply.until_s is not None:
        until = datetime.fromtimestamp(min(reply.until_s, _LAST_S), UTC)
        statement["Condition"] = {"DateLessThan": {"aws:CurrentTime": until.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    return {
        "principalId": reply.principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": dict(reply.context),
    }


def correlation_id(event: AuthorizerRequest) -> str:
    """The gateway's request id, which the routes behind the authorizer see as well."""
    return event.request_id


def stage_resource(method_arn: str) -> str:
    """Every method and path of the stage that `method_arn` belongs to.

    The API caches one answer for a token and uses it on every route: a policy for just the method that was asked first
    would refuse the caller's next route with 403 until the cache ends.
    """
    return f"{_api_and_stage(method_arn, 'methodArn')}/*"


def _arn(event: Mapping[str, object], member: str) -> str:
    arn = text(event.get(member), member)
    _api_and_stage(arn, member)
    return arn


def _api_and_stage(method_arn: str, member: str) -> str:
    parts = method_arn.split(":", _ARN_PARTS - 1)
    path = parts[-1].split("/")
    if len(parts) != _ARN_PARTS or parts[0] != "arn" or parts[2] != "execute-api" or len(path) < 3:
        raise malformed(member, "an execute-api method ARN")
    kept = [*parts[1:-1], *path[:2]]
    if not all(kept) or not _WILD.isdisjoint("".join(kept)):
        raise malformed(member, "an execute-api method ARN")
    return ":".join([*parts[:-1], f"{path[0]}/{path[1]}"])


def _socket_token(event: Mapping[str, object]) -> str:
    """The token of a connection: of its Authorization header, else of the one subprotocol `bearer.<token>`."""
    sent = header_values(event, "authorization")
    if sent:
        return _sent_token(sent)
    offered = [each.removeprefix(_BEARER) for each in subprotocols(event) if each.startswith(_BEARER)]
    return offered[0] if len(offered) == 1 else ""


def _sent_token(sent: Sequence[str]) -> str:
    """The bearer token; "" unless there is exactly one Authorization header."""
    return bearer_token(sent[0]) if len(sent) == 1 else ""
