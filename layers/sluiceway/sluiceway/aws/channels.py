"""The way to the channels of an AppSync Event API: publishing over HTTP, signed or with an API key.

Owns batches of five, what the answers mean, and requests without a signature. Must not know what an event says. One
batch is one request: a publication is not idempotent, so whether it goes out again is the caller's rule.
Source: https://docs.aws.amazon.com/appsync/latest/eventapi/publish-http.html
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, cast

from sluiceway.aws.connection import Exchange, TransportError
from sluiceway.aws.endpoints import Endpoint, ServiceSpec, parse_url, resolve_endpoint
from sluiceway.aws.http import Pool
from sluiceway.aws.reply import Reply, read_fault
from sluiceway.aws.request import USER_AGENT
from sluiceway.aws.tls import make_context
from sluiceway.aws.wire import FAILURE_CODES, Caller
from sluiceway.errors import (
    DeadlineExceeded,
    Misconfigured,
    Rejected,
    ServiceMisconfigured,
    ServiceRefused,
    ServiceUnavailable,
    SluicewayError,
)
from sluiceway.ports.channels import MAX_EVENT_BYTES, FailedEvent, Publication

__all__ = ["BatchedChannels", "EventChannels", "describe_service", "open_keyed_channels"]

MAX_BATCH: Final = 5  # events in one request, the page above
# Channels: https://docs.aws.amazon.com/appsync/latest/eventapi/event-api-websocket-protocol.html, message properties
SERVICE: Final = "appsync-api"
_OPERATION: Final = "Publish"
_OF_EVENTS: Final = frozenset({"BadRequestException", "MessageProcessingError"})  # no JSON; not the handler's liking
_UNAUTHORIZED: Final = "UnauthorizedException"
_THROTTLED: Final = 429
_SEGMENT: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?"
_CHANNEL: Final = rf"/?{_SEGMENT}(?:/{_SEGMENT}){{0,4}}/?"
_KEY: Final = r"[!-~]{1,256}"


class _Poster(Protocol):
    """Sends one request and gives the answer to a success."""

    async def post(self, body: bytes, *, deadline: float | None) -> Reply:
        """POST `body`. Raises what `Caller.call` does."""
        ...


def describe_service(url: str) -> ServiceSpec:
    """The Event API at `url` (https and a host); its requests are tried once."""
    return ServiceSpec(
        endpoint_prefix=SERVICE,
        signing_name="appsync",
        protocol="rest-json",
        env_name="APPSYNC_EVENTS",
        max_attempts=1,
        url=url,
    )


class BatchedChannels:
    """The channels of one Event API, in batches over `poster`; the port `Channels`."""

    def __init__(self, poster: _Poster) -> None:
        self._poster = poster

    async def publish(self, channel: str, events: Sequence[str], *, deadline: float | None = None) -> Publication:
        """As the port says. Raises `ServiceMisconfigured` where the API does not let the caller in."""
        if re.fullmatch(_CHANNEL, channel) is None:
            raise Rejected("a channel has 1 to 5 segments of letters, digits and dashes", reason="invalid-channel")
        for index, event in enumerate(events):
            if len(event.encode()) > MAX_EVENT_BYTES:
                raise Rejected(f"event {index} has over {MAX_EVENT_BYTES} bytes", reason="event-too-large")
        failed: list[FailedEvent] = []
        for start in range(0, len(events), MAX_BATCH):
            batch = events[start : start + MAX_BATCH]
            try:
                failed += await self._send_batch(channel, batch, start=start, deadline=deadline)
            except SluicewayError as error:
                if not start:
                    raise
                return Publication(tuple(failed), unsent=len(events) - start, error=error)
        return Publication(tuple(failed))

    async def _send_batch(
        self, channel: str, batch: Sequence[str], *, start: int, deadline: float | None
    ) -> list[FailedEvent]:
        """A batch that is refused goes event by event: for one that is wrong, the API takes none of them."""
        try:
            return await self._send(channel, batch, start=start, deadline=deadline)
        except ServiceRefused as error:
            if len(batch) == 1 or error.code not in _OF_EVENTS:
                raise
        failed: list[FailedEvent] = []
        for at, event in enumerate(batch, start):
            try:
                failed += await self._send(channel, [event], start=at, deadline=deadline)
            except ServiceRefused as error:
                failed.append(FailedEvent(at, str(error)))
        return failed

    async def _send(
        self, channel: str, batch: Sequence[str], *, start: int, deadline: float | None
    ) -> list[FailedEvent]:
        body = json.dumps({"channel": channel, "events": list(batch)}, ensure_ascii=False, separators=(",", ":"))
        try:
            reply = await self._poster.post(body.encode(), deadline=deadline)
        except ServiceRefused as error:
            if error.code != _UNAUTHORIZED:
                raise
            raise ServiceMisconfigured(str(error), **error.facts) from error
        return _read_failed(reply, start=start, sent=len(batch))


class EventChannels(BatchedChannels):
    """The channels of one Event API. Holds no connection to AWS: those are the `Caller`'s.

    `url` is the API's HTTP address, `https://<domain>` or `https://<domain>/event`; only
    `AWS_ENDPOINT_URL_APPSYNC_EVENTS` and `AWS_ENDPOINT_URL` change where its requests go. They are signed with the
    function's role, which needs `appsync:EventPublish` on the channel namespace. `open_keyed_channels` sends a key.
    """

    def __init__(self, caller: Caller, url: str) -> None:
        super().__init__(_Signed(caller, url))


@asynccontextmanager
async def open_keyed_channels(url: str, key: str, environ: Mapping[str, str]) -> AsyncGenerator[BatchedChannels]:
    """Channels of the Event API at `url`, with an API key in place of a signature; for the length of the block.

    `environ` (`sluiceway.settings.environ()`) may name another endpoint, as for `EventChannels`, and `AWS_CA_BUNDLE`.
    Raises Misconfigured for a key or an address that is none.
    """
    if re.fullmatch(_KEY, key) is None:
        raise Misconfigured("the API key of the Event API cannot be a header", what="x-api-key")
    root, path = _split(url)
    endpoint = resolve_endpoint(describe_service(root), "", environ)
    pool = Pool(endpoint.origin, tls=lambda: make_context(environ.get("AWS_CA_BUNDLE") or "", what="AWS_CA_BUNDLE"))
    try:
        yield BatchedChannels(_Keyed(pool, endpoint, path, key=key))
    finally:
        pool.close()


class _Signed:
    """Requests signed with the function's role."""

    def __init__(self, caller: Caller, url: str) -> None:
        root, self._path = _split(url)
        self._caller = caller
        self._service = describe_service(root)

    async def post(self, body: bytes, *, deadline: float | None) -> Reply:
        """POST through the wire client."""
        return await self._caller.call(self._service, _OPERATION, body, path=self._path, deadline=deadline)


class _Keyed:
    """Requests with an API key."""

    def __init__(self, pool: Pool, endpoint: Endpoint, path: str, *, key: str) -> None:
        self._pool = pool
        head = {
            "host": endpoint.host,
            "user-agent": USER_AGENT,
            "content-type": "application/json",
            "x-api-key": key,
        }
        lines = "".join([f"{name}: {value}\r\n" for name, value in head.items()])
        self._head = f"POST {endpoint.path}{path} HTTP/1.1\r\n{lines}".encode()
        self._read_timeout_s = ServiceSpec(SERVICE, "", "rest-json", "").read_timeout_s

    async def post(self, body: bytes, *, deadline: float | None) -> Reply:
        """POST on a connection of the pool."""
        request = b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body)
        give_up_at = float("inf") if deadline is None else deadline
        try:
            head, content = await self._pool.exchange(
                Exchange(request, bodiless=False, read_timeout_s=self._read_timeout_s, give_up_at=give_up_at)
            )
        except TransportError as error:
            raise _explain(error) from error
        reply = Reply(head.status, head.headers, content)
        if 200 <= reply.status < 300:
            return reply
        fault = read_fault(reply)
        if reply.status >= 500 or reply.status == _THROTTLED:
            raise fault.outage(SERVICE, _OPERATION, after_s=None)
        raise fault.refusal(SERVICE, _OPERATION)


def _explain(error: TransportError) -> SluicewayError:
    where = f"{SERVICE} {_OPERATION}: {error}"
    if error.failure == "deadline":
        return DeadlineExceeded(where)
    if error.failure == "certificate":
        return Misconfigured(where, what="AWS_CA_BUNDLE")
    return ServiceUnavailable(where, service=SERVICE, operation=_OPERATION, code=FAILURE_CODES[error.failure])


def _split(url: str) -> tuple[str, str]:
    """The root of an address, and the path that events are posted to. Raises Misconfigured."""
    path = parse_url(url, what="the address of the Event API").path
    shown = path.rstrip("/")
    return url.removesuffix(path), shown if shown.endswith("/event") else f"{shown}/event"


def _read_failed(reply: Reply, *, start: int, sent: int) -> list[FailedEvent]:
    """The events of an answer that failed. Raises ServiceUnavailable for an answer that is none."""
    try:
        listed = cast("list[Mapping[str, Any]]", reply.json().get("failed") or [])
        failed = [FailedEvent(start + int(each["index"]), str(each.get("errorMessage") or "")) for each in listed]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _malformed() from error
    if any(not start <= each.index < start + sent for each in failed):
        raise _malformed()
    return sorted(failed, key=lambda each: each.index)


def _malformed() -> ServiceUnavailable:
    message = f"{SERVICE} {_OPERATION}: the answer does not say what became of the events"
    return ServiceUnavailable(message, service=SERVICE, operation=_OPERATION, code="MalformedReply", status=200)
