"""A request, or a new connection, to be let in or not, as an API Gateway Lambda authorizer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["AuthorizerReply", "AuthorizerRequest"]


@dataclass(frozen=True, slots=True)
class AuthorizerRequest:
    """One request, or one handshake of a WebSocket. `token` is the bearer token ("" where there is none, or several).

    `method_arn` names API, stage, method and path (`arn:aws:execute-api:eu-west-1:123456789012:abc/v1/GET/jobs`), of a
    connection API, stage and route (`.../v1/$connect`). `request_id` is "" where the event has none (TOKEN).
    `takes_simple`: an HTTP API asks with payload 2.0, so that a simple response may be what it wants.
    """

    method_arn: str
    method: str
    path: str
    request_id: str
    token: str = field(default="", repr=False)
    takes_simple: bool = False


@dataclass(frozen=True, slots=True)
class AuthorizerReply:
    """Whether `principal` may call `resource` (an `execute-api` ARN, `*` as wild card).

    `until_s` (epoch seconds) is when that ends, None for never. `context` reaches integrations as
    `$context.authorizer.<name>`. `simple`: the reply is a simple response, which has neither principal, resource nor
    end.
    """

    principal: str
    resource: str
    allow: bool
    context: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
    until_s: int | None = None
    simple: bool = False
