"""What every service of the local cloud looks like from outside: a request on the AWS wire in, an answer out.

A service is a folder with the same files: `model.py` (state and rules, no wire), `wire.py` (the protocol, a `Service`),
`errors.py` (its error codes), `resources.py` (its CloudFormation resource handlers, see `localcloud.template.handler`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

__all__ = [
    "ACCOUNT_ID",
    "Authorise",
    "BodyCut",
    "Denied",
    "Dispatch",
    "Elsewhere",
    "NoAnswer",
    "Permission",
    "Service",
    "ServiceRefusal",
    "WireRequest",
    "WireResponse",
]

ACCOUNT_ID: Final = "123456789012"  # AWS's own example account


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request to an AWS API.

    `service` is the SigV4 signing name (`sqs`, `dynamodb`, `lambda`, `bedrock`, `s3`), `region` from the same scope.
    `path` is still percent-encoded, `query` is the raw query string, `headers` has lower-case names.
    `access_key` is the caller's key id ("" for unsigned). `target` is X-Amz-Target ("" where absent).
    """

    service: str
    region: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    access_key: str
    request_id: str

    @property
    def target(self) -> str:
        """The X-Amz-Target header, "" where absent."""
        return self.headers.get("x-amz-target", "")


class NoAnswer(Exception):
    """Nothing comes back: the Region that was asked cannot be reached. The caller's connection ends."""


class BodyCut(Exception):
    """A streamed body breaks off here: a fault that was asked for, not one of the local cloud's."""


@dataclass(frozen=True, slots=True)
class WireResponse:
    """The answer: whole bytes, or chunks as they are made. The front adds x-amzn-RequestId where absent.

    Chunks that have an `aclose` (an async generator has) are closed when nobody reads on. Chunks that raise BodyCut end
    with the connection, in the middle of the answer.
    """

    status: int
    body: bytes | AsyncIterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Permission:
    """An IAM action that a request needs (`sqs:SendMessage`), and the ARN it needs it on (`*` where IAM has none).

    `context`: the action's own condition keys, with this request's values, and its and the resource's tags. A key with
    several values stands several times.
    """

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """IAM's refusal. `principal` is the caller's ARN, `reason` the end of AWS's sentence.

    Such as "no identity-based policy allows the sqs:SendMessage action".
    """

    principal: str
    permission: Permission
    reason: str


Authorise = Callable[[str, tuple[Permission, ...]], "Denied | None"]
"""Whether the owner of an access key may do all this; the first refusal otherwise."""


class Service(Protocol):
    """One AWS API."""

    name: str

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer `request`; errors of the API are answers in its own error form, never exceptions."""
        ...

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check before `handle`; empty where AWS checks nothing or the request is malformed."""
        ...


class Elsewhere(Protocol):
    """Where requests go that are not for here: another Region, or a service that all Regions share."""

    def takes(self, request: WireRequest) -> bool:
        """Whether `request` is one of them."""
        ...

    async def handle(self, request: WireRequest) -> WireResponse:
        """Its answer from there. Raises NoAnswer."""
        ...


@runtime_checkable
class ServiceRefusal(Protocol):
    """An error of a service, as those who call it in process tell it: every service's own errors have these."""

    code: str
    message: str
    status: int


Dispatch = Callable[[WireRequest], Awaitable[WireResponse]]
"""The front's inner entry: authorises, records and hands to the service. Gateways call AWS through it as well."""
