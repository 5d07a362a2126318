"""The way to clients of a WebSocket API: post to a connection, close it.

Owns the two requests of API Gateway's management API and what their errors mean. Must not know what a message says. One
post is one request: whether and when another follows is the caller's rule, who knows how far the client is behind.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from sluiceway.aws.endpoints import ServiceSpec, parse_url
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller
from sluiceway.errors import DeadlineExceeded, Gone, Rejected, ServiceRefused, ServiceUnavailable
from sluiceway.ports import MAX_MESSAGE_BYTES

__all__ = ["ApiConnections", "describe_service"]

TIMEOUT_S: Final = 5.0  # connecting included: a post takes 25 to 80 ms, and a reader's next frame waits behind it
_AS_BYTES: Final[Mapping[str, str]] = {"content-type": "application/octet-stream"}
_GONE: Final = 410
_TOO_LARGE: Final = 413


def describe_service(url: str) -> ServiceSpec:
    """The management API at `url` (https and a host); its requests are tried once."""
    return ServiceSpec(
        endpoint_prefix="execute-api",
        signing_name="execute-api",
        protocol="rest-json",
        env_name="APIGATEWAYMANAGEMENTAPI",
        max_attempts=1,
        url=url,
    )


class ApiConnections:
    """The connections of one stage. Holds no connection to AWS: those are the `Caller`'s.

    `url` is the stage's management address, `https://<api>.execute-api.<region>.amazonaws.com/<stage>`; only
    `AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI` and `AWS_ENDPOINT_URL` change where its requests go. Messages to one
    client arrive in the order of the posts where one post is under way at a time, which is the caller's rule to keep.
    Methods raise `Retryable` where the gateway is throttled, away or silent for 5 s (what was asked may have happened),
    and `Misconfigured` where it refuses this deployment.
    """

    def __init__(self, caller: Caller, url: str) -> None:
        stage = parse_url(url, what="the management address of the WebSocket API").path
        self._caller = caller
        self._service = describe_service(url.removesuffix(stage))
        self._path = f"{stage.rstrip('/')}/@connections/"

    async def post(self, connection_id: str, data: bytes) -> None:
        """Send one text message of at most 128 KB; returns when the gateway has taken it.

        Raises `Gone` where the connection is no more, `Rejected` (`message-too-large`), and as the class says. A
        message that finds its kept-alive connection to the gateway closed goes out again at once, so it may come twice.
        """
        if len(data) > MAX_MESSAGE_BYTES:
            raise _too_large()
        await self._call("PostToConnection", connection_id, data, method="POST")

    async def disconnect(self, connection_id: str) -> None:
        """Close a connection; nothing where there is none."""
        with suppress(Gone):
            await self._call("DeleteConnection", connection_id, b"", method="DELETE")

    async def _call(self, operation: str, connection_id: str, data: bytes, *, method: str) -> None:
        path = self._path + encode_label(connection_id)
        deadline = asyncio.get_running_loop().time() + TIMEOUT_S
        headers = _AS_BYTES if data else None
        try:
            await self._caller.call(
                self._service, operation, data, method=method, path=path, headers=headers, deadline=deadline
            )
        except DeadlineExceeded as error:  # ours, not the invocation's
            raise _unavailable(str(error), operation, code="TimedOut", status=0) from error
        except ServiceRefused as error:
            if error.status == _GONE:
                raise Gone("the connection is closed") from error
            if error.status == _TOO_LARGE:
                raise _too_large() from error
            if error.status >= 500:
                raise _unavailable(str(error), operation, code=error.code, status=error.status) from error
            raise


def _too_large() -> Rejected:
    return Rejected(f"a message has {MAX_MESSAGE_BYTES} bytes at most", reason="message-too-large")


def _unavailable(message: str, operation: str, *, code: str, status: int) -> ServiceUnavailable:
    return ServiceUnavailable(message, service="execute-api", operation=operation, code=code, status=status)
