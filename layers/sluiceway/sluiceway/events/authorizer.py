"""A request to be let in or not, as an API Gateway REQUEST authorizer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["AuthorizerReply", "AuthorizerRequest"]


@dataclass(frozen=True, slots=True)
class AuthorizerRequest:
    """One request. `token` is what follows `Bearer` ("" where there is no such header, or more than one).

    `method_arn` names API, stage, method and path (`arn:aws:execute-api:eu-west-1:123456789012:abc/v1/GET/jobs`).
    """

    method_arn: str
    method: str
    path: str
    request_id: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AuthorizerReply:
    """Whether `principal` may call `resource` (an `execute-api` ARN, `*` as wild card).

    `context` reaches integrations as `$context.authorizer.<name>`.
    """

    principal: str
    resource: str
    allow: bool
    context: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
