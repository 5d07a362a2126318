"""The data plane of Event APIs: publishing and subscribing, over whatever wire a client speaks.

Owns the order of things: shape, namespace, who asks, the handler, the broadcast. Knows no sockets and no HTTP.
Sources: https://docs.aws.amazon.com/appsync/latest/eventapi/publish-http.html and
https://docs.aws.amazon.com/appsync/latest/eventapi/event-api-websocket-protocol.html
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast

from localcloud.json_text import MalformedJson, read_json
from localcloud.services.appsync.admission import CONNECT, PUBLISH, SUBSCRIBE, Admission, Asked, Caller
from localcloud.services.appsync.channels import Audience, Channel, read_channel, read_pattern
from localcloud.services.appsync.errors import AppSyncError, bad_request
from localcloud.services.appsync.handlers import (
    HandlerFailed,
    Incoming,
    Outgoing,
    describe_context,
    read_published,
    read_subscribed,
)
from localcloud.services.appsync.model import EventApi, EventApis
from localcloud.services.appsync.ports import Functions, InvocationFailed
from localcloud.services.appsync.settings import Handler
from localcloud.uuids import new_uuid

__all__ = ["Broker", "Listener", "Published", "Sender", "Subscription"]

MAX_EVENTS: Final = 5  # of one publication, the pages above
MAX_EVENT_BYTES: Final = (
    240 * 1024
)  # of one event, https://docs.aws.amazon.com/appsync/latest/eventapi/event-api-concepts.html
_LOG: Final = logging.getLogger(__name__)


class Listener(Protocol):
    """A client that has subscribed."""

    def hear(self, subscription_id: str, text: str) -> None:
        """An event came, as JSON text; never blocks."""
        ...

    def miss(self, subscription_id: str) -> None:
        """An event came that cannot be told."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """One subscription of one client."""

    api_id: str
    id: str
    channel: Channel
    listener: Listener


@dataclass(frozen=True, slots=True)
class Sender:
    """Where a request comes from: its authorization's headers by lower-case name, and its address."""

    headers: Mapping[str, str]
    source_ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a publication, event by event; each list item as the API writes it."""

    successful: tuple[Mapping[str, Any], ...]
    failed: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """As it is answered."""
        return {"failed": list(self.failed), "successful": list(self.successful)}


class Broker:
    """Publishes to subscribers, and lets clients subscribe. `rng` makes the ids of events and requests."""

    def __init__(self, apis: EventApis, admission: Admission, functions: Functions, *, rng: random.Random) -> None:
        self.apis = apis
        self._admission = admission
        self._functions = functions
        self._rng = rng
        self._audiences: dict[str, Audience[Subscription]] = {}

    def new_id(self) -> str:
        """An id for a request."""
        return new_uuid(self._rng)

    async def connect(self, api: EventApi, sender: Sender) -> None:
        """Let a client connect. Raises AppSyncError."""
        await self._admission.admit(self._asked(api, CONNECT, sender))

    async def publish(self, api: EventApi, request: Mapping[str, Any], sender: Sender) -> Published:
        """Publish `channel` and `events` of `request`. Raises AppSyncError, and then nothing is published."""
        texts = _read_events(request)
        channel = read_channel(request["channel"])
        caller = await self._admission.admit(replace(self._asked(api, PUBLISH, sender), channel=channel))
        for text in texts:
            _check_event(text)
        events = [Incoming(new_uuid(self._rng), text) for text in texts]
        for outgoing in (made := await self._process(api, channel, caller, events=events)):
            if outgoing.text is not None:
                self._broadcast(api, channel, outgoing.text)
        return _tell(made)

    async def subscribe(
        self, api: EventApi, request: Mapping[str, Any], sender: Sender, *, listener: Listener
    ) -> Subscription:
        """Let `listener` hear `channel` of `request` under its `id`. Raises AppSyncError."""
        channel = read_pattern(request.get("channel"))
        caller = await self._admission.admit(replace(self._asked(api, SUBSCRIBE, sender), channel=channel))
        handler = _handler_of(api, channel, "onSubscribe")
        if handler is not None:
            context = describe_context("SUBSCRIBE", channel, caller)
            try:
                read_subscribed(await self._invoke(api, handler, context))
            except HandlerFailed as error:
                _LOG.warning("appsync.on_subscribe_failed api=%s channel=%s reason=%s", api.id, channel.path, error)
                message = "There was an error processing the operation"
                raise AppSyncError("SubscriptionProcessingError", message, 403) from error
        subscription = Subscription(api.id, str(request["id"]), channel, listener)
        self._audiences.setdefault(api.id, Audience()).enter(channel, subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Hear no more."""
        audience = self._audiences.get(subscription.api_id)
        if audience is not None:
            audience.leave(subscription.channel, subscription)

    def audience_of(self, api_id: str) -> int:
        """How many subscriptions there are to the API's channels."""
        return len(self._audiences.get(api_id, ()))

    def _asked(self, api: EventApi, operation: str, sender: Sender) -> Asked:
        return Asked(api, operation, sender.headers, source_ip=sender.source_ip, request_id=self.new_id())

    async def _process(
        self, api: EventApi, channel: Channel, caller: Caller, *, events: Sequence[Incoming]
    ) -> list[Outgoing]:
        """What the namespace's handler makes of `events`. Raises AppSyncError."""
        handler = _handler_of(api, channel, "onPublish")
        if handler is None:
            return [Outgoing(event.id, event.text) for event in events]
        try:
            answer = await self._invoke(api, handler, describe_context("PUBLISH", channel, caller, events=events))
            if handler.is_event:
                return [Outgoing(event.id, event.text) for event in events]
            return read_published(answer, events)
        except HandlerFailed as error:
            _LOG.warning("appsync.on_publish_failed api=%s channel=%s reason=%s", api.id, channel.path, error)
            raise AppSyncError("MessageProcessingError", "There was an error processing the message", 403) from error

    async def _invoke(self, api: EventApi, handler: Handler, payload: bytes) -> bytes:
        """What a handler returns, b"" where it is not waited for: then nothing can go wrong. Raises HandlerFailed."""
        try:
            source = api.source(handler.data_source)
            arn, role = source.function_arn, source.role_arn
            return await self._functions.handle(arn, payload, role_arn=role, is_event=handler.is_event)
        except (AppSyncError, InvocationFailed) as error:
            if not handler.is_event:
                raise HandlerFailed(str(error)) from error
            _LOG.warning("appsync.handler_not_invoked api=%s reason=%s", api.id, error)
            return b""

    def _broadcast(self, api: EventApi, channel: Channel, text: str) -> None:
        audience = self._audiences.get(api.id)
        if audience is None:
            return
        is_too_large = len(text.encode()) > MAX_EVENT_BYTES  # a handler may make an event larger
        for subscription in audience.of(channel):
            if is_too_large:
                subscription.listener.miss(subscription.id)
            else:
                subscription.listener.hear(subscription.id, text)


def _handler_of(api: EventApi, channel: Channel, name: str) -> Handler | None:
    namespace = api.namespaces.get(channel.namespace)  # it may have been removed since the caller was let in
    return namespace.handlers.get(name) if namespace is not None else None


def _read_events(request: Mapping[str, Any]) -> list[str]:
    """The texts of a publication. Raises AppSyncError."""
    events: object = request.get("events")
    if events is not None and not isinstance(events, list):
        raise AppSyncError("SerializationException", "Expected list or null", 400)
    if not request.get("channel"):
        raise bad_request("Missing channel")
    if not events:
        raise bad_request("Missing events")
    listed = cast("list[object]", events)
    if len(listed) > MAX_EVENTS:
        raise bad_request(f"Input exceeded {MAX_EVENTS} event limit")
    texts = [event for event in listed if isinstance(event, str)]
    if len(texts) != len(listed):
        raise AppSyncError("SerializationException", "Expected string", 400)
    return texts


def _check_event(text: str) -> None:
    """An event is JSON of 240 KB at most. Raises AppSyncError."""
    try:
        content = text.encode()
        if len(content) > MAX_EVENT_BYTES:
            raise bad_request("Event exceeded 240 KB limit")
        read_json(content)
    except (MalformedJson, UnicodeEncodeError) as error:
        raise bad_request("Event is not a valid JSON value") from error


def _tell(made: Sequence[Outgoing]) -> Published:
    successful: list[Mapping[str, Any]] = []
    failed: list[Mapping[str, Any]] = []
    for index, each in enumerate(made):
        told: dict[str, Any] = {"identifier": each.id, "index": index}
        if each.error:
            failed.append({**told, "errorMessage": each.error})
        else:
            successful.append(told)
    return Published(tuple(successful), tuple(failed))
