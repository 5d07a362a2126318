"""What the gateway asks of the rest of the local cloud."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from localcloud.compute.streamed import StreamedInvocation
from localcloud.services.iam.policy import Decision, Document

__all__ = [
    "FunctionReply",
    "FunctionUnavailableError",
    "Functions",
    "HttpAnswer",
    "HttpCall",
    "HttpCaller",
    "HttpFailed",
    "Identity",
    "MethodAccess",
    "PoolKeys",
    "Roles",
    "UrlAccess",
]


@dataclass(frozen=True, slots=True)
class FunctionReply:
    """What an invocation gave; `error` is the X-Amz-Function-Error header, "" where the function returned."""

    payload: bytes
    error: str = ""


class FunctionUnavailableError(Exception):
    """The invocation did not reach the function: not there, `is_throttled`, or (`is_too_large`) over Lambda's 6 MB."""

    def __init__(self, message: str, *, is_too_large: bool = False, is_throttled: bool = False) -> None:
        super().__init__(message)
        self.is_too_large = is_too_large
        self.is_throttled = is_throttled


class Functions(Protocol):
    """Lambda as API Gateway sees it."""

    async def invoke(
        self, function_arn: str, payload: bytes, *, trace_header: str, invocation_type: str = "RequestResponse"
    ) -> FunctionReply:
        """Invoke and wait, for `Event` only until Lambda has the event. Raises FunctionUnavailableError."""
        ...

    async def invoke_stream(self, function_arn: str, payload: bytes, *, trace_header: str) -> StreamedInvocation:
        """Invoke and return when the response begins; the caller owes it `leave()`. Raises FunctionUnavailableError."""
        ...

    def may_invoke(self, function_arn: str, *, source_arn: str) -> bool:
        """Whether the function's resource policy lets apigateway.amazonaws.com invoke it from `source_arn`."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks at a Function URL with AuthType AWS_IAM."""

    access_key: str
    account: str
    arn: str
    user_id: str


class UrlAccess(Protocol):
    """Identity policies and the functions' resource policies, as a Function URL asks them."""

    def may_anyone(self, function_arn: str) -> bool:
        """Whether the function's policy lets everybody invoke it through a URL with AuthType NONE."""
        ...

    def identify(
        self, access_key: str, function_arn: str, *, tags: tuple[tuple[str, str], ...] = ()
    ) -> Identity | None:
        """Who owns the key, None where they may not invoke the function, which has these tags, through its URL."""
        ...


class Roles(Protocol):
    """IAM as API Gateway sees it."""

    def assume(self, role_arn: str) -> str:
        """The access key id of a session of the role. Raises LookupError where apigateway may not assume it."""
        ...


class MethodAccess(Protocol):
    """IAM as the methods of REST APIs ask it."""

    def identify(self, access_key: str) -> Identity:
        """Who owns the key."""
        ...

    def decide(self, access_key: str, method_arn: str, *, policy: Document | None, source_ip: str) -> Decision:
        """Whether the owner of the key may invoke the method, whose API has this resource policy."""
        ...


PoolKeys = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""The JSON Web Key Set of the user pool that an issuer (a token's `iss`) names, None where there is none."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request to an HTTP endpoint; `url` is absolute and encoded."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Its answer, whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class HttpFailed(Exception):
    """No answer came, or more than `limit_bytes` of one."""


class HttpCaller(Protocol):
    """The network as HTTP integrations see it."""

    async def __call__(self, call: HttpCall, *, limit_bytes: int) -> HttpAnswer:
        """Send and wait for the whole answer; redirections are answers. Raises HttpFailed."""
        ...
